"""The pictures of benchmarks/imbalance.py."""

from collections.abc import Mapping
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from benchmarks.imbalance_paper import PAPER_ACCURACY
from benchmarks.imbalance_rows import title
from benchmarks.imbalance_statistics import TRAIN, Treatments
from training.data import LABELS
from training.evaluation.bootstrap import measure_title
from training.treatments.register import BASELINE

DPI = 200
MARKERS = "osD^vP*Xph<>d"


def plot_treatments(path: Path, treatments: Treatments) -> None:
    """
    Accuracy against balanced accuracy and macro-F1: every treatment under the prior that it
    learned (filled) and under the training's (hollow), the baseline's prior shift as a line.
    """
    figure = Figure(figsize=(12, 6.8), layout="constrained")
    panels, colors = figure.subplots(1, 2), matplotlib.colormaps["tab20"].colors
    for axes, measure in zip(panels, ("balanced_accuracy", "macro_f1")):
        curve = treatments.curve
        low, high = np.quantile(curve[measure][:, 1:], [0.025, 0.975], axis=1)
        axes.fill_betweenx(curve["accuracy"][:, 0], low, high, color="#555555", alpha=0.12, lw=0)
        axes.plot(
            curve[measure][:, 0], curve["accuracy"][:, 0], color="#555555", lw=2, zorder=1,
            label="prior shift of the cross-entropy network (95 % interval)",
        )  # fmt: skip
        for i, row in enumerate(treatments.runs):
            style = {"color": colors[i % 20], "marker": MARKERS[i % len(MARKERS)]}
            points = [
                estimates
                for line, estimates in treatments.lines.items()
                if line.treatment == row and (line.own or line.prior == TRAIN)
            ]
            x, y = ([point[name].value for point in points] for name in (measure, "accuracy"))
            axes.plot(x, y, ms=9, mfc="white", lw=0.8, zorder=2, **style)
            axes.plot(x[:1], y[:1], ms=9, mec="black", mew=0.8, ls="none", zorder=3,
                      label=title(row), **style)  # fmt: skip
        axes.set_xlabel(measure_title(measure))
        axes.grid(alpha=0.3)
    panels[0].set_ylabel("accuracy")
    handles, names = panels[0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside lower center", ncols=3, fontsize=9, frameon=False)
    figure.suptitle(
        "Means over seeds, as learned (filled) and under the training's prior (hollow)", fontsize=10
    )
    figure.savefig(path, dpi=DPI)


def plot_paper(path: Path, runs: Mapping[str, list[dict]]) -> None:
    """One dot for a run, one line for the paper's figure."""
    figure = Figure(figsize=(8, 0.6 * len(runs) + 1.6), layout="constrained")
    axes = figure.subplots()
    for y, (row, of_row) in enumerate(runs.items()):
        for key, face, label in (
            ("eval_accuracy", "#0072B2", "a run"),
            ("eval_accuracy_without_copies", "none", "without copies"),
        ):
            accuracies = [run[key] for run in of_row]
            axes.plot(accuracies, [y] * len(of_row), "o", color="#0072B2", mfc=face, ms=7,
                      alpha=0.8, label=label if y == 0 else None)  # fmt: skip
        axes.plot([PAPER_ACCURACY[row]] * 2, [y - 0.35, y + 0.35], color="#D55E00", lw=3,
                  label="the paper" if y == 0 else None)  # fmt: skip
    axes.set_yticks(range(len(runs)), [title(name) for name in runs])
    axes.invert_yaxis()
    axes.set_xlabel("accuracy on the test part")
    axes.grid(axis="x", alpha=0.3)
    axes.legend(fontsize=9)
    figure.savefig(path, dpi=DPI)


def plot_confusions(path: Path, runs: Mapping[str, list[dict]]) -> None:
    """Each row's confusion matrix, shares of the true class, averaged over seeds."""
    columns = min(4, len(runs))
    rows = -(-len(runs) // columns)
    figure = Figure(figsize=(3.2 * columns, 3.4 * rows), layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False)
    for axes in panels.flat[len(runs) :]:
        axes.axis("off")
    for axes, (name, of_row) in zip(panels.flat, runs.items()):
        counts = np.array([run["eval_confusion_matrix"] for run in of_row], dtype=float)
        share = (counts / np.maximum(counts.sum(axis=2, keepdims=True), 1)).mean(axis=0)
        axes.imshow(share, cmap="cividis", vmin=0, vmax=1)
        for (row, column), value in np.ndenumerate(share):
            color = "black" if value > 0.55 else "white"
            axes.text(column, row, f"{value:.2f}"[1:] if value < 0.995 else "1", ha="center",
                      va="center", color=color, fontsize=7)  # fmt: skip
        axes.set_xticks(range(len(LABELS)), LABELS, rotation=60, ha="right", fontsize=7)
        axes.set_yticks(range(len(LABELS)), LABELS, fontsize=7)
        axes.set_title(title(name), fontsize=8, fontweight="bold" if name == BASELINE else None)
    figure.supxlabel("predicted", fontsize=9)
    figure.supylabel("label", fontsize=9)
    figure.savefig(path, dpi=DPI)
