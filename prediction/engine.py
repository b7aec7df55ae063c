"""What answers: the model on torch, behind the facial-emotion pipeline."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from safetensors import SafetensorError
from transformers.utils.logging import disable_progress_bar

from . import modeling
from .inputs import missing_model

if TYPE_CHECKING:
    from modeling import FacialEmotionPipeline


def load_pipeline(args: argparse.Namespace) -> "FacialEmotionPipeline":
    """
    A pipeline of this package's own classes: whatever the model, no code that came with it is run.

    Args:
        args: the flags of `arguments.make_parser`.

    Raises:
        OSError, ValueError, ImportError, RuntimeError, AssertionError: the model or the detector
            cannot be loaded, an option is out of range, or the device is not there.
    """
    disable_progress_bar()  # of loading the weights, which takes less than a second
    source = {"pretrained_model_name_or_path": args.model, "revision": args.revision}
    try:
        config, _ = modeling.FerEfficientNetConfig.get_config_dict(**source)
    except OSError:
        if Path(args.model).is_dir():
            raise
        raise missing_model(args.model, args.revision) from None
    expected, actual = modeling.FerEfficientNetConfig.model_type, config.get("model_type")
    if actual != expected:
        raise ValueError(
            f"--model {args.model}: expected a model of type {expected}, but found "
            f"{f'type {actual}' if actual else 'no config.json of a model'}."
        )
    try:
        network = modeling.FerEfficientNetForImageClassification.from_pretrained(
            **source, use_safetensors=True
        )
    except SafetensorError as error:
        raise ValueError(
            f"--model {args.model}: model.safetensors is broken ({error}). Fetch or copy it again."
        ) from None
    options = ("device", "batch_size", "detector", "detector_path", "detection_threshold",
               "min_face_size", "tiles", "prior", "tta")  # fmt: skip
    find = modeling.FacialEmotionPipeline(
        model=network,
        image_processor=modeling.FerEfficientNetImageProcessor.from_pretrained(**source),
        task="facial-emotion",
        **{name: getattr(args, name) for name in options},
    )
    find(np.zeros((64, 64, 3), np.uint8))  # makes the detector, or raises what is missing
    return find
