"""
Parquet files. A word of each path names its split: train-00000-of-00001.parquet,
default/train/0000.parquet, fer2013-train.parquet. The words are those that `datasets` looks for,
and FER-2013's own: `datasets` would ignore a publicTest.parquet beside a train.parquet.
"""

import re
from collections import defaultdict
from pathlib import Path

import datasets
from datasets import Dataset

from ..wording import first_line
from .schema import SPLIT_NAMES, DataError, named_splits

SPLIT_WORD = re.compile(
    rf"(?<![a-z])(?:(?:public|private)[-_. ]test|{'|'.join(SPLIT_NAMES)})(?![a-z])"
)


def load_parquet(files: list[Path], source: Path) -> dict[str, Dataset]:
    """
    Args:
        files: sorted. If none of them names a split, all are training data.
        source: their folder, whose own path does not count, or the file itself.
    """
    by_split = defaultdict(list)
    for file in files:
        path = file.relative_to(source) if file.is_relative_to(source) else Path(file.name)
        words = SPLIT_WORD.findall(path.as_posix().lower())
        by_split[words[-1] if words else None].append(str(file))
    unnamed = by_split.pop(None, [])
    if by_split and unnamed:
        raise DataError(
            f"{unnamed[0]}: expected a split in the file's name, as the others have it: one of "
            f"{', '.join(SPLIT_NAMES)}."
        )
    if unnamed:
        by_split["train"] = unnamed
    loaded = {}
    for name, group in by_split.items():
        folders = sorted({str(Path(file).parent) for file in group})
        if len(folders) > 1:
            raise DataError(
                f"{source}: expected one data set, but there are parquet files for {name} in "
                f"{', '.join(folders[:8])}. Give the folder or the file of the one you mean."
            )
        try:
            loaded[name] = datasets.load_dataset("parquet", data_files=group, split="train")
        except Exception as error:  # datasets and pyarrow raise many kinds
            raise DataError(
                f"{source}: expected readable parquet files with rows, but {', '.join(group)} gave "
                f"{type(error).__name__}: {first_line(error)}."
            ) from error
    return named_splits(loaded, source)
