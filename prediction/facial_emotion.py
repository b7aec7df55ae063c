"""Faces in photos and their expressions by ONNX Runtime: the pipeline's answers without torch."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from . import modeling
from .onnx_file import ONNX, open_onnx

MODEL = Path(__file__).parents[1] / "model"
TYPE = "fer_efficientnet"
SETTINGS = ("config.json", "preprocessor_config.json")


class FacialEmotion(modeling.labelling.FaceLabeller):
    """
    Faces in photos and their expressions, as `pipeline("facial-emotion")` gives them, but without
    torch and transformers:

    ```python
    >>> from fer_efficientnet import FacialEmotion

    >>> find = FacialEmotion()
    >>> find("photo.jpg")
    [{"box": {"xmin": 31, "ymin": 12, "xmax": 93, "ymax": 90}, "face_score": 0.93, "label": "happy",
      "score": 0.88, "scores": {"angry": 0.01, ...}, "uncertain": False}]
    ```

    Args:
        model: a folder with model.onnx, config.json and preprocessor_config.json, or a Hub id
            (which needs huggingface_hub). Default: the model that ships.
        revision: tag or commit of a Hub id.
        threads: of the network; 0: one for each core.
        batch_size, options: as of the pipeline; all but `explain`, which needs torch.

    Raises:
        OSError: the model is not there. ValueError: it is another kind of model, or an option is
            unknown or out of range.
    """

    def __init__(
        self,
        model: str | Path = MODEL,
        revision: str = "main",
        threads: int = 0,
        batch_size: int = 32,
        **options: Any,
    ):
        folder = model_folder(model, revision)
        if missing := [name for name in (ONNX, *SETTINGS) if not (folder / name).is_file()]:
            raise FileNotFoundError(
                f"{model}: no {' and no '.join(missing)}; expected a model's folder with "
                f"{', '.join((ONNX, *SETTINGS))}. `python -m training.onnx_export` makes {ONNX}."
            )
        self.folder, self.threads, self._batch_size = folder, threads, batch_size
        config, processor = (json.loads((folder / name).read_text()) for name in SETTINGS)
        if config.get("model_type") != TYPE:
            raise ValueError(
                f"{model}: expected a model of type {TYPE}, but found {config.get('model_type')!r}."
            )
        self._config = modeling.calibration.SavedConfig(config)
        self._check_classes()
        size = processor["size"]["height"], processor["num_channels"]
        statistics = processor["image_mean"], processor["image_std"]
        self._face_input = modeling.labelling.FaceInput(*size, *statistics)
        self._session = open_onnx(self.folder / ONNX, self.threads)
        self._preprocess_params = self._checked(options)

    def __getstate__(self) -> dict:  # a copy makes its session anew
        return super().__getstate__() | {"_session": None}

    def __setstate__(self, state: dict) -> None:
        self.__dict__ |= state
        self._session = open_onnx(self.folder / ONNX, self.threads)

    @property
    def config(self) -> "modeling.calibration.SavedConfig":
        return self._config

    @property
    def face_input(self) -> "modeling.labelling.FaceInput":
        return self._face_input

    def _yunet_file(self) -> Path | None:
        name = modeling.face_detection.YUNET
        files = (folder / name for folder in (self.folder, MODEL))
        return next((file for file in files if file.is_file()), None)

    def _checked(self, options: dict) -> dict:
        checked = super()._checked(options)
        if options.get("explain"):
            raise ValueError(
                "explain needs torch: pip install '.[photos]', and take "
                'pipeline("facial-emotion") or predict.py --engine torch.'
            )
        return checked

    def _raw_logits(
        self, pixel_values: np.ndarray, explain: bool
    ) -> tuple[np.ndarray, Callable[[Sequence[int]], np.ndarray] | None]:
        return self._session.run(["logits"], {"pixel_values": pixel_values})[0], None


def model_folder(model: str | Path, revision: str) -> Path:
    """The folder itself, or a Hub id's files of one revision: network, settings and detector."""
    if Path(model).is_dir():
        return Path(model)
    try:
        from huggingface_hub import snapshot_download
    except ImportError:
        raise ImportError(
            f"{model}: no such folder; a model on the Hub needs pip install huggingface_hub."
        ) from None
    names = [ONNX, "onnx.json", *SETTINGS, modeling.face_detection.YUNET]
    return Path(snapshot_download(str(model), revision=revision, allow_patterns=names))
