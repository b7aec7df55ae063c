"""
Data: FER-2013 from any source, decoded, audited and split. It knows nothing of treatments.
"""

import importlib

from .arguments import DataArguments
from .audit import audit, copies_of, summary_line
from .dataset import FaceDataset, class_names, decode_split, decode_splits, is_packed, load_splits
from .ferplus import join_votes, label_by_majority, vote_shares
from .prepare import load_faces, prepare_splits
from .schema import (
    DEFAULT_SOURCE,
    LABELS,
    PUBLISHED_COUNTS,
    BadRow,
    DataError,
    expression_word,
)
from .splits import (
    RunData,
    cap_per_class,
    class_counts,
    lacks_validation,
    paper_split,
    split_data,
    stratified_split,
    with_validation,
)
from .synthetic import draw_faces, encode_png

OF_DATASETS = {"FEATURES": "features", "load_fer2013": "sources"}  # name -> file


def __getattr__(name: str):
    """What needs `datasets` is imported when it is asked for: not every machine has it."""
    if name not in OF_DATASETS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f".{OF_DATASETS[name]}", __name__), name)


__all__ = [
    "DEFAULT_SOURCE",
    "FEATURES",
    "LABELS",
    "PUBLISHED_COUNTS",
    "BadRow",
    "DataArguments",
    "DataError",
    "FaceDataset",
    "RunData",
    "audit",
    "cap_per_class",
    "class_counts",
    "class_names",
    "copies_of",
    "decode_split",
    "decode_splits",
    "draw_faces",
    "encode_png",
    "expression_word",
    "is_packed",
    "join_votes",
    "label_by_majority",
    "lacks_validation",
    "load_faces",
    "load_fer2013",
    "load_splits",
    "paper_split",
    "prepare_splits",
    "split_data",
    "stratified_split",
    "summary_line",
    "vote_shares",
    "with_validation",
]
