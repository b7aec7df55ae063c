"""The probabilities of each followed person over time, as CSV and as a plot."""

import csv
import logging
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from .colors import colors
from .lettering import drawn
from .output import BOX, csv_cell, readable
from .video import Frame

try:
    from matplotlib import rc_context
    from matplotlib.figure import Figure
except ImportError:  # the CSV is written without it
    Figure = None

logger = logging.getLogger(__name__)

MOST_PANELS = 8
LINES = ("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color")
GROUNDS = ("figure.facecolor", "axes.facecolor", "legend.facecolor")
STYLE = dict.fromkeys(LINES, "#767676") | dict.fromkeys(GROUNDS, "none")  # for white and for dark


class Timeline:
    """
    Rows of person, time and smoothed probabilities: written as CSV while they come, plotted at the
    end.

    Args:
        path: of the CSV; the plot lies beside it as .png.
        label_names: all classes of the model, in their order.
    """

    def __init__(self, path: Path, label_names: Sequence[str]):
        self.path, self.labels = path, list(label_names)
        self.curves: dict[int, list[tuple[float, list[float]]]] = {}
        path.parent.mkdir(parents=True, exist_ok=True)
        self.file = path.open("w", newline="")
        self.rows = csv.writer(self.file, lineterminator="\n")
        self.rows.writerow(
            ["time", "frame", "person", *BOX, "label", "score", "uncertain"]
            + [csv_cell(label) for label in self.labels]
            + [f"raw_{readable(label)}" for label in self.labels]
        )

    def add(self, frame: Frame, faces: Sequence[dict]) -> None:
        for face in faces:
            shares = [face["scores"][label] for label in self.labels]
            self.curves.setdefault(face["person"], []).append((frame.time, shares))
            self.rows.writerow(
                [f"{frame.time:.3f}", frame.number, face["person"]]
                + [face["box"][edge] for edge in BOX]
                + [csv_cell(face["label"]), f"{face['score']:.4f}", face["uncertain"]]
                + [f"{share:.4f}" for share in shares]
                + [f"{face['raw_scores'][label]:.4f}" for label in self.labels]
            )

    def summary(self) -> list[str]:
        """A line for each person: the seconds in which they were seen, and each label's share."""
        lines = []
        for person, curve in self.curves.items():
            times, shares = zip(*curve)
            seconds = (times[-1] - times[0]) * len(times) / max(1, len(times) - 1)
            counts = Counter(self.labels[int(np.argmax(each))] for each in shares)
            parts = [f"{label} {n / len(times):.0%}" for label, n in counts.most_common()]
            lines.append(f"Person {person}, {seconds:.1f} seconds: {', '.join(parts)}")
        return lines or ["No face was found."]

    def end(self, title: str) -> list[Path]:
        """
        Closes the CSV; draws a panel for each of the people seen longest. The paths of CSV and
        plot, the latter only of somebody and with matplotlib.
        """
        self.file.close()
        if not self.curves:
            return [self.path]
        if Figure is None:
            logger.warning(f"No plot of {self.path}: it needs pip install matplotlib.")
            return [self.path]
        with rc_context(STYLE):
            self._plot(title)
        return [self.path, self.path.with_suffix(".png")]

    def _plot(self, title: str) -> None:
        people = sorted(self.curves, key=lambda person: -len(self.curves[person]))[:MOST_PANELS]
        count = len(people)
        figure = Figure(figsize=(5, 1.2 + 1.1 * count), layout="constrained")  # as wide as a phone
        panels = figure.subplots(count, 1, sharex=True, squeeze=False)[:, 0]
        names = [*drawn(tuple(self.labels)).values()]
        fills = [*colors(self.labels, on_white=True).values()]
        for axes, person in zip(panels, sorted(people)):
            times, shares = zip(*self.curves[person])
            axes.stackplot(times, np.transpose(shares), labels=names, colors=fills)
            axes.set(ylabel=f"person {person}", ylim=(0, 1))
        panels[0].legend(
            ncols=min(4, len(self.labels)), loc="lower center", bbox_to_anchor=(0.5, 1.0),
            fontsize=8,
        )  # fmt: skip
        panels[-1].set_xlabel("seconds")
        figure.suptitle(readable(title), fontsize=10)
        figure.savefig(self.path.with_suffix(".png"), dpi=200)
