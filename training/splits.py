"""From decoded splits to a run's training and evaluation: paper split, copies, sampling, record."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch

from .arguments import DataArguments, ImbalanceArguments
from .audit import copies_of, fingerprint_images
from .data import LABELS, DataError, FaceDataset
from .ferplus import soft_targets
from .sampling import cap_per_class, class_counts, oversample, stratified_split, undersample


@dataclass
class RunData:
    """
    train: rows after sampling, or None where only an evaluation was asked for.
    eval, eval_split: the evaluation rows and the name of their split.
    eval_copies: (N,) bool, which of them are copies of training images (before sampling); None
        without training images.
    train_counts, counts_before: (C,) after and before sampling.
    drawn_counts: (C,) counts that batches are drawn with: uniform where sampling is weighted, else
        train_counts.
    record: for data_report.json.
    """

    train: FaceDataset | None
    eval: FaceDataset
    eval_split: str
    eval_copies: np.ndarray | None
    counts_before: np.ndarray | None
    train_counts: np.ndarray | None
    drawn_counts: torch.Tensor | None
    record: dict


def paper_split(
    splits: Mapping[str, FaceDataset], per_class: int, *, seed: int
) -> dict[str, FaceDataset]:
    """
    The paper's protocol: pool all splits, sample them, split 70/30 by class.

    The sample is up to `per_class` random images of each class.
    """
    parts = list(splits.values())
    votes = [faces.votes for faces in parts]
    pool = FaceDataset(
        torch.cat([faces.images for faces in parts]),
        torch.cat([faces.labels for faces in parts]),
        None if any(column is None for column in votes) else torch.cat(votes),
    )
    pool = pool.select(
        cap_per_class(pool.labels.numpy(), per_class, seed=seed, num_classes=len(LABELS))
    )
    train, test = stratified_split(pool.labels.numpy(), 0.3, seed=seed)
    return {"train": pool.select(train), "test": pool.select(test)}


def prepare_run_data(
    splits: Mapping[str, FaceDataset],
    data: DataArguments,
    imbalance: ImbalanceArguments,
    *,
    seed: int,
    training: bool,
) -> RunData:
    """
    Applies `--split`, `--drop_eval_copies` and `--sampling`, in this order.

    Raises:
        DataError: a split or a class that is needed is not there, or `--undersample N` asks for
            more than the smallest class has.
    """
    if data.split == "paper":
        splits = paper_split(splits, data.paper_samples_per_class, seed=seed)
    needed = {data.eval_split} | ({"train"} if training else set())
    if missing := sorted(needed - set(splits)):
        raise DataError(
            f"{data.dataset}: expected the splits {', '.join(sorted(needed))}, "
            f"but {', '.join(missing)} is missing "
            f"(found: {', '.join(splits)}). "
            "--eval_split chooses another one; --split paper makes its own."
        )
    evaluation, train = splits[data.eval_split], splits.get("train")
    copies = None
    if train is not None and data.eval_split != "train":
        copies = copies_of(fingerprint_images(evaluation), fingerprint_images(train))
    if not training:
        return RunData(None, evaluation, data.eval_split, copies, None, None, None, {})

    dropped: dict = {}
    if data.drop_eval_copies:
        leaked = copies_of(fingerprint_images(train), fingerprint_images(evaluation))
        train = train.select(np.flatnonzero(~leaked))
        dropped["training_images_dropped_as_copies"] = int(leaked.sum())
    if empty := [LABELS[c] for c in range(len(LABELS)) if not (train.labels == c).any()]:
        raise DataError(
            f"{data.dataset}: the train split has no image of {', '.join(empty)}; "
            "expected every class."
        )
    if imbalance.ferplus_weight:
        train = _soften(train, imbalance.ferplus_weight, f"{data.dataset} [train]")
    run = _sampled_run(train, evaluation, data.eval_split, copies, imbalance, seed)
    run.record |= dropped
    return run


def _soften(train: FaceDataset, weight: float, source: str) -> FaceDataset:
    if train.votes is None or not train.votes.any():
        raise DataError(
            f"{source}: --ferplus_weight {weight} needs FER+ votes, but there is no column "
            "ferplus_votes with any. Add --ferplus_csv fer2013new.csv "
            "(github.com/microsoft/FERPlus) to Kaggle's fer2013.csv, or train on the labels alone "
            "with --ferplus_weight 0."
        )
    targets = soft_targets(train.labels, train.votes, weight)
    return FaceDataset(train.images, train.labels, train.votes, targets)


def _sampled_run(
    train: FaceDataset,
    evaluation: FaceDataset,
    eval_split: str,
    copies: np.ndarray | None,
    imbalance: ImbalanceArguments,
    seed: int,
) -> RunData:
    before = class_counts(train.labels.numpy(), len(LABELS))
    train, sampled = _sample(train, imbalance, seed)
    after = class_counts(train.labels.numpy(), len(LABELS))
    drawn = (
        np.full(len(LABELS), len(train) / len(LABELS))
        if imbalance.sampling == "weighted"
        else after
    )
    record = {
        "sampling": imbalance.sampling,
        "sampling_seed": seed,
        "train_counts_before_sampling": dict(zip(LABELS, before.tolist())),
        "train_counts_after_sampling": dict(zip(LABELS, after.tolist())),
        **sampled,
    }
    return RunData(
        train,
        evaluation,
        eval_split,
        copies,
        before,
        after,
        torch.tensor(drawn, dtype=torch.float32),
        record,
    )


def _sample(
    train: FaceDataset, imbalance: ImbalanceArguments, seed: int
) -> tuple[FaceDataset, dict]:
    labels = train.labels.numpy()
    if imbalance.sampling == "undersample":
        rows = _undersample(labels, imbalance.undersample, seed)
        return train.select(rows), {"chosen_rows": rows.tolist()}
    if imbalance.sampling == "oversample":
        return train.select(oversample(labels, seed=seed, num_classes=len(LABELS))), {}
    return train, {}  # "weighted" draws in the sampler


def _undersample(labels: np.ndarray, per_class: str, seed: int) -> np.ndarray:
    try:
        return undersample(labels, per_class, seed=seed, num_classes=len(LABELS))
    except ValueError as error:
        counts = dict(zip(LABELS, class_counts(labels, len(LABELS)).tolist()))
        raise DataError(f"--undersample {per_class}: {error} Training images: {counts}") from error
