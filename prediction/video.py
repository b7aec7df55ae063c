"""Frames of videos and webcams, read and written by OpenCV."""

import contextlib
import logging
import os
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import cv2
import numpy as np

from .container import is_cut
from .output import readable
from .sources import is_pipe, is_recording, is_stream, is_url

os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")  # a damaged frame is not the reader's affair
logger = logging.getLogger(__name__)

RETRIES = 5  # in a row, of a live source that drops
RETRY_AFTER = 1.0  # seconds
MOST_LOST = 10_000  # damaged frames in a row
_ONE_AT_A_TIME = threading.Lock()


class VideoError(ValueError):
    """A video or webcam that cannot be read; the message names it."""


@dataclass
class Frame:
    """number: from 0. time: seconds. photo: uint8 (H, W, 3) RGB."""

    number: int
    time: float
    photo: np.ndarray


class Video:
    """
    Every `every`-th frame of a video file or of a live source, which is a stream or a webcam by its
    number or device file. Files may come through a pipe or from the web.

    A live source that drops is opened again, up to `RETRIES` times in a row, with a warning. In a
    file, damaged frames are passed over. A file from a server that only sends it from its start
    to its end is downloaded, within the limits of photos.

    Attributes:
        name: the source without passwords and tokens. stem: a short name for files.
        live: whether frames are dated by the clock; otherwise they have the file's timestamps.
        rate: frames per second, skipped ones included; 30 where the file's rate is unbelievable, as
            in a browser's recording.
        length: how many frames will come; None if the file does not say.
        problem: after the last frame, why there are no more although there should be, or how many
            were lost; or None.

    Raises:
        VideoError: it cannot be opened, or, at the end, not a single frame could be read.
    """

    def __init__(self, source: str | int, every: int):
        self.source, self.every, self.problem = source, every, None
        self.lost = 0  # frames, so far
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
        # a browser's recording does not say how many frames it has, yet it ends
        endless = is_url(source) and not self.frames and not is_recording(source)
        self.live = is_stream(source) or endless

    def _open(self) -> bool:
        with _quiet():  # VideoError says it in one line
            self.capture = cv2.VideoCapture(self.source)
        return self.capture.isOpened()

    def __iter__(self) -> Iterator[Frame]:
        number, seconds, started = 0, -1 / self.rate, time.monotonic()
        try:
            while (lost := self._grab(number)) is not None:
                number, self.lost = number + lost, self.lost + lost
                if self.live:
                    seconds = time.monotonic() - started
                else:
                    timestamp = self.capture.get(cv2.CAP_PROP_POS_MSEC) / 1000
                    # it stays 0 in bare streams of pictures
                    seconds = timestamp if timestamp > seconds else seconds + 1 / self.rate
                if number % self.every == 0:
                    good, picture = self.capture.retrieve()
                    if good:
                        yield Frame(number, seconds, cv2.cvtColor(picture, cv2.COLOR_BGR2RGB))
                    elif not self.live:
                        self.lost += 1
                number += 1
                if self.lost:
                    self.problem = self._incomplete("damaged", number, number)
        finally:
            self.capture.release()
        if number == 0:
            is_piped = isinstance(self.source, str) and is_pipe(self.source)
            raise VideoError(
                f"{self.name}: holds no frame that OpenCV can read."
                + " An MP4 with its index at the end needs to be a file, no pipe." * is_piped
            )
        if self.lost or not self.live and is_cut(self.source):
            why = "cut short" if is_cut(self.source) else "damaged"
            self.problem = self._incomplete(why, number, self.frames)

    def _incomplete(self, why: str, number: int, total: int) -> str:
        read = number - self.lost
        of = f" of {max(total, number)}" if max(total, number) > read else ""
        return f"The file is {why}: {read}{of} frames could be read."

    def _grab(self, number: int) -> int | None:
        """How many frames before the next one are damaged; None: there is no next one."""
        if not self.live:
            lost = self._pass_over(number)
            if lost is None and number == 0 and is_recording(self.source):
                self._download()
                lost = self._pass_over(number)
            return lost
        if self.capture.grab():
            return 0
        if number == 0:
            return None
        for attempt in range(1, RETRIES + 1):
            logger.warning(
                f"{self.name}: dropped after {number} frames; trying again, {attempt} of {RETRIES}."
            )
            self.capture.release()
            time.sleep(RETRY_AFTER)
            if self._open() and self.capture.grab():
                return 0
        self.problem = f"Dropped after {number} frames; {RETRIES} tries did not bring it back."
        return None

    def _pass_over(self, number: int) -> int | None:
        """`_grab` of a file. OpenCV answers alike at a damaged frame and at the end."""
        left = max(1, self.frames - number) if self.frames else MOST_LOST
        tries = range(min(left, MOST_LOST))
        return next((lost for lost in tries if self.capture.grab()), None)

    def _download(self) -> None:
        from . import modeling  # a Space, which reads no URLs, has none

        try:
            content = modeling.photo_reading.download(self.source)
        except modeling.photo_reading.PhotoError as error:
            raise VideoError(str(error).replace(self.source, self.name)) from None
        with tempfile.NamedTemporaryFile() as file:
            file.write(content)
            file.flush()
            capture = cv2.VideoCapture(file.name)  # open, it needs no name any more
            self.capture.release()
            self.capture = capture


def _names(source: str | int) -> tuple[str, str]:
    """`Video.name` and `Video.stem`."""
    if isinstance(source, int):
        return f"webcam {source}", "webcam"
    if not is_url(source):
        return source, Path(source).stem
    parts = urlsplit(source)
    shown = urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))
    return shown, Path(parts.path).stem or parts.hostname or "stream"


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Nothing reaches the screen: OpenCV's C code warns about codecs past Python's stderr."""
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
    """A video that is written frame by frame; it has the size of the first one."""

    CODECS = {".webm": "VP80"}  # browsers play it, and OpenCV's wheels can write it

    def __init__(self, path: Path, rate: float):
        self.path, self.rate, self.frames = path, rate, 0
        self.writer = self.last = None

    def add(self, picture: np.ndarray, seconds: float) -> None:
        """
        Args:
            picture: uint8 (H, W, 3) RGB.
            seconds: when it is shown. The picture before it is repeated until then; at this file's
                rate, a second picture for the same moment is left out.

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
