"""What the words of the command line stand for: photos and videos."""

import glob
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from urllib.parse import urlsplit

from .video import VIDEO_SUFFIXES, is_recording, is_stream, is_url

PHOTO_SUFFIXES = {
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".png", ".apng", ".webp", ".gif", ".bmp"),
    *(".tif", ".tiff", ".avif", ".jp2", ".ppm", ".pgm", ".pbm", ".pnm"),
    *(".heic", ".heif", ".hif"),  # of phones; the reader says what it needs for them
}
STREAM_SUFFIXES = {".m3u8", ".mpd"}  # of URLs


class InputError(ValueError):
    """A word that stands for nothing; the message names it."""


def collect(words: Iterable[str]) -> tuple[list[str], list[str], list[str]]:
    """
    Args:
        words: files, URLs, folders (searched with all below) and globs. A URL is a video by its
            scheme or the suffix of its path, else a photo. Pipes and devices are videos, and so is
            -, which is standard input.

    Returns:
        Photos, videos, and the files of folders and globs that are neither, in the order of the
        words, those of a folder sorted; what is hidden in a folder is left out.

    Raises:
        InputError: a word names no file, or a folder or glob holds no photo and no video.
    """
    photos: list[str] = []
    videos: list[str] = []
    passed_over: list[str] = []
    for word in words:
        files, others = _files(word)
        for file in files:
            (videos if _is_video(file) else photos).append(file)
        passed_over += others
    return photos, videos, passed_over


def _is_video(file: str) -> bool:
    if is_stream(file) or _is_pipe(file):
        return True
    if is_url(file):
        return is_recording(file) or Path(urlsplit(file).path).suffix.lower() in STREAM_SUFFIXES
    return Path(file).suffix.lower() in VIDEO_SUFFIXES


def _is_pipe(file: str) -> bool:
    path = Path(file)
    return path.is_fifo() or path.is_char_device()


def describe_passed_over(files: list[str]) -> str:
    """One line with the number of these files, their kinds, and the first of them."""
    kinds = Counter(Path(file).suffix.lower() or "without suffix" for file in files)
    counts = ", ".join(f"{count} {kind}" for kind, count in kinds.most_common())
    more = ", ..." if len(files) > 3 else ""
    noun = "file that is" if len(files) == 1 else "files that are"
    return (
        f"Passed over {len(files)} {noun} no photo and no video by name ({counts}): "
        f"{', '.join(files[:3])}{more}"
    )


def _files(word: str) -> tuple[list[str], list[str]]:
    path = Path(word)
    if word == "-":
        return ["/dev/stdin"], []
    is_photo_url = word.lower().startswith(("http://", "https://"))
    if is_photo_url or is_stream(word) or _is_pipe(word) or path.is_file():
        return [word], []
    if path.is_dir():
        visible = (
            file
            for file in path.rglob("*")
            if not any(part[0] == "." for part in file.relative_to(path).parts)
        )
        return _known(visible, f"{word}: no photo and no video in this folder")
    if glob.has_magic(word):
        return _known(map(Path, glob.iglob(word, recursive=True)), f"{word}: nothing matches")
    raise InputError(f"{word}: no such file or folder.")


def _known(paths: Iterable[Path], otherwise: str) -> tuple[list[str], list[str]]:
    suffixes = PHOTO_SUFFIXES | VIDEO_SUFFIXES
    files = sorted(path for path in paths if path.is_file())
    found = [str(path) for path in files if path.suffix.lower() in suffixes]
    others = [str(path) for path in files if path.suffix.lower() not in suffixes]
    if not found:
        raise InputError(f"{otherwise}." + (f" {describe_passed_over(others)}" if others else ""))
    return found, others
