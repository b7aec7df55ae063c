"""Names of classes, detectors and kinds of photos, and where files are. Imports nothing heavy."""

import os
from collections.abc import Iterator
from pathlib import Path

EXPRESSIONS = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")
DETECTORS = ("auto", "yunet", "haar", "none")
# What is read: Pillow's name of a format, and the suffixes that its files have.
PHOTO_FORMATS = {
    "JPEG": (".jpg", ".jpeg", ".jpe", ".jfif", ".mpo"),
    "PNG": (".png", ".apng"),
    "WEBP": (".webp",),
    "GIF": (".gif",),
    "BMP": (".bmp",),
    "TIFF": (".tif", ".tiff"),
    "AVIF": (".avif", ".avifs"),
    "JPEG2000": (".jp2", ".j2k", ".j2c", ".jpc", ".jpf", ".jpx"),
    "PPM": (".ppm", ".pgm", ".pbm", ".pnm", ".pfm"),
    "HEIF": (".heic", ".heics", ".heif", ".heifs", ".hif"),  # where pillow-heif is installed
}
PHOTO_SUFFIXES = {suffix for suffixes in PHOTO_FORMATS.values() for suffix in suffixes}
# What systems leave in folders of photos: previews, settings, copies.
SYSTEM_NAMES = {"thumbs.db", "ehthumbs.db", "desktop.ini", "@eadir", "__macosx", "$recycle.bin"}


def files_below(folder: Path, above: tuple[str, ...] = ()) -> Iterator[Path]:
    """
    The files in a folder and the folders below it, sorted; without hidden ones and those of the
    system. Links are followed, but not back into a folder that they are in (`above`).
    """
    here = os.path.realpath(folder)
    if here in above:
        return
    for name in sorted(os.listdir(folder)):
        path = folder / name
        if name.startswith(".") or name.lower() in SYSTEM_NAMES:
            continue
        if path.is_dir():
            yield from files_below(path, (*above, here))
        elif path.is_file() or path.is_symlink():  # which leads nowhere: whoever reads it says so
            yield path


__all__ = ["DETECTORS", "EXPRESSIONS", "PHOTO_FORMATS", "PHOTO_SUFFIXES", "files_below"]
