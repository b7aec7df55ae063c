"""The base class of the losses; docs/treatments.md shows how to write another."""

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

    title: its name in tables; "": the loss's title.
    flags: flags of train.py, beside `--loss`.
    tries: the flags of each trial on the development split, of which the best are added. Every row
        has the same number of trials.
    """

    title: str = ""
    flags: tuple[str, ...] = ()
    tries: tuple[tuple[str, ...], ...] = (("--learning_rate", "1e-3"), ("--learning_rate", "5e-4"))


@dataclass
class Loss(abc.ABC):
    """
    A loss with its flags. Each loss is a file of this room with one subclass, a dataclass.

    The fields are flags of train.py, made by `arg(default, help)`; a field that another loss has as
    well is the same flag. `__post_init__` raises ValueError for values without meaning. An instance
    is called with a batch, after `bind`.

    Attributes:
        name: its name for `--loss`, that of its file. Set by the register.
        title: its name in tables and on the card.
        takes_soft_labels: whether labels may be probabilities. False: flags that make soft labels
            are refused.
        benchmark_rows: its rows in benchmarks/imbalance.py, by what is added to its name there.
        counts: float32 (C,), images per class after sampling, set by `bind`.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    takes_soft_labels: ClassVar[bool] = True
    benchmark_rows: ClassVar[dict[str, BenchmarkRow]] = {"": BenchmarkRow()}

    def bind(self, counts: torch.Tensor) -> "Loss":
        """
        Takes the class counts (C,) after sampling, so that a balanced sample is not balanced a
        second time, and returns itself.
        """
        self.counts = torch.as_tensor(counts, dtype=torch.float32)  # (C,)
        return self

    def check_epochs(self, epochs: float) -> None:  # noqa: B027  (most losses fit any number)
        """Raises ValueError if so many epochs are too few for the loss's flags."""

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
