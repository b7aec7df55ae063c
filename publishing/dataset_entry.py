"""FER-2013, or other labelled faces, as a plain data entry: parquet, audit columns and a card."""

import json
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from datasets import Dataset, Features, Image, Value

from modeling import FerEfficientNetImageProcessor
from training.data import (
    DataArguments,
    FaceDataset,
    as_images,
    audit,
    class_names,
    decode_splits,
    is_packed,
    load_splits,
    summary_line,
)
from training.data.ferplus import COLUMNS
from training.markdown import render

from . import PublishError

AUDIT_FEATURES = {
    "group": Value("int32"),
    "copy_of_training": Value("bool"),
    "blank": Value("bool"),
}
TEMPLATE = Path(__file__).with_name("dataset_card.md")


def stage_dataset(
    source: str,
    folder: Path,
    *,
    repo_id: str,
    ferplus_csv: str | None = None,
    label_names: list[str] | None = None,
    classes: str = "fer2013",
    dataset_name: str = "",
    statement: str = "",
) -> str:
    """
    Writes data/<split>.parquet, data_report.json and README.md.

    Args:
        source, label_names, classes: as `load_fer2013` takes them. ferplus_csv: FER+ votes to join.
        dataset_name: what the card calls data of other classes; "" for FER-2013.
        statement: on what right the data are published, for the card; "" for a private entry.

    Returns:
        The audit in one line.

    Raises:
        DataError: the data cannot be used. PublishError: the data are packed.
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
    report = audit(decoded, names)
    (folder / "data").mkdir(parents=True)
    for name, marks in _marks(decoded, report).items():
        _with_marks(splits[name], marks).to_parquet(folder / "data" / f"{name}.parquet")
    voted = any(faces.votes is not None for faces in decoded.values())
    card = render(
        TEMPLATE,
        audit=report,
        label_names=names,
        size=_size_category(sum(split["images"] for split in report["splits"].values())),
        votes=COLUMNS if voted else (),
        repo_id=repo_id,
        dataset_name=dataset_name,
        statement=statement,
    )
    (folder / "README.md").write_text(card, encoding="utf-8")
    (folder / "data_report.json").write_text(json.dumps(report, indent=1) + "\n")
    return summary_line(report)


def _marks(splits: Mapping[str, FaceDataset], report: Mapping) -> dict[str, dict[str, list]]:
    """Values of the columns of `AUDIT_FEATURES`, by split; report: of `audit`."""
    groups, marks = _groups(splits), {}
    training = splits["train"].digests if "train" in splits else []
    for name, faces in splits.items():
        blank = {*report["splits"][name]["blank_images"]}
        earlier = [] if name == "train" else training
        marks[name] = {
            "group": [groups.get(digest, -1) for digest in faces.digests],
            "copy_of_training": np.isin(faces.digests, earlier).tolist(),
            "blank": [row in blank for row in range(len(faces))],
        }
    return marks


def _with_marks(split: Dataset, marks: Mapping[str, list]) -> Dataset:
    # the files as they are, so that nothing is encoded a second time
    rows = split.cast_column("image", Image(decode=False))["image"]
    files = [row["bytes"] or Path(row["path"]).read_bytes() for row in rows]
    images = [{"bytes": file, "path": None} for file in files]
    columns = {"image": images, "label": split["label"][:], **marks}
    features = {"image": Image(), "label": split.features["label"], **AUDIT_FEATURES}
    if "ferplus_votes" in split.column_names:
        columns["ferplus_votes"] = split["ferplus_votes"][:]
        features["ferplus_votes"] = split.features["ferplus_votes"]
    return Dataset.from_dict(columns, features=Features(features))


def _groups(splits: Mapping[str, FaceDataset]) -> dict[str, int]:
    """Digest -> number, for digests of several images; numbered by first appearance."""
    times = Counter(digest for faces in splits.values() for digest in faces.digests)
    return {digest: i for i, digest in enumerate(d for d, n in times.items() if n > 1)}


def _size_category(images: int) -> str:
    for limit, name in ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K")):
        if images < limit:
            return name
    return "100K<n<1M"
