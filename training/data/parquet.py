"""Parquet files, a split being the first word of each name (train-00000-of-00001.parquet)."""

import re
from collections import defaultdict
from pathlib import Path

import datasets
from datasets import Dataset

from .schema import DataError, first_line, named_splits


def load_parquet(files: list[Path], source: Path) -> dict[str, Dataset]:
    by_split = defaultdict(list)
    for file in files:
        word = re.split(r"[-_.\d]", file.name.lower())[0] or file.stem
        by_split[word].append(str(file))
    loaded = {}
    for name, group in by_split.items():
        try:
            loaded[name] = datasets.load_dataset("parquet", data_files=group, split="train")
        except Exception as error:  # datasets and pyarrow raise many kinds
            raise DataError(
                f"{source}: expected readable parquet files with rows, but {', '.join(group)} gave "
                f"{type(error).__name__}: {first_line(error)}."
            ) from error
    return named_splits(loaded, source)
