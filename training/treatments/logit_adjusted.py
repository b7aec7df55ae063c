"""Logit adjustment: the log prior is added to the logits while training."""

from dataclasses import dataclass
from typing import ClassVar

import torch

from ..flags import arg, check_range
from .functional import at_least_float32, cross_entropy_losses, normalised, reduced
from .loss import BenchmarkRow, Loss


@dataclass
class LogitAdjusted(Loss):
    """`logit_adjusted_loss`."""

    title: ClassVar[str] = "logit-adjusted loss"

    benchmark_rows: ClassVar[dict[str, BenchmarkRow]] = {
        "": BenchmarkRow(tries=(("--logit_adjustment_tau", "1"), ("--logit_adjustment_tau", "0.5")))
    }

    logit_adjustment_tau: float = arg(
        1.0, "Strength of the prior in the logit-adjusted loss, at least 0."
    )

    def __post_init__(self):
        check_range(self, "logit_adjustment_tau", 0, float("inf"))

    def __call__(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        return logit_adjusted_loss(logits, labels, self.counts, self.logit_adjustment_tau)

    def presented_distribution(self, shares: torch.Tensor) -> torch.Tensor:
        # the loss adds tau log pi to the logits in training, so that the network leaves it out
        return normalised(shares / normalised(self.counts).to(shares) ** self.logit_adjustment_tau)


def logit_adjusted_loss(
    logits: torch.Tensor,
    labels: torch.Tensor,
    counts: torch.Tensor,
    tau: float = 1.0,
    reduction: str = "mean",
) -> torch.Tensor:
    r"""
    Cross-entropy on logits shifted by the class prior of the training set, pi_c = n_c / sum(n):

        l(x, y) = -log softmax(x + tau log pi)_y

    At inference the logits stand unshifted, so they suit classes that are equally likely (Menon et
    al., "Long-tail learning via logit adjustment", ICLR 2021, equation 10). tau = 0 is
    cross-entropy.

    Args:
        logits: (N, C). labels: (N,) ids or (N, C) probabilities.
        counts: (C,), at least 1. tau: at least 0. reduction: `"mean"` or `"none"`.

    Example:

    >>> logit_adjusted_loss(torch.zeros(1, 2), torch.tensor([0]), torch.tensor([30, 10]))
    tensor(0.2877)
    """
    logits = at_least_float32(logits)
    counts = counts.to(logits.device, logits.dtype)
    log_prior = torch.log(counts / counts.sum())  # (C,)
    return reduced(cross_entropy_losses(logits + tau * log_prior, labels), reduction)
