"""FER+: ten people's votes for each image of FER-2013."""

import csv
from collections import defaultdict
from pathlib import Path

import numpy as np
from datasets import DatasetDict, List, Value

from .schema import SPLIT_NAMES, DataError

COLUMNS = (
    "neutral", "happiness", "surprise", "sadness", "anger",
    "disgust", "fear", "contempt", "unknown", "NF",
)  # fmt: skip
OF_LABELS = [4, 5, 6, 1, 3, 2, 0]  # the column of each of `LABELS`


def join_votes(splits: DatasetDict, file: str | Path) -> DatasetDict:
    """
    Adds the column `ferplus_votes` from FERPlus' fer2013new.csv, whose rows are those of Kaggle's
    fer2013.csv in the same order.

    Raises:
        DataError: the file or its columns are not there, a split has another number of rows, or the
            votes agree so little with the labels that the images must be in another order.
    """
    votes = _read_votes(Path(file).expanduser())
    joined = {}
    for name, split in splits.items():
        if len(votes[name]) != len(split):
            raise DataError(
                f"{file}: expected the votes of {len(split)} {name} images, "
                f"but found {len(votes[name])}. The file goes with Kaggle's whole fer2013.csv."
            )
        numbers = np.array(votes[name])
        agree = (numbers[:, OF_LABELS].argmax(1) == np.array(split["label"][:])).mean()
        if agree < 0.4:
            raise DataError(
                f"{file}: the votes agree with {agree:.0%} of the {name} labels; expected about "
                "64 %. The images are in another order than in Kaggle's fer2013.csv: use that file."
            )
        feature = List(Value("int8"))
        if "ferplus_votes" in split.column_names:
            split = split.remove_columns("ferplus_votes")
        joined[name] = split.add_column("ferplus_votes", votes[name], feature=feature)
    return DatasetDict(joined)


def _read_votes(path: Path) -> dict[str, list[list[int]]]:
    if not path.is_file():
        raise DataError(
            f"{path}: no such file; expected fer2013new.csv of github.com/microsoft/FERPlus."
        )
    votes = defaultdict(list)
    with open(path, newline="", encoding="utf-8-sig") as file:
        reader = csv.DictReader(file)
        if missing := [c for c in ("Usage", *COLUMNS) if c not in (reader.fieldnames or [])]:
            raise DataError(
                f"{path}: expected FER+'s columns, but {', '.join(missing)} is missing."
            )
        for row in reader:
            try:
                split = SPLIT_NAMES[row["Usage"].strip().lower()]
                votes[split].append([int(row[column]) for column in COLUMNS])
            except (KeyError, ValueError, TypeError, AttributeError) as error:
                raise DataError(
                    f"{path}, line {reader.line_num}: expected Usage and ten numbers ({error})."
                ) from error
    return votes
