"""
What the losses share: class weights, targets as probabilities, reduction.

Shapes in this room: `logits` (N, C) float; `labels` (N,) class ids in [0, C), or, where a docstring
has it, (N, C) class probabilities whose rows sum to 1 (label smoothing, mixup, cutmix, votes);
`counts` (C,) training images per class.

Every loss is a mean over samples, never over weights: the gradient of a batch of 32 is that of 4
accumulated batches of 8 and of 2 processes of 16. `reduction="none"` gives one value per sample,
(N,).
"""

import torch
import torch.nn.functional as F


def class_weights(
    counts: torch.Tensor, scheme: str = "inverse", beta: float = 0.9999
) -> torch.Tensor:
    r"""
    One weight per class, scaled to mean 1.

    - `"inverse"`: w_c proportional to 1 / n_c (equation 2 of Elizabeth & Sadeddin).
    - `"effective"`: w_c proportional to (1 - beta) / (1 - beta^{n_c}), the inverse of the effective
      number of samples (Cui et al., "Class-Balanced Loss Based on Effective Number of Samples",
      CVPR 2019, equation 2). beta = 0 weights all classes alike, beta -> 1 approaches `"inverse"`.

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
    # in float64, since 1 - beta loses its digits in float32
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


def one_hot(labels: torch.Tensor, num_classes: int) -> torch.Tensor:
    """(N,) ids or (N, C) probabilities -> (N, C) probabilities, float32 (float64 stays)."""
    if labels.ndim == 1:
        labels = F.one_hot(labels, num_classes)  # (N, C)
    return at_least_float32(labels)


def at_least_float32(tensor: torch.Tensor) -> torch.Tensor:
    # float64 stays, for gradcheck; the half types of autocast do not
    return tensor.to(torch.promote_types(tensor.dtype, torch.float32))


def cross_entropy_losses(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Softmax cross-entropy of each sample, (N,)."""
    logits = at_least_float32(logits)
    return F.cross_entropy(
        logits, labels if labels.ndim == 1 else labels.to(logits.dtype), reduction="none"
    )


def require_ids(labels: torch.Tensor, name: str) -> None:
    if labels.ndim != 1:
        raise ValueError(
            f"{name} needs class ids of shape (N,), but labels have shape {tuple(labels.shape)}."
        )


def reduced(losses: torch.Tensor, reduction: str) -> torch.Tensor:
    if reduction == "mean":
        return losses.mean()
    if reduction == "none":
        return losses
    raise ValueError(f"reduction must be 'mean' or 'none', but it is {reduction!r}.")


def normalised(shares: torch.Tensor) -> torch.Tensor:
    """(C,) of any scale -> (C,) of sum 1."""
    return shares / shares.sum()
