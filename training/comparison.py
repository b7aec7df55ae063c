"""Finished runs side by side, from the predictions that they saved: what compare.py does."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib
import numpy as np
import yaml
from matplotlib.figure import Figure
from scipy.special import softmax

from .evaluation.bootstrap import Bootstrap, Comparison, measure_title
from .evaluation.metrics import expected_calibration_error
from .evaluation.predictions import Predictions, read_predictions
from .markdown import markdown_table

MEASURES = ("accuracy", "balanced_accuracy", "macro_f1")
FILES = ("predictions.csv", "all_results.json", "run.yaml")
SEEN = 2.8  # standard errors: a true difference of that size shows in four samples of five


@dataclass
class Run:
    """A finished run. data: fingerprint of its data. split: that it was evaluated on."""

    folder: Path
    data: str
    split: str
    predictions: Predictions

    @property
    def label_names(self) -> list[str]:
        return self.predictions.label_names

    def __str__(self) -> str:
        return (
            f"{self.folder} (data {self.data[:12]}, {self.split} split, {len(self.label_names)} "
            f"classes, {len(self.predictions.labels):,} images)"
        )


def read_run(folder: Path) -> Run:
    """Raises SystemExit unless it is a finished run with predictions."""
    if missing := [name for name in FILES if not (folder / name).is_file()]:
        raise SystemExit(
            f"compare.py: {folder}: {', '.join(missing)} missing; expected the output folder of "
            "train.py with --save_predictions (with --evaluate_only, of a saved model)."
        )
    return Run(
        folder,
        yaml.safe_load((folder / "run.yaml").read_text())["data_fingerprint"],
        json.loads((folder / "all_results.json").read_text())["eval_split"],
        read_predictions(folder / "predictions.csv"),
    )


def shared_rows(runs: Sequence[Run]) -> list[np.ndarray]:
    """
    The rows of the images that all runs have, for each run, in the same order.

    Raises:
        SystemExit: two runs are of other data, another split or other classes.
    """
    first = runs[0]
    for other in runs[1:]:
        same = [(run.data, run.split, run.label_names) for run in (first, other)]
        rows = _rows([first, other])
        labels = [run.predictions.labels[of_run] for run, of_run in zip((first, other), rows)]
        if same[0] != same[1] or not len(rows[0]) or not np.array_equal(*labels):
            raise SystemExit(
                "compare.py: expected runs that were evaluated on the same images of the same "
                f"data, but found {first} and {other}."
            )
    return _rows(runs)


def _rows(runs: Sequence[Run]) -> list[np.ndarray]:
    places = [_places(run.predictions.images) for run in runs]
    shared = [key for key in places[0] if all(key in other for other in places[1:])]
    return [np.array([of_run[key] for key in shared], int) for of_run in places]


def _places(images: Sequence[str]) -> dict[tuple[str, int], int]:
    """(image, how often it stood before) -> row."""
    before: Counter = Counter()
    places = {}
    for row, image in enumerate(images):
        places[image, before[image]] = row
        before[image] += 1
    return places


def names_of(folders: Sequence[Path]) -> list[str]:
    """The folders' own names, or their paths where two are the same."""
    names = [folder.resolve().name for folder in folders]
    return names if len({*names}) == len(names) else [str(folder) for folder in folders]


def compare(folders: Sequence[Path], output_dir: Path) -> str:
    """Writes compare.md and compare.png; the text."""
    runs, names = [read_run(folder) for folder in folders], names_of(folders)
    rows = shared_rows(runs)
    labels, classes = runs[0].predictions.labels[rows[0]], runs[0].label_names
    predicted = {
        name: run.predictions.predicted[of_run] for name, run, of_run in zip(names, runs, rows)
    }
    logits = {name: run.predictions.logits[of_run] for name, run, of_run in zip(names, runs, rows)}
    ece = {
        name: expected_calibration_error(softmax(of_run, axis=1), labels)
        for name, of_run in logits.items()
    }
    bootstrap = Bootstrap(labels, classes)
    estimates = {name: bootstrap.measures(ids[None]) for name, ids in predicted.items()}
    counts = {name: n for name, n in zip(classes, np.bincount(labels, minlength=len(classes))) if n}
    overall = Comparison(estimates, MEASURES)
    recalls = Comparison(estimates, [f"recall_{name}" for name in counts])
    images = f"{len(labels):,} images of the {runs[0].split} split"
    text = "\n\n".join(
        [
            overall_table(overall, ece),
            f"Recall of each class:\n\n{recalls_table(recalls, counts)}",
            f"Over {images} that all runs share. Brackets: 95 % bootstrap intervals over images; "
            f"in parentheses the paired difference to {names[0]}, bold where Holm's correction "
            "over its table confirms it at 5 %. ECE: without interval.",
            what_could_be_seen(predicted, labels),
        ]
    )
    output_dir.mkdir(parents=True, exist_ok=True)
    (output_dir / "compare.md").write_text(f"{text}\n")
    plot(output_dir / "compare.png", [overall, recalls], images)
    return text


def overall_table(comparison: Comparison, ece: Mapping[str, float]) -> str:
    rows = [
        [name, *(comparison.cell(name, measure) for measure in MEASURES), f"{ece[name]:.3f}"]
        for name in comparison.rows
    ]
    return markdown_table(["run", *map(measure_title, MEASURES), "ECE"], rows)


def recalls_table(comparison: Comparison, counts: Mapping[str, int]) -> str:
    """A row for each class that has images."""
    rows = [
        [
            label,
            f"{count:,}",
            *(comparison.cell(name, f"recall_{label}") for name in comparison.rows),
        ]
        for label, count in counts.items()
    ]
    return markdown_table(["class", "images", *comparison.rows], rows)


def what_could_be_seen(predicted: Mapping[str, np.ndarray], labels: np.ndarray) -> str:
    """
    The size of a difference in accuracy that images in this number would show.

    From the share of the images on which one of two runs is right and the other wrong, counted
    with one image more, since even runs that agree on a few images differ on others.
    """
    first, *others = [ids == labels for ids in predicted.values()]
    n = len(labels)
    share = (max((first != other).sum() for other in others) + 1) / (n + 1)
    least = min(1.0, SEEN * (share / n) ** 0.5)
    return (
        f"What {n:,} images can show: runs that disagree as much as these must differ by about "
        f"{least:.3f} in accuracy to be told apart in four of five such samples. Of a smaller "
        "difference, this comparison shows neither that it is there nor that it is not; and "
        "another seed may change it."
    )


def plot(path: Path, comparisons: Sequence[Comparison], images: str) -> None:
    """Each measure's difference to the first run, filled where it is confirmed."""
    baseline, *others = comparisons[0].rows
    places = [(of, measure) for of in comparisons for measure in of.measures]
    height = 1.6 + len(places) * (0.2 + 0.14 * len(others))
    with matplotlib.rc_context({"text.parse_math": False}):  # $ in somebody's names is a dollar
        figure = Figure(figsize=(9, height), layout="constrained")
        axes = figure.subplots()
        axes.axvline(0, color="#555555", lw=1)
        for number, name in enumerate(others):
            color = matplotlib.colormaps["tab10"](number % 10)
            for row, (comparison, measure) in enumerate(places):
                change = comparison.differences[name, measure]
                y = row + (number - (len(others) - 1) / 2) * 0.7 / len(others)
                confirmed = (name, measure) in comparison.confirmed
                axes.plot(change.interval, [y, y], color=color, lw=1.5)
                axes.plot(change.value, y, "o", color=color, ms=6, label=None if row else name,
                          mfc=color if confirmed else "white")  # fmt: skip
        axes.set_yticks(range(len(places)), [measure_title(measure) for _, measure in places])
        axes.invert_yaxis()
        axes.grid(axis="x", alpha=0.3)
        axes.set_xlabel(f"difference to {baseline}, 95 % interval; filled: confirmed")
        figure.legend(loc="outside upper left", ncols=3, frameon=False)
        axes.set_title(f"Over {images}", fontsize=10)
        figure.savefig(path, dpi=200)
