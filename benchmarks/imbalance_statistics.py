"""
What the runs of benchmarks/imbalance.py allow one to say: every treatment under several priors,
beside cross-entropy with the same seeds.

A network trained with seed s is compared with the baseline of seed s on the same images. Each
resample of the bootstrap holds the same images and seeds for every line.
"""

import functools
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from benchmarks.runs import Runs, key_of
from training.data import LABELS
from training.evaluation.bootstrap import Bootstrap, Comparison, Estimate, holm
from training.evaluation.metrics import classification_metrics
from training.treatments.register import BASELINE

MEASURES = ("accuracy", "balanced_accuracy", "macro_f1", "recall_disgust")
OF_IMBALANCE = MEASURES[1:]
LEARNED, TRAIN, UNIFORM = "learned", "train", "uniform"  # priors, as the models' option names them
TAUS = np.linspace(0, 1, 21)  # of the curves, from the training's prior to equal shares
CHOSEN_TAUS = np.linspace(0, 1, 9)


class Line(NamedTuple):
    """
    A line of the table: a treatment's networks under one prior.

    own: whether it is the class distribution that the training taught.
    """

    treatment: str
    prior: str
    own: bool


@dataclass
class Networks:
    """
    A treatment's networks of S seeds.

    logits: (S, N, C). train, learned: (S, C), class shares of the training split and those that the
    training taught. development: for each seed logits (M, C) and labels (M,) of its development
    split; empty where they were not kept.
    """

    logits: np.ndarray
    train: np.ndarray
    learned: np.ndarray
    development: Sequence[tuple[np.ndarray, np.ndarray]] = ()

    @property
    def learns_another_prior(self) -> bool:
        return not np.allclose(self.learned, self.train, rtol=1e-4)

    def shift(self, tau: float) -> np.ndarray:
        """(S, C), from the logits to a prior of the training's shares to the power of 1 - tau."""
        return (1 - tau) * np.log(self.train) - np.log(self.learned)

    def predicted(self, tau: float | None = None) -> np.ndarray:
        """(S, N) class ids, under the own prior or that of `shift`."""
        logits = self.logits if tau is None else self.logits + self.shift(tau)[:, None]
        return logits.argmax(axis=2)

    def chosen_tau(self) -> float | None:
        """The tau of the best macro-F1 on the development splits, of `CHOSEN_TAUS`, or None."""
        if not self.development:
            return None

        def macro_f1(tau: float) -> float:
            return np.mean(
                [
                    _metrics((logits + shift).argmax(axis=1), labels)["macro_f1"]
                    for (logits, labels), shift in zip(self.development, self.shift(tau))
                ]
            )

        return float(max(CHOSEN_TAUS, key=macro_f1))


def _metrics(predicted: np.ndarray, labels: np.ndarray) -> dict:
    return classification_metrics(predicted, labels, LABELS, bootstrap=0)


def common_seeds(runs: Runs) -> list[int]:
    """The baseline's seeds that most rows have; a row that lacks one is left out of the table."""
    times = Counter(run["seed"] for of_row in runs.values() for run in of_row)
    return [run["seed"] for run in runs[BASELINE] if times[run["seed"]] > len(runs) / 2]


def with_seeds(runs: Runs, seeds: Sequence[int]) -> Runs:
    """The rows that have all of these seeds, with these alone."""
    chosen = {row: [run for run in of_row if run["seed"] in seeds] for row, of_row in runs.items()}
    return {row: of_row for row, of_row in chosen.items() if len(of_row) == len(seeds)}


def networks_of(of_row: Sequence[Mapping], arrays: Mapping[str, np.ndarray]) -> Networks:
    """Those of a treatment's runs. arrays: `read_logits` of the experiment."""
    keys = [key_of(run) for run in of_row]
    development = [
        (
            arrays[f"{key}.development"].astype(np.float32),
            arrays[f"{key}.development_labels"].astype(np.int64),
        )
        for key in keys
        if f"{key}.development" in arrays
    ]
    return Networks(
        np.stack([arrays[key] for key in keys]).astype(np.float32),
        np.array([run["train_distribution"] for run in of_row]),
        np.array([run["learned_distribution"] for run in of_row]),
        development if len(development) == len(keys) else (),
    )


class Treatments:
    """
    The table of treatments.

    Args:
        runs: by row, with the same seeds each, the baseline among them.
        arrays: `read_logits` of the experiment.
        bootstrap: over its images.

    Attributes:
        networks: by row. lines: line -> measure -> estimate, the baseline's first.
        comparison: of the lines with the baseline.
    """

    def __init__(self, runs: Runs, arrays: Mapping[str, np.ndarray], bootstrap: Bootstrap):
        self.runs = {BASELINE: runs[BASELINE]} | runs
        self.seeds = [run["seed"] for run in runs[BASELINE]]
        self.networks = {row: networks_of(of_row, arrays) for row, of_row in self.runs.items()}
        self.bootstrap = bootstrap.over_seeds(len(self.seeds))
        predicted = {
            line: ids for row in self.networks for line, ids in self._predicted(row).items()
        }
        self.lines = {line: self.bootstrap.measures(ids) for line, ids in predicted.items()}
        self.comparison = Comparison(self.lines, MEASURES)

    def _predicted(self, row: str) -> dict[Line, np.ndarray]:
        """A row's lines, with (S, N) predictions each."""
        networks = self.networks[row]
        differs = networks.learns_another_prior
        lines = {Line(row, LEARNED if differs else TRAIN, True): networks.predicted()}
        if differs:
            lines[Line(row, TRAIN, False)] = networks.predicted(0)
        if row == BASELINE:  # what takes no training
            lines[Line(row, "tau 0.5", False)] = networks.predicted(0.5)
            lines[Line(row, UNIFORM, False)] = networks.predicted(1)
        if (tau := networks.chosen_tau()) is not None:
            lines[Line(row, f"tau {tau:g}, chosen", False)] = networks.predicted(tau)
        return lines

    @property
    def own(self) -> dict[str, Line]:
        """The line of each row under the prior that its training taught."""
        return {line.treatment: line for line in self.lines if line.own}

    @functools.cached_property
    def curve(self) -> dict[str, np.ndarray]:
        """The baseline's measures (T, 1 + B) at each of `TAUS`."""
        networks = self.networks[BASELINE]
        points = [self.bootstrap.resampled(networks.predicted(tau)) for tau in TAUS]
        return {name: np.stack([point[name] for point in points]) for name in points[0]}

    def curve_of(self, row: str) -> dict[str, np.ndarray]:
        """A row's measures (T,) at each of `TAUS`, over all images and seeds."""
        networks = self.networks[row]
        points = [self.bootstrap.values(networks.predicted(tau)) for tau in TAUS]
        return {name: np.array([point[name] for point in points]) for name in points[0]}

    @functools.cached_property
    def above(self) -> dict[tuple[Line, str], Estimate]:
        """Of every line that took a training, how far it lies above the baseline's curve."""
        return {
            (line, measure): above_curve(estimates, self.curve, measure)
            for line, estimates in self.lines.items()
            if line.treatment != BASELINE
            for measure in OF_IMBALANCE
        }

    @functools.cached_property
    def above_by_more_than_chance(self) -> set[tuple[Line, str]]:
        """Those of `above`, or below, that Holm's correction over all of them leaves."""
        return holm({key: lead.p for key, lead in self.above.items()})

    def best(self, measure: str, *, trained: bool = True) -> Line | None:
        """The line with the highest value of those that took a training, or of those that did not,
        beside the baseline's own; None if there is none."""
        lines = [line for line in self.comparison.others if trained == (line.treatment != BASELINE)]
        return max(lines, key=lambda line: self.lines[line][measure].value, default=None)


def above_curve(
    line: Mapping[str, Estimate], curve: Mapping[str, np.ndarray], measure: str
) -> Estimate:
    """
    How far a line lies above what the baseline's prior shift reaches without a training: its
    measure less the curve's highest at no less accuracy, or, where the line is more accurate than
    the whole curve, at the curve's most accurate point.
    """
    accuracy = np.append(line["accuracy"].value, line["accuracy"].resamples)  # (1 + B,)
    value = np.append(line[measure].value, line[measure].resamples)
    reachable = curve["accuracy"] >= np.minimum(accuracy, curve["accuracy"].max(axis=0))  # (T, .)
    without_training = np.where(reachable, curve[measure], -np.inf).max(axis=0)
    return Estimate(float((value - without_training)[0]), (value - without_training)[1:])
