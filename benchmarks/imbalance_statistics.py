"""
What the runs of benchmarks/imbalance.py allow one to say: a bootstrap over images and seeds
together, paired with the baseline, and corrected for the number of rows.

A network trained with seed s is compared with the baseline of seed s on the same images. Each
resample draws images and seeds with replacement, the same for every row.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from training.evaluation.metrics import per_class, summary

RESAMPLES = 2000
LEVEL = 0.05
TAUS = np.linspace(0, 2, 81)  # strengths of the prior shift on the baseline's curve


@dataclass
class Estimate:
    """A value over all images and seeds, and its bootstrap resamples (B,)."""

    value: float
    resamples: np.ndarray

    def __sub__(self, other: "Estimate") -> "Estimate":
        return Estimate(self.value - other.value, self.resamples - other.resamples)

    @property
    def interval(self) -> tuple[float, float]:
        """95 %, percentiles."""
        low, high = np.quantile(self.resamples, [LEVEL / 2, 1 - LEVEL / 2])
        return float(low), float(high)

    @property
    def p(self) -> float:
        """Two-sided, of the value being 0."""
        tail = min((self.resamples <= 0).sum(), (self.resamples >= 0).sum())
        return min(1.0, 2 * (tail + 1) / (len(self.resamples) + 1))


class Bootstrap:
    """
    Resamples of images and seeds, drawn once for all rows.

    Args:
        labels: (N,) class ids. seeds: number of seeds S.
        label_names: of the classes, for the names of recalls.
    """

    def __init__(
        self,
        labels: np.ndarray,
        seeds: int,
        label_names: Sequence[str],
        *,
        resamples: int = RESAMPLES,
        seed: int = 0,
    ):
        rng = np.random.default_rng(seed)
        n = len(labels)
        self.labels, self.label_names = labels.astype(np.int64), list(label_names)
        drawn = rng.multinomial(n, np.full(n, 1 / n), size=resamples)
        self.image_weights = np.vstack([np.ones(n), drawn]).astype(np.float32)  # (1 + B, N)
        drawn = rng.multinomial(seeds, np.full(seeds, 1 / seeds), size=resamples)
        self.seed_weights = np.vstack([np.ones(seeds), drawn]) / seeds  # (1 + B, S)

    def measures(self, predicted: np.ndarray) -> dict[str, Estimate]:
        """
        Accuracy, balanced accuracy, macro-F1 and each class's recall, means over seeds.

        Args:
            predicted: (S, N) class ids.
        """
        return {
            name: Estimate(float(values[0]), values[1:])
            for name, values in self._over_seeds(predicted).items()
        }

    def curve(self, logits: np.ndarray, prior: np.ndarray) -> dict[str, np.ndarray]:
        """
        The measures (T, 1 + B) of a network whose logits are shifted by -tau log prior, for each of
        `TAUS`; in column 0 over all images and seeds.

        Args:
            logits: (S, N, C). prior: (S, C), class shares of the training images.
        """
        found = [self._over_seeds(shifted(logits, prior, tau)) for tau in TAUS]
        return {name: np.stack([one[name] for one in found]) for name in found[0]}

    def _over_seeds(self, predicted: np.ndarray) -> dict[str, np.ndarray]:
        """Measures of (1 + B,)."""
        of_seeds = [self._of_one(one) for one in predicted]
        return {
            name: (np.stack([one[name] for one in of_seeds], axis=1) * self.seed_weights).sum(1)
            for name in of_seeds[0]
        }

    def _of_one(self, predicted: np.ndarray) -> dict[str, np.ndarray]:
        classes = len(self.label_names)
        cells = np.eye(classes**2, dtype=np.float32)[self.labels * classes + predicted]  # (N, C²)
        confusion = (self.image_weights @ cells).reshape(-1, classes, classes)
        recall = per_class(confusion)[1]
        return summary(confusion) | {
            f"recall_{name}": recall[:, c] for c, name in enumerate(self.label_names)
        }


def shifted(logits: np.ndarray, prior: np.ndarray, tau: float) -> np.ndarray:
    """(S, N, C) logits and (S, C) shares -> (S, N) predictions after a shift of -tau log prior."""
    return (logits - tau * np.log(prior)[:, None]).argmax(axis=2)


def above_curve(
    found: Mapping[str, Estimate], curve: Mapping[str, np.ndarray], measure: str
) -> Estimate:
    """
    How far a row lies above what the baseline's prior shift reaches without a training: its
    measure less the curve's highest at no less accuracy, or, where the row is more accurate than
    the whole curve, at the curve's most accurate point.
    """
    accuracy = np.append(found["accuracy"].value, found["accuracy"].resamples)  # (1 + B,)
    value = np.append(found[measure].value, found[measure].resamples)
    reachable = curve["accuracy"] >= np.minimum(accuracy, curve["accuracy"].max(axis=0))  # (T, .)
    without_training = np.where(reachable, curve[measure], -np.inf).max(axis=0)
    return Estimate(float((value - without_training)[0]), (value - without_training)[1:])


def holm(p: Mapping[str, float]) -> dict[str, bool]:
    """Which of several hypotheses are rejected at `LEVEL` (Holm, 1979)."""
    ordered, rejected = sorted(p, key=p.get), {}
    for rank, name in enumerate(ordered):
        before = rank == 0 or rejected[ordered[rank - 1]]
        rejected[name] = before and p[name] * (len(p) - rank) <= LEVEL
    return rejected
