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
    voted: float32 (N, C), what the votes say of the label; None where there are none.
    """

    images: torch.Tensor
    targets: torch.Tensor
    voted: torch.Tensor | None = None


class TargetStep(Protocol):
    """What is done to the targets, and, beside it, what that does to the shares of the classes."""

    def apply(self, batch: Batch) -> Batch: ...

    def shares(self, shares: torch.Tensor) -> torch.Tensor:
        """(C,) of sum 1: mean targets of many batches before the step -> after it."""
        ...


class Targets:
    """
    Args:
        steps: in the order in which they are applied. None at all: labels stay class ids.
    """

    def __init__(self, steps: Sequence[TargetStep] = ()):
        self.steps = tuple(steps)

    def __call__(self, batch: Batch) -> Batch:
        for step in self.steps:
            batch = step.apply(batch)
        return batch

    def shares(self, seen_counts: torch.Tensor) -> torch.Tensor:
        """(C,) counts that labels are drawn with -> (C,) of sum 1: shares in the targets."""
        shares = seen_counts / seen_counts.sum()
        for step in self.steps:
            shares = step.shares(shares)
        return shares
