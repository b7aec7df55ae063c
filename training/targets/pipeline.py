"""What becomes of a batch's labels on their way to the loss: one step after another."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch


@dataclass(frozen=True)
class Batch:
    """
    images: float (N, channels, H, W) in [0, 255], augmented.
    targets: int64 (N,) class ids, or float32 (N, C) probabilities.
    voted: float32 (N, C), the labels' probabilities by the votes; None where there are none.
    """

    images: torch.Tensor
    targets: torch.Tensor
    voted: torch.Tensor | None = None


class TargetStep(Protocol):
    """What is done to the targets, and beside it, what that does to the shares of the classes."""

    def apply(self, batch: Batch) -> Batch: ...

    def shares(self, shares: torch.Tensor) -> torch.Tensor:
        """(C,) of sum 1, the mean target of many batches before the step -> after it."""
        ...


class Targets:
    """
    Args:
        steps: in the order in which they are applied. Without any, labels stay class ids.
    """

    def __init__(self, steps: Sequence[TargetStep] = ()):
        self.steps = tuple(steps)

    def __call__(self, batch: Batch) -> Batch:
        for step in self.steps:
            batch = step.apply(batch)
        return batch

    def shares(self, counts: torch.Tensor) -> torch.Tensor:
        """(C,) class counts after sampling -> (C,) of sum 1, the classes' shares in the targets."""
        shares = counts / counts.sum()  # (C,)
        for step in self.steps:
            shares = step.shares(shares)
        return shares
