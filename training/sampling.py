"""Which rows to train on, by labels alone: stratified under- and oversampling, weights, splits."""

from collections.abc import Iterator

import numpy as np
import torch
from torch.utils.data import Sampler

SAMPLINGS = ("none", "undersample", "oversample", "weighted")


def class_counts(labels: np.ndarray, num_classes: int) -> np.ndarray:
    """(N,) class ids -> (num_classes,) int64 counts."""
    return np.bincount(np.asarray(labels), minlength=num_classes)


def undersample(
    labels: np.ndarray, per_class: int | str, *, seed: int, num_classes: int | None = None
) -> np.ndarray:
    """
    The same number of rows from each class, without replacement; no image is touched.

    Args:
        labels: (N,) class ids.
        per_class: rows kept of each class, or `"min"` for the size of the smallest class.
        seed: the same seed chooses the same rows.
        num_classes: defaults to the largest id + 1.

    Returns:
        Chosen row indices, int64, ascending.

    Raises:
        ValueError: a class has no rows or fewer than asked for (the message names each such class
            and its size), or `per_class` is below 1.

    Example:

    >>> undersample(np.array([0, 0, 0, 1]), "min", seed=0).tolist()
    [2, 3]
    """
    labels = np.asarray(labels)
    counts = class_counts(labels, num_classes or 0)
    if counts.min() == 0:
        raise ValueError(
            f"Cannot undersample: classes {np.flatnonzero(counts == 0).tolist()} have no rows."
        )
    keep = int(counts.min()) if per_class == "min" else int(per_class)
    if keep < 1:
        raise ValueError(f"per_class must be at least 1 or 'min', but it is {per_class!r}.")
    short = {int(c): int(n) for c, n in enumerate(counts) if n < keep}
    if short:
        raise ValueError(
            f"Cannot keep {keep} rows of each class: classes {short} (class id: rows) have fewer. "
            f"Ask for at most {int(counts.min())}, or for 'min'."
        )
    return _choose(labels, [keep] * len(counts), seed)


def cap_per_class(labels: np.ndarray, most: int, *, seed: int, num_classes: int) -> np.ndarray:
    """Up to `most` random rows a class (the paper samples up to 4,000); ascending row indices."""
    counts = class_counts(labels, num_classes)
    return _choose(np.asarray(labels), np.minimum(counts, most), seed)


def oversample(labels: np.ndarray, *, seed: int, num_classes: int | None = None) -> np.ndarray:
    """
    Every row at least once, rows of smaller classes repeated to the size of the largest class.

    Each row of a class is repeated floor(n_max / n_c) times, a random remainder of them once more.
    Returns row indices with repeats, int64, ascending. Raises ValueError on a class without rows.
    """
    labels = np.asarray(labels)
    counts = class_counts(labels, num_classes or 0)
    if counts.min() == 0:
        raise ValueError(
            f"Cannot oversample: classes {np.flatnonzero(counts == 0).tolist()} have no rows."
        )
    rng = np.random.default_rng(seed)
    chosen = []
    for c, n in enumerate(counts):
        rows = np.flatnonzero(labels == c)
        whole, rest = divmod(int(counts.max()), int(n))
        chosen += [np.repeat(rows, whole), rng.choice(rows, rest, replace=False)]
    return np.sort(np.concatenate(chosen))


def stratified_split(
    labels: np.ndarray, test_fraction: float, *, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Row indices (train, test), ascending; `test_fraction` of each class (rounded) is test."""
    labels = np.asarray(labels)
    counts = class_counts(labels, 0)
    test = _choose(labels, np.round(counts * test_fraction).astype(np.int64), seed)
    return np.setdiff1d(np.arange(len(labels)), test, assume_unique=True), test


def _choose(labels: np.ndarray, sizes, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    chosen = [
        rng.choice(np.flatnonzero(labels == c), int(size), replace=False, shuffle=False)
        for c, size in enumerate(sizes)
    ]
    return np.sort(np.concatenate(chosen))


class EpochSampler(Sampler[int]):
    """
    An epoch's order, drawn from (seed, epoch) alone: equal on every process and after a resume.

    Args:
        labels: (N,) class ids of the training rows.
        weighted: False gives a permutation; True draws N rows with replacement, each class equally
            likely (probability of a row proportional to the inverse frequency of its class).
        batch_size: leaves one row out of an epoch whose last batch would be that row alone, of
            which batch normalisation has no statistics. None: no batches.
        seed: of the run. Call `set_epoch` at each epoch's start, as Accelerate does.
    """

    def __init__(
        self, labels: np.ndarray, *, weighted: bool, seed: int, batch_size: int | None = None
    ):
        labels = np.asarray(labels)
        self.weights = None
        if weighted:
            self.weights = torch.from_numpy(1.0 / class_counts(labels, 0)[labels])
        self.rows, self.seed, self.epoch = len(labels), seed, 0
        alone = batch_size is not None and batch_size > 1 and self.rows % batch_size == 1
        self.length = self.rows - 1 if alone else self.rows

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __len__(self) -> int:
        return self.length

    def __iter__(self) -> Iterator[int]:
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + self.epoch)
        if self.weights is None:
            order = torch.randperm(self.rows, generator=generator)[: self.length]
        else:
            order = torch.multinomial(
                self.weights, self.length, replacement=True, generator=generator
            )
        yield from order.tolist()
