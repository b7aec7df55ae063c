"""Facial expressions in photos: finds the faces, crops them as FER-2013 does, classifies them."""

import math
import numbers
import os
import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from transformers import AutoModelForImageClassification, Pipeline
from transformers.pipelines import PIPELINE_REGISTRY
from transformers.utils import logging

from .face_detection import DetectionError, Detectors, Face, crop_face, find_faces
from .grad_cam import grad_cam
from .names import DETECTORS
from .photo_reading import PhotoError, is_array, read_photo

logger = logging.get_logger(__name__)
_making = threading.Lock()  # one thread fetches a detector's weights, and warns

MAX_HELD = 2**28  # bytes of photos that wait for their faces, where photos are asked for
DEFAULTS = {
    "detector": "auto",
    "detector_path": None,
    "detection_threshold": 0.7,
    "min_face_size": 16,
    "tiles": False,
    "prior": None,
    "tta": False,
    "explain": False,
    "crop": False,
    "photo": False,
    "on_error": "raise",
    "allow_private_urls": True,
}


@dataclass
class _Photo:
    """A photo on its way through the network: what is kept of it is small."""

    failed: bool = False
    array: np.ndarray | None = None  # (H, W, 3), only where asked for
    faces: list[dict] = field(default_factory=list)
    crops: list[np.ndarray] = field(default_factory=list)  # only where asked for
    pixels: list[torch.Tensor] = field(default_factory=list)  # (1, C, H, W) each


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
        min_face_size (`int`, defaults to 16): least side of a face in pixels.
        tiles (`bool`, defaults to `False`): search large photos in their own resolution too, tile
            by tile. Without it, YuNet finds faces from 1/80 of a large photo's longer side (75 px
            of 6000), and Haar from 1/27.
        batch_size (`int`, defaults to 32): faces a pass through the network, of several photos.
        prior (`str` or `list[float]`, *optional*): the class distribution to assume: `"learned"`
            (as the network has learned it), `"train"` (the training set's), `"uniform"`, or shares
            in the order of the classes. Default: the config's `prior`.
        tta (`bool`, defaults to `False`): average the probabilities with the mirrored face's.
        explain (`bool`, defaults to `False`): add `heatmap` and `crop`.
        crop (`bool`, defaults to `False`): add `crop`.
        photo (`bool`, defaults to `False`): give pairs of the photo, as it was read, and its faces.
        on_error (`str`, defaults to `"raise"`): `"skip"` gives None for a photo that cannot be
            read or on which the detector fails, with a warning that names it.
        allow_private_urls (`bool`, defaults to `True`): whether the URL of a photo may lead to an
            address that is not public. `False` in a service whose visitors give URLs.
    """

    _load_processor = False
    _load_image_processor = True
    _load_feature_extractor = False
    _load_tokenizer = False

    def __init__(self, *args, **kwargs):
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

    def __call__(self, inputs, batch_size: int | None = None, **options):
        """
        Args:
            inputs: a photo (path, URL, bytes, binary file object, `PIL.Image`, array (H, W),
                (H, W, C) or (C, H, W)), or a list, generator, `datasets` column or other iterable
                of photos. None and NaN are photos that cannot be read.

        Returns:
            The faces of the photo from left to right, `[]` without one. For a list, a list of
            these; for any other iterable, an iterator that holds a batch at a time. A face is a
            dict of

            - `box`: xmin, ymin, xmax, ymax in pixels of the upright photo; `face_score`: of the
              detector
            - `label`, its probability `score`, and `scores`, the probability of each class
            - `uncertain`: whether `score` is below the config's `uncertain_below`
            - if asked for, `crop`: uint8 (side, side, 3), the upright face that was classified, in
              the photo's resolution; to explain, with `heatmap`: float32 (side, side) in [0, 1],
              Grad-CAM of `label`

            With `photo=True`, in place of each list a pair: the upright photo, uint8 (H, W, 3), and
            the list.

        Raises:
            PhotoError: a photo cannot be read or searched; the message names it.
            ValueError: an option is unknown or out of range.
        """
        options = DEFAULTS | self._preprocess_params | self._sanitize_parameters(**options)[0]
        batch_size = batch_size or self._batch_size or 32
        if _is_one(inputs):
            return next(self._stream([inputs], batch_size, options))
        found = self._stream(inputs, batch_size, options)
        return list(found) if isinstance(inputs, (list, tuple)) else found

    def _sanitize_parameters(self, **options):
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
        }
        for name in ("tiles", "tta", "explain", "crop", "photo", "allow_private_urls"):
            checks[name] = (isinstance(given[name], (bool, np.bool_)), "True or False")
        for name, (valid, what) in checks.items():
            if not valid:
                raise ValueError(f"{name} must be {what}, but it is {given[name]!r}.")
        if given["prior"] is not None:
            self.model.prior_shift(given["prior"])  # raises ValueError
        return options, {}, {}

    def _stream(self, inputs: Iterable, batch_size: int, options: dict) -> Iterator[list[dict]]:
        waiting: list[_Photo] = []
        for number, source in enumerate(inputs):
            waiting.append(self._read(source, number, options))
            held = sum(photo.array.nbytes for photo in waiting if photo.array is not None)
            faces = sum(len(photo.pixels) for photo in waiting)
            if max(len(waiting), faces) >= batch_size or held >= MAX_HELD:
                yield from self._finish(waiting, batch_size, options)
                waiting = []
        yield from self._finish(waiting, batch_size, options)

    def _read(self, source, number: int, options: dict) -> _Photo:
        try:
            return self.preprocess(source, number=number, **options)
        except PhotoError as error:
            if options["on_error"] == "raise":
                raise
            logger.warning(f"Skipped: {error}")
            return _Photo(failed=True)

    def preprocess(self, source, number: int = 0, **options) -> _Photo:
        """Reads a photo, finds and crops its faces."""
        options = DEFAULTS | options
        name = None if isinstance(source, (str, os.PathLike)) else f"photo {number}"
        array = read_photo(source, name, options["allow_private_urls"])  # (H, W, 3)
        photo = _Photo(array=array if options["photo"] else None)
        try:
            faces = self._find(array, options)
        except DetectionError as error:
            raise PhotoError(f"{name or source}: {error}") from None
        for face in faces:
            crop = array if face is None else crop_face(array, face)
            tensor = self.image_processor.to_uint8(crop, "channels_last")[None]
            photo.pixels.append(self.image_processor.resize_batch(tensor))
            photo.faces.append(_describe(face, array.shape))
            if options["explain"] or options["crop"]:
                photo.crops.append(crop)
        return photo

    def _find(self, array: np.ndarray, options: dict) -> list[Face | None]:
        key = tuple(options[name] for name in ("detector", "detector_path", "detection_threshold"))
        if key not in self._detectors:
            with _making:
                if key not in self._detectors:
                    self._detectors[key] = Detectors(*key)
        with self._detectors[key].one() as detector:
            if detector is None:
                return [None]
            return find_faces(array, detector, options["min_face_size"], options["tiles"])

    def _finish(self, photos: list[_Photo], batch_size: int, options: dict) -> Iterator[list[dict]]:
        pixels = [tensor for photo in photos for tensor in photo.pixels]
        outputs = []
        for start in range(0, len(pixels), batch_size):
            batch = torch.cat(pixels[start : start + batch_size])  # (N, C, H, W)
            outputs += zip(*self.forward({"pixels": batch}, **options).values())
        outputs = iter(outputs)
        for photo in photos:
            faces = None if photo.failed else self.postprocess(photo, outputs)
            yield (photo.array, faces) if options["photo"] else faces

    def _forward(self, model_inputs: dict, **options) -> dict[str, torch.Tensor]:
        """pixels (N, C, H, W) in [0, 255] -> probabilities (N, classes), heat maps (N, H, W)."""
        pixel_values = self.image_processor.normalize_batch(model_inputs["pixels"])
        pixel_values = pixel_values.to(self.model.dtype)
        probabilities = self._probabilities(pixel_values, options["prior"])
        if options["tta"]:
            mirrored = self._probabilities(pixel_values.flip(-1), options["prior"])
            probabilities = (probabilities + mirrored) / 2
        outputs = {"probabilities": probabilities}
        if options["explain"]:
            outputs["heatmaps"] = grad_cam(self.model, pixel_values, probabilities.argmax(1))
        return outputs

    def _probabilities(self, pixel_values: torch.Tensor, prior) -> torch.Tensor:
        logits = self.model(pixel_values, return_dict=True).logits.float()  # (N, classes)
        if prior is not None:
            shift = self.model.prior_shift(prior) - self.model.prior_shift(self.model.config.prior)
            logits = logits + shift.to(logits.device)
        return logits.softmax(-1)

    def postprocess(self, photo: _Photo, outputs: Iterator) -> list[dict]:
        """Takes as many of the outputs as the photo has faces."""
        config = self.model.config
        for number, face in enumerate(photo.faces):
            probabilities, *heatmap = next(outputs)
            shares = probabilities.tolist()
            best = max(range(len(shares)), key=shares.__getitem__)
            face |= {
                "label": config.id2label[best],
                "score": shares[best],
                "scores": {config.id2label[i]: share for i, share in enumerate(shares)},
                "uncertain": shares[best] < (config.uncertain_below or 0),
            }
            if photo.crops:
                face["crop"] = photo.crops[number]
            if heatmap:
                face["heatmap"] = _resize(heatmap[0], face["crop"].shape[:2])
        return photo.faces


def _is_one(inputs) -> bool:
    """Whether it is one photo, or none at all, and no iterable of photos."""
    if is_array(inputs):
        return inputs.ndim < 4
    return (
        isinstance(inputs, (str, bytes, bytearray, memoryview, dict, Image.Image))
        or hasattr(inputs, "read")
        or not hasattr(inputs, "__iter__")
        and not hasattr(inputs, "__getitem__")
    )


def _within(value, low: float, high: float) -> bool:
    return isinstance(value, numbers.Real) and low <= value <= high


def _describe(face: Face | None, shape: tuple[int, ...]) -> dict:
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


def _resize(heatmap: torch.Tensor, size: tuple[int, int]) -> np.ndarray:
    return F.interpolate(heatmap[None, None].float(), size=size, mode="bilinear")[0, 0].numpy()


PIPELINE_REGISTRY.supported_tasks.pop("facial-emotion", None)  # of another copy of this file
PIPELINE_REGISTRY.register_pipeline(
    "facial-emotion", FacialEmotionPipeline, pt_model=AutoModelForImageClassification
)

__all__ = ["FacialEmotionPipeline", "PhotoError"]
