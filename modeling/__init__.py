"""
What the Hub runs: config, model, image processor, pipeline; imports nothing else from here. A name
or a file is imported when it is asked for, so that the names alone cost no torch.
"""

import importlib
from pathlib import Path
from typing import Any

HOMES = {  # name -> its file
    "EXPRESSIONS": "names",
    "PHOTO_SUFFIXES": "names",
    "FacialEmotionPipeline": "pipeline_facial_emotion",
    "FerEfficientNetConfig": "configuration_fer_efficientnet",
    "FerEfficientNetForImageClassification": "modeling_fer_efficientnet",
    "FerEfficientNetImageProcessor": "image_processing_fer_efficientnet",
    "checked_prior": "calibration",
    "files_below": "names",
}
FILES = {file.stem for file in Path(__file__).parent.glob("[!_]*.py")}


def __getattr__(name: str) -> Any:
    if name in FILES:
        return importlib.import_module(f".{name}", __name__)
    if name in HOMES:
        return getattr(importlib.import_module(f".{HOMES[name]}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


__all__ = [*HOMES]
