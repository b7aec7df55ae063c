"""What this machine published last, and where, so that somebody's change since is noticed."""

import json
from pathlib import Path
from typing import NamedTuple

from huggingface_hub import constants


class Published(NamedTuple):
    """commit: its id. files: paths in the repository that were put there."""

    commit: str
    files: list[str]


def read(place: str) -> Published | None:
    """place: URL and branch."""
    try:
        return Published(**json.loads(_file().read_text())[place])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def write(place: str, commit: str, files: list[str]) -> None:
    try:
        everything = json.loads(_file().read_text())
    except (OSError, ValueError):
        everything = {}
    everything[place] = {"commit": commit, "files": files}
    _file().parent.mkdir(parents=True, exist_ok=True)
    _file().write_text(json.dumps(everything, indent=1))


def _file() -> Path:
    return Path(constants.HF_HOME) / "fer_efficientnet" / "published.json"
