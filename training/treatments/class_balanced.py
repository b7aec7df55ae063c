"""Class-balanced loss: weights by the effective number of samples."""

from dataclasses import dataclass
from typing import ClassVar

import torch

from ..flags import arg, check_range
from .functional import class_weights
from .loss import BenchmarkRow, Loss
from .weighted_cross_entropy import WeightedCrossEntropy, weighted_cross_entropy_loss


@dataclass
class ClassBalanced(WeightedCrossEntropy):
    """`class_balanced_loss`: weighted cross-entropy with other weights."""

    title: ClassVar[str] = "class-balanced loss"

    benchmark_rows: ClassVar[dict[str, BenchmarkRow]] = {
        "": BenchmarkRow(
            tries=tuple(("--class_balanced_beta", beta) for beta in ("0.9999", "0.999", "0.99"))
        )
    }

    class_balanced_beta: float = arg(0.9999, "beta of the effective number of samples, in [0, 1).")

    def __post_init__(self):
        check_range(self, "class_balanced_beta", 0, 1)

    def bind(self, counts: torch.Tensor) -> Loss:
        super().bind(counts)
        # (C,), in place of the inverse ones
        self.weights = class_weights(self.counts, "effective", self.class_balanced_beta)
        return self


def class_balanced_loss(
    logits: torch.Tensor,
    labels: torch.Tensor,
    counts: torch.Tensor,
    beta: float = 0.9999,
    reduction: str = "mean",
) -> torch.Tensor:
    r"""
    Softmax cross-entropy weighted by the inverse effective number of samples, E_n:

        l(x, y) = -w_y log softmax(x)_y,   w_c proportional to 1 / E_{n_c}, mean 1
        E_n = (1 - beta^n) / (1 - beta)

    (Cui et al., CVPR 2019, equation 3).

    Args:
        logits: (N, C). labels: (N,) ids or (N, C) probabilities.
        counts: (C,), at least 1. beta: in [0, 1). reduction: `"mean"` or `"none"`.

    Example:

    >>> class_balanced_loss(torch.zeros(1, 2), torch.tensor([0]), torch.tensor([10, 10]))
    tensor(0.6931)
    """
    return weighted_cross_entropy_loss(
        logits, labels, class_weights(counts, "effective", beta), reduction
    )
