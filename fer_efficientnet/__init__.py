"""
Facial expressions in photos, without torch:

    from fer_efficientnet import FacialEmotion

    FacialEmotion()("photo.jpg")

What needs more is imported when it is asked for: `modeling`, `training`, `prediction`.
"""

import importlib
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent
if not (ROOT / "prediction").is_dir():  # in a clone the rooms lie beside this folder
    __path__.append(str(ROOT.parent))


def __getattr__(name: str) -> Any:
    if name == "FacialEmotion":
        return importlib.import_module(".prediction.facial_emotion", __name__).FacialEmotion
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


__all__ = ["FacialEmotion"]  # noqa: F822 (by __getattr__)
