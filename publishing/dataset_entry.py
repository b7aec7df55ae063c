"""FER-2013, or other labelled faces, as a plain data entry: parquet, audit columns and a card."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from datasets import Dataset, Features, Image, Value
from huggingface_hub import DatasetCard, DatasetCardData

from modeling import FerEfficientNetImageProcessor
from training.data import (
    DataArguments,
    FaceDataset,
    as_images,
    audit,
    class_names,
    copies_of,
    decode_splits,
    is_packed,
    load_splits,
    summary_line,
)
from training.data.ferplus import COLUMNS
from training.report import markdown_table, plain

from . import PublishError

KAGGLE = (
    "https://www.kaggle.com/c/"
    "challenges-in-representation-learning-facial-expression-recognition-challenge"
)
AUDIT_COLUMNS = {
    "group": "number of the group of pixel for pixel identical images, over all splits; -1: unique",
    "copy_of_training": "a training image is identical (false in the training split)",
    "blank": "all pixels are equal",
}
FEATURES = {"group": Value("int32"), "copy_of_training": Value("bool"), "blank": Value("bool")}
TEMPLATE = Path(__file__).with_name("dataset_card_template.md")


def stage_dataset(
    source: str,
    folder: Path,
    *,
    repo_id: str,
    ferplus_csv: str | None,
    label_names: list[str] | None,
    classes: str,
    dataset_name: str,
    statement: str,
) -> str:
    """
    Writes data/<split>.parquet, data_report.json and README.md.

    Args:
        source, label_names, classes: of `load_fer2013`. ferplus_csv: FER+ votes to join.
        dataset_name: what the card calls data of other classes; "" for FER-2013.
        statement: of the right to publish, for the card; "" for a private entry.

    Returns:
        The audit in one line.

    Raises:
        DataError: of `load_splits`. PublishError: the data are packed.
    """
    data = DataArguments(
        dataset=source, classes=classes, label_names=label_names or [], ferplus_csv=ferplus_csv
    )
    if is_packed(data):
        raise PublishError(
            f"{source}: expected images as files, a CSV or parquet, but found a packed file, which "
            "holds them decoded. Give the data that it was made from."
        )
    splits = {name: as_images(split) for name, split in load_splits(data).items()}
    names = class_names(splits)
    decoded = decode_splits(splits, FerEfficientNetImageProcessor())
    report, groups = audit(decoded, names), _groups(decoded)
    (folder / "data").mkdir(parents=True)
    for name, split in splits.items():
        blank = {*report["splits"][name]["blank_images"]}
        copies = [False] * len(split)
        if name != "train" and "train" in decoded:
            copies = copies_of(decoded[name].digests, decoded["train"].digests).tolist()
        marks = {
            "group": [groups.get(digest, -1) for digest in decoded[name].digests],
            "copy_of_training": copies,
            "blank": [row in blank for row in range(len(split))],
        }
        _with_marks(split, marks).to_parquet(folder / "data" / f"{name}.parquet")
    votes = any(faces.votes is not None for faces in decoded.values())
    _card(report, names, repo_id, statement, votes, dataset_name).save(folder / "README.md")
    (folder / "data_report.json").write_text(json.dumps(report, indent=1) + "\n")
    return summary_line(report)


def _with_marks(split: Dataset, marks: Mapping[str, list]) -> Dataset:
    """marks: values of `AUDIT_COLUMNS`."""
    columns = {"image": _encoded(split), "label": split["label"][:], **marks}
    features = {"image": Image(), "label": split.features["label"], **FEATURES}
    if "ferplus_votes" in split.column_names:
        columns["ferplus_votes"] = split["ferplus_votes"][:]
        features["ferplus_votes"] = split.features["ferplus_votes"]
    return Dataset.from_dict(columns, features=Features(features))


def _groups(splits: Mapping[str, FaceDataset]) -> dict[str, int]:
    """Digest -> number, for digests that stand more than once; numbered by first appearance."""
    times = Counter(digest for faces in splits.values() for digest in faces.digests)
    return {digest: i for i, digest in enumerate(d for d, n in times.items() if n > 1)}


def _encoded(split: Dataset) -> list[dict]:
    """The files as they are, so that nothing is encoded a second time."""
    rows = split.cast_column("image", Image(decode=False))["image"]
    return [{"bytes": row["bytes"] or Path(row["path"]).read_bytes(), "path": None} for row in rows]


def _size_category(images: int) -> str:
    for limit, name in ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K")):
        if images < limit:
            return name
    return "100K<n<1M"


def _card(
    report: dict,
    label_names: Sequence[str],
    repo_id: str,
    statement: str,
    votes: bool,
    dataset_name: str,
) -> DatasetCard:
    fer2013 = not dataset_name
    licence = {"license_name": "fer2013-kaggle", "license_link": KAGGLE} if fer2013 else {}
    title = f"{dataset_name or 'FER-2013'} with its flaws marked"
    columns = dict(AUDIT_COLUMNS)
    if votes:
        columns["ferplus_votes"] = f"FER+'s ten numbers of votes: {', '.join(COLUMNS)}"
    card_data = DatasetCardData(
        license="other",
        **licence,
        task_categories=["image-classification"],
        size_categories=[_size_category(sum(s["images"] for s in report["splits"].values()))],
        tags=[
            "facial-expression-recognition",
            *(["fer2013"] if fer2013 else []),
            "class-imbalance",
        ],
        pretty_name=title,
        configs=[
            {
                "config_name": "default",
                "data_files": [
                    {"split": name, "path": f"data/{name}.parquet"} for name in report["splits"]
                ],
            }
        ],
    )
    rows = [
        [name, *(f"{split['class_counts'][label]:,}" for label in label_names)]
        + [f"{split['images']:,}", len(split["blank_images"])]
        + [split.get("copies_of_training_images", "")]
        for name, split in report["splits"].items()
    ]
    labels = plain(", ".join(f"{i} {label}" for i, label in enumerate(label_names)))
    return DatasetCard.from_template(
        card_data,
        template_path=str(TEMPLATE),
        title=plain(title),
        fer2013=fer2013,
        evaluated=next((name for name in report["splits"] if name != "train"), ""),
        labels=labels.replace("|", r"\|"),  # in a table, too
        summary=plain(summary_line(report)) + ".",
        counts=markdown_table(
            ["split", *map(plain, label_names), "images", "blank", "copies of training images"],
            rows,
        ),
        columns="\n".join(f"| `{name}` | {words} |" for name, words in columns.items()),
        repo_id=repo_id,
        conflicting=report["groups_with_conflicting_labels"],
        statement=statement,
    )
