"""The figures of a run, each as PNG and as SVG: confusion matrix, class distribution, curves."""

import functools
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from matplotlib.font_manager import findfont
from matplotlib.ft2font import FT2Font
from matplotlib.ticker import MaxNLocator
from transformers.utils import logging

from ..data import RunData

matplotlib.use("Agg")  # needs no display
matplotlib.rcParams["svg.hashsalt"] = "fer-efficientnet"  # the same figure gives the same file
matplotlib.rcParams["text.parse_math"] = False  # $ in somebody's names is a dollar

logger = logging.get_logger(__name__)

# Okabe & Ito: safe for colour-blind readers
BLUE, ORANGE, GREEN, GREY = "#0072B2", "#E69F00", "#009E73", "#999999"
LONGEST_NAME = 22  # letters of a class's name that fit beside an axis
CELLS_WITH_COUNTS, CELLS_WITH_SHARES = 12, 24  # most classes of which cells are labelled so
BARS_WITH_COUNTS = 60


def plot_confusion_matrix(
    path: Path, confusion: Sequence[Sequence[int]], label_names: Sequence[str], title: str
) -> None:
    """
    Rows are true classes; the colour is the share of the row, the number the count, if any. Where
    classes are too many for numbers, the colours stand alone.
    """
    label_names = _drawn(tuple(label_names))
    counts, number = np.asarray(confusion), len(label_names)
    share = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    side = 6 * max(1, number / 14) ** 0.5  # inches
    figure, axes = plt.subplots(figsize=(side + 1, side), layout="constrained")
    image = axes.imshow(share, cmap="cividis", vmin=0, vmax=1)
    for row, column in zip(*counts.nonzero()) if number <= CELLS_WITH_SHARES else ():
        color = "black" if share[row, column] > 0.55 else "white"
        text = f"{share[row, column]:.2f}".replace("0.00", "<0.01")
        if number <= CELLS_WITH_COUNTS:
            text += f"\n{counts[row, column]:,}"
        size = 9 if number <= 8 else 6
        axes.text(column, row, text, ha="center", va="center", color=color, fontsize=size)
    axes.set_xticks(range(number), _short(label_names), rotation=35 if number <= 12 else 90)
    if number <= 12:
        plt.setp(axes.get_xticklabels(), ha="right")
    axes.set_yticks(range(number), _short(label_names))
    axes.tick_params(labelsize=_tick_size(number))
    axes.set(xlabel="predicted", ylabel="label", title=title)
    figure.colorbar(image, ax=axes, label="share of the class")
    _save(figure, path)


@functools.cache
def _drawn(label_names: tuple[str, ...]) -> list[str]:
    """The names; of those with letters that the font lacks, the number, which a line explains."""
    letters = FT2Font(findfont("DejaVu Sans")).get_charmap()
    numbers = {
        name: f"class {number}"
        for number, name in enumerate(label_names, 1)
        if not all(ord(letter) in letters for letter in name)
    }
    if numbers:
        named = ", ".join(f"{number} is {name}" for name, number in numbers.items())
        logger.warning(f"Figures have numbers for names that cannot be drawn: {named}")
    return [numbers.get(name, name) for name in label_names]


def _short(label_names: Sequence[str]) -> list[str]:
    most = LONGEST_NAME
    return [name if len(name) <= most else f"{name[: most - 1].rstrip()}…" for name in label_names]


def _tick_size(number: int) -> float:
    """Points, for so many class names beside an axis."""
    return 10 if number <= 12 else max(5, 10 - number / 12)


def plot_class_distribution(
    path: Path, data: RunData, label_names: Sequence[str], model_name: str
) -> None:
    """The images of each class: training before and after sampling, and the evaluation split."""
    bars = {
        f"evaluation ({data.eval_split})": (
            np.bincount(data.eval.labels, minlength=len(label_names)),
            GREY,
        )
    }
    if data.train_counts is not None:
        if data.record["sampling"] == "none":
            bars = {"training": (data.train_counts, BLUE)} | bars
        else:
            after = data.seen_counts.numpy().round().astype(int)
            name = f"training, after sampling ({data.record['sampling']})"
            bars = {
                "training, before sampling": (data.counts_before, BLUE),
                name: (after, ORANGE),
            } | bars
    label_names = _drawn(tuple(label_names))
    number = len(label_names)
    figure, axes = plt.subplots(figsize=(max(8, number / 4), 4.5), layout="constrained")
    width = 0.85 / len(bars)
    for i, (name, (counts, color)) in enumerate(bars.items()):
        left = np.arange(number) + (i - (len(bars) - 1) / 2) * width
        container = axes.bar(left, counts, width, color=color)
        container.set_label(f"{name}: {int(np.sum(counts)):,} images")
        if number * len(bars) <= BARS_WITH_COUNTS:
            axes.bar_label(container, fmt="{:,.0f}", fontsize=7, rotation=90, padding=3)
    if number <= 12:  # some 90 letters fit in a line
        names = [textwrap.fill(name, max(6, 90 // number)) for name in label_names]
    else:
        names = _short(label_names)
        axes.tick_params(axis="x", labelrotation=90)
    axes.set_xticks(range(number), names)
    axes.tick_params(axis="x", labelsize=_tick_size(number))
    axes.margins(x=0.05 if number <= 12 else 0.01, y=0.12)
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    axes.yaxis.set_major_formatter("{x:,.0f}")
    axes.set(ylabel="images", title=f"{model_name}: class distribution")
    figure.legend(loc="outside lower center", ncols=2, fontsize=8)
    _save(figure, path)


def plot_training_curves(path: Path, history: Sequence[Mapping], model_name: str) -> None:
    """Losses; beside them, if the run evaluated, accuracy and macro-F1; by epoch."""
    logged = {key for entry in history for key in entry}
    mean = {} if "loss" in logged else {"train_loss": ("training, mean of the run", BLUE)}
    panels = {
        "Loss": {
            **mean,
            "loss": ("training", BLUE),
            "eval_loss": ("evaluation (cross-entropy)", ORANGE),
        },
        "Evaluation": {
            "eval_accuracy": ("accuracy", BLUE),
            "eval_macro_f1": ("macro-F1", ORANGE),
            "eval_balanced_accuracy": ("balanced accuracy", GREEN),
        },
    }
    last = max((entry["epoch"] for entry in history), default=0)
    if not logged & {*panels["Evaluation"]}:
        del panels["Evaluation"]
    figure, row = plt.subplots(
        1, len(panels), figsize=(4.5 * len(panels), 3.8), layout="constrained", squeeze=False
    )
    for axes, (title, keys) in zip(row.flat, panels.items()):
        for key, (name, color) in keys.items():
            points = [(entry["epoch"], entry[key]) for entry in history if key in entry]
            if points:
                marker = "o" if len(points) < 30 else None
                axes.plot(*zip(*points), color=color, label=name, marker=marker, markersize=3)
        axes.set(xlabel="epoch", title=title)
        axes.grid(alpha=0.3)
        axes.xaxis.set_major_locator(MaxNLocator(8, integer=last >= 2))
        if axes.lines:
            axes.legend(fontsize=8)
    figure.suptitle(model_name)
    _save(figure, path)


def _save(figure: Figure, path: Path) -> None:
    figure.savefig(path, dpi=200)
    figure.savefig(path.with_suffix(".svg"), metadata={"Date": None})
    plt.close(figure)
