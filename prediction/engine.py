"""What answers: the model on ONNX Runtime, or on torch behind the facial-emotion pipeline."""

import argparse
import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from . import modeling
from .facial_emotion import FacialEmotion, model_folder
from .inputs import missing_model
from .onnx_file import has_onnx

if TYPE_CHECKING:
    from modeling.labelling import FaceLabeller

OPTIONS = ("batch_size", "detector", "detector_path", "detection_threshold", "min_face_size",
           "tiles", "prior", "tta")  # fmt: skip
NAMES = {"onnx": "ONNX Runtime", "torch": "torch"}


def load(args: argparse.Namespace) -> "tuple[FaceLabeller, str]":
    """
    Args:
        args: the flags of `arguments.make_parser`.

    Returns:
        What finds and labels faces, and the name of its engine.

    Raises:
        OSError, ValueError, ImportError, RuntimeError, AssertionError: the model or the detector
            cannot be loaded, an option is out of range, or the device is not there.
    """
    try:
        engine = args.engine or ("torch" if _needs_torch(args) else "onnx")
        if engine == "torch":
            find = _on_torch(args)
        else:
            options = {name: getattr(args, name) for name in OPTIONS}
            find = FacialEmotion(args.model, args.revision, **options)
    except OSError:
        if Path(args.model).is_dir():
            raise
        raise missing_model(args.model, args.revision) from None
    find(np.zeros((64, 64, 3), np.uint8))  # makes the detector, or raises what is missing
    return find, NAMES[engine]


def _needs_torch(args: argparse.Namespace) -> bool:
    """Heat maps, another device than the CPU, or a model without model.onnx of its weights."""
    if args.explain or args.device not in (None, "cpu"):
        return True
    if not Path(args.model).is_dir() and importlib.util.find_spec("huggingface_hub") is None:
        return False  # which says what it needs
    folder = model_folder(args.model, args.revision)
    # FacialEmotion says what an empty folder lacks, also where torch is not installed
    return (folder / "config.json").is_file() and not has_onnx(folder)


def _on_torch(args: argparse.Namespace) -> "FaceLabeller":
    """A pipeline of this package's own classes: no code that came with the model is run."""
    from safetensors import SafetensorError
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()  # of loading the weights, which takes less than a second
    source = {"pretrained_model_name_or_path": args.model, "revision": args.revision}
    config, _ = modeling.FerEfficientNetConfig.get_config_dict(**source)
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
    return modeling.FacialEmotionPipeline(
        model=network,
        image_processor=modeling.FerEfficientNetImageProcessor.from_pretrained(**source),
        task="facial-emotion",
        **{name: getattr(args, name) for name in ("device", *OPTIONS)},
    )
