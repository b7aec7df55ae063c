"""Which rows to train on, by their labels: under- and oversampling, weighted sampling."""

import dataclasses
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch.utils.data import Sampler

from ..data import DataError, FaceDataset, RunData, class_counts
from ..data.splits import cap_per_class, choose_rows
from .loss import BenchmarkRow

AT_MOST = "at_most:"


def undersample(
    labels: np.ndarray, per_class: int | str, *, seed: int, num_classes: int | None = None
) -> np.ndarray:
    """
    Samples the same number of rows from each class, without replacement.

    Args:
        labels: (N,) class ids.
        per_class: rows kept of each class, or `"min"` for the size of the smallest class.
        seed: the same seed chooses the same rows.
        num_classes: defaults to the largest id + 1.

    Returns:
        The rows, int64, ascending.

    Raises:
        ValueError: a class has no rows or fewer than asked for (the message names each such class
            and its size), or `per_class` is below 1.

    Example:

    >>> undersample(np.array([0, 0, 0, 1]), "min", seed=0).tolist()
    [2, 3]
    """
    labels = np.asarray(labels)
    counts = _counts(labels, num_classes, "undersample")
    keep = int(counts.min()) if per_class == "min" else int(per_class)
    if keep < 1:
        raise ValueError(f"per_class must be at least 1 or 'min', but it is {per_class!r}.")
    short = {int(c): int(n) for c, n in enumerate(counts) if n < keep}
    if short:
        raise ValueError(
            f"Cannot keep {keep} rows of each class: classes {short} (class id: rows) have fewer. "
            f"Ask for at most {int(counts.min())}, or for 'min'."
        )
    return choose_rows(labels, [keep] * len(counts), seed)


def oversample(labels: np.ndarray, *, seed: int, num_classes: int | None = None) -> np.ndarray:
    """
    Repeats the rows of smaller classes up to the size of the largest: each row floor(n_max / n_c)
    times, and a random remainder of them once more.

    Returns row indices with repeats, int64, ascending. Raises ValueError on a class without rows.
    """
    labels = np.asarray(labels)
    counts = _counts(labels, num_classes, "oversample")
    rng = np.random.default_rng(seed)
    chosen = []
    for c, n in enumerate(counts):
        rows = np.flatnonzero(labels == c)
        whole, rest = divmod(int(counts.max()), int(n))
        # without replacement: the numbers of repeats within a class differ by one at most
        chosen += [np.repeat(rows, whole), rng.choice(rows, rest, replace=False)]
    return np.sort(np.concatenate(chosen))


def _counts(labels: np.ndarray, num_classes: int | None, verb: str) -> np.ndarray:
    """(C,); ValueError where a class has no rows."""
    counts = class_counts(labels, num_classes or 0)
    if counts.min() == 0:
        raise ValueError(
            f"Cannot {verb}: classes {np.flatnonzero(counts == 0).tolist()} have no rows."
        )
    return counts


class EpochSampler(Sampler[int]):
    """
    The order of an epoch's rows, which depends on seed and epoch alone: it is the same in every
    process and after a resume.

    Args:
        labels: (N,) class ids of the training rows.
        weighted: False gives a permutation. True samples N rows with replacement, with
            probabilities inverse to the frequency of their class: each class is equally likely.
        batch_size: if the last batch of an epoch would hold a single row, which gives batch
            normalisation no variance, that row is left out. None: no batches.
        seed: of the run. `set_epoch` is called at each epoch's start, as Accelerate does.
    """

    def __init__(
        self, labels: np.ndarray, *, weighted: bool, seed: int, batch_size: int | None = None
    ):
        labels = np.asarray(labels)
        self.weights = None
        if weighted:
            self.weights = torch.from_numpy(1.0 / class_counts(labels, 0)[labels])  # (N,)
        self.rows, self.seed, self.epoch = len(labels), seed, 0
        alone = batch_size is not None and batch_size > 1 and self.rows % batch_size == 1
        self.length = self.rows - 1 if alone else self.rows

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __len__(self) -> int:
        return self.length

    def __iter__(self) -> Iterator[int]:
        # no two pairs of seed and epoch share an order
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + self.epoch)
        if self.weights is None:
            order = torch.randperm(self.rows, generator=generator)[: self.length]
        else:
            order = torch.multinomial(
                self.weights, self.length, replacement=True, generator=generator
            )
        yield from order.tolist()


@dataclass(frozen=True)
class Sampling:
    """
    A value of `--sampling`.

    help: what it samples. title: its name on the card.
    row, benchmark: the name of its row in benchmarks/imbalance.py, and the row.
    choose: `(training images, --undersample, seed)` -> the rows to train on; None: all of them.
    weighted: whether rows are sampled with replacement, each class equally likely.
    """

    help: str
    title: str = ""
    row: str = ""
    benchmark: BenchmarkRow = BenchmarkRow()
    choose: Callable[[FaceDataset, str | None, int], np.ndarray] | None = None
    weighted: bool = False


def _undersampled(train: FaceDataset, per_class: str, seed: int) -> np.ndarray:
    labels, classes = train.labels.numpy(), len(train.label_names)
    if per_class.startswith(AT_MOST):
        most = int(per_class.removeprefix(AT_MOST))
        return cap_per_class(labels, most, seed=seed, num_classes=classes)
    try:
        return undersample(labels, per_class, seed=seed, num_classes=classes)
    except ValueError as error:
        counts = dict(zip(train.label_names, class_counts(labels, classes).tolist()))
        raise DataError(f"--undersample {per_class}: {error} Training images: {counts}") from error


def _oversampled(train: FaceDataset, per_class: str | None, seed: int) -> np.ndarray:
    return oversample(train.labels.numpy(), seed=seed, num_classes=len(train.label_names))


SAMPLINGS = {
    "none": Sampling("every training image once an epoch"),
    "undersample": Sampling(
        help="the same number of each class",
        title="undersampling (paper)",
        row="undersampling",
        benchmark=BenchmarkRow(
            "undersampling",
            tries=(("--undersample", "at_most:2000"), ("--undersample", "at_most:1000")),
        ),
        choose=_undersampled,
    ),
    "oversample": Sampling(
        help="small classes repeated up to the largest",
        title="oversampling",
        row="oversampling",
        benchmark=BenchmarkRow("oversampling", ("--sampling", "oversample")),
        choose=_oversampled,
    ),
    "weighted": Sampling(
        help="with replacement, each class equally likely",
        title="weighted sampling",
        row="weighted_sampling",
        benchmark=BenchmarkRow("weighted sampling", ("--sampling", "weighted")),
        weighted=True,
    ),
}


def apply_sampling(data: RunData, name: str, per_class: str | None, *, seed: int) -> RunData:
    """
    Leaves in `data` the images that are trained on, and notes their counts. Without training images
    it stays as it is.

    Args:
        name: a key of `SAMPLINGS`. per_class: the value of --undersample.

    Raises:
        DataError: `--undersample N` asks for more than the smallest class has.
    """
    if data.train is None:
        return data
    train, sampling, names = data.train, SAMPLINGS[name], data.label_names
    before = class_counts(train.labels.numpy(), len(names))  # (C,)
    # (rows,), with repeats where images are; None: all images, as they are
    rows = sampling.choose and sampling.choose(train, per_class, seed)
    if rows is not None:
        train = train.select(rows)
    after = class_counts(train.labels.numpy(), len(names))
    # (C,), what an epoch shows of each class on average
    seen = np.full(len(names), len(train) / len(names)) if sampling.weighted else after
    record = {
        "sampling": name,
        "sampling_seed": seed,
        "train_counts_before_sampling": dict(zip(names, before.tolist())),
        "train_counts_after_sampling": dict(zip(names, after.tolist())),
    }
    # which images an undersampling took; the repeats of an oversampling would only fill the file
    if rows is not None and len(np.unique(rows)) == len(rows):
        record["chosen_rows"] = rows.tolist()
    return dataclasses.replace(
        data,
        train=train,
        counts_before=before,
        train_counts=after,
        seen_counts=torch.tensor(seen, dtype=torch.float32),
        record=data.record | record,
    )
