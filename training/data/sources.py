"""
FER-2013 from wherever it lies: Hub, Kaggle's CSV, images, parquet, `save_to_disk`, or drawn.

`load_fer2013` returns a `DatasetDict` of the splits that the source has (train, validation, test)
with the features `image: Image()` and `label: ClassLabel` in the one order of `LABELS`.
"""

import re
from collections.abc import Callable, Sequence
from pathlib import Path

import datasets
import numpy as np
from datasets import ClassLabel, Dataset, DatasetDict, Image

from .image_tree import load_image_tree
from .kaggle_csv import load_kaggle_csv
from .parquet import load_parquet
from .schema import (
    FEATURES,
    LABELS,
    PUBLISHED_COUNTS,
    BadRow,
    DataError,
    first_line,
    label_id,
    named_splits,
    note_bad_row,
)
from .synthetic import draw_splits

DEFAULT_SOURCE = "Aaryan333/fer2013_train_publicTest_privateTest"
DEFAULT_REVISION = "435bbcb3c98581134be1b9db3f4c2b7e9a3a5faa"


def load_fer2013(
    source: str = DEFAULT_SOURCE,
    revision: str | None = None,
    *,
    label_names: Sequence[str] | None = None,
    synthetic_images: int = 5000,
    synthetic_seed: int = 0,
    skipped: list[str] | None = None,
) -> DatasetDict:
    """
    Args:
        source: a local .csv (Kaggle's fer2013.csv or icml_face_data.csv), a parquet file or a
            folder of them, a folder that `datasets` wrote (`save_to_disk`), a folder tree of images
            by class, `"synthetic"`, or else a data set id on the Hub.
        revision: of a Hub data set; the default source has its own pinned one.
        label_names: class names by id, for sources whose labels are integers without names.
        synthetic_images, synthetic_seed: size of the drawn training split and seed, for
            `"synthetic"`.
        skipped: rows that cannot be used are left out, and what is wrong with each is appended
            here. None: the first of them is an error.

    Returns:
        The splits found, with features `image` and `label` (and `ferplus_votes` where the source
        has them). Labels are mapped by class name, never by position.

    Raises:
        DataError: the source is missing, its columns, labels or splits are not understood, a split
            is empty, or a split of FER-2013's official size does not have FER-2013's published
            class counts.
    """
    source = str(source)
    path = Path(source).expanduser()
    if source == "synthetic":
        splits = draw_splits(synthetic_images, synthetic_seed)
    elif path.is_dir():
        splits = _load_folder(path, skipped)
    elif path.is_file() and path.suffix == ".csv":
        splits = load_kaggle_csv(path, skipped)
    elif path.is_file() and path.suffix == ".parquet":
        splits = load_parquet([path], path.parent)
    elif path.exists():
        raise DataError(
            f"{path}: expected a .csv or .parquet file or a folder, but found a "
            f"{path.suffix or 'plain'} file."
        )
    elif re.fullmatch(r"[\w-][\w.-]*/[\w.-]+", source):
        splits = _load_hub(source, revision)
    else:
        raise DataError(
            f"{source}: no such file or folder, and not a Hub data set id (owner/name). "
            "Give fer2013.csv, a folder of "
            "images by class, a folder of parquet files, a Hub id, or 'synthetic'."
        )
    splits = DatasetDict(
        {
            name: _to_fer2013(split, f"{source} [{name}]", label_names, skipped)
            for name, split in splits.items()
        }
    )
    for name, split in splits.items():
        _check_counts(split, name, source)
    return splits


def _load_hub(source: str, revision: str | None) -> DatasetDict:
    if source == DEFAULT_SOURCE:
        revision = revision or DEFAULT_REVISION
    try:
        found = datasets.load_dataset(source, revision=revision)
    except Exception as error:  # of datasets or huggingface_hub, many kinds; all mean: not loaded
        raise DataError(
            f"{source}: there is no such local file or folder, "
            "and the Hub did not give a data set of that name "
            f"({type(error).__name__}: {first_line(error)}). "
            "Check the name and the network, or download FER-2013 from "
            "Kaggle and pass the path of fer2013.csv; --dataset synthetic needs neither."
        ) from error
    return named_splits(found, source)


def _load_folder(path: Path, skipped: list[str] | None) -> dict[str, Dataset]:
    if any((path / name).is_file() for name in ("dataset_dict.json", "state.json")):
        return _load_saved(path)
    parquet = sorted(
        file
        for file in path.rglob("*.parquet")
        if not any(part.startswith(".") for part in file.relative_to(path).parts)
    )
    if parquet:
        return load_parquet(parquet, path)
    for name in ("fer2013.csv", "icml_face_data.csv"):
        if (path / name).is_file():
            return load_kaggle_csv(path / name, skipped)
    return load_image_tree(path, skipped)


def _load_saved(path: Path) -> dict[str, Dataset]:
    """What `save_to_disk` of a Dataset (all training data) or a DatasetDict wrote."""
    try:
        found = datasets.load_from_disk(str(path)).with_format(None)
    except Exception as error:  # datasets and pyarrow raise many kinds
        raise DataError(
            f"{path}: expected what save_to_disk of datasets wrote, but it gave "
            f"{type(error).__name__}: {first_line(error)}."
        ) from error
    return named_splits({"train": found} if isinstance(found, Dataset) else found, path)


def _to_fer2013(
    split: Dataset, where: str, label_names: Sequence[str] | None, skipped: list[str] | None
) -> Dataset:
    """Whatever columns and labels a source has -> `FEATURES` (and FER+ votes)."""
    if len(split) == 0:
        raise DataError(f"{where}: the split is empty; expected at least one image.")
    image = _find_column(split, ("image", "img", "jpg", "png"), _holds_images, where, "an image")
    label = _find_column(
        split,
        ("label", "labels", "emotion", "expression", "class"),
        lambda f: (
            isinstance(f, ClassLabel)
            or (isinstance(f, datasets.Value) and ("string" in f.dtype or "int" in f.dtype))
        ),
        where,
        "a label",
    )
    ids = _map_labels(split, label, where, label_names, skipped)
    keep = [image] + (["ferplus_votes"] if "ferplus_votes" in split.column_names else [])
    split = split.select_columns(keep)
    if image != "image":
        split = split.rename_column(image, "image")
    if not isinstance(split.features["image"], Image):  # bytes, as pandas writes them
        split = split.cast_column("image", Image())
    if None in ids:
        split = split.select([row for row, i in enumerate(ids) if i is not None])
        ids = [i for i in ids if i is not None]
        if not ids:
            raise DataError(f"{where}: every row was left out; the last one: {skipped[-1]}")
    return split.add_column("label", ids, feature=FEATURES["label"])


def _holds_images(feature) -> bool:
    """Images as `datasets` knows them, or what it casts into them: bytes, {bytes, path}."""
    binary = isinstance(feature, datasets.Value) and "binary" in feature.dtype
    return (
        isinstance(feature, Image) or binary or (isinstance(feature, dict) and "bytes" in feature)
    )


def _find_column(
    split: Dataset, names: Sequence[str], fits: Callable, where: str, what: str
) -> str:
    fitting = [column for column, feature in split.features.items() if fits(feature)]
    for name in names:
        if name in fitting:
            return name
    raise DataError(
        f"{where}: expected {what} column named one of {', '.join(names)}, but found "
        + ", ".join(f"{name} ({feature})" for name, feature in split.features.items())
    )


def _map_labels(
    split: Dataset,
    column: str,
    where: str,
    label_names: Sequence[str] | None,
    skipped: list[str] | None,
) -> list[int | None]:
    """Label id of each row; None for a row that is left out."""
    feature, values = split.features[column], split.with_format(None)[column][:]
    if isinstance(feature, ClassLabel) and not all(name.isdigit() for name in feature.names):
        label_names = feature.names
    elif "string" not in feature.dtype and label_names is None:
        raise DataError(
            f"{where}: labels are integers without names, "
            "and copies of FER-2013 order the classes differently. "
            "Give their names in the order of the ids: "
            "--label_names angry disgust fear happy sad surprise neutral"
        )
    names = dict(enumerate(label_names)) if "string" not in feature.dtype else {}
    known = {value: label_id(name, where) for value, name in names.items()}
    ids = []
    for row, value in enumerate(values):
        try:
            if value is not None and value not in known:
                known[value] = _unnamed_label(value, len(names), f"{where}, row {row}")
            if value is None:
                raise BadRow(f"{where}, row {row}: the label is missing.")
            ids.append(known[value])
        except BadRow as error:
            note_bad_row(error, skipped)
            ids.append(None)
    return ids


def _unnamed_label(value, names: int, where: str) -> int:
    if isinstance(value, str):
        return label_id(value, where, BadRow)
    raise BadRow(f"{where}: label {value} has no name; names are given for 0 to {names - 1}.")


def _check_counts(split: Dataset, name: str, source: str) -> None:
    counts = np.bincount(split["label"][:], minlength=len(LABELS)).tolist()
    published = PUBLISHED_COUNTS[name]
    if sum(counts) == sum(published) and counts != published:
        raise DataError(
            f"{source}: the {name} split has FER-2013's size ({sum(published)}) "
            "but not its class counts, so its labels "
            f"are in another order or wrong.\n  classes   {list(LABELS)}\n"
            f"  published {published}\n  found     {counts}\n"
            "If the labels are integers, pass the right --label_names."
        )
