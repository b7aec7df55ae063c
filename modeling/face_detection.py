"""Finds the faces in a photo."""

import contextlib
import copy
import logging
import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from .warn_once import warn_once
from .yunet_onnx import OnnxYuNet

try:
    import cv2
except ImportError:  # detector="none" works without it
    cv2 = None

logger = logging.getLogger(__name__)

YUNET = "face_detection_yunet.onnx"  # the name of its file, in a model's folder and beside this one
LEAST_SIDE = 16  # pixels; what is smaller tells nothing of an expression
CLOSE_UP_SIDE = 256  # pixels; where no face is found, at this size again, with room around it


@dataclass(frozen=True)
class Face:
    """
    Attributes:
        box: left, top, right, bottom in pixels of the photo; may reach over its border.
        score: of the detector, in [0, 1].
        detector: "yunet" or "haar".
        angle: by which the line of the eyes falls to the right, degrees; 0 if eyes are not known.
    """

    box: tuple[float, float, float, float]
    score: float
    detector: str
    angle: float = 0.0

    @property
    def side(self) -> float:
        left, top, right, bottom = self.box
        return max(right - left, bottom - top)


class DetectionError(RuntimeError):
    """A detector failed on a photo."""


class YuNet:
    """
    Wu et al., "YuNet: A Tiny Millisecond-level Face Detector", 2023, by ONNX Runtime or OpenCV.

    Args:
        path: of a YuNet file.
        threshold: least score of a face, in [0, 1].

    Photos of more than `largest_side` pixels are searched in a smaller copy, in which faces below
    `least_face` pixels are seldom found. Photos below `smallest_side` are padded with black:
    OpenCV runs the network on memory that it never wrote where one of its grids is a single row or
    column (32 px and less).
    """

    largest_side = 1280
    smallest_side = 64
    least_face = 16

    def __init__(self, path: str | Path, threshold: float):
        self._made_of = Path(path).resolve(), threshold
        self.network = _yunet_network(path, threshold)

    def __reduce__(self) -> tuple:  # networks cannot be copied: a copy is made anew
        return YuNet, self._made_of

    def __copy__(self) -> "YuNet":  # for another thread
        return self if isinstance(self.network, OnnxYuNet) else YuNet(*self._made_of)

    def __call__(self, photo: np.ndarray) -> list[Face]:
        """photo: uint8 (H, W, 3) BGR."""
        below, right = (max(0, self.smallest_side - length) for length in photo.shape[:2])
        if below or right:
            photo = cv2.copyMakeBorder(photo, 0, below, 0, right, cv2.BORDER_CONSTANT)
        self.network.setInputSize((photo.shape[1], photo.shape[0]))
        _, rows = self.network.detect(photo)
        return [self._face(row) for row in (() if rows is None else rows)]

    @staticmethod
    def _face(row: np.ndarray) -> Face:
        """row: (15,) x, y, width, height, x and y of both eyes (left in the picture first), ..."""
        x, y, width, height, x1, y1, x2, y2 = map(float, row[:8])
        angle = math.degrees(math.atan2(y2 - y1, x2 - x1))
        return Face((x, y, x + width, y + height), min(float(row[-1]), 1.0), "yunet", angle)


def _yunet_network(path: str | Path, threshold: float) -> "OnnxYuNet | cv2.FaceDetectorYN":
    """ONNX Runtime's, or OpenCV's, which takes some three times as long, with a warning."""
    try:
        network = OnnxYuNet(path, threshold)
        if network.any_size:
            return network
        reason = f"{path} takes pictures of a single size"
    except ImportError as error:
        reason = str(error)
    try:
        network = cv2.FaceDetectorYN.create(str(path), "", (320, 320), threshold, 0.3, 5000)
    except cv2.error as error:
        raise ValueError(f"{path}: cannot be read as YuNet ({error.err}).") from None
    warn_once(logger, f"OpenCV finds the faces, more slowly than ONNX Runtime would: {reason}.")
    return network


class Haar:
    """
    Viola & Jones, "Rapid object detection using a boosted cascade of simple features", 2001, with
    the cascade that OpenCV 4 carries. It finds frontal faces only, and no eyes. Its weights w > 0
    become scores 1 - exp(-w / 2); they are no probabilities. In large photos it sees faces where
    there are none, hence the smaller `largest_side`.
    """

    largest_side = 640
    least_face = 24

    def __init__(self, threshold: float):
        self.threshold = threshold
        path = Path(getattr(getattr(cv2, "data", None), "haarcascades", "")) / (
            "haarcascade_frontalface_default.xml"
        )
        if not path.is_file():
            raise ValueError(
                f"OpenCV {cv2.__version__} carries no Haar cascades; version 4 does "
                "(pip install 'opencv-python-headless<5'). Or pass detector_path, a YuNet file."
            )
        self.cascade = cv2.CascadeClassifier(str(path))

    def __reduce__(self) -> tuple:
        return Haar, (self.threshold,)

    def __call__(self, photo: np.ndarray) -> list[Face]:
        """photo: uint8 (H, W, 3) BGR."""
        grey = cv2.equalizeHist(cv2.cvtColor(photo, cv2.COLOR_BGR2GRAY))
        boxes, _, weights = self.cascade.detectMultiScale3(
            grey,
            scaleFactor=1.1,
            minNeighbors=5,
            minSize=(self.least_face,) * 2,
            outputRejectLevels=True,
        )
        faces = [
            Face(tuple(map(float, (x, y, x + w, y + h))), 1 - math.exp(-max(weight, 0) / 2), "haar")
            for (x, y, w, h), weight in zip(boxes, np.ravel(weights))
        ]
        return [face for face in faces if face.score >= self.threshold]


def make_detector(name: str, path: str | Path | None, threshold: float) -> YuNet | Haar | None:
    """
    The detector called `name`, one of `DETECTORS`; None for "none". "auto" is YuNet.

    Args:
        path: of YuNet's file. None where there is none, for which "auto" takes Haar, with a
            warning.

    Raises:
        ImportError: OpenCV is missing.
        ValueError: unknown name, no YuNet file or an unreadable one, or no Haar cascade.
    """
    if name == "none":
        return None
    if cv2 is None:
        raise ImportError(
            "Finding faces needs OpenCV: pip install 'opencv-python-headless<5'. With "
            'detector="none" each image is taken as one tight face.'
        )
    if name == "haar":
        return Haar(threshold)
    if path is not None:
        if not Path(path).is_file():
            raise ValueError(f"detector_path {path}: no such file.")
        return YuNet(path, threshold)
    missing = f"There is no {YUNET} beside the model's weights"
    if name == "yunet":
        raise ValueError(f"{missing}: copy it there, give detector_path, or take detector haar.")
    logger.warning(
        f"{missing}; finding faces by OpenCV's Haar cascade, which misses turned and small ones. "
        "Copy it there, or give detector_path."
    )
    return Haar(threshold)


class Detectors:
    """
    As many detectors with the same settings as threads search at the same time: OpenCV's hold the
    photo that they search, so each serves a single thread at a time. ONNX Runtime's serves all.

    Args: of `make_detector`.

    Attributes:
        kind: "YuNet", "Haar", or "none".
    """

    def __init__(self, name: str, path: str | Path | None, threshold: float):
        self._first = make_detector(name, path, threshold)
        self._idle = [self._first]
        self.kind = "none" if self._first is None else type(self._first).__name__

    @contextlib.contextmanager
    def borrow(self) -> Iterator[YuNet | Haar | None]:
        """A detector that nobody else uses meanwhile; None for "none"."""
        try:
            detector = self._idle.pop()  # a list's pop and append need no lock
        except IndexError:
            detector = copy.copy(self._first)
        yield detector
        self._idle.append(detector)  # not reached after an error: that one is not used again


def find_faces(
    photo: np.ndarray, detector: YuNet | Haar, min_face_size: float, tiles: bool = False
) -> list[Face]:
    """
    Args:
        photo: uint8 (H, W, 3) RGB. detector: of `make_detector`.
        min_face_size: longer side of the smallest faces that matter, in pixels of the photo.
        tiles: whether photos larger than the detector's `largest_side` are also searched in their
            own resolution, tile by tile. If not, a warning says once which faces are missed.

    Returns:
        Faces of at least `LEAST_SIDE` pixels, from left to right. A photo without one is searched
        once more as a close-up, so that a face that fills the picture, as FER-2013's do, is found.

    Raises:
        DetectionError: the detector fails on this photo.
    """
    bgr = cv2.cvtColor(photo, cv2.COLOR_RGB2BGR)  # as OpenCV's detectors expect
    side, faces = max(photo.shape[:2]), []
    if side > CLOSE_UP_SIDE:
        scale = min(1.0, detector.largest_side / side)
        faces = _search(bgr, detector, scale, 0)
        if tiles and scale < 1:
            faces = _merged(faces, _search_tiles(bgr, detector, detector.least_face / scale))
        elif detector.least_face / scale > 2 * min_face_size:
            share = round(detector.largest_side / detector.least_face)
            warn_once(
                logger,
                f"In photos larger than {detector.largest_side} px, faces below 1/{share} of the "
                f"longer side ({6000 // share} px of 6000) are seldom found, although "
                f"min_face_size={min_face_size} admits them. tiles=True finds them and takes "
                "about ten times as long; a larger min_face_size ends this warning.",
            )
    if not faces:
        faces = _search(bgr, detector, CLOSE_UP_SIDE / side, CLOSE_UP_SIDE // 4)
    return sorted((face for face in faces if face.side >= LEAST_SIDE), key=lambda f: f.box)


def _search(bgr: np.ndarray, detector: YuNet | Haar, scale: float, margin: int) -> list[Face]:
    """Searches a copy `scale` times as large with `margin` pixels around it."""
    height, width = bgr.shape[:2]
    if scale != 1:
        size = [max(1, round(length * scale)) for length in bgr.shape[1::-1]]
        bgr = cv2.resize(bgr, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)
    if margin:
        bgr = cv2.copyMakeBorder(bgr, margin, margin, margin, margin, cv2.BORDER_REPLICATE)
    try:
        faces = detector(bgr)
    except (cv2.error, MemoryError, RuntimeError) as error:
        raise DetectionError(
            f"the face detector {type(detector).__name__} fails on it ({error})."
        ) from None
    boxes = [tuple((edge - margin) / scale for edge in face.box) for face in faces]
    faces = [replace(face, box=box) for face, box in zip(faces, boxes)]
    return [face for face in faces if _is_in(face, height, width)]


def _search_tiles(bgr: np.ndarray, detector: YuNet | Haar, missed: float) -> list[Face]:
    """missed: side in pixels from which the search of the smaller copy has found the faces."""
    tile, faces = detector.largest_side, []
    overlap = min(tile // 2, math.ceil(1.5 * missed))  # such a face is whole in one of them
    height, width = bgr.shape[:2]
    for y in _starts(height, tile, overlap):
        for x in _starts(width, tile, overlap):
            part = np.ascontiguousarray(bgr[y : y + tile, x : x + tile])
            for face in _search(part, detector, 1, 0):
                left, top, right, bottom = np.add(face.box, (x, y, x, y)).tolist()
                cut = (
                    (x > 0 and left <= x)
                    or (y > 0 and top <= y)
                    or (x + tile < width and right >= x + tile)
                    or (y + tile < height and bottom >= y + tile)
                )
                if not cut:
                    faces.append(replace(face, box=(left, top, right, bottom)))
    return faces


def _starts(length: int, tile: int, overlap: int) -> list[int]:
    """Where tiles begin that cover `length` evenly."""
    count = max(1, math.ceil((length - overlap) / (tile - overlap)))
    return [round(place) for place in np.linspace(0, max(0, length - tile), count)]


def _merged(faces: list[Face], more: list[Face]) -> list[Face]:
    """`faces`, and those of `more` that share less than 0.4 of the smaller box with another."""
    kept = list(faces)
    for face in sorted(more, key=lambda face: -face.score):
        if all(_shared(face.box, other.box) < 0.4 for other in kept):
            kept.append(face)
    return kept


def _shared(box: tuple, other: tuple) -> float:
    """The share of the smaller box that lies in the other, in [0, 1]."""
    width = min(box[2], other[2]) - max(box[0], other[0])
    height = min(box[3], other[3]) - max(box[1], other[1])
    areas = [(right - left) * (bottom - top) for left, top, right, bottom in (box, other)]
    return max(0.0, width) * max(0.0, height) / min(areas)


def _is_in(face: Face, height: int, width: int) -> bool:
    """Whether its box is finite, shares pixels with the photo and is not far larger than it."""
    left, top, right, bottom = face.box
    return (
        all(map(math.isfinite, (*face.box, face.score, face.angle)))
        and max(left, 0) < min(right, width)
        and max(top, 0) < min(bottom, height)
        and face.side <= 2 * max(height, width)
    )
