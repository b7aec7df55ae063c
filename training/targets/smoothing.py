"""Label smoothing."""

import dataclasses
from dataclasses import dataclass

import torch

from ..treatments.functional import one_hot
from .pipeline import Batch


def smooth_labels(labels: torch.Tensor, num_classes: int, epsilon: float) -> torch.Tensor:
    """(N, C), (1 - epsilon) y + epsilon / C: label smoothing (Szegedy et al., 2016, section 7)."""
    return (1 - epsilon) * one_hot(labels, num_classes) + epsilon / num_classes


@dataclass
class LabelSmoothing:
    """`smooth_labels`, epsilon in [0, 1)."""

    epsilon: float
    num_classes: int

    def apply(self, batch: Batch) -> Batch:
        smoothed = smooth_labels(batch.targets, self.num_classes, self.epsilon)  # (N, C)
        return dataclasses.replace(batch, targets=smoothed)

    def shares(self, shares: torch.Tensor) -> torch.Tensor:
        return (1 - self.epsilon) * shares + self.epsilon / self.num_classes
