"""What is fitted after a training, and the class distributions that it knows. No torch."""

import logging
import math
from collections.abc import Mapping, Sequence
from numbers import Real
from typing import Any

import numpy as np

from .names import EXPRESSIONS
from .warn_once import warn_once

logger = logging.getLogger(__name__)

PRIORS = ("learned", "train", "uniform")
DISTRIBUTIONS = ("learned_distribution", "train_distribution")


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
    are_numbers = isinstance(given, (list, tuple)) and all(
        isinstance(share, Real) and not isinstance(share, bool) for share in given
    )
    shares = [float(share) for share in given] if are_numbers else []
    right_length = num_labels in (None, len(shares))
    if not (right_length and 0 < sum(shares) < math.inf and min(shares) >= 0):
        known = "".join(f"{known!r}, " for known in names) + ("or " if names else "")
        count = "as many numbers as classes" if num_labels is None else f"{num_labels} numbers"
        raise ValueError(
            f"{name} must be {known}{count} (finite, at least 0, not all 0), but it is {given!r}."
        )
    return shares


def are_several(prior: Any) -> bool:
    """Whether it is a list of priors, and not the shares of one."""
    return isinstance(prior, (list, tuple)) and any(
        isinstance(each, (str, list, tuple)) or getattr(each, "ndim", 0) for each in prior
    )


def checked_priors(prior: Any, num_labels: int) -> list[str | list[float]]:
    """
    Args:
        prior: as of `checked_prior`, or a list of such, of which only the first may be shares: the
            answers under the others are found by their names.

    Raises:
        ValueError: something else.
    """
    if not are_several(prior):
        return [checked_prior(prior, num_labels)]
    priors = [checked_prior(each, num_labels) for each in prior]
    if unnamed := [each for each in priors[1:] if not isinstance(each, str)]:
        raise ValueError(
            "Of several priors, only the first may be shares, as the answers under the others are "
            f"found by their names ({', '.join(PRIORS)}), but there is {unnamed[0]!r}."
        )
    return priors


def checked_calibration(record: Mapping[str, Any]) -> dict[str, Any]:
    """
    Args:
        record: `classes` (names in the order of ids) and `head`, for which it was fitted, and what
            was fitted: `temperature`, `uncertain_below`, `smaller_faces`, `learned_distribution`
            and `train_distribution`, each only if it was.

    Returns:
        The record, with distributions as lists of floats.

    Raises:
        ValueError: it names no classes or no head, or a number is out of range.
    """
    if missing := {"classes", "head"} - set(record):
        raise ValueError(
            f"calibration must name the classes and the head that it was fitted for, but "
            f"{' and '.join(sorted(missing))} is missing: {dict(record)}."
        )
    for fitted in (record, *record.get("smaller_faces", ())):
        temperature, threshold = fitted.get("temperature", 1.0), fitted.get("uncertain_below")
        if not (isinstance(temperature, Real) and 0 < temperature < math.inf):
            raise ValueError(f"temperature must be a positive number, but it is {temperature!r}.")
        if not (threshold is None or isinstance(threshold, Real) and 0 <= threshold <= 1):
            raise ValueError(f"uncertain_below must be None or in [0, 1], but it is {threshold!r}.")
    distributions = {
        name: checked_prior(record[name], len(record["classes"]), name=name, names=())
        for name in DISTRIBUTIONS
        if record.get(name) is not None
    }
    return dict(record) | distributions


def assumed_shares(
    prior: str | list[float], fitted: Mapping[str, Any], num_labels: int
) -> list[float] | None:
    """
    The class shares, in any scale, that a checked prior stands for; None where they are not known.

    Args:
        fitted: of the calibration. A network without a `learned_distribution` has learned the
            training set's.
    """
    if isinstance(prior, list):
        return [share / max(prior) for share in prior]  # float32 holds these
    train = fitted.get("train_distribution")
    return {
        "learned": fitted.get("learned_distribution") or train,
        "train": train,
        "uniform": [1.0] * num_labels,
    }[prior]


def fitted_at(fitted: Mapping[str, Any], side: float, full_side: float) -> tuple[float, float]:
    """
    Temperature and threshold for a face of `side` pixels in its photo, interpolated linearly
    between the sizes for which they were fitted.

    Args:
        fitted: of the calibration. full_side: from which on its own temperature and threshold hold.
    """
    full = {"temperature": 1.0, "uncertain_below": 0.0} | dict(fitted) | {"side": full_side}
    sizes = [*fitted.get("smaller_faces", ()), full]
    sides = [size["side"] for size in sizes]
    temperature, threshold = (
        float(np.interp(side, sides, [size[name] or 0.0 for size in sizes]))
        for name in ("temperature", "uncertain_below")
    )
    return temperature, threshold


def side_of(box: Mapping[str, int]) -> int:
    """The longer side of a face's box, in pixels of the photo."""
    return max(box["xmax"] - box["xmin"], box["ymax"] - box["ymin"])


class Calibrated:
    """
    What the `calibration` and the `prior` of a config mean. Beside these, a config has `id2label`,
    `num_labels`, `problem_type`, `image_size`, and the head's `backbone`, `cosine_scale` and
    `head_hidden_sizes`.
    """

    @property
    def label_names(self) -> list[str]:
        """In the order of ids."""
        return [label for _, label in sorted(self.id2label.items())]

    @property
    def fitted(self) -> dict[str, Any]:
        """The calibration; empty, with a warning, where it is that of other classes or heads."""
        if self.calibration is None or self._fitted_for().items() <= self.calibration.items():
            return self.calibration or {}
        warn_once(
            logger,
            "The calibration in this config is not used: it was fitted for other classes or "
            f"another head ({', '.join(map(str, self.calibration['classes']))}; "
            f"{self.calibration['head']}). So the temperature is 1, no prediction counts as "
            "uncertain, and the prior is 'learned'.",
        )
        return {}

    def _fitted_for(self) -> dict[str, Any]:
        head = {name: getattr(self, name) for name in ("backbone", "cosine_scale")}
        return {
            "classes": self.label_names,
            "head": head | {"head_hidden_sizes": list(self.head_hidden_sizes)},
        }

    @property
    def fitted_temperature(self) -> float:
        # transformers takes the name "temperature" for a parameter of text generation
        return self.fitted.get("temperature", 1.0)

    @property
    def uncertain_below(self) -> float | None:
        return self.fitted.get("uncertain_below")

    def fitted_at(self, side: float) -> tuple[float, float]:
        """Temperature and threshold for a face of `side` pixels in its photo."""
        return fitted_at(self.fitted, side, self.image_size)

    @property
    def train_distribution(self) -> list[float] | None:
        return self.fitted.get("train_distribution")

    @property
    def learned_distribution(self) -> list[float] | None:
        return self.fitted.get("learned_distribution")

    @property
    def prior_in_use(self) -> str | list[float]:
        """`prior`; "learned" where the calibration is not used, whose classes it is meant for."""
        return self.prior if self.calibration is None or self.fitted else "learned"

    def assumed_by(self, prior: str | list[float]) -> list[float] | None:
        """The class shares, in any scale, that a checked prior stands for; None: not known."""
        return assumed_shares(prior, self.fitted, self.num_labels)

    def assumed_and_learned(
        self, prior: str | list[float]
    ) -> tuple[list[float], list[float]] | None:
        """
        The class shares, in any scale, that `prior` assumes, and those that the network has learned
        to expect; None where these are the same.

        Raises:
            ValueError: not a prior, or a distribution that it needs is not in this config.
        """
        prior = checked_prior(prior, self.num_labels)
        assumed, learned = self.assumed_by(prior), self.assumed_by("learned")
        if assumed == learned:
            return None
        for shares, name in zip((learned, assumed), DISTRIBUTIONS):
            if shares is None:
                raise ValueError(
                    f"prior {prior!r} needs the config's {name}, which is not set: this model was "
                    "saved without it."
                )
        if self.problem_type not in (None, "single_label_classification"):
            raise ValueError(
                f"prior {prior!r} needs problem_type 'single_label_classification', but it is "
                f"{self.problem_type!r}: only one label out of several has a class distribution."
            )
        return assumed, learned

    def prior_shift(self, prior: str | list[float]) -> np.ndarray:
        """
        What is added to the calibrated logits to assume another class distribution than the network
        has learned to expect: log(prior / learned_distribution), (num_labels,) float32.

        Args:
            prior: `"learned"` (zeros), `"train"` (the training set's), `"uniform"`, or a share for
                each class, in any scale.

        Raises:
            ValueError: not such a prior, or the config lacks a distribution that it needs.
        """
        shares = self.assumed_and_learned(prior)
        if shares is None:
            return np.zeros(self.num_labels, np.float32)
        assumed, learned = np.maximum(np.float32(shares), 1e-12)
        return np.log(assumed / assumed.sum()) - np.log(learned / learned.sum())


class SavedConfig(Calibrated):
    """
    A saved model's config, read without transformers.

    Args:
        content: of config.json.

    Raises:
        KeyError: a part is missing. ValueError: its calibration or its prior is out of range.
    """

    def __init__(self, content: Mapping[str, Any]):
        labels = content.get("id2label") or dict(enumerate(EXPRESSIONS))
        self.id2label = {int(i): label for i, label in labels.items()}
        self.num_labels, self.problem_type = len(labels), content.get("problem_type")
        for name in ("backbone", "cosine_scale", "head_hidden_sizes", "image_size"):
            setattr(self, name, content[name])
        self.calibration = content.get("calibration")
        if self.calibration is not None:
            self.calibration = checked_calibration(self.calibration)
        self.prior = content.get("prior", "learned")
        checked_prior(self.prior_in_use, self.num_labels)
