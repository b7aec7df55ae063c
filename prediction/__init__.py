"""
The command line around the facial-emotion pipeline, and what the Space shares with it: videos,
followed faces, drawing and output.
"""

import importlib
from typing import Any


def __getattr__(name: str) -> Any:
    if name == "modeling":  # only the command line asks for it: a Space holds no such package
        return importlib.import_module(f"{__name__.removesuffix('prediction')}modeling")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
