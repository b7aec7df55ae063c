"""
FER-2013 from wherever it lies: Hub, Kaggle's CSV, images, parquet, `save_to_disk`, or drawn.

`load_fer2013` returns a `DatasetDict` of the splits that the source has (train, validation, test)
with the features `image: Image()` and `label: ClassLabel`, in the one order of `LABELS` unless
other classes are asked for.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

import datasets
import numpy as np
from datasets import ClassLabel, Dataset, DatasetDict, Image

from ..early_checks import dataset_problem
from ..wording import first_line
from .classes import Labels, count_from_zero, id_among, own_classes, read_labels
from .image_tree import load_image_tree
from .kaggle_csv import load_kaggle_csv
from .parquet import load_parquet
from .schema import (
    DEFAULT_SOURCE,
    LABELS,
    PUBLISHED_COUNTS,
    DataError,
    label_id,
    named_splits,
)
from .synthetic import draw_splits

DEFAULT_REVISION = "435bbcb3c98581134be1b9db3f4c2b7e9a3a5faa"


def load_fer2013(
    source: str = DEFAULT_SOURCE,
    revision: str | None = None,
    *,
    classes: str = "fer2013",
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
        classes: `"fer2013"`, or `"any"` for those that the data have (`classes.own_classes`).
        label_names: class names by id, for sources whose labels are integers without names; with
            `"any"`, also another order of the names.
        synthetic_images, synthetic_seed: size of the drawn training split and seed, for
            `"synthetic"`.
        skipped: rows that cannot be used are left out, and what is wrong with each is appended
            here. None: the first of them is an error.

    Returns:
        The splits found, with features `image` and `label` (and `ferplus_votes` where the source
        has them). FER-2013's labels are mapped by class name, never by position.

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
    elif problem := dataset_problem(source):
        raise DataError(problem)
    else:
        splits = _load_hub(source, revision)
    return _with_classes(splits, source, classes, label_names, skipped)


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


def _with_classes(
    splits: dict[str, Dataset],
    source: str,
    classes: str,
    label_names: Sequence[str] | None,
    skipped: list[str] | None,
) -> DatasetDict:
    """Whatever columns and labels a source has -> `image`, `label` (and FER+ votes)."""
    splits = {name: _named(split, f"{source} [{name}]") for name, split in splits.items()}
    labels = {
        name: read_labels(split, f"{source} [{name}]", label_names)
        for name, split in splits.items()
    }
    names, id_of = LABELS, label_id
    if classes == "any":
        count_from_zero(labels)
        names = own_classes(labels, label_names, source)
        id_of = id_among(names)
    elif label_names and not any(
        of.names == [*map(str.strip, label_names)] for of in labels.values()
    ):
        raise DataError(
            f"{source}: --label_names is for labels that are numbers, but these are words; leave "
            "it out. --classes any takes the classes that the data have, in the order of the flag."
        )
    found = {
        name: _with_ids(split, labels[name].ids(id_of, skipped), names, labels[name], skipped)
        for name, split in splits.items()
    }
    if names == LABELS:
        for name, split in found.items():
            _check_counts(split, name, source)
    return DatasetDict(found)


def _named(split: Dataset, where: str) -> Dataset:
    """The columns that are used, by their own names here; images as `datasets` knows them."""
    if len(split) == 0:
        raise DataError(f"{where}: the split is empty; expected at least one image.")
    image = _find_column(
        split, ("image", "img", "jpg", "png"), _holds_images, where, "an image column"
    )
    label = _find_column(
        split,
        ("label", "labels", "emotion", "expression", "class"),
        lambda f: (
            isinstance(f, ClassLabel)
            or (isinstance(f, datasets.Value) and ("string" in f.dtype or "int" in f.dtype))
        ),
        where,
        "a label column (words or integers)",
    )
    more = [name for name in ("ferplus_votes", "file") if name in split.column_names]
    split = split.select_columns([image, label, *more])
    new_names = {image: "image", label: "label"}
    split = split.rename_columns({old: new for old, new in new_names.items() if old != new})
    if not isinstance(split.features["image"], Image):  # bytes, as pandas writes them
        split = split.cast_column("image", Image())
    return split


def _with_ids(
    split: Dataset,
    ids: list[int | None],
    names: Sequence[str],
    labels: Labels,
    skipped: list[str] | None,
) -> Dataset:
    split = split.remove_columns([name for name in ("label", "file") if name in split.features])
    if None in ids:
        split = split.select([row for row, i in enumerate(ids) if i is not None])
        ids = [i for i in ids if i is not None]
        if not ids:
            raise DataError(f"{labels.where}: every row was left out; the last one: {skipped[-1]}")
    return split.add_column("label", ids, feature=ClassLabel(names=list(names)))


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
        f"{where}: expected {what} named one of {', '.join(names)}, but found "
        + ", ".join(f"{name} ({feature})" for name, feature in split.features.items())
    )


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
