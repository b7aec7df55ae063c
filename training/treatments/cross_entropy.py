"""Plain cross-entropy: no treatment."""

from dataclasses import dataclass
from typing import ClassVar

import torch

from .functional import cross_entropy_losses
from .loss import Loss


@dataclass
class CrossEntropy(Loss):
    """Softmax cross-entropy, -log softmax(x)_y: the baseline, which treats no class specially."""

    title: ClassVar[str] = "cross-entropy (baseline)"

    def __call__(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        return cross_entropy_losses(logits, labels).mean()
