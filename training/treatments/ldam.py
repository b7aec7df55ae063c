"""LDAM: larger margins for rarer classes, and its deferred re-weighting."""

from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F

from ..flags import arg, check_range
from .functional import at_least_float32, class_weights, normalised, reduced, require_ids
from .loss import BenchmarkRow, Loss


@dataclass
class LDAM(Loss):
    """
    `ldam_loss` on a cosine classifier.

    From `deferred_reweighting_epoch` on, samples are weighted by the inverse effective number of
    their class, once the network has its features ("DRW": Cao et al., algorithm 1).
    """

    title: ClassVar[str] = "LDAM"
    takes_soft_labels: ClassVar[bool] = False

    benchmark_rows: ClassVar[dict[str, BenchmarkRow]] = {
        "": BenchmarkRow(tries=(("--ldam_max_margin", "0.5"), ("--ldam_max_margin", "0.2"))),
        "_drw": BenchmarkRow(
            "LDAM, deferred re-weighting",
            tries=(("--ldam_max_margin", "0.2", "--deferred_reweighting_epoch", "5"),),
        ),
    }

    ldam_max_margin: float = arg(0.5, "Margin of the rarest class, in units of the cosine.")
    ldam_scale: float = arg(30.0, "Scale of the cosine logits.")
    deferred_reweighting_epoch: int | None = arg(
        None, "Weight classes from this epoch on (DRW), counted from 0."
    )
    class_balanced_beta: float = arg(0.9999, "beta of the effective number of samples, in [0, 1).")

    def __post_init__(self):
        check_range(self, "ldam_max_margin", 0, float("inf"))
        check_range(self, "class_balanced_beta", 0, 1)
        if self.deferred_reweighting_epoch is not None:
            check_range(self, "deferred_reweighting_epoch", 0, float("inf"))
        if self.ldam_scale <= 0:
            raise ValueError(f"--ldam_scale must be above 0, but it is {self.ldam_scale}.")

    def check_epochs(self, epochs: float) -> None:
        first = self.deferred_reweighting_epoch
        if first is not None and first >= epochs:
            raise ValueError(
                f"--deferred_reweighting_epoch {first} would never come: there are {epochs:g} "
                "epochs, counted from 0."
            )

    def bind(self, counts: torch.Tensor) -> Loss:
        super().bind(counts)
        self.weights = class_weights(self.counts, "effective", self.class_balanced_beta)  # (C,)
        self.set_epoch(0)  # unweighted until the epochs are counted
        return self

    def set_epoch(self, epoch: int) -> None:
        first = self.deferred_reweighting_epoch
        self.reweight = first is not None and epoch >= first

    def __call__(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        # (N, C); the cosine classifier has multiplied by the same scale
        cosines = at_least_float32(logits) / self.ldam_scale
        losses = ldam_loss(
            cosines, labels, self.counts, self.ldam_max_margin, self.ldam_scale, reduction="none"
        )
        # (N,) losses; the mean stays one over samples
        return (self.weights.to(losses)[labels] * losses if self.reweight else losses).mean()

    def cosine_scale(self) -> float:
        return self.ldam_scale

    def presented_distribution(self, shares: torch.Tensor) -> torch.Tensor:
        return normalised(shares * self.weights.to(shares) if self.reweight else shares)


def ldam_loss(
    logits: torch.Tensor,
    labels: torch.Tensor,
    counts: torch.Tensor,
    max_margin: float = 0.5,
    scale: float = 30.0,
    reduction: str = "mean",
) -> torch.Tensor:
    r"""
    Label-distribution-aware margin loss: rarer classes must win by a larger margin.

        l(x, y) = -log softmax(s (x - Delta_y e_y))_y,   Delta_c = max_margin * (n_min / n_c)^{1/4}

    (Cao et al., "Learning Imbalanced Datasets with Label-Distribution-Aware Margin Loss", NeurIPS
    2019, equations 10 and 13). The logits are meant to be cosines in [-1, 1], as
    `FerEfficientNetConfig(cosine_scale=...)` divided by its scale gives them.

    Args:
        logits: (N, C), cosines. labels: (N,) ids; a margin on a mixture of classes has no meaning.
        counts: (C,), at least 1. max_margin: margin of the rarest class, at least 0.
        scale: s, above 0. reduction: `"mean"` or `"none"`.

    Raises:
        ValueError: labels are not (N,) ids.

    Example:

    >>> ldam_loss(torch.zeros(1, 2), torch.tensor([0]), torch.tensor([5, 5]), max_margin=0.0)
    tensor(0.6931)
    """
    require_ids(labels, "ldam_loss")
    logits = at_least_float32(logits)
    counts = counts.to(logits.device, logits.dtype)
    margins = max_margin * (counts.min() / counts) ** 0.25  # (C,)
    shifted = logits - margins * F.one_hot(labels, logits.shape[1])  # (N, C): the own class alone
    return reduced(F.cross_entropy(scale * shifted, labels, reduction="none"), reduction)
