"""What is fitted after a training, and the class distributions that it knows. No torch."""

import math
from collections.abc import Sequence
from numbers import Real
from typing import Any

PRIORS = ("learned", "train", "uniform")


def checked_prior(
    prior: Any, num_labels: int | None, *, name: str = "prior", names: Sequence[str] = PRIORS
) -> str | list[float]:
    """
    The one check of a class distribution, whoever gives it.

    Args:
        prior: one of `names`, or a share for each class in any scale: a list, tuple, array or
            tensor of numbers.
        num_labels: the number of classes; None where it is not known yet.
        name: of what is checked, for the message.

    Returns:
        The name, or the shares as a list of floats.

    Raises:
        ValueError: neither such a name nor such shares.
    """
    if isinstance(prior, str) and prior in names:
        return prior
    given = prior.tolist() if hasattr(prior, "tolist") else prior
    numbers = isinstance(given, (list, tuple)) and all(
        isinstance(share, Real) and not isinstance(share, bool) for share in given
    )
    shares = [float(share) for share in given] if numbers else []
    right_length = num_labels in (None, len(shares))
    if not (right_length and 0 < sum(shares) < math.inf and min(shares) >= 0):
        named = "".join(f"{known!r}, " for known in names) + ("or " if names else "")
        count = "as many numbers as classes" if num_labels is None else f"{num_labels} numbers"
        raise ValueError(
            f"{name} must be {named}{count} (finite, at least 0, not all 0), but it is {given!r}."
        )
    return shares


__all__ = ["PRIORS", "checked_prior"]
