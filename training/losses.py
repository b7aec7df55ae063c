"""
Losses for imbalanced classes: pure functions, and a module that binds them to training counts.

Shapes throughout: `logits` (N, C) float; `labels` (N,) class ids in [0, C), or, where a docstring
says so, (N, C) class probabilities whose rows sum to 1 (label smoothing, mixup, cutmix, votes).
`counts` (C,) training images per class.

Every loss is a mean over samples, never over weights: the gradient of a batch of 32 is that of 4
accumulated batches of 8 and of 2 processes of 16. `reduction="none"` gives one value per sample,
(N,).
"""

import torch
import torch.nn.functional as F
from torch import nn

SOFT_LABEL_LOSSES = (
    "cross_entropy",
    "weighted_bce",
    "weighted_cross_entropy",
    "class_balanced",
    "logit_adjusted",
)
LOSSES = (*SOFT_LABEL_LOSSES, "focal", "ldam")


def class_weights(
    counts: torch.Tensor, scheme: str = "inverse", beta: float = 0.9999
) -> torch.Tensor:
    r"""
    One weight per class, scaled to mean 1.

    - `"inverse"`: w_c proportional to 1 / n_c (equation 2 of Elizabeth & Sadeddin).
    - `"effective"`: w_c proportional to (1 - beta) / (1 - beta^{n_c}), the inverse of the effective
      number of samples (Cui et al., "Class-Balanced Loss Based on Effective Number of Samples",
      CVPR 2019, equation 2). beta = 0 weighs all classes alike, beta -> 1 approaches `"inverse"`.

    Args:
        counts: (C,) images per class, each at least 1.
        scheme: `"inverse"` or `"effective"`.
        beta: in [0, 1).

    Returns:
        (C,) float32 weights of mean 1, on the device of `counts`.

    Raises:
        ValueError: a class without images, an unknown scheme, or beta outside [0, 1).

    Example:

    >>> class_weights(torch.tensor([1, 3]))
    tensor([1.5000, 0.5000])
    """
    counts = torch.as_tensor(counts).double()
    if (counts < 1).any():
        empty = torch.nonzero(counts < 1).flatten().tolist()
        raise ValueError(
            f"Class weights need at least one image of each class, but classes {empty} have none."
        )
    if scheme == "inverse":
        weights = 1 / counts
    elif scheme == "effective":
        if not 0 <= beta < 1:
            raise ValueError(f"beta must be in [0, 1), but it is {beta}.")
        weights = (1 - beta) / (1 - beta**counts)
    else:
        raise ValueError(f"scheme must be 'inverse' or 'effective', but it is {scheme!r}.")
    return (weights / weights.mean()).float()


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
    logits = _at_least_float32(logits)
    targets = one_hot(labels, logits.shape[1]).to(logits.dtype)  # (N, C)
    weights = weights.to(logits.device, logits.dtype)
    losses = F.binary_cross_entropy_with_logits(
        logits, targets, weight=weights, reduction="none"
    ).mean(dim=1)  # (N,)
    return _reduce(losses, reduction)


def weighted_cross_entropy_loss(
    logits: torch.Tensor, labels: torch.Tensor, weights: torch.Tensor, reduction: str = "mean"
) -> torch.Tensor:
    r"""
    Softmax cross-entropy with a weight per class:

        l(x, y) = -sum_c w_c y_c log p_c,   p = softmax(x)

    PyTorch's `cross_entropy(weight=...)` divides the sum of a batch by its weights; this divides by
    its samples.

    Args:
        logits: (N, C). labels: (N,) ids or (N, C) probabilities.
        weights: (C,), at least 0. reduction: `"mean"` or `"none"`.

    Example:

    >>> weighted_cross_entropy_loss(torch.zeros(2, 7), torch.tensor([0, 3]), torch.ones(7))
    tensor(1.9459)
    """
    log_p = F.log_softmax(_at_least_float32(logits), dim=1)  # (N, C)
    targets = one_hot(labels, logits.shape[1]).to(log_p.dtype)
    losses = -(weights.to(log_p.device, log_p.dtype) * targets * log_p).sum(dim=1)
    return _reduce(losses, reduction)


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
        logits: (N, C). labels: (N,) ids; soft labels have no p_t. gamma: at least 0.
        alpha: None or (C,) weights, at least 0. reduction: `"mean"` or `"none"`.

    Raises:
        ValueError: labels are not (N,) ids.

    Example:

    >>> focal_loss(torch.zeros(2, 7), torch.tensor([0, 3]), gamma=0.0)
    tensor(1.9459)
    """
    _require_ids(labels, "focal_loss")
    log_p = F.log_softmax(_at_least_float32(logits), dim=1)
    log_pt = log_p.gather(1, labels[:, None]).squeeze(1)  # (N,)
    # 1 - p_t by expm1 keeps its digits when p_t is near 1; the floor keeps the gradient of a
    # fractional power finite
    one_minus_pt = (-torch.expm1(log_pt)).clamp_min(torch.finfo(log_pt.dtype).tiny)
    losses = -(one_minus_pt**gamma) * log_pt
    if alpha is not None:
        losses = alpha.to(losses.device, losses.dtype)[labels] * losses
    return _reduce(losses, reduction)


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
    logits = _at_least_float32(logits)
    counts = counts.to(logits.device, logits.dtype)
    log_prior = torch.log(counts / counts.sum())  # (C,)
    return _reduce(_cross_entropy(logits + tau * log_prior, labels), reduction)


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
    _require_ids(labels, "ldam_loss")
    logits = _at_least_float32(logits)
    counts = counts.to(logits.device, logits.dtype)
    margins = max_margin * (counts.min() / counts) ** 0.25  # (C,)
    shifted = logits - margins * F.one_hot(labels, logits.shape[1])
    return _reduce(F.cross_entropy(scale * shifted, labels, reduction="none"), reduction)


def one_hot(labels: torch.Tensor, num_classes: int) -> torch.Tensor:
    """(N,) ids or (N, C) probabilities -> (N, C) probabilities, float32 (float64 stays)."""
    if labels.ndim == 1:
        labels = F.one_hot(labels, num_classes)
    return _at_least_float32(labels)


def smooth_labels(labels: torch.Tensor, num_classes: int, epsilon: float) -> torch.Tensor:
    """(1 - epsilon) y + epsilon / C, (N, C): label smoothing (Szegedy et al., 2016, section 7)."""
    return (1 - epsilon) * one_hot(labels, num_classes) + epsilon / num_classes


def _at_least_float32(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.to(torch.promote_types(tensor.dtype, torch.float32))


def _cross_entropy(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    logits = _at_least_float32(logits)
    return F.cross_entropy(
        logits, labels if labels.ndim == 1 else labels.to(logits.dtype), reduction="none"
    )


def _require_ids(labels: torch.Tensor, name: str) -> None:
    if labels.ndim != 1:
        raise ValueError(
            f"{name} needs class ids of shape (N,), but labels have shape {tuple(labels.shape)}."
        )


def _reduce(losses: torch.Tensor, reduction: str) -> torch.Tensor:
    if reduction == "mean":
        return losses.mean()
    if reduction == "none":
        return losses
    raise ValueError(f"reduction must be 'mean' or 'none', but it is {reduction!r}.")


class ImbalanceLoss(nn.Module):
    """
    One of `LOSSES`, bound to the class counts that the training batches are drawn with.

    Args:
        name: a member of `LOSSES`.
        counts: (C,) images per class after sampling, so that a balanced sample is not weighted a
            second time.
        focal_gamma, class_balanced_beta, logit_adjustment_tau, ldam_max_margin, ldam_scale: of the
            function named.
        focal_alpha: None, `"inverse"`, or one number per class.
        label_smoothing: in [0, 1); only for `SOFT_LABEL_LOSSES`.
        deferred_reweighting_epoch: LDAM only; from this epoch on (counted from 0) samples are
            weighted by the inverse effective number of their class ("DRW", Cao et al.,
            algorithm 1). Call `set_epoch` at each epoch's start.
    """

    def __init__(
        self,
        name: str,
        counts: torch.Tensor,
        *,
        focal_gamma: float = 2.0,
        focal_alpha: str | list[float] | None = None,
        class_balanced_beta: float = 0.9999,
        logit_adjustment_tau: float = 1.0,
        ldam_max_margin: float = 0.5,
        ldam_scale: float = 30.0,
        deferred_reweighting_epoch: int | None = None,
        label_smoothing: float = 0.0,
    ):
        super().__init__()
        if name not in LOSSES:
            raise ValueError(f"loss must be one of {', '.join(LOSSES)}, but it is {name!r}.")
        if label_smoothing and name not in SOFT_LABEL_LOSSES:
            raise ValueError(
                f"label smoothing has no meaning with the {name} loss; set label_smoothing to 0."
            )
        self.name = name
        self.label_smoothing = label_smoothing
        self.focal_gamma = focal_gamma
        self.tau = logit_adjustment_tau
        self.max_margin, self.scale = ldam_max_margin, ldam_scale
        self.beta = class_balanced_beta
        self.deferred_reweighting_epoch = deferred_reweighting_epoch
        self.reweight = False
        self.register_buffer("counts", torch.as_tensor(counts, dtype=torch.float32))
        self.register_buffer("weights", self._weights(focal_alpha))

    def _weights(self, focal_alpha) -> torch.Tensor | None:
        if self.name in ("weighted_bce", "weighted_cross_entropy"):
            return class_weights(self.counts, "inverse")
        if self.name == "class_balanced" or (
            self.name == "ldam" and self.deferred_reweighting_epoch is not None
        ):
            return class_weights(self.counts, "effective", self.beta)
        if self.name == "focal" and focal_alpha == "inverse":
            return class_weights(self.counts, "inverse")
        if self.name == "focal" and focal_alpha is not None:
            if len(focal_alpha) != len(self.counts):
                raise ValueError(
                    f"focal_alpha needs {len(self.counts)} numbers, "
                    f"but {len(focal_alpha)} were given."
                )
            return torch.tensor(focal_alpha, dtype=torch.float32)
        return None

    def presented_distribution(self, shares: torch.Tensor) -> torch.Tensor:
        """
        The class distribution that a network trained by this loss has learned to expect.

        Args:
            shares: (C,) of the classes in the batches, as drawn.

        Returns:
            (C,) of sum 1: `shares`, smoothed as the labels, over the prior that logit adjustment
            adds itself, times the classes' weights. Those of binary cross-entropy do not count:
            they scale what is said for a class and against it alike.
        """
        shares = shares / shares.sum()
        shares = (1 - self.label_smoothing) * shares + self.label_smoothing / len(shares)
        if self.name == "logit_adjusted":
            shares = shares / (self.counts / self.counts.sum()).to(shares) ** self.tau
        weighs = self.reweight if self.name == "ldam" else self.name != "weighted_bce"
        if self.weights is not None and weighs:
            shares = shares * self.weights.to(shares)
        return shares / shares.sum()

    def set_epoch(self, epoch: int) -> None:
        """Switches LDAM's deferred re-weighting on from its epoch."""
        self.reweight = (
            self.deferred_reweighting_epoch is not None and epoch >= self.deferred_reweighting_epoch
        )

    def forward(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """logits (N, C), labels (N,) ids or (N, C) probabilities -> scalar."""
        if self.label_smoothing:
            labels = smooth_labels(labels, logits.shape[1], self.label_smoothing)
        if self.name == "cross_entropy":
            return _cross_entropy(logits, labels).mean()
        if self.name == "weighted_bce":
            return weighted_bce_loss(logits, labels, self.weights)
        if self.name in ("weighted_cross_entropy", "class_balanced"):
            return weighted_cross_entropy_loss(logits, labels, self.weights)
        if self.name == "focal":
            return focal_loss(logits, labels, self.focal_gamma, self.weights)
        if self.name == "logit_adjusted":
            return logit_adjusted_loss(logits, labels, self.counts, self.tau)
        return self._ldam(logits, labels)

    def _ldam(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        # the model's cosine classifier multiplies by the same scale
        cosines = _at_least_float32(logits) / self.scale
        losses = ldam_loss(
            cosines, labels, self.counts, self.max_margin, self.scale, reduction="none"
        )
        return (self.weights[labels] * losses if self.reweight else losses).mean()
