"""Focal loss: the paper's third treatment."""

from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F

from ..flags import arg, check_range
from .functional import at_least_float32, class_weights, normalised, reduced, require_ids
from .loss import BenchmarkRow, Loss

GAMMAS = (("--focal_gamma", "1"), ("--focal_gamma", "0.5"))


@dataclass
class Focal(Loss):
    """`focal_loss`; with alpha, classes are weighted as well."""

    title: ClassVar[str] = "focal loss"
    takes_soft_labels: ClassVar[bool] = False
    benchmark_rows: ClassVar[dict[str, BenchmarkRow]] = {
        "": BenchmarkRow(tries=(("--focal_gamma", "2"), *GAMMAS)),
        "_alpha": BenchmarkRow(
            "focal loss, inverse alpha", ("--focal_alpha", "inverse"), tries=GAMMAS
        ),
    }

    focal_gamma: float = arg(2.0, "Focusing exponent of the focal loss, at least 0.")
    focal_alpha: list[str] = arg(
        ["none"], "Class weights of the focal loss: none, inverse, or one number per class."
    )

    def __post_init__(self):
        check_range(self, "focal_gamma", 0, float("inf"))
        if self.focal_alpha not in (["none"], ["inverse"]):
            self._numbers()

    def _numbers(self) -> list[float]:
        try:
            numbers = [float(value) for value in self.focal_alpha]
        except ValueError:
            numbers = []
        if not numbers or not all(0 <= number < float("inf") for number in numbers):
            raise ValueError(
                "--focal_alpha must be none, inverse or one number per class, at least 0, "
                f"but it is {' '.join(self.focal_alpha) or 'empty'}."
            )
        return numbers

    def bind(self, counts: torch.Tensor) -> Loss:
        super().bind(counts)
        self.alpha = None
        if self.focal_alpha == ["inverse"]:
            self.alpha = class_weights(self.counts)  # (C,)
        elif self.focal_alpha != ["none"]:
            self.alpha = torch.tensor(self._numbers())  # (C,)
            if len(self.alpha) != len(self.counts):
                raise ValueError(
                    f"--focal_alpha needs {len(self.counts)} numbers, one per class, but "
                    f"{len(self.alpha)} were given."
                )
        return self

    def __call__(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        return focal_loss(logits, labels, self.focal_gamma, self.alpha)

    def presented_distribution(self, shares: torch.Tensor) -> torch.Tensor:
        return normalised(shares if self.alpha is None else shares * self.alpha.to(shares))


def focal_loss(
    logits: torch.Tensor,
    labels: torch.Tensor,
    gamma: float = 2.0,
    alpha: torch.Tensor | None = None,
    reduction: str = "mean",
) -> torch.Tensor:
    r"""
    Focal loss on softmax probabilities:

        FL(p_t) = -alpha_t (1 - p_t)^gamma log(p_t),   p_t = softmax(x)_y

    (Lin et al., "Focal Loss for Dense Object Detection", ICCV 2017, equation 5). gamma = 0 without
    alpha is cross-entropy.

    Args:
        logits: (N, C). labels: (N,) ids, since soft labels have no p_t. gamma: at least 0.
        alpha: None or (C,) weights, at least 0. reduction: `"mean"` or `"none"`.

    Raises:
        ValueError: labels are not (N,) ids.

    Example:

    >>> focal_loss(torch.zeros(2, 7), torch.tensor([0, 3]), gamma=0.0)
    tensor(1.9459)
    """
    require_ids(labels, "focal_loss")
    log_p = F.log_softmax(at_least_float32(logits), dim=1)  # (N, C)
    log_pt = log_p.gather(1, labels[:, None]).squeeze(1)  # (N,)
    # 1 - p_t by expm1 keeps its digits when p_t is near 1; the floor keeps the gradient of a
    # fractional power finite
    one_minus_pt = (-torch.expm1(log_pt)).clamp_min(torch.finfo(log_pt.dtype).tiny)
    losses = -(one_minus_pt**gamma) * log_pt  # (N,)
    if alpha is not None:
        losses = alpha.to(losses.device, losses.dtype)[labels] * losses
    return reduced(losses, reduction)
