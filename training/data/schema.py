"""What FER-2013 looks like here: names, published counts, and errors in the data."""

import difflib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from .. import modeling
from ..errors import DataError

if TYPE_CHECKING:
    from datasets import Dataset

DEFAULT_SOURCE = "Aaryan333/fer2013_train_publicTest_privateTest"
LABELS = modeling.EXPRESSIONS  # FER-2013's classes by id
FERPLUS_VOTES = 10  # columns of FER+: the seven classes, contempt, unknown, no face
PUBLISHED_COUNTS = {
    "train": [3995, 436, 4097, 7215, 4830, 3171, 4965],
    "validation": [467, 56, 496, 895, 653, 415, 607],
    "test": [491, 55, 528, 879, 594, 416, 626],
}
SYNONYMS = {
    "anger": "angry", "disgusted": "disgust", "fearful": "fear", "afraid": "fear", "scared": "fear",
    "happiness": "happy", "joy": "happy", "sadness": "sad",
    "surprised": "surprise", "surprising": "surprise",
}  # fmt: skip
SPLIT_NAMES = {
    "train": "train", "training": "train",
    "validation": "validation", "valid": "validation", "val": "validation", "dev": "validation",
    "publictest": "validation", "test": "test", "testing": "test", "privatetest": "test",
    "eval": "test", "evaluation": "test",  # so says `datasets`
}  # fmt: skip


class BadRow(DataError):
    """One row or file of the data; `--skip_bad_rows` goes on without it."""


def note_bad_row(error: BadRow, skipped: list[str] | None) -> None:
    """Adds the row to `skipped`; without such a list, raises the error."""
    if skipped is None:
        raise BadRow(
            f"{error}\nCorrect it, or leave such rows out with --skip_bad_rows."
        ) from error
    skipped.append(str(error))


def expression_word(name: str) -> str:
    """FER-2013's word for a class."""
    word = str(name).strip().lower()
    return SYNONYMS.get(word, word)


def label_id(name: str, where: str, kind: type[DataError] = DataError) -> int:
    """The id of a class of FER-2013; `kind` is raised for another name."""
    word = expression_word(name)
    if word not in LABELS:
        near = difflib.get_close_matches(word, [*LABELS, *SYNONYMS], n=1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        raise kind(
            f"{where}: class {name!r} is not one of FER-2013's, {', '.join(LABELS)}.{hint} "
            "--classes any takes the classes of the data."
        )
    return LABELS.index(word)


def named_splits(stored: "Mapping[str, Dataset]", source: str | Path) -> "dict[str, Dataset]":
    """The splits as train, validation, test, in this order."""
    splits, before = {}, {}
    for name, split in stored.items():
        known = SPLIT_NAMES.get(re.sub(r"[^a-z]", "", name.lower()))
        if known is None:
            raise DataError(
                f"{source}: split {name!r} is not known; expected one of {', '.join(SPLIT_NAMES)}."
            )
        if known in splits:
            raise DataError(
                f"{source}: splits {before[known]!r} and {name!r} are both {known}; "
                "expected one of them."
            )
        splits[known], before[known] = split, name
    return {name: splits[name] for name in PUBLISHED_COUNTS if name in splits}
