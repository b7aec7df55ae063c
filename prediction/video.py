"""Faces followed through a video: one person keeps one id and a smoothed curve."""

import contextlib
import csv
import math
import os
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")  # a damaged frame is not the reader's affair

import cv2  # noqa: E402
import matplotlib  # noqa: E402
import numpy as np  # noqa: E402

matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402

from .annotation import COLORS  # noqa: E402
from .output import BOX, csv_cell, readable  # noqa: E402

LEAST_OVERLAP = 0.3  # intersection over union of a face's boxes in two looked-at frames
PATIENCE = 1.0  # seconds a person may be out of sight
SMOOTHING = 0.5  # seconds; time constant of the exponential mean of the probabilities


class VideoError(ValueError):
    """A video or webcam that cannot be read; the message names it."""


@dataclass
class Frame:
    """number: from 0. time: seconds. photo: uint8 (H, W, 3) RGB."""

    number: int
    time: float
    photo: np.ndarray


@dataclass
class Person:
    """A face followed: last seen where and when, and its smoothed probabilities."""

    id: int
    box: dict
    time: float
    scores: dict[str, float]


class Video:
    """
    Every `every`-th frame of a video file, or of a webcam by its number.

    Attributes:
        rate: frames a second, those passed over included; 30 where the file's is unbelievable, as
            that of a browser's recording.
        length: frames that are looked at; None where it is not known.

    Raises:
        VideoError: it cannot be opened, or, at the end, not a single frame could be read.
    """

    def __init__(self, source: str | int, every: int):
        self.name = f"webcam {source}" if isinstance(source, int) else source
        self.every, self.live = every, isinstance(source, int)
        if self.name != readable(self.name):  # OpenCV would end the process by SIGSEGV
            raise VideoError(
                f"{self.name}: OpenCV reads no file whose name is not UTF-8; rename it."
            )
        with _quiet():  # VideoError says it, in one line
            self.capture = cv2.VideoCapture(source)
        if not self.capture.isOpened():
            raise VideoError(f"{self.name}: OpenCV cannot open it as a video.")
        rate = self.capture.get(cv2.CAP_PROP_FPS)
        self.rate = rate if 1 <= rate <= 120 else 30.0
        frames = int(self.capture.get(cv2.CAP_PROP_FRAME_COUNT))
        self.length = -(-frames // every) if frames > 0 else None

    def __iter__(self) -> Iterator[Frame]:
        number, started = 0, time.monotonic()
        try:
            while self.capture.grab():
                if number % self.every == 0:
                    seconds = time.monotonic() - started if self.live else number / self.rate
                    good, picture = self.capture.retrieve()
                    if good:
                        yield Frame(number, seconds, cv2.cvtColor(picture, cv2.COLOR_BGR2RGB))
                number += 1
        finally:
            self.capture.release()
        if number == 0:
            raise VideoError(f"{self.name}: holds no frame that OpenCV can read.")


def overlap(one: dict, other: dict) -> float:
    """Intersection over union of two boxes, in [0, 1]."""
    width = min(one["xmax"], other["xmax"]) - max(one["xmin"], other["xmin"])
    height = min(one["ymax"], other["ymax"]) - max(one["ymin"], other["ymin"])
    shared = max(0, width) * max(0, height)
    areas = [(box["xmax"] - box["xmin"]) * (box["ymax"] - box["ymin"]) for box in (one, other)]
    return shared / max(1, sum(areas) - shared)


@dataclass
class Follower:
    """
    Gives each face the id of the person whose box it overlaps most, or a new one.

    (Greedy matching by overlap: trackers with motion models are for people who cross; faces in
    front of a camera seldom do, and no further package is needed.)

    Args:
        uncertain_below: the config's, applied to smoothed scores; None: no face is uncertain.
    """

    uncertain_below: float | None
    people: list[Person] = field(default_factory=list)
    known: int = 0

    def follow(self, faces: Sequence[dict], now: float) -> list[dict]:
        """Faces of the pipeline -> the same with `person`, and label and scores smoothed."""
        self.people = [person for person in self.people if now - person.time <= PATIENCE]
        pairs = sorted(
            ((overlap(person.box, face["box"]), i, j)
             for i, person in enumerate(self.people) for j, face in enumerate(faces)),
            reverse=True,
        )  # fmt: skip
        matched: dict[int, Person] = {}
        for share, i, j in pairs:
            taken = any(self.people[i] is person for person in matched.values())
            if share >= LEAST_OVERLAP and j not in matched and not taken:
                matched[j] = self.people[i]
        return [self._seen(face, matched.get(j), now) for j, face in enumerate(faces)]

    def _seen(self, face: dict, person: Person | None, now: float) -> dict:
        if person is None:
            self.known += 1
            person = Person(self.known, face["box"], now, face["scores"])
            self.people.append(person)
        keep = math.exp(-(now - person.time) / SMOOTHING) if now > person.time else 0.0
        person.scores = {
            label: keep * person.scores[label] + (1 - keep) * share
            for label, share in face["scores"].items()
        }
        person.box, person.time = face["box"], now
        label = max(person.scores, key=person.scores.get)
        score = person.scores[label]
        return face | {
            "person": person.id,
            "label": label,
            "score": score,
            "scores": person.scores,
            "uncertain": score < (self.uncertain_below or 0),
        }


_ONE_AT_A_TIME = threading.Lock()


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """OpenCV warns of codecs from C, past Python's stderr: nothing reaches the screen meanwhile."""
    with _ONE_AT_A_TIME, open(os.devnull, "wb") as nowhere:
        before = cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
        stderr = os.dup(2)
        os.dup2(nowhere.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)
            cv2.utils.logging.setLogLevel(before)


class VideoFile:
    """A video that frames are written into; opened at the first one, whose size it takes."""

    CODECS = {".webm": "VP80"}  # what browsers play, of what OpenCV's wheels write

    def __init__(self, path: Path, rate: float):
        self.path, self.rate, self.writer, self.frames = path, rate, None, 0

    def add(self, picture: np.ndarray, seconds: float = 0.0) -> None:
        """
        Args:
            picture: uint8 (H, W, 3) RGB.
            seconds: when it was taken, of a live picture: it is repeated up to then, so that the
                file plays as fast as it was.

        Raises:
            VideoError: the file cannot be written.
        """
        if self.writer is None:
            size = (picture.shape[1], picture.shape[0])
            codec = cv2.VideoWriter.fourcc(*self.CODECS[self.path.suffix])
            with _quiet():
                self.writer = cv2.VideoWriter(str(self.path), codec, self.rate, size)
            if not self.writer.isOpened():
                raise VideoError(f"{self.path}: OpenCV cannot write this video.")
        for _ in range(max(1, round(seconds * self.rate) - self.frames)):
            self.writer.write(cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
            self.frames += 1

    def end(self) -> None:
        if self.writer is not None:
            self.writer.release()


class Timeline:
    """Rows of person, time and smoothed probabilities, as CSV while they come and as a plot."""

    def __init__(self, path: Path, label_names: Sequence[str]):
        """path: of the CSV; the plot lies beside it as .png."""
        self.path, self.labels = path, list(label_names)
        self.curves: dict[int, list[tuple[float, list[float]]]] = {}
        path.parent.mkdir(parents=True, exist_ok=True)
        self.file = path.open("w", newline="")
        self.rows = csv.writer(self.file, lineterminator="\n")
        self.rows.writerow(
            ["time", "frame", "person", *BOX, "label", "score", "uncertain"]
            + [csv_cell(label) for label in self.labels]
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
            )

    def end(self, title: str) -> Path:
        """Closes the CSV and draws a panel for each person, the longest seen first. Its path."""
        self.file.close()
        people = sorted(self.curves, key=lambda person: -len(self.curves[person]))[:8]
        figure, panels = plt.subplots(
            max(1, len(people)), 1, figsize=(10, 1 + 2 * max(1, len(people))), sharex=True,
            squeeze=False, layout="constrained",
        )  # fmt: skip
        for axes, person in zip(panels[:, 0], sorted(people)):
            times, shares = zip(*self.curves[person])
            colors = [COLORS.get(label, "#888888") for label in self.labels]
            colors = ["#BBBBBB" if color == "#FFFFFF" else color for color in colors]
            axes.stackplot(times, np.transpose(shares), labels=self.labels, colors=colors)
            axes.set(ylabel=f"person {person}", ylim=(0, 1))
        if people:
            panels[0, 0].legend(ncols=7, loc="lower center", bbox_to_anchor=(0.5, 1.0), fontsize=8)
        else:
            panels[0, 0].text(0.5, 0.5, "no face", ha="center", transform=panels[0, 0].transAxes)
        panels[-1, 0].set_xlabel("seconds")
        figure.suptitle(readable(title), fontsize=10)
        figure.savefig(self.path.with_suffix(".png"), dpi=110)
        plt.close(figure)
        return self.path.with_suffix(".png")
