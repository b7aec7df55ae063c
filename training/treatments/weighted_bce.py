"""Weighted binary cross-entropy: the paper's second treatment."""

from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F

from .functional import at_least_float32, class_weights, one_hot, reduced
from .loss import Loss


@dataclass
class WeightedBCE(Loss):
    """
    `weighted_bce_loss` with weights of 1 / n_c.

    A weight scales the evidence for its class and against it alike, and so does not change which
    class distribution is learned: `presented_distribution` is the targets' own.
    """

    title: ClassVar[str] = "weighted binary cross-entropy (paper)"

    def bind(self, counts: torch.Tensor) -> Loss:
        super().bind(counts)
        self.weights = class_weights(self.counts)  # (C,)
        return self

    def __call__(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        return weighted_bce_loss(logits, labels, self.weights)


def weighted_bce_loss(
    logits: torch.Tensor, labels: torch.Tensor, weights: torch.Tensor, reduction: str = "mean"
) -> torch.Tensor:
    r"""
    Weighted binary cross-entropy over the classes, "weighted class training" of the paper:

        l(x, y) = (1/C) sum_c -w_c [y_c log s(x_c) + (1 - y_c) log(1 - s(x_c))]

    with s the sigmoid and y the one-hot label (equations 1 and 2 of Elizabeth & Sadeddin, "Facial
    emotion recognition and handling data imbalance in machine learning").

    Args:
        logits: (N, C). labels: (N,) ids or (N, C) probabilities.
        weights: (C,), at least 0; the paper's are `class_weights(counts, "inverse")`.
        reduction: `"mean"` (scalar) or `"none"` (N,).

    Example:

    >>> weighted_bce_loss(torch.zeros(2, 7), torch.tensor([0, 3]), torch.ones(7))
    tensor(0.6931)
    """
    logits = at_least_float32(logits)
    targets = one_hot(labels, logits.shape[1]).to(logits.dtype)  # (N, C)
    weights = weights.to(logits.device, logits.dtype)
    losses = F.binary_cross_entropy_with_logits(
        logits, targets, weight=weights, reduction="none"
    ).mean(dim=1)  # (N,)
    return reduced(losses, reduction)
