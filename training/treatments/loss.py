"""The base class of what `--loss` chooses from; docs/treatments.md shows how to write another."""

import abc
import dataclasses
from dataclasses import dataclass
from typing import ClassVar

import torch

from .functional import normalised


@dataclass(frozen=True)
class BenchmarkRow:
    """
    A row of benchmarks/imbalance.py.

    title: what its tables call it; "": the loss's title.
    flags: of train.py, beside `--loss`.
    tries: flags of each trial on the development split; those of the best are added. The same
        number in every row.
    """

    title: str = ""
    flags: tuple[str, ...] = ()
    tries: tuple[tuple[str, ...], ...] = (("--learning_rate", "1e-3"), ("--learning_rate", "5e-4"))


@dataclass
class Loss(abc.ABC):
    """
    A loss with its flags: one file of this room holds one subclass, a dataclass.

    Its fields are its flags of train.py, made by `arg(default, help)`; a field that another loss
    also has is the same flag. `__post_init__` raises ValueError for values without meaning. An
    instance is called with a batch, after `bind`.

    Attributes:
        name: what `--loss` calls it: the name of its file. Set by the register.
        title: what tables and the card call it.
        takes_soft_labels: whether labels may be probabilities. False: flags that make soft labels
            are refused.
        benchmark_rows: its rows in benchmarks/imbalance.py, by what is added to the loss's name.
        counts: float32 (C,), images per class after sampling, set by `bind`.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    takes_soft_labels: ClassVar[bool] = True
    benchmark_rows: ClassVar[dict[str, BenchmarkRow]] = {"": BenchmarkRow()}

    def bind(self, counts: torch.Tensor) -> "Loss":
        """
        Takes the class counts that batches are drawn with, (C,), and returns itself. They are those
        after sampling, so that a balanced sample is not balanced a second time.
        """
        self.counts = torch.as_tensor(counts, dtype=torch.float32)
        return self

    def set_epoch(self, epoch: int) -> None:  # noqa: B027  (most losses need none)
        """Called at each epoch's start, counted from 0."""

    @abc.abstractmethod
    def __call__(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """logits (N, C), labels (N,) ids or (N, C) probabilities -> scalar, a mean over samples."""

    def cosine_scale(self) -> float | None:
        """Scale of the cosine classifier that the network needs; None: a linear classifier."""
        return None

    def presented_distribution(self, shares: torch.Tensor) -> torch.Tensor:
        """
        The class distribution that a network learns to expect from this loss.

        Args:
            shares: (C,) of the classes in the targets of the batches, of any scale.

        Returns:
            (C,) of sum 1.
        """
        return normalised(shares)

    @classmethod
    def flags(cls) -> tuple[str, ...]:
        """Names of its own flags."""
        return tuple(field.name for field in dataclasses.fields(cls))
