"""
FER-2013 from any source: Hub, Kaggle's CSV, images, parquet, `save_to_disk`, or drawn faces.

`load_fer2013` returns a `DatasetDict` of the source's splits (train, validation, test) with the
features `image: Image()` and `label: ClassLabel`, in the order of `LABELS` unless other classes are
asked for.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import datasets
import numpy as np
from datasets import ClassLabel, Dataset, DatasetDict, Image

from .. import modeling
from ..early_checks import CSV_SUFFIXES, dataset_problem
from ..wording import first_line
from .classes import Labels, as_word, count_from_zero, id_among, own_classes, read_labels
from .features import PIXELS, as_images
from .image_tree import load_image_tree
from .kaggle_csv import load_csv
from .parquet import load_parquet
from .schema import DEFAULT_SOURCE, LABELS, PUBLISHED_COUNTS, DataError, label_id, named_splits
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
    encode: bool = True,
) -> DatasetDict:
    """
    Args:
        source: a local .csv or .csv.gz (Kaggle's fer2013.csv, or files and labels), a parquet file
            or a folder of them, a folder that `datasets` wrote (`save_to_disk`), a folder tree of
            images by class, `"synthetic"`, or else a data set id on the Hub.
        revision: of a Hub data set; the default source has its own pinned one.
        classes: `"fer2013"`, or `"any"` for the classes of the data (`classes.own_classes`).
        label_names: class names by id, for sources whose labels are integers without names; with
            `"any"`, also another order of the names.
        synthetic_images, synthetic_seed: size of the drawn training split and seed, for
            `"synthetic"`.
        skipped: rows that cannot be used are left out, and what is wrong with each is appended
            here. None: the first of them is an error.
        encode: images of sources without image files (CSV, drawn faces) become PNG; False: they
            stay pixels (`features.PIXELS`).

    Returns:
        The splits, with the features `image` and `label`, and `ferplus_votes` where the source has
        votes. FER-2013's labels are mapped by class name, never by position.

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
    elif path.is_file() and path.name.lower().endswith(CSV_SUFFIXES):
        splits = load_csv(path, skipped)
    elif path.is_file() and path.suffix.lower() == ".parquet":
        splits = load_parquet([path], path.parent)
    elif problem := dataset_problem(source):
        raise DataError(problem)
    else:
        splits = _load_hub(source, revision)
    splits = _with_classes(splits, source, classes, label_names, skipped)
    if encode:
        splits = {name: as_images(split) for name, split in splits.items()}
    return DatasetDict(splits)


def _load_hub(source: str, revision: str | None) -> DatasetDict:
    if source == DEFAULT_SOURCE:
        revision = revision or DEFAULT_REVISION
    try:
        splits = datasets.load_dataset(source, revision=revision)
    except Exception as error:  # datasets and huggingface_hub raise many kinds
        raise DataError(
            f"{source}: there is no such local file or folder, and the Hub did not give a data set "
            f"of that name ({type(error).__name__}: {first_line(error)}). Check the name and the "
            "network, or download FER-2013 from Kaggle and pass the path of fer2013.csv; --dataset "
            "synthetic needs neither."
        ) from error
    return named_splits(splits, source)


def _load_folder(path: Path, skipped: list[str] | None) -> dict[str, Dataset]:
    if any((path / name).is_file() for name in ("dataset_dict.json", "state.json")):
        return _load_saved(path)
    files = [*modeling.files_below(path)]
    parquet = [file for file in files if file.suffix.lower() == ".parquet"]
    if parquet:
        return load_parquet(parquet, path)
    for file in files:
        name = file.name.lower().removesuffix(".gz")
        if file.parent == path and name in ("fer2013.csv", "icml_face_data.csv"):
            return load_csv(file, skipped)
    return load_image_tree(path, files, skipped)


def _load_saved(path: Path) -> dict[str, Dataset]:
    """What `save_to_disk` of a Dataset (all training data) or a DatasetDict wrote."""
    try:
        stored = datasets.load_from_disk(str(path)).with_format(None)
    except Exception as error:  # datasets and pyarrow raise many kinds
        raise DataError(
            f"{path}: expected what save_to_disk of datasets wrote, but it gave "
            f"{type(error).__name__}: {first_line(error)}."
        ) from error
    return named_splits({"train": stored} if isinstance(stored, Dataset) else stored, path)


def _with_classes(
    splits: dict[str, Dataset],
    source: str,
    classes: str,
    label_names: Sequence[str] | None,
    skipped: list[str] | None,
) -> dict[str, Dataset]:
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
        stored.names == [*map(as_word, label_names)] for stored in labels.values()
    ):
        raise DataError(
            f"{source}: --label_names is for labels that are numbers, but these are words; leave "
            "it out. --classes any takes the classes of the data, in the order of the flag."
        )
    mapped = {
        name: _with_ids(split, labels[name].ids(id_of, skipped), names, labels[name], skipped)
        for name, split in splits.items()
    }
    if names == LABELS:
        for name, split in mapped.items():
            _check_counts(split, name, source)
    return mapped


def _named(split: Dataset, where: str) -> Dataset:
    """The columns that are used, by the names that they have here."""
    if len(split) == 0:
        raise DataError(f"{where}: the split is empty; expected at least one image.")
    image = _find_column(
        split, ("image", "img", "jpg", "png"), _holds_images, where, "an image column"
    )
    label = _find_column(
        split,
        ("label", "labels", "emotion", "expression", "class"),
        lambda feature: (
            isinstance(feature, ClassLabel)
            or isinstance(feature, datasets.Value)
            and any(kind in feature.dtype for kind in ("string", "int", "float"))
        ),
        where,
        "a label column (words or numbers)",
    )
    more = [name for name in ("ferplus_votes", "file") if name in split.column_names]
    split = split.select_columns([image, label, *more])
    new_names = {image: "image", label: "label"}
    split = split.rename_columns({old: new for old, new in new_names.items() if old != new})
    feature = split.features["image"]
    if not (isinstance(feature, Image) or feature == PIXELS):  # bytes, as pandas writes them
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


def _holds_images(feature: Any) -> bool:
    """Images as `datasets` knows them, what it casts into them (bytes, {bytes, path}), pixels."""
    if isinstance(feature, dict):
        return "bytes" in feature
    binary = isinstance(feature, datasets.Value) and "binary" in feature.dtype
    return binary or isinstance(feature, Image) or feature == PIXELS


def _find_column(
    split: Dataset, names: Sequence[str], fits: Callable, where: str, what: str
) -> str:
    fitting = [column for column, feature in split.features.items() if fits(feature)]
    for name in names:
        for column in fitting:
            if column.lower() == name:
                return column
    raise DataError(
        f"{where}: expected {what} named one of {', '.join(names)}, but found "
        + ", ".join(f"{name} ({feature})" for name, feature in split.features.items())
    )


def _check_counts(split: Dataset, name: str, source: str) -> None:
    counts = np.bincount(split["label"][:], minlength=len(LABELS)).tolist()
    published = PUBLISHED_COUNTS[name]
    if sum(counts) == sum(published) and counts != published:
        raise DataError(
            f"{source}: the {name} split has FER-2013's size ({sum(published)}) but not its class "
            f"counts, so its labels are in another order or wrong.\n  classes   {list(LABELS)}\n"
            f"  published {published}\n  found     {counts}\n"
            "If the labels are integers, pass the right --label_names."
        )
