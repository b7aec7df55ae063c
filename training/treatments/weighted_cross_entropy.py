"""Cross-entropy with a weight per class."""

from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F

from .functional import at_least_float32, class_weights, normalised, one_hot, reduced
from .loss import Loss


@dataclass
class WeightedCrossEntropy(Loss):
    """`weighted_cross_entropy_loss` with weights of 1 / n_c."""

    title: ClassVar[str] = "weighted cross-entropy"

    def bind(self, counts: torch.Tensor) -> Loss:
        super().bind(counts)
        self.weights = class_weights(self.counts)  # (C,)
        return self

    def __call__(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        return weighted_cross_entropy_loss(logits, labels, self.weights)

    def presented_distribution(self, shares: torch.Tensor) -> torch.Tensor:
        return normalised(shares * self.weights.to(shares))


def weighted_cross_entropy_loss(
    logits: torch.Tensor, labels: torch.Tensor, weights: torch.Tensor, reduction: str = "mean"
) -> torch.Tensor:
    r"""
    Softmax cross-entropy with a weight per class:

        l(x, y) = -sum_c w_c y_c log p_c,   p = softmax(x)

    PyTorch's `cross_entropy(weight=...)` divides a batch's sum by the sum of its weights; this
    divides it by the number of its samples.

    Args:
        logits: (N, C). labels: (N,) ids or (N, C) probabilities.
        weights: (C,), at least 0. reduction: `"mean"` or `"none"`.

    Example:

    >>> weighted_cross_entropy_loss(torch.zeros(2, 7), torch.tensor([0, 3]), torch.ones(7))
    tensor(1.9459)
    """
    log_p = F.log_softmax(at_least_float32(logits), dim=1)  # (N, C)
    targets = one_hot(labels, logits.shape[1]).to(log_p.dtype)  # (N, C)
    losses = -(weights.to(log_p.device, log_p.dtype) * targets * log_p).sum(dim=1)  # (N,)
    return reduced(losses, reduction)
