"""From the command line's inputs to photos and videos. Imports nothing heavy."""

import glob
import os
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from . import modeling
from .sources import VIDEO_SUFFIXES, is_pipe, is_stream, is_url, is_video


class InputError(ValueError):
    """Something that cannot be looked at; the message names it."""


def missing_model(model: str, revision: str) -> InputError:
    return InputError(
        f"--model {model}: no such folder, and no such model can be had from the Hub (revision "
        f"{revision}). Give a folder with config.json and model.safetensors, or an id such as "
        "owner/name, with network."
    )


def collect(inputs: Iterable[str]) -> tuple[list[str], list[str], list[str]]:
    """
    Args:
        inputs: files, URLs, folders (searched with everything below them, links included) and
            globs; `-` is standard input, a video. `sources.is_video` tells photos from videos.

    Returns:
        Photos, videos, and the files of folders and globs that are neither, in the order of the
        inputs, those of a folder sorted. Hidden files and those of the system are left out.

    Raises:
        InputError: an input does not exist, or a folder or glob holds no photo and no video.
    """
    photos: list[str] = []
    videos: list[str] = []
    passed_over: list[str] = []
    for given in inputs:
        files, others = _files(given)
        for file in files:
            (videos if is_video(file) else photos).append(file)
        passed_over += others
    return photos, videos, passed_over


def describe_passed_over(files: list[str]) -> str:
    """One line: how many files, of which kinds, and the first three."""
    kinds = Counter(Path(file).suffix.lower() or "without suffix" for file in files)
    counts = ", ".join(f"{count} {kind}" for kind, count in kinds.most_common())
    more = ", ..." if len(files) > 3 else ""
    noun = "file that is" if len(files) == 1 else "files that are"
    return (
        f"Passed over {len(files)} {noun} no photo and no video by name ({counts}): "
        f"{', '.join(files[:3])}{more}"
    )


def _files(given: str) -> tuple[list[str], list[str]]:
    path = Path(given)
    if given == "-":
        return ["/dev/stdin"], []
    by_http = given.lower().startswith(("http://", "https://"))
    if by_http or is_stream(given) or is_pipe(given) or path.is_file():
        return [given], []
    if path.is_dir():
        files = modeling.names.files_below(path)
        return _by_suffix(files, f"{given}: no photo and no video in this folder")
    if glob.has_magic(given):
        fixed = fixed_part(given)
        pattern = os.path.join(glob.escape(fixed), os.path.relpath(given, fixed or "."))
        found = [Path(file) for file in glob.iglob(pattern, recursive=True)]
        return _by_suffix(filter(Path.is_file, found), f"{given}: nothing matches")
    raise InputError(f"{given}: no such file or folder.")


def fixed_part(given: str) -> str:
    """The folder that an input searches: of a glob, what of it is there by that very name."""
    if Path(given).is_dir() or not glob.has_magic(given) or is_url(given):
        return given
    return next((str(path) for path in Path(given).parents if path.is_dir()), "")


def _by_suffix(paths: Iterable[Path], if_none: str) -> tuple[list[str], list[str]]:
    """Photos and videos, and the other files; InputError where all are others."""
    suffixes = modeling.names.PHOTO_SUFFIXES | VIDEO_SUFFIXES
    files = sorted(paths)
    known = [str(path) for path in files if path.suffix.lower() in suffixes]
    others = [str(path) for path in files if path.suffix.lower() not in suffixes]
    if not known:
        raise InputError(f"{if_none}." + (f" {describe_passed_over(others)}" if others else ""))
    return known, others
