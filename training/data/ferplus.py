"""
FER+: ten people's votes on each image of FER-2013, and the labels that follow from them.

Barsoum et al., "Training deep networks for facial expression recognition with crowd-sourced label
distribution" (ICMI 2016), section 3, as their code counts (github.com/microsoft/FERPlus): single
votes are taken for slips and removed; the majority is more than half of the votes that remain.
"""

import csv
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from .schema import FERPLUS_VOTES, LABELS, SPLIT_NAMES, DataError

if TYPE_CHECKING:
    from datasets import Dataset, DatasetDict

COLUMNS = (
    "neutral", "happiness", "surprise", "sadness", "anger",
    "disgust", "fear", "contempt", "unknown", "NF",
)  # fmt: skip
OF_LABELS = [4, 5, 6, 1, 3, 2, 0]  # the column of each of `LABELS`
FERPLUS_LABELS = (*LABELS, "contempt")
OF_FERPLUS_LABELS = [*OF_LABELS, 7]


def join_votes(splits: "DatasetDict", file: str | Path) -> "DatasetDict":
    """
    Adds the column `ferplus_votes` from FERPlus' fer2013new.csv, whose rows are those of Kaggle's
    fer2013.csv in the same order.

    Raises:
        DataError: the file or a column is missing, a split has another number of rows, or the votes
            agree so little with the labels that the images must be in another order.
    """
    from datasets import DatasetDict, List, Value

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


def label_by_majority(splits: "DatasetDict", source: str, record: dict) -> "DatasetDict":
    """
    Each image's label is the majority of its votes, one of `FERPLUS_LABELS`; images without a
    majority, or whose majority says "unknown" or "no face", are left out.

    Args:
        record: the number of images left out of each split is noted here.

    Raises:
        DataError: a split has no votes, or none of its images has a majority.
    """
    from datasets import ClassLabel, DatasetDict

    labelled, left_out = {}, {}
    for name, split in splits.items():
        if "ferplus_votes" not in split.column_names:
            raise DataError(
                f"{source} [{name}]: --label_source ferplus needs FER+ votes, but there is no "
                "column ferplus_votes. Add --ferplus_csv fer2013new.csv "
                "(github.com/microsoft/FERPlus) to Kaggle's fer2013.csv."
            )
        labels = majority(read_votes(split, f"{source} [{name}]"))
        rows = np.flatnonzero(labels >= 0)
        if not len(rows):
            raise DataError(
                f"{source} [{name}]: no image has a majority of FER+ votes. Ten votes an image are "
                f"expected, in the order {', '.join(COLUMNS)}."
            )
        left_out[name] = len(split) - len(rows)
        feature = ClassLabel(names=list(FERPLUS_LABELS))
        kept = split.select(rows).remove_columns("label")
        labelled[name] = kept.add_column("label", labels[rows].tolist(), feature=feature)
    record["images_without_ferplus_majority"] = left_out
    return DatasetDict(labelled)


def read_votes(split: "Dataset", where: str) -> np.ndarray:
    """
    The column `ferplus_votes` as (N, 10); zeros for an image without votes.

    Raises:
        DataError: a row has something else.
    """
    votes = split["ferplus_votes"][:]
    for row, value in enumerate(votes):
        counts = value if isinstance(value, list) else [value]
        fit = all(isinstance(count, int | float) and count >= 0 for count in counts)
        if value and not (fit and len(counts) == FERPLUS_VOTES):
            raise DataError(
                f"{where}, row {row}: expected {FERPLUS_VOTES} numbers in ferplus_votes or none, "
                f"but found {value}."
            )
    return np.array([counts or [0] * FERPLUS_VOTES for counts in votes])


def majority(votes: np.ndarray) -> np.ndarray:
    """
    (N, 10) votes -> (N,) ids in `FERPLUS_LABELS`; -1 where at most half of the votes agree, or the
    majority says "unknown" or "no face".
    """
    counted = np.where(votes > 1, votes, 0)
    total = counted.sum(axis=1)
    label = counted[:, OF_FERPLUS_LABELS].argmax(axis=1)
    best = counted[:, OF_FERPLUS_LABELS].max(axis=1)
    return np.where((best > 0.5 * total) & (total > 0), label, -1)


def vote_shares(votes: np.ndarray) -> np.ndarray:
    """
    (N, 10) votes -> (N, 8) float64, the target of the paper's cross-entropy: the shares of
    `FERPLUS_LABELS` among the votes that are not single. A label with 75 % of all such votes,
    including those for "unknown" and "no face", stands alone. Each row has a majority.
    """
    counted = np.where(votes > 1, votes, 0)
    labels = counted[:, OF_FERPLUS_LABELS]
    best = labels.max(axis=1, keepdims=True)
    alone = best >= 0.75 * counted.sum(axis=1, keepdims=True)
    labels = np.where(alone & (labels < best), 0, labels)
    return labels / labels.sum(axis=1, keepdims=True)
