"""Folder trees of images: root/[split/]class/image."""

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from datasets import Dataset, Features, Image, Value

from .. import modeling
from .schema import PUBLISHED_COUNTS, SPLIT_NAMES, BadRow, DataError, note_bad_row

# The folder's name, and the file's as messages call it.
TREE = Features({"image": Image(), "label": Value("string"), "file": Value("string")})


def load_image_tree(
    path: Path, files: Sequence[Path], skipped: list[str] | None
) -> dict[str, Dataset]:
    """
    root/[split/]class/image; Kaggle's copies have the split in names (PublicTest_123.jpg).

    Args:
        files: all that are below `path`, sorted.
    """
    rows: dict[str, dict[str, list]] = defaultdict(lambda: {name: [] for name in TREE})
    images = [file for file in files if file.suffix.lower() in modeling.PHOTO_SUFFIXES]
    if not images:
        entries = sorted(entry.name for entry in path.iterdir())[:8]
        raise DataError(
            f"{path}: expected parquet files, fer2013.csv or images in folders named by class, "
            f"but found {', '.join(entries) or 'nothing'}. A CSV file is given itself."
        )
    above = {file.parent.relative_to(path).as_posix() for file in images}
    if all(folder == "." or folder.lower() in SPLIT_NAMES for folder in above):
        raise DataError(
            f"{path}: these {len(images)} images have no classes: expected each in a folder named "
            f"by its class ({path.name}/[split/]class/image), but found {images[0]}. Sort them "
            "into such folders, or give a .csv file with the columns path and label."
        )
    for file in files:
        if file.parent == path and file.suffix.lower() not in modeling.PHOTO_SUFFIXES:
            continue  # a licence, a list, ...
        try:
            split, label = _place_in_tree(file, path)
        except BadRow as error:
            note_bad_row(error, skipped)
            continue
        for column, value in zip(TREE, (str(file), label, str(file))):
            rows[split][column].append(value)
    return {
        name: Dataset.from_dict(rows[name], features=TREE)
        for name in PUBLISHED_COUNTS
        if name in rows
    }


def _place_in_tree(file: Path, root: Path) -> tuple[str, str]:
    """The split and the class name, from a file's folders and name."""
    parts = file.relative_to(root).parts
    if file.suffix.lower() not in modeling.PHOTO_SUFFIXES:
        raise BadRow(
            f"{file}: not an image; expected {', '.join(sorted(modeling.PHOTO_SUFFIXES))}. Take "
            "it out of the folder."
        )
    if len(parts) not in (2, 3):
        raise BadRow(
            f"{file}: expected {root.name}/[split/]class/image, but found {len(parts) - 1} folders."
        )
    split = SPLIT_NAMES.get(parts[0].lower()) if len(parts) == 3 else "train"
    if split is None:
        raise BadRow(
            f"{file}: folder {parts[0]!r} is not a split; expected train, validation or test."
        )
    prefix = file.name.split("_")[0].lower()
    if prefix in ("publictest", "privatetest"):  # "training" is split again by many
        split = SPLIT_NAMES[prefix]
    return split, parts[-2]
