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
from typing import BinaryIO
from urllib.parse import urlsplit, urlunsplit

os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")  # a damaged frame is not the reader's affair

import cv2  # noqa: E402
import matplotlib  # noqa: E402
import numpy as np  # noqa: E402
from transformers.utils import logging  # noqa: E402

matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402

from .annotation import colors  # noqa: E402
from .output import BOX, csv_cell, readable  # noqa: E402

logger = logging.get_logger(__name__)

RETRIES = 5  # in a row, of a live source that drops
RETRY_AFTER = 1.0  # seconds
VIDEO_SUFFIXES = {
    *(".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm", ".mpg", ".mpeg", ".wmv", ".3gp"),
}
STREAM_SCHEMES = {"rtsp", "rtsps", "rtmp", "rtmps", "rtp", "udp", "tcp", "srt", "mms"}
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
    Every `every`-th frame of a video file, or of a live source: a webcam by its number or device
    file, or a stream. Files may come through a pipe or from the web.

    A live source that drops is opened again, up to `RETRIES` times in a row, with a warning.

    Attributes:
        name: the source without passwords and tokens. stem: the same, short, for file names.
        live: whether frames are dated by the clock; else they have the file's own timestamps.
        rate: frames a second, those passed over included; 30 where the file's is unbelievable, as
            that of a browser's recording.
        length: frames that are looked at, as far as the file tells; None where it does not.
        problem: after the last frame, why there are no more although there should be; or None.

    Raises:
        VideoError: it cannot be opened, or, at the end, not a single frame could be read.
    """

    def __init__(self, source: str | int, every: int):
        self.source, self.every, self.problem = source, every, None
        self.name, self.stem = _names(source)
        if self.name != readable(self.name):  # OpenCV would end the process by SIGSEGV
            raise VideoError(
                f"{self.name}: OpenCV reads no file whose name is not UTF-8; rename it."
            )
        if not self._open():
            raise VideoError(f"{self.name}: OpenCV cannot open it as a video.")
        rate = self.capture.get(cv2.CAP_PROP_FPS)
        self.rate = rate if 1 <= rate <= 480 else 30.0
        self.frames = max(0, int(self.capture.get(cv2.CAP_PROP_FRAME_COUNT)))
        self.length = -(-self.frames // every) if self.frames else None
        # A recording of a browser has an end although it does not tell its number of frames.
        endless = is_url(source) and not self.frames and not is_recording(source)
        self.live = is_stream(source) or endless

    def _open(self) -> bool:
        with _quiet():  # VideoError says it, in one line
            self.capture = cv2.VideoCapture(self.source)
        return self.capture.isOpened()

    def __iter__(self) -> Iterator[Frame]:
        number, seconds, started = 0, -1 / self.rate, time.monotonic()
        try:
            while self._grab(number):
                if self.live:
                    seconds = time.monotonic() - started
                else:
                    told = self.capture.get(cv2.CAP_PROP_POS_MSEC) / 1000
                    # bare streams of pictures have no timestamps: told stays 0
                    seconds = told if told > seconds else seconds + 1 / self.rate
                if number % self.every == 0:
                    good, picture = self.capture.retrieve()
                    if good:
                        yield Frame(number, seconds, cv2.cvtColor(picture, cv2.COLOR_BGR2RGB))
                number += 1
        finally:
            self.capture.release()
        if number == 0:
            raise VideoError(f"{self.name}: holds no frame that OpenCV can read.")
        if not self.live and is_cut(self.source):
            of = f" of {self.frames}" if self.frames > number else ""
            self.problem = f"The file is cut short: {number}{of} frames could be read."

    def _grab(self, number: int) -> bool:
        if self.capture.grab():
            return True
        if not self.live or number == 0:
            return False
        for attempt in range(1, RETRIES + 1):
            logger.warning(
                f"{self.name}: dropped after {number} frames; trying again, {attempt} of {RETRIES}."
            )
            self.capture.release()
            time.sleep(RETRY_AFTER)
            if self._open() and self.capture.grab():
                return True
        self.problem = f"Dropped after {number} frames; {RETRIES} tries did not bring it back."
        return False


def is_recording(url: str) -> bool:
    """Whether it is a file of frames by the suffix of its path."""
    return Path(urlsplit(url).path).suffix.lower() in VIDEO_SUFFIXES


def is_url(source: str | int) -> bool:
    return isinstance(source, str) and "://" in source


def is_stream(source: str | int) -> bool:
    """Whether it has no end of its own: a webcam, a device, or the address of a stream."""
    if isinstance(source, int):
        return True
    if is_url(source):
        return urlsplit(source).scheme.lower() in STREAM_SCHEMES
    return Path(source).is_char_device()


def _names(source: str | int) -> tuple[str, str]:
    if isinstance(source, int):
        return f"webcam {source}", "webcam"
    if not is_url(source):
        return source, Path(source).stem
    parts = urlsplit(source)
    shown = urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))
    return shown, Path(parts.path).stem or parts.hostname or "stream"


def is_cut(path: str) -> bool:
    """
    Whether an MP4, MOV, AVI, MKV or WebM file ends before the end that its container declares.
    (Counts of frames do not tell: those of MKV are guessed from the duration.)
    """
    if not Path(path).is_file():
        return False
    with open(path, "rb") as file:
        length = os.fstat(file.fileno()).st_size
        return _declared(file, length) > length


def _declared(file: BinaryIO, length: int) -> int:
    """Bytes that the container's outermost parts take; 0 for an unknown container."""
    start = file.read(12)
    end = 0
    if start[4:8] in (b"ftyp", b"moov", b"mdat", b"wide", b"free"):
        while end + 8 <= length:
            file.seek(end)
            size, kind = int.from_bytes(file.read(4), "big"), file.read(4)
            if size == 1:  # too large for 32 bits
                size = int.from_bytes(file.read(8), "big")
            # 0 is up to the end of the file; cameras append things of their own
            if size < 8 or (end + size > length and kind not in (b"mdat", b"moov", b"moof")):
                return 0
            end += size
    elif start[:4] == b"RIFF":
        while end + 8 <= length:
            file.seek(end)
            if file.read(4) != b"RIFF":
                break
            end += 8 + int.from_bytes(file.read(4), "little")
    elif start[:4] == b"\x1a\x45\xdf\xa3":
        file.seek(4)
        header = _ebml_size(file)
        file.seek(header, os.SEEK_CUR)
        if file.read(4) == b"\x18\x53\x80\x67":
            end = _ebml_size(file)
            end += file.tell() if end else 0
    return end


def _ebml_size(file: BinaryIO) -> int:
    """0 where it is unknown, as in a recording that was never finished."""
    first = (file.read(1) or b"\0")[0]
    more = 8 - first.bit_length()
    bits = 7 * (more + 1)
    size = int.from_bytes(bytes([first]) + file.read(more), "big") & ((1 << bits) - 1)
    return 0 if size == (1 << bits) - 1 else size


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
        self.path, self.rate, self.frames = path, rate, 0
        self.writer = self.last = None

    def add(self, picture: np.ndarray, seconds: float) -> None:
        """
        Args:
            picture: uint8 (H, W, 3) RGB.
            seconds: when it is to be seen. The picture before it is repeated up to then; a second
                picture of the same moment, as of this file's rate, is left out.

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
        place, bgr = round(seconds * self.rate), cv2.cvtColor(picture, cv2.COLOR_RGB2BGR)
        if self.last is None:
            self.last = bgr
        while self.frames <= place:
            self.writer.write(bgr if self.frames == place else self.last)
            self.frames += 1
        self.last = bgr

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
            fills = colors(self.labels).values()
            fills = ["#BBBBBB" if color == "#FFFFFF" else color for color in fills]
            axes.stackplot(times, np.transpose(shares), labels=self.labels, colors=fills)
            axes.set(ylabel=f"person {person}", ylim=(0, 1))
        if people:
            panels[0, 0].legend(
                ncols=min(8, len(self.labels)), loc="lower center", bbox_to_anchor=(0.5, 1.0),
                fontsize=8,
            )  # fmt: skip
        else:
            panels[0, 0].text(0.5, 0.5, "no face", ha="center", transform=panels[0, 0].transAxes)
        panels[-1, 0].set_xlabel("seconds")
        figure.suptitle(readable(title), fontsize=10)
        figure.savefig(self.path.with_suffix(".png"), dpi=200)
        plt.close(figure)
        return self.path.with_suffix(".png")
