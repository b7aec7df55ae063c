"""
A bootstrap over images, and over seeds where there are several: intervals, paired differences, and
which of them are more than chance.
"""

import copy
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from .metrics import per_class, summary

RESAMPLES = 20_000
LEVEL = 0.05
BLOCK = 1000  # resamples that are made at once, in 64 bits


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

    def __str__(self) -> str:
        low, high = self.interval
        return f"{self.value:.3f} [{low:.3f}, {high:.3f}]"

    @property
    def signed(self) -> str:
        low, high = self.interval
        return f"{self.value:+.3f} [{low:+.3f}, {high:+.3f}]"


class Bootstrap:
    """
    Resamples of images and seeds with replacement, the same for everything that is measured.

    Args:
        labels: (N,) class ids. label_names: of the classes, for the names of recalls.
        resamples: B. seed: of the bootstrap.

    One training has one seed; `over_seeds` is for several.
    """

    def __init__(
        self,
        labels: np.ndarray,
        label_names: Sequence[str],
        *,
        resamples: int = RESAMPLES,
        seed: int = 0,
    ):
        rng, n = np.random.default_rng(seed), len(labels)
        self.resamples, self.seed = resamples, seed
        self.label_names = list(label_names)
        self.rows_of_class = [np.flatnonzero(labels == c) for c in range(len(label_names))]
        # How often each image is in each resample; in the first, which is the sample itself, once.
        self.image_weights = [
            np.ones((1 + resamples, len(rows)), np.float32) for rows in self.rows_of_class
        ]  # C of (1 + B, N_c)
        for start in range(1, 1 + resamples, BLOCK):
            size = min(BLOCK, 1 + resamples - start)
            times = rng.multinomial(n, np.full(n, 1 / n), size=size)  # (size, N)
            for weights, rows in zip(self.image_weights, self.rows_of_class):
                weights[start : start + size] = times[:, rows]
        self.seed_weights = np.ones((1 + resamples, 1))  # (1 + B, S)

    def over_seeds(self, seeds: int) -> "Bootstrap":
        """The same resamples of images, with resamples of S seeds."""
        rng = np.random.default_rng([self.seed, seeds])
        times = rng.multinomial(seeds, np.full(seeds, 1 / seeds), size=self.resamples)
        other = copy.copy(self)
        other.seed_weights = np.vstack([np.ones(seeds), times]) / seeds
        return other

    def measures(self, predicted: np.ndarray) -> dict[str, Estimate]:
        """
        Accuracy, balanced accuracy, macro-F1 and each class's recall, means over seeds.

        Args:
            predicted: (S, N) class ids.
        """
        return {
            name: Estimate(float(values[0]), values[1:])
            for name, values in self.resampled(predicted).items()
        }

    def resampled(self, predicted: np.ndarray) -> dict[str, np.ndarray]:
        """The same as arrays (1 + B,), the first value over all images and seeds."""
        confusion = self._confusion(predicted)  # (1 + B, S, C, C)
        recall = per_class(confusion)[1]
        by_seed = summary(confusion) | {
            f"recall_{name}": recall[..., c] for c, name in enumerate(self.label_names)
        }
        return {name: (values * self.seed_weights).sum(axis=1) for name, values in by_seed.items()}

    def values(self, predicted: np.ndarray) -> dict[str, float]:
        """The same without resamples."""
        once = copy.copy(self)
        once.image_weights = [weights[:1] for weights in self.image_weights]
        once.seed_weights = self.seed_weights[:1]
        return {name: float(value[0]) for name, value in once.resampled(predicted).items()}

    def _confusion(self, predicted: np.ndarray) -> np.ndarray:
        """(S, N) -> (1 + B, S, C, C), true class by row. Counts are exact in float32."""
        classes, seeds = len(self.label_names), len(predicted)
        counts = []
        for rows, weights in zip(self.rows_of_class, self.image_weights):
            named = np.eye(classes, dtype=np.float32)[predicted[:, rows].T]  # (N_c, S, C)
            counts.append(weights @ named.reshape(len(rows), seeds * classes))
        stacked = np.stack(counts, axis=1).reshape(-1, classes, seeds, classes)
        return stacked.swapaxes(1, 2)


class Comparison:
    """
    Rows of estimates beside the first of them, the baseline.

    Args:
        rows: row -> measure -> estimate. measures: those that are compared.

    Attributes:
        differences: (row, measure) -> the paired difference to the baseline.
        confirmed: those of them that Holm's correction over all of them leaves.
    """

    def __init__(self, rows: Mapping[str, Mapping[str, Estimate]], measures: Iterable[str]):
        self.rows, self.measures = rows, list(measures)
        self.baseline, *self.others = rows
        self.differences = {
            (row, measure): rows[row][measure] - rows[self.baseline][measure]
            for row in self.others
            for measure in self.measures
        }
        self.confirmed = holm({key: change.p for key, change in self.differences.items()})

    def cell(self, row: str, measure: str) -> str:
        """Value and difference, bold if confirmed; of the baseline, the value with its interval."""
        estimate = self.rows[row][measure]
        if row == self.baseline:
            return str(estimate)
        return f"{estimate.value:.3f} ({self.change(row, measure)})"

    def change(self, row: str, measure: str) -> str:
        text = self.differences[row, measure].signed
        return f"**{text}**" if (row, measure) in self.confirmed else text


def measure_title(measure: str) -> str:
    """ "macro_f1" -> "macro-F1", "recall_disgust" -> "recall of disgust"."""
    if measure == "macro_f1":
        return "macro-F1"
    of, _, name = measure.partition("_")
    return f"recall of {name}" if of == "recall" else measure.replace("_", " ")


def holm(p: Mapping) -> set:
    """Which of several hypotheses are rejected at `LEVEL` (Holm, 1979)."""
    rejected = set()
    for rank, name in enumerate(sorted(p, key=p.get)):
        if p[name] * (len(p) - rank) > LEVEL:
            break
        rejected.add(name)
    return rejected
