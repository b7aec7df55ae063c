"""The Space: its folder without caches, hidden files and Dockerfile, and with files for links."""

import re
import shutil
from pathlib import Path

from . import PublishError

FILES = ("app.py", "requirements.txt", "README.md")


def check_links(folder: Path) -> None:
    """Raises PublishError if a clone without symbolic links has text files in place of links."""
    for file in folder.iterdir():
        if file.is_file() and re.fullmatch(rb"(\.\./)+[\w./-]+", file.read_bytes()):
            raise PublishError(
                f"{file}: expected a link, but found a text file that names its target, as git "
                "writes it where symbolic links are off. Run: git config core.symlinks true && "
                "git checkout -- model space"
            )


def check_space(source: Path) -> None:
    """
    Raises:
        PublishError: a file that a Space needs is missing, README.md has no Space's header, or
            the clone is without links.
    """
    if missing := [name for name in FILES if not (source / name).is_file()]:
        raise PublishError(f"{source}: {', '.join(missing)} missing; expected {', '.join(FILES)}.")
    check_links(source)
    if not re.match(r"---\n(.*\n)*?sdk: ", (source / "README.md").read_text()):
        raise PublishError(
            f"{source}/README.md: expected a Space's header, `sdk: gradio` between two lines of "
            "---; see https://huggingface.co/docs/hub/spaces-config-reference."
        )


def stage_space(source: Path, folder: Path, *, repo_id: str, model_id: str) -> None:
    """
    Writes what the Hub gets of `source` to `folder`.

    Args:
        repo_id, model_id: the Space's and its model's, for README.md.

    Raises:
        PublishError: as for `check_space`.
    """
    check_space(source)
    # the Dockerfile is for a clone; a Space fetches the runtime
    ignored = shutil.ignore_patterns("__pycache__", ".*", "Dockerfile", "runtime")
    shutil.copytree(source, folder, dirs_exist_ok=True, ignore=ignored)
    name_space(folder / "README.md", repo_id=repo_id, model_id=model_id)


def name_space(readme: Path, *, repo_id: str, model_id: str) -> None:
    """Puts a Space's id and its model's into its README.md."""
    text = readme.read_text().replace("USER/NAME", repo_id).replace("USER/MODEL", model_id)
    readme.write_text(text.replace("USER-NAME", re.sub(r"[/._]", "-", repo_id).lower()))
