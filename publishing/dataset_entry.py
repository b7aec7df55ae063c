"""FER-2013, or other labelled faces, as a plain data entry: parquet, audit columns and a card."""

import json
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from datasets import ClassLabel, Dataset, Features, Image, Value
from huggingface_hub import DatasetCard, DatasetCardData

from modeling import FerEfficientNetImageProcessor
from training.data import (
    DataArguments,
    audit,
    class_names,
    copies_of,
    decode_splits,
    load_splits,
    summary_line,
)
from training.data.ferplus import COLUMNS
from training.report import markdown_table, plain

KAGGLE = (
    "https://www.kaggle.com/c/"
    "challenges-in-representation-learning-facial-expression-recognition-challenge"
)
AUDIT_COLUMNS = {
    "group": "number of the group of pixel for pixel identical images, over all splits; -1: unique",
    "copy_of_training": "a training image is identical (false in the training split)",
    "blank": "all pixels are equal",
}
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
    Writes data/<split>.parquet and README.md.

    Args:
        source, label_names, classes: of `load_fer2013`. ferplus_csv: FER+ votes to join.
        dataset_name: what the card calls data of other classes; "" for FER-2013.
        statement: of the right to publish, for the card; "" for a private entry.

    Returns:
        The audit in one line.
    """
    splits = load_splits(
        DataArguments(
            dataset=source,
            classes=classes,
            label_names=label_names or [],
            ferplus_csv=ferplus_csv,
        )
    )
    names = class_names(splits)
    decoded = decode_splits(splits, FerEfficientNetImageProcessor())
    digests = {name: faces.digests for name, faces in decoded.items()}
    groups = _groups(digests)
    (folder / "data").mkdir(parents=True)
    for name, split in splits.items():
        flat = decoded[name].images.flatten(1)
        columns = {
            "image": _encoded(split),
            "label": split["label"][:],
            "group": [groups.get(digest, -1) for digest in digests[name]],
            "copy_of_training": _copies(name, digests).tolist(),
            "blank": (flat.amax(1) == flat.amin(1)).tolist(),
        }
        features = {
            "image": Image(),
            "label": ClassLabel(names=list(names)),
            "group": Value("int32"),
            "copy_of_training": Value("bool"),
            "blank": Value("bool"),
        }
        if "ferplus_votes" in split.column_names:
            columns["ferplus_votes"] = split["ferplus_votes"][:]
            features["ferplus_votes"] = split.features["ferplus_votes"]
        Dataset.from_dict(columns, features=Features(features)).to_parquet(
            folder / "data" / f"{name}.parquet"
        )
    report = audit(decoded, names)
    votes = any("ferplus_votes" in split.column_names for split in splits.values())
    _card(report, names, repo_id, statement, votes, dataset_name).save(folder / "README.md")
    (folder / "data_report.json").write_text(json.dumps(report, indent=1) + "\n")
    return summary_line(report)


def _groups(digests: dict[str, np.ndarray]) -> dict[str, int]:
    """Digest -> number, for digests that stand more than once; numbered by first appearance."""
    times: dict[str, int] = defaultdict(int)
    for digest in np.concatenate(list(digests.values())):
        times[digest] += 1
    return {digest: i for i, digest in enumerate(d for d, n in times.items() if n > 1)}


def _copies(name: str, digests: dict[str, np.ndarray]) -> np.ndarray:
    if name == "train" or "train" not in digests:
        return np.zeros(len(digests[name]), bool)
    return copies_of(digests[name], digests["train"])


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
