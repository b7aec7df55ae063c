"""Facial expressions in photos: finds the faces, crops them as FER-2013 does, classifies them."""

import math
import numbers
import os
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from transformers import AutoModelForImageClassification, Pipeline
from transformers.pipelines import PIPELINE_REGISTRY
from transformers.utils import logging

from .calibration import are_several, checked_priors, side_of
from .face_cropping import crop_face, face_pixels
from .face_detection import DetectionError, Detectors, Face, find_faces
from .grad_cam import grad_cam, logits_and_maps
from .names import DETECTORS
from .photo_reading import MAX_PIXELS, PILLOWS_LIMIT, PhotoError, is_array, read_photo

logger = logging.get_logger(__name__)
_making = threading.Lock()  # one thread fetches a detector's weights, and warns

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


@dataclass
class _Photo:
    """A photo on its way through the network. The pixels of photo and crops only if asked for."""

    failed: bool = False
    photo: np.ndarray | None = None  # (H, W, 3)
    faces: list[dict] = field(default_factory=list)
    crops: list[np.ndarray] = field(default_factory=list)  # (side, side, 3) each
    pixel_values: list[torch.Tensor] = field(default_factory=list)  # (1, C, h, w) each


class FacialEmotionPipeline(Pipeline):
    """
    Faces in photos and their expressions, task `"facial-emotion"`:

    ```python
    >>> from transformers import pipeline

    >>> find = pipeline("facial-emotion", model="model", trust_remote_code=True)
    >>> find("photo.jpg")
    [{"box": {"xmin": 31, "ymin": 12, "xmax": 93, "ymax": 90}, "face_score": 0.93, "label": "happy",
      "score": 0.88, "scores": {"angry": 0.01, ...}, "uncertain": False}]
    ```

    Args, of the pipeline or of a call:
        detector (`str`, defaults to `"auto"`): `"yunet"`, `"haar"`, `"none"` (each image is one
            tight face), or YuNet where its weights can be had and Haar otherwise.
        detector_path (`str`, *optional*): a local YuNet file; default: from the Hub, once.
        detection_threshold (`float`, defaults to 0.7): least score of a face.
        min_face_size (`int`, defaults to 24): faces with a shorter side, in pixels, are `uncertain`
            whatever their score.
        tiles (`bool`, defaults to `False`): search large photos in their own resolution too, tile
            by tile. Without it, YuNet finds faces from 1/80 of a large photo's longer side (75 px
            of 6000), and Haar from 1/27.
        batch_size (`int`, defaults to 32): faces a pass through the network, of several photos.
        prior (`str`, `list[float]` or a `list` of these, *optional*): the class distribution to
            assume: `"learned"` (as the network has learned it), `"train"` (the training set's),
            `"uniform"`, or shares in the order of the classes. Default: the config's `prior`. Of
            several, the first counts, and `by_prior` has the answers under each.
        tta (`bool`, defaults to `False`): average the probabilities with the mirrored face's.
        explain (`bool`, defaults to `False`): add `heatmap` and `crop`.
        crop (`bool`, defaults to `False`): add `crop`.
        photo (`bool`, defaults to `False`): give pairs of the photo as it was read, uint8
            (H, W, 3), and its faces.
        on_error (`str`, defaults to `"raise"`): `"skip"` gives None for a photo that cannot be
            read or on which the detector fails, with a warning that names it.
        allow_private_urls (`bool`, defaults to `True`): whether the URL of a photo may lead to an
            address that is not public. `False` in a service whose visitors give URLs.
        max_pixels (`int`, defaults to 50 million): larger photos are refused before they are
            unpacked.
    """

    PhotoError = PhotoError  # for those who have the pipeline by remote code

    _load_processor = False
    _load_image_processor = True
    _load_feature_extractor = False
    _load_tokenizer = False

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self._detectors: dict[tuple, Detectors] = {}
        config = self.model.config
        if config.num_labels < 2 or config.problem_type in (
            "multi_label_classification",
            "regression",
        ):
            raise ValueError(
                "The facial-emotion pipeline expects one label out of several, but the config has "
                f"problem_type {config.problem_type!r} and num_labels {config.num_labels}. "
                'pipeline("image-classification") takes one tight face and any of these.'
            )

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
        options = DEFAULTS | self._preprocess_params | self._sanitize_parameters(**options)[0]
        batch_size = batch_size or self._batch_size or 32
        if _is_single(inputs):
            return next(self._stream([inputs], batch_size, options))
        answers = self._stream(inputs, batch_size, options)
        return list(answers) if isinstance(inputs, (list, tuple)) else answers

    def read(self, source: Any, name: str | None = None) -> np.ndarray:
        """
        A photo as a call reads it, with the pipeline's limits -> upright uint8 (H, W, 3).

        Args:
            source: as of a call. name: what errors call it.

        Raises:
            PhotoError: it cannot be read.
        """
        options = DEFAULTS | self._preprocess_params
        return read_photo(source, name, options["allow_private_urls"], options["max_pixels"])

    def _sanitize_parameters(self, **options: Any) -> tuple[dict, dict, dict]:
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
        return options, {}, {}

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
            return self.preprocess(source, number=number, **options)
        except PhotoError as error:
            if options["on_error"] == "raise":
                raise
            logger.warning(f"Skipped: {error}")
            return _Photo(failed=True)

    def preprocess(self, source: Any, number: int = 0, **options: Any) -> _Photo:
        """Reads a photo, finds its faces, and makes each the network's input."""
        options = DEFAULTS | options
        name = None if isinstance(source, (str, os.PathLike)) else f"photo {number}"
        array = read_photo(source, name, options["allow_private_urls"], options["max_pixels"])
        photo = _Photo(photo=array if options["photo"] else None)
        try:
            faces = self._find(array, options)
        except DetectionError as error:
            raise PhotoError(f"{name or source}: {error}") from None
        for face in faces:
            side, channels = self.image_processor.size["height"], self.image_processor.num_channels
            pixels = torch.from_numpy(face_pixels(array, face, side, channels))[None]
            photo.pixel_values.append(self.image_processor.normalize_batch(pixels))  # (1, C, h, w)
            photo.faces.append(_describe_place(face, array.shape))
            if options["explain"] or options["crop"]:
                photo.crops.append(array if face is None else crop_face(array, face))
        return photo

    @property
    def detector(self) -> str:
        """What finds the faces: "YuNet", "Haar" or "none"; made now if it was not yet."""
        return self._detectors_for(DEFAULTS | self._preprocess_params).kind

    def _detectors_for(self, options: dict) -> Detectors:
        key = tuple(options[name] for name in ("detector", "detector_path", "detection_threshold"))
        if key not in self._detectors:
            with _making:
                if key not in self._detectors:  # another thread may have made it meanwhile
                    self._detectors[key] = Detectors(*key)
        return self._detectors[key]

    def _find(self, array: np.ndarray, options: dict) -> list[Face | None]:
        with self._detectors_for(options).borrow() as detector:
            if detector is None:
                return [None]
            return find_faces(array, detector, options["min_face_size"], options["tiles"])

    def _finish(self, photos: list[_Photo], batch_size: int, options: dict) -> Iterator:
        faces = [values for photo in photos for values in photo.pixel_values]
        config, outputs = self.model.config, []
        sharper = [
            config.fitted_temperature / config.fitted_at(side_of(face["box"]))[0]
            for photo in photos
            for face in photo.faces
        ]
        for start in range(0, len(faces), batch_size):
            batch = {
                "pixel_values": torch.cat(faces[start : start + batch_size]),  # (N, C, h, w)
                "sharper": torch.tensor(sharper[start : start + batch_size])[:, None],  # (N, 1)
            }
            outputs += zip(*self.forward(batch, **options).values())
        outputs = iter(outputs)
        for photo in photos:
            answer = None if photo.failed else self.postprocess(photo, outputs, options)
            yield (photo.photo, answer) if options["photo"] else answer

    def _forward(self, model_inputs: dict, **options: Any) -> dict[str, torch.Tensor]:
        """
        pixel_values (N, C, h, w) -> probabilities (N, priors, classes) and, to explain, heatmaps
        (N, priors, h, w). `sharper`, (N, 1), is the temperature in the logits relative to the one
        for faces of their size.
        """
        config, sharper = self.model.config, model_inputs["sharper"]
        pixel_values = model_inputs["pixel_values"].to(self.model.dtype)
        shifts = self._prior_shifts(options["prior"]).to(pixel_values.device)  # (priors, classes)
        own = self.model.prior_shift(config.prior_in_use).to(pixel_values.device)  # in the logits

        def probabilities_of(logits: torch.Tensor) -> torch.Tensor:
            logits = logits.detach().float()  # (N, classes)
            logits = torch.where(sharper == 1, logits, (logits - own) * sharper + own)
            return (logits[:, None] + shifts).softmax(-1)

        if options["explain"]:
            logits, maps = logits_and_maps(self.model, pixel_values)
        else:
            logits = self.model(pixel_values, return_dict=True).logits  # (N, classes)
        probabilities = probabilities_of(logits)  # (N, priors, classes)
        if options["tta"]:
            mirrored = self.model(pixel_values.flip(-1), return_dict=True).logits
            probabilities = (probabilities + probabilities_of(mirrored)) / 2
        if not options["explain"]:
            return {"probabilities": probabilities}
        heatmaps, size = {}, tuple(pixel_values.shape[-2:])
        rows = [tuple(row) for row in probabilities.argmax(-1).T.tolist()]  # a label for each face
        for row in {*rows}:  # priors under which all labels agree share a pass back
            classes = torch.tensor(row, device=logits.device)  # (N,)
            heatmaps[row] = grad_cam(logits, maps, classes, size)
        return {
            "probabilities": probabilities,
            "heatmaps": torch.stack([heatmaps[row] for row in rows], 1),  # (N, priors, h, w)
        }

    def _prior_shifts(self, prior: Any) -> torch.Tensor:
        """
        What each prior adds to the logits as the model gives them, (priors, classes).

        Raises:
            ValueError: not a prior, or one that the config knows too little for.
        """
        config = self.model.config
        if prior is None:
            return torch.zeros(1, config.num_labels)
        own = self.model.prior_shift(config.prior_in_use)
        priors = checked_priors(prior, config.num_labels)
        return torch.stack([self.model.prior_shift(each) - own for each in priors])

    def certain_from(self, box: Mapping[str, int], min_face_size: float | None = None) -> float:
        """
        The least score at which a face is certain; inf where it is smaller than `min_face_size`.

        Args:
            box: the face's, as in an answer. min_face_size: default: the pipeline's.
        """
        if min_face_size is None:
            min_face_size = (DEFAULTS | self._preprocess_params)["min_face_size"]
        side = side_of(box)
        return math.inf if side < min_face_size else self.model.config.fitted_at(side)[1]

    def postprocess(self, photo: _Photo, outputs: Iterator, options: dict) -> list[dict]:
        """Takes as many of the outputs as the photo has faces."""
        config, prior = self.model.config, options["prior"]
        labels = [config.id2label[i] for i in range(config.num_labels)]
        names = checked_priors(prior, config.num_labels) if are_several(prior) else []
        for number, face in enumerate(photo.faces):
            probabilities, *heatmaps = next(outputs)  # (priors, classes), (priors, h, w)
            certain_from = self.certain_from(face["box"], options["min_face_size"])
            answers = [
                _describe_scores(scores, labels, certain_from) for scores in probabilities.tolist()
            ]
            if heatmaps:
                size = photo.crops[number].shape[:2]
                for answer, heatmap in zip(answers, _resize(heatmaps[0], size)):
                    answer["heatmap"] = heatmap
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
        isinstance(inputs, (str, bytes, bytearray, memoryview, dict, Image.Image))
        or hasattr(inputs, "read")
        or not hasattr(inputs, "__iter__")
        and not hasattr(inputs, "__getitem__")
    )


def _within(value: Any, low: float, high: float) -> bool:
    return isinstance(value, numbers.Real) and low <= value <= high


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


def _resize(heatmaps: torch.Tensor, size: tuple[int, int]) -> np.ndarray:
    return F.interpolate(heatmaps[:, None].float(), size=size, mode="bilinear")[:, 0].numpy()


PIPELINE_REGISTRY.supported_tasks.pop("facial-emotion", None)  # of another copy of this file
PIPELINE_REGISTRY.register_pipeline(
    "facial-emotion", FacialEmotionPipeline, pt_model=AutoModelForImageClassification
)

__all__ = ["FacialEmotionPipeline", "PhotoError"]
