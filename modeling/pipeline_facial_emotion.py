"""Facial expressions in photos: finds the faces, crops them as FER-2013 does, classifies them."""

import functools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import AutoModelForImageClassification, Pipeline
from transformers.pipelines import PIPELINE_REGISTRY

from .configuration_fer_efficientnet import FerEfficientNetConfig
from .detector_file import detector_file
from .grad_cam import grad_cam, logits_and_maps
from .labelling import DEFAULTS, FaceInput, FaceLabeller, PhotoError


class FacialEmotionPipeline(FaceLabeller, Pipeline):
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
            tight face), or `"auto"`: YuNet, whose file lies beside the weights (Haar without it).
        detector_path (`str`, *optional*): a local YuNet file; default: the one beside the weights.
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
        max_pixels (`int`, defaults to 51 million): larger photos are refused before they are
            unpacked.
    """

    _load_processor = False
    _load_image_processor = True
    _load_feature_extractor = False
    _load_tokenizer = False

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self._check_classes()

    @property
    def config(self) -> FerEfficientNetConfig:
        return self.model.config

    @property
    def face_input(self) -> FaceInput:
        of = self.image_processor
        return FaceInput(of.size["height"], of.num_channels, of.image_mean, of.image_std)

    def _yunet_file(self) -> Path | None:
        return detector_file(self.config)

    def _sanitize_parameters(self, **options: Any) -> tuple[dict, dict, dict]:
        return self._checked(options), {}, {}

    def _raw_logits(
        self, pixel_values: np.ndarray, explain: bool
    ) -> tuple[np.ndarray, Callable[[Sequence[int]], np.ndarray] | None]:
        output = self.forward({"pixel_values": torch.from_numpy(pixel_values)}, explain=explain)
        # the network's own have the config's temperature and prior
        shift = self.config.prior_shift(self.config.prior_in_use)
        logits = output["logits"].detach().float().numpy() - shift
        return logits * self.config.fitted_temperature, output.get("heat_maps")

    def _forward(self, model_inputs: dict, explain: bool = False) -> dict[str, Any]:
        """
        pixel_values (N, C, H, W) -> logits (N, classes) and, to explain, a function from a class
        for each face to heat maps (N, H, W).
        """
        pixel_values = model_inputs["pixel_values"].to(self.model.dtype)
        if not explain:
            return {"logits": self.model(pixel_values, return_dict=True).logits}
        logits, maps = logits_and_maps(self.model, pixel_values)
        return {"logits": logits, "heat_maps": functools.partial(_heat_maps, logits, maps,
                tuple(pixel_values.shape[-2:]))}  # fmt: skip

    def preprocess(self, source: Any, **options: Any) -> Any:
        return self._find(source, 0, DEFAULTS | options)

    def postprocess(self, outputs: Any) -> Any:
        return outputs


def _heat_maps(
    logits: torch.Tensor, maps: torch.Tensor, size: tuple[int, int], classes: Sequence[int]
) -> np.ndarray:
    """classes: one for each face. (N, *size)"""
    ids = torch.tensor(classes, device=logits.device)  # (N,)
    return grad_cam(logits, maps, ids, size).float().cpu().numpy()


PIPELINE_REGISTRY.supported_tasks.pop("facial-emotion", None)  # of another copy of this file
PIPELINE_REGISTRY.register_pipeline(
    "facial-emotion", FacialEmotionPipeline, pt_model=AutoModelForImageClassification
)

__all__ = ["FacialEmotionPipeline", "PhotoError"]
