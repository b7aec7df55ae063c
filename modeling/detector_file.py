"""Where a model's face detector lies: beside its weights, of the same revision."""

import contextlib
from pathlib import Path
from typing import Any

from transformers import PreTrainedConfig
from transformers.utils import cached_file

from .face_detection import YUNET


def detector_file(config: PreTrainedConfig, **options: Any) -> Path | None:
    """
    YuNet's file in the folder or the Hub repository that `config` was loaded from, or beside this
    code; None where there is none. options: of `cached_file`.
    """
    source, found = config.name_or_path, None
    if source:  # a folder, or a Hub id
        quiet = ("missing_entries", "connection_errors", "gated_repo")
        options |= {f"_raise_exceptions_for_{name}": False for name in quiet}
        with contextlib.suppress(OSError):  # a folder that is no more, which cannot be an id
            found = cached_file(source, YUNET, revision=config._commit_hash, **options)
    for file in (found, Path(__file__).with_name(YUNET)):
        if file and Path(file).is_file():
            return Path(file)
    return None


__all__ = ["detector_file"]
