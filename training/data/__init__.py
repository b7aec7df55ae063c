"""Data: FER-2013 from any source, decoded, audited and split. It knows nothing of treatments."""

import importlib

from .arguments import DataArguments
from .audit import audit, summary_line
from .decoding import decode_split, decode_splits
from .faces import FaceDataset
from .ferplus import join_votes, label_by_majority, vote_shares
from .loading import class_names, is_packed, load_splits
from .prepare import load_faces, prepare_splits
from .schema import DEFAULT_SOURCE, LABELS, PUBLISHED_COUNTS, DataError, expression_word
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

# What needs `datasets`, which not every machine has: name -> file
LAZY = {"as_images": "features", "load_fer2013": "sources"}


def __getattr__(name: str):
    if name not in LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f".{LAZY[name]}", __name__), name)
