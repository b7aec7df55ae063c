"""The pictures of benchmarks/imbalance.py."""

from collections.abc import Callable, Mapping
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402
import numpy as np  # noqa: E402

from training.data import LABELS  # noqa: E402
from training.treatments.register import BASELINE  # noqa: E402

DPI = 200
MARKERS = "osD^vP*Xph<>d"


def plot_curve(
    path: Path,
    runs: Mapping[str, list[dict]],
    found: Mapping[str, Mapping],
    curve: Mapping[str, np.ndarray],
    title: Callable[[str], str],
) -> None:
    """Accuracy against balanced accuracy and recall of disgust, with the baseline's prior shift."""
    figure, panels = plt.subplots(1, 2, figsize=(12, 6.4), layout="constrained")
    colors = plt.get_cmap("tab20").colors
    for axes, measure in zip(panels, ("balanced_accuracy", "recall_disgust")):
        axes.plot(
            curve[measure][:, 0], curve["accuracy"][:, 0], color="#555555", lw=2, zorder=1,
            label="prior shift of the cross-entropy network, tau 0 to 2",
        )  # fmt: skip
        for i, (name, one) in enumerate(found.items()):
            style = {"color": colors[i % 20], "marker": MARKERS[i % len(MARKERS)], "ls": "none"}
            for run in runs.get(name, []):
                axes.plot(run[f"eval_{measure}"], run["eval_accuracy"], ms=4, alpha=0.45, **style)
            axes.plot(one[measure].value, one["accuracy"].value, ms=10, mec="black", mew=0.8,
                      zorder=3, label=title(name), **style)  # fmt: skip
        axes.set_xlabel(measure.replace("_", " ").replace("recall", "recall of"))
        axes.grid(alpha=0.3)
    panels[0].set_ylabel("accuracy")
    handles, names = panels[0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside lower center", ncols=3, fontsize=9, frameon=False)
    figure.suptitle("Small: a run; large: mean over seeds. Up and to the right is better.",
                    fontsize=10)  # fmt: skip
    figure.savefig(path, dpi=DPI)
    plt.close(figure)


def plot_paper(
    path: Path,
    runs: Mapping[str, list[dict]],
    paper: Mapping[str, float],
    title: Callable[[str], str],
) -> None:
    """One dot for a run, one line for the paper's figure."""
    figure, axes = plt.subplots(figsize=(8, 0.6 * len(runs) + 1.6), layout="constrained")
    for row, (name, found) in enumerate(runs.items()):
        for key, face in (("eval_accuracy", "#0072B2"), ("eval_accuracy_without_copies", "none")):
            seen = [run[key] for run in found if key in run]
            axes.plot(seen, [row] * len(seen), "o", color="#0072B2", mfc=face, ms=7, alpha=0.8,
                      label={"eval_accuracy": "a run"}.get(key, "without copies")
                      if row == 0 else None)  # fmt: skip
        if name in paper:
            axes.plot([paper[name]] * 2, [row - 0.35, row + 0.35], color="#D55E00", lw=3,
                      label="the paper" if row == 0 else None)  # fmt: skip
    axes.set_yticks(range(len(runs)), [title(name) for name in runs])
    axes.invert_yaxis()
    axes.set_xlabel("accuracy on the test part")
    axes.grid(axis="x", alpha=0.3)
    axes.legend(fontsize=9)
    figure.savefig(path, dpi=DPI)
    plt.close(figure)


def plot_confusions(
    path: Path, runs: Mapping[str, list[dict]], title: Callable[[str], str]
) -> None:
    """Each row's confusion matrix, shares of the true class, averaged over seeds."""
    columns = min(4, len(runs))
    rows = -(-len(runs) // columns)
    figure, panels = plt.subplots(
        rows, columns, figsize=(3.2 * columns, 3.4 * rows), layout="constrained", squeeze=False
    )
    for axes in panels.flat[len(runs) :]:
        axes.axis("off")
    for axes, (name, found) in zip(panels.flat, runs.items()):
        counts = np.array([run["eval_confusion_matrix"] for run in found], dtype=float)
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
    plt.close(figure)
