"""Label smoothing."""

import dataclasses
from dataclasses import dataclass

import torch

from ..treatments.functional import one_hot
from .pipeline import Batch


@dataclass
class LabelSmoothing:
    """(1 - epsilon) y + epsilon / C, epsilon in [0, 1) (Szegedy et al., 2016, section 7)."""

    epsilon: float
    num_classes: int

    def apply(self, batch: Batch) -> Batch:
        targets = one_hot(batch.targets, self.num_classes)  # (N, C)
        return dataclasses.replace(batch, targets=self.shares(targets))

    def shares(self, shares: torch.Tensor) -> torch.Tensor:
        return (1 - self.epsilon) * shares + self.epsilon / self.num_classes
