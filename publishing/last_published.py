"""What this machine published last, and where, so that somebody's change since is noticed."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from huggingface_hub import constants


@dataclass(frozen=True)
class Published:
    """commit: its id. files: paths in the repository that were put there."""

    commit: str
    files: list[str]


def read(place: str) -> Published | None:
    """place: URL and branch."""
    try:
        return Published(**json.loads(_file().read_text())[place])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def write(place: str, published: Published) -> None:
    try:
        everything = json.loads(_file().read_text())
    except (OSError, ValueError):
        everything = {}
    _file().parent.mkdir(parents=True, exist_ok=True)
    _file().write_text(json.dumps(everything | {place: asdict(published)}, indent=1))


def _file() -> Path:
    return Path(constants.HF_HOME) / "fer_efficientnet" / "published.json"
