"""The Space: the folder as it is, without caches and hidden files."""

import re
import shutil
from collections.abc import Callable
from pathlib import Path

from .client import PublishError

FILES = ("app.py", "requirements.txt", "README.md")


def stage_space(source: Path, folder: Path, *, say: Callable[[str], None]) -> None:
    """
    Args:
        say: is told of requirements that no version is pinned for.

    Raises:
        PublishError: a file that a Space needs is missing, or README.md has no Space's header.
    """
    if missing := [name for name in FILES if not (source / name).is_file()]:
        raise PublishError(f"{source}: {', '.join(missing)} missing; expected {', '.join(FILES)}.")
    if not re.match(r"---\n(.*\n)*?sdk: ", (source / "README.md").read_text()):
        raise PublishError(
            f"{source}/README.md: expected a Space's header, `sdk: gradio` between two lines of "
            "---; see https://huggingface.co/docs/hub/spaces-config-reference."
        )
    unpinned = [
        line
        for line in (source / "requirements.txt").read_text().splitlines()
        if re.match(r"[A-Za-z]", line) and "==" not in line and "@" not in line
    ]
    if unpinned:
        say(f"{source}/requirements.txt pins no version of: {', '.join(unpinned)}")
    ignored = shutil.ignore_patterns("__pycache__", ".*")
    shutil.copytree(source, folder, dirs_exist_ok=True, ignore=ignored)
