"""Where a model's face detector lies: beside its weights, of the same revision."""

import contextlib
import re
from pathlib import Path
from typing import Any

from transformers import PreTrainedConfig
from transformers.utils import cached_file

from .face_detection import YUNET


def detector_file(config: PreTrainedConfig, **options: Any) -> Path | None:
    """
    YuNet's file in the folder that `config` was loaded from, in the Hub repository and the commit
    that this code was loaded from, or beside this code; None where there is none.

    Args:
        options: of `cached_file`.
    """
    source, found, folder = config.name_or_path, None, Path(__file__).parent
    # the folder of remote code is named after its commit; transformers notes it nowhere else
    revision = folder.name if re.fullmatch("[0-9a-f]{40}", folder.name) else None
    if source and (revision or Path(source).is_dir()):
        quiet = ("missing_entries", "connection_errors", "gated_repo")
        options |= {f"_raise_exceptions_for_{name}": False for name in quiet}
        with contextlib.suppress(OSError):  # a folder that is no more, which cannot be an id
            found = cached_file(source, YUNET, revision=revision, **options)
    for file in (found, folder / YUNET):
        if file and Path(file).is_file():
            return Path(file)
    return None


__all__ = ["detector_file"]
