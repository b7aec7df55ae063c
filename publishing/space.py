"""
The Space: its folder without caches, hidden files and Dockerfile, links replaced by what they point
to.
"""

import re
import shutil
from collections.abc import Callable
from pathlib import Path

from . import PublishError

FILES = ("app.py", "requirements.txt", "README.md")


def check_links(folder: Path) -> None:
    """Raises PublishError where a clone without symbolic links has a text file for a link."""
    for file in folder.iterdir():
        if file.is_file() and re.fullmatch(rb"(\.\./)+[\w./-]+", file.read_bytes()):
            raise PublishError(
                f"{file}: expected a link, but found a text file that names its target, as git "
                "writes it where symbolic links are off. Run: git config core.symlinks true && "
                "git checkout -- model space"
            )


def stage_space(
    source: Path, folder: Path, *, repo_id: str, model_id: str, say: Callable[[str], None]
) -> None:
    """
    Args:
        repo_id, model_id: of the Space and of its model, for README.md.
        say: is told of requirements that no version is pinned for.

    Raises:
        PublishError: a file that a Space needs is missing, README.md has no Space's header, or
            the clone is without links.
    """
    check_links(source)
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
    ignored = shutil.ignore_patterns("__pycache__", ".*", "Dockerfile")  # for a clone
    shutil.copytree(source, folder, dirs_exist_ok=True, ignore=ignored)
    readme = folder / "README.md"
    text = readme.read_text().replace("USER/NAME", repo_id).replace("USER/MODEL", model_id)
    readme.write_text(text.replace("USER-NAME", re.sub(r"[/._]", "-", repo_id).lower()))
