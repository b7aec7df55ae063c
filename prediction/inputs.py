"""What the words of the command line stand for: photos and videos."""

import glob
from collections.abc import Iterable
from pathlib import Path
from urllib.parse import urlsplit

from .video import is_stream, is_url

PHOTO_SUFFIXES = {
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".png", ".apng", ".webp", ".gif", ".bmp"),
    *(".tif", ".tiff", ".avif", ".jp2", ".ppm", ".pgm", ".pbm", ".pnm"),
}
VIDEO_SUFFIXES = {
    *(".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm", ".mpg", ".mpeg", ".wmv", ".3gp"),
}
STREAM_SUFFIXES = {".m3u8", ".mpd"}  # of URLs


class InputError(ValueError):
    """A word that stands for nothing; the message names it."""


def collect(words: Iterable[str]) -> tuple[list[str], list[str]]:
    """
    Args:
        words: files, URLs, folders (searched with all below) and globs. A URL is a video by its
            scheme or the suffix of its path, else a photo. Pipes and devices are videos, and so is
            -, which is standard input.

    Returns:
        Photos and videos, in the order of the words, those of a folder sorted.

    Raises:
        InputError: a word names no file, or a folder or glob holds no photo and no video.
    """
    photos: list[str] = []
    videos: list[str] = []
    for word in words:
        for file in _files(word):
            (videos if _is_video(file) else photos).append(file)
    return photos, videos


def _is_video(file: str) -> bool:
    if is_stream(file) or _is_pipe(file):
        return True
    if is_url(file):
        return Path(urlsplit(file).path).suffix.lower() in VIDEO_SUFFIXES | STREAM_SUFFIXES
    return Path(file).suffix.lower() in VIDEO_SUFFIXES


def _is_pipe(file: str) -> bool:
    path = Path(file)
    return path.is_fifo() or path.is_char_device()


def _files(word: str) -> list[str]:
    path = Path(word)
    if word == "-":
        return ["/dev/stdin"]
    if word.startswith(("http://", "https://")) or is_stream(word) or _is_pipe(word):
        return [word]
    if path.is_file():
        return [word]
    if path.is_dir():
        return _known(path.rglob("*"), f"{word}: no photo and no video in this folder")
    if glob.has_magic(word):
        return _known(map(Path, glob.iglob(word, recursive=True)), f"{word}: nothing matches")
    raise InputError(f"{word}: no such file or folder.")


def _known(paths: Iterable[Path], otherwise: str) -> list[str]:
    suffixes = PHOTO_SUFFIXES | VIDEO_SUFFIXES
    found = sorted(
        str(path) for path in paths if path.is_file() and path.suffix.lower() in suffixes
    )
    if not found:
        raise InputError(f"{otherwise}.")
    return found
