"""
Data: FER-2013 from any source, decoded, audited and split. It knows nothing of treatments.
"""

from .arguments import DataArguments
from .audit import audit, copies_of, summary_line
from .dataset import (
    FaceDataset,
    class_names,
    decode_split,
    decode_splits,
    load_splits,
)
from .ferplus import join_votes, label_by_majority, vote_shares
from .schema import FEATURES, LABELS, PUBLISHED_COUNTS, BadRow, DataError, first_line
from .sources import DEFAULT_SOURCE, load_fer2013
from .splits import RunData, cap_per_class, class_counts, paper_split, split_data, stratified_split
from .synthetic import draw_faces, encode_png

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
    "first_line",
    "join_votes",
    "label_by_majority",
    "load_fer2013",
    "load_splits",
    "paper_split",
    "split_data",
    "stratified_split",
    "summary_line",
    "vote_shares",
]
