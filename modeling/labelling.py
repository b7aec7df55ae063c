"""
Photos -> faces, their labels and what is asked for beside, whatever runs the network. No torch:
what runs the network is a subclass's, and everything else is here, once.
"""

import logging
import math
import numbers
import os
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from .calibration import Calibrated, are_several, checked_priors, side_of
from .face_cropping import crop_face, face_pixels
from .face_detection import DetectionError, Detectors, Face, find_faces
from .names import DETECTORS
from .photo_reading import MAX_PIXELS, PILLOWS_LIMIT, PhotoError, is_array, read_photo
from .pixels import resize

logger = logging.getLogger(__name__)
_making = threading.Lock()  # one thread makes a detector, and warns

MOST_DETECTORS = 8  # settings of which detectors are kept
MAX_HELD = 2**28  # bytes of photos that wait for their faces, where photos are asked for
DEFAULTS = {
    "detector": "auto",
    "detector_path": None,
    "detection_threshold": 0.7,
    "min_face_size": 24,
    "tiles": False,
    "prior": None,
    "tta": False,
    "explain": False,
    "crop": False,
    "photo": False,
    "on_error": "raise",
    "allow_private_urls": True,
    "max_pixels": MAX_PIXELS,
}


@dataclass(frozen=True)
class FaceInput:
    """What the network takes: side in pixels, channels, and their mean and deviation in [0, 1]."""

    side: int
    channels: int
    mean: Sequence[float]
    std: Sequence[float]

    def normalize(self, pixels: np.ndarray) -> np.ndarray:
        """(C, H, W) in [0, 255] -> float32, normalised as by the image processor."""
        mean, std = (np.float32(each)[:, None, None] for each in (self.mean, self.std))
        return pixels * (1 / (255 * std)) - mean / std


@dataclass
class _Photo:
    """A photo on its way through the network. The pixels of photo and crops only if asked for."""

    failed: bool = False
    photo: np.ndarray | None = None  # (H, W, 3)
    faces: list[dict] = field(default_factory=list)
    crops: list[np.ndarray] = field(default_factory=list)  # (side, side, 3) each
    pixel_values: list[np.ndarray] = field(default_factory=list)  # (C, side, side) each


class FaceLabeller:
    """
    Base of the facial-emotion pipeline and of `FacialEmotion`, the same without torch. A subclass
    has `_preprocess_params` (its own options) and `_batch_size`, and defines `config`,
    `face_input`, `_yunet_file` and `_raw_logits`.
    """

    PhotoError = PhotoError  # for those who have the class by remote code

    _preprocess_params: dict[str, Any]
    _batch_size: int | None

    @property
    def config(self) -> Calibrated:
        raise NotImplementedError

    @property
    def face_input(self) -> FaceInput:
        raise NotImplementedError

    def _yunet_file(self) -> Path | None:
        raise NotImplementedError

    def _raw_logits(
        self, pixel_values: np.ndarray, explain: bool
    ) -> tuple[np.ndarray, Callable[[Sequence[int]], np.ndarray] | None]:
        """
        pixel_values float32 (N, C, H, W) -> logits (N, classes), before temperature and prior; and
        to explain, what gives heat maps (N, H, W) of a class for each face.
        """
        raise NotImplementedError

    def __getstate__(self) -> dict:  # copied or pickled, it makes its detectors anew
        return self.__dict__ | {"_detectors": {}}

    def __call__(self, inputs: Any, batch_size: int | None = None, **options: Any):
        """
        Args:
            inputs: a photo (path, URL, bytes, binary file object, `PIL.Image`, array (H, W),
                (H, W, C) or (C, H, W)), or a list, generator, `datasets` column or other iterable
                of photos. None and NaN are photos that cannot be read.

        Returns:
            The faces of the photo from left to right, `[]` without one; with `photo=True`, the pair
            of photo and faces. For a list, a list of these; for any other iterable, an iterator
            that holds a batch at a time. A face is a dict of

            - `box`: xmin, ymin, xmax, ymax in pixels of the upright photo; `face_score`: of the
              detector
            - `label`, its probability `score`, and `scores`, the probability of each class
            - `uncertain`: whether `score` is below what the config's calibration asks of a face of
              this size, or the face is smaller than `min_face_size`
            - if asked for, `crop`: uint8 (side, side, 3), the upright face that was classified, in
              the photo's resolution; to explain, with `heatmap`: float32 (side, side) in [0, 1],
              Grad-CAM of `label`
            - for several priors, `by_prior`: of each one given by name, a dict of `label`, `score`,
              `scores`, `uncertain` and, to explain, `heatmap`

            With `on_error="skip"`, None stands for the faces, and in a pair for the photo too.

        Raises:
            PhotoError: a photo cannot be read or searched; the message names it.
            ValueError: an option is unknown or out of range.
        """
        options = DEFAULTS | self._preprocess_params | self._checked(options)
        if batch_size is None:
            batch_size = 32 if self._batch_size is None else self._batch_size
        if not (isinstance(batch_size, numbers.Integral) and batch_size > 0):
            raise ValueError(f"batch_size must be a whole number above 0, but it is {batch_size}.")
        if _is_single(inputs):
            return next(self._stream([inputs], batch_size, options))
        answers = self._stream(inputs, batch_size, options)
        return list(answers) if isinstance(inputs, (list, tuple)) else answers

    def read(self, source: Any, name: str | None = None) -> np.ndarray:
        """
        A photo as a call reads it, with the same limits -> upright uint8 (H, W, 3).

        Args:
            source: as of a call. name: what errors call it.

        Raises:
            PhotoError: it cannot be read.
        """
        options = DEFAULTS | self._preprocess_params
        return read_photo(source, name, options["allow_private_urls"], options["max_pixels"])

    @property
    def detector(self) -> str:
        """What finds the faces: "YuNet", "Haar" or "none"; made now if it was not yet."""
        return self._detectors_for(DEFAULTS | self._preprocess_params).kind

    def _checked(self, options: dict) -> dict:
        """
        Raises:
            ValueError: an option is unknown or out of range.
        """
        if unknown := set(options) - set(DEFAULTS):
            raise ValueError(
                f"Unknown option {', '.join(sorted(unknown))}; known are {', '.join(DEFAULTS)} and "
                "batch_size."
            )
        given = DEFAULTS | options
        checks = {
            "detector": (given["detector"] in DETECTORS, f"one of {', '.join(DETECTORS)}"),
            "detection_threshold": (_within(given["detection_threshold"], 0, 1), "in [0, 1]"),
            "min_face_size": (_within(given["min_face_size"], 0, math.inf), "at least 0"),
            "on_error": (given["on_error"] in ("raise", "skip"), "raise or skip"),
            "max_pixels": (_within(given["max_pixels"], 1, PILLOWS_LIMIT), f"1 to {PILLOWS_LIMIT}"),
        }
        for name in ("tiles", "tta", "explain", "crop", "photo", "allow_private_urls"):
            checks[name] = (isinstance(given[name], (bool, np.bool_)), "True or False")
        for name, (valid, what) in checks.items():
            if not valid:
                raise ValueError(f"{name} must be {what}, but it is {given[name]!r}.")
        self._prior_shifts(given["prior"])  # raises ValueError
        return options

    def _check_classes(self) -> None:
        """Raises ValueError for a model of another kind than one label out of several."""
        labels, problem = self.config.num_labels, self.config.problem_type
        if labels < 2 or problem in ("multi_label_classification", "regression"):
            raise ValueError(
                "The facial-emotion pipeline expects one label out of several, but the config has "
                f"problem_type {problem!r} and num_labels {labels}. "
                'pipeline("image-classification") takes one tight face and any of these.'
            )

    def _stream(self, inputs: Iterable, batch_size: int, options: dict) -> Iterator:
        waiting: list[_Photo] = []
        for number, source in enumerate(inputs):
            waiting.append(self._read(source, number, options))
            faces = sum(len(photo.faces) for photo in waiting)
            held = sum(photo.photo.nbytes for photo in waiting if photo.photo is not None)
            if max(len(waiting), faces) >= batch_size or held >= MAX_HELD:
                yield from self._finish(waiting, batch_size, options)
                waiting = []
        yield from self._finish(waiting, batch_size, options)

    def _read(self, source: Any, number: int, options: dict) -> _Photo:
        try:
            return self._find(source, number, options)
        except PhotoError as error:
            if options["on_error"] == "raise":
                raise
            logger.warning(f"Skipped: {error}")
            return _Photo(failed=True)

    def _find(self, source: Any, number: int, options: dict) -> _Photo:
        """Reads a photo, finds its faces, and makes each the network's input."""
        name = None if isinstance(source, (str, os.PathLike)) else f"photo {number}"
        array = read_photo(source, name, options["allow_private_urls"], options["max_pixels"])
        photo, of_network = _Photo(photo=array if options["photo"] else None), self.face_input
        try:
            faces = self._faces(array, options)
        except DetectionError as error:
            raise PhotoError(f"{name or source}: {error}") from None
        for face in faces:
            pixels = face_pixels(array, face, of_network.side, of_network.channels)
            photo.pixel_values.append(of_network.normalize(pixels))
            photo.faces.append(_describe_place(face, array.shape))
            if options["explain"] or options["crop"]:
                photo.crops.append(array if face is None else crop_face(array, face))
        return photo

    def _faces(self, array: np.ndarray, options: dict) -> list[Face | None]:
        with self._detectors_for(options).borrow() as detector:
            if detector is None:
                return [None]
            return find_faces(array, detector, options["min_face_size"], options["tiles"])

    def _detectors_for(self, options: dict) -> Detectors:
        key = tuple(options[name] for name in ("detector", "detector_path", "detection_threshold"))
        made = self.__dict__.setdefault("_detectors", {})
        with _making:
            if key not in made:
                name, path, threshold = key
                if path is None and name in ("auto", "yunet"):
                    path = self._yunet_file()
                made[key] = Detectors(name, path, threshold)
                if len(made) > MOST_DETECTORS:
                    del made[next(iter(made))]  # the oldest
            return made[key]

    def _finish(self, photos: list[_Photo], batch_size: int, options: dict) -> Iterator:
        faces = [values for photo in photos for values in photo.pixel_values]
        sides = [side_of(face["box"]) for photo in photos for face in photo.faces]
        temperatures = np.float32([self.config.fitted_at(side)[0] for side in sides])
        outputs: list[tuple] = []
        for start in range(0, len(faces), batch_size):
            part = slice(start, start + batch_size)
            outputs += self._classify(np.stack(faces[part]), temperatures[part], options)
        remaining = iter(outputs)
        for photo in photos:
            answer = None if photo.failed else self._describe(photo, remaining, options)
            yield (photo.photo, answer) if options["photo"] else answer

    def _classify(
        self, pixel_values: np.ndarray, temperatures: np.ndarray, options: dict
    ) -> list[tuple[np.ndarray, np.ndarray | None]]:
        """
        (N, C, H, W) and (N,) -> for each face the probabilities (priors, classes) and, to explain,
        heat maps (priors, H, W).
        """
        shifts = self._prior_shifts(options["prior"])  # (priors, classes)

        def probabilities_of(logits: np.ndarray) -> np.ndarray:
            return _softmax((logits / temperatures[:, None])[:, None] + shifts)

        logits, heat_maps_of = self._raw_logits(pixel_values, options["explain"])
        probabilities = probabilities_of(logits)  # (N, priors, classes)
        if options["tta"]:
            mirrored = np.ascontiguousarray(pixel_values[..., ::-1])
            both = probabilities, probabilities_of(self._raw_logits(mirrored, False)[0])
            probabilities = sum(both) / 2
        if heat_maps_of is None:
            return [(of_face, None) for of_face in probabilities]
        rows = [tuple(row) for row in probabilities.argmax(-1).T.tolist()]  # a label for each face
        # priors under which all labels agree share a pass back
        heat_maps = {row: heat_maps_of(row) for row in {*rows}}
        return list(zip(probabilities, np.stack([heat_maps[row] for row in rows], 1)))

    def _prior_shifts(self, prior: Any) -> np.ndarray:
        """
        What each prior adds to the calibrated logits, float32 (priors, classes).

        Raises:
            ValueError: not a prior, or one that the config knows too little for.
        """
        prior = self.config.prior_in_use if prior is None else prior
        priors = checked_priors(prior, self.config.num_labels)
        return np.stack([self.config.prior_shift(each) for each in priors])

    def certain_from(self, box: Mapping[str, int], min_face_size: float | None = None) -> float:
        """
        The least score at which a face is certain; inf where it is smaller than `min_face_size`.

        Args:
            box: the face's, as in an answer. min_face_size: default: the one given at first.
        """
        if min_face_size is None:
            min_face_size = (DEFAULTS | self._preprocess_params)["min_face_size"]
        side = side_of(box)
        return math.inf if side < min_face_size else self.config.fitted_at(side)[1]

    def _describe(self, photo: _Photo, outputs: Iterator, options: dict) -> list[dict]:
        """Takes as many of the outputs as the photo has faces."""
        config, prior = self.config, options["prior"]
        names = checked_priors(prior, config.num_labels) if are_several(prior) else []
        for number, face in enumerate(photo.faces):
            probabilities, heat_maps = next(outputs)  # (priors, classes), (priors, h, w)
            certain_from = self.certain_from(face["box"], options["min_face_size"])
            answers = [
                _describe_scores(scores, config.label_names, certain_from)
                for scores in probabilities.tolist()
            ]
            if heat_maps is not None:
                size = photo.crops[number].shape[:2]
                for answer, heat_map in zip(answers, resize(heat_maps, *size)):
                    answer["heatmap"] = heat_map
            face |= answers[0]
            if photo.crops:
                face["crop"] = photo.crops[number]
            if names:
                named = zip(names, answers)
                face["by_prior"] = {name: answer for name, answer in named if type(name) is str}
        return photo.faces


def _is_single(inputs: Any) -> bool:
    """Whether it is a single photo, or none at all, and no iterable of photos."""
    if is_array(inputs):
        return inputs.ndim < 4
    return (
        isinstance(inputs, (str, bytes, bytearray, memoryview, dict, Image.Image, np.generic))
        or hasattr(inputs, "read")
        or not hasattr(inputs, "__iter__")
        and not hasattr(inputs, "__getitem__")
    )


def _within(value: Any, low: float, high: float) -> bool:
    return isinstance(value, numbers.Real) and low <= value <= high


def _softmax(logits: np.ndarray) -> np.ndarray:
    shares = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return shares / shares.sum(axis=-1, keepdims=True)


def _describe_place(face: Face | None, shape: tuple[int, ...]) -> dict:
    """Box within the photo, and score; without a detector, all of the photo."""
    height, width = shape[:2]
    if face is None:
        box, score = (0, 0, width, height), 1.0
    else:
        left, top, right, bottom = face.box
        box = max(0, left), max(0, top), min(width, right), min(height, bottom)
        score = face.score
    names = ("xmin", "ymin", "xmax", "ymax")
    return {"box": dict(zip(names, (round(edge) for edge in box))), "face_score": score}


def _describe_scores(scores: Sequence[float], labels: Sequence[str], certain_from: float) -> dict:
    best = max(range(len(scores)), key=scores.__getitem__)
    return {
        "label": labels[best],
        "score": scores[best],
        "scores": dict(zip(labels, scores)),
        "uncertain": scores[best] < certain_from,
    }


__all__ = ["DEFAULTS", "FaceInput", "FaceLabeller", "PhotoError"]
