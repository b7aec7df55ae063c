"""The splits that `--dataset` names, as they are stored."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from .arguments import DataArguments
from .faces import FaceDataset
from .ferplus import join_votes, label_by_majority
from .packed import read_packed

if TYPE_CHECKING:
    from datasets import Dataset


def is_packed(arguments: DataArguments) -> bool:
    """Whether `--dataset` is a file of `training.data.pack`."""
    return arguments.dataset.endswith(".safetensors")


def load_splits(
    arguments: DataArguments, left_out: dict | None = None
) -> "Mapping[str, Dataset | FaceDataset]":
    """
    The splits of `--dataset` as they are stored, with the votes of `--ferplus_csv` and the labels
    of `--label_source`. A packed file has them decoded; sources without image files have pixels
    (`features.PIXELS`).

    Args:
        left_out: what is left out is noted here, for data_report.json; with `--skip_bad_rows`,
            what is wrong with each row under `skipped_rows`.
    """
    left_out = {} if left_out is None else left_out
    if is_packed(arguments):
        return read_packed(arguments, left_out)
    from .sources import load_fer2013  # it imports datasets, which not every machine has

    splits = load_fer2013(
        arguments.dataset,
        arguments.dataset_revision,
        classes=arguments.classes,
        label_names=arguments.label_names or None,
        synthetic_images=arguments.synthetic_images,
        synthetic_seed=arguments.synthetic_seed,
        skipped=left_out.setdefault("skipped_rows", []) if arguments.skip_bad_rows else None,
        encode=False,
    )
    if arguments.ferplus_csv:
        splits = join_votes(splits, arguments.ferplus_csv)
    if arguments.label_source == "ferplus":
        splits = label_by_majority(splits, arguments.dataset, left_out)
    return splits


def class_names(splits: "Mapping[str, Dataset | FaceDataset]") -> tuple[str, ...]:
    """The classes of `load_splits` by id; the same in every split."""
    first = next(iter(splits.values()))
    if isinstance(first, FaceDataset):
        return first.label_names
    return tuple(first.features["label"].names)
