"""Faces cut out of photos, as files to train on."""

import glob
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlsplit

from PIL import Image

from .annotation import free_path
from .inputs import InputError


def check_folder(folder: Path) -> None:
    """
    Raises:
        InputError: `folder` holds files: crops of an earlier call would be there twice.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(
            f"--crops {folder}: expected a new or an empty folder, but found files; a face that is "
            "there twice is learned twice. Choose another folder, or remove this one."
        )


class CropWriter:
    """
    A PNG file for each face: the upright square that the model is given, in the photo's own
    resolution, without the photo's metadata. `photos/calm/x.jpg` of the input `photos` becomes
    `<folder>/calm/x_1.png`, `x_2.png`, ... for its faces from left to right.

    Args:
        folder: of the files. words: the inputs as given. photos: the files that they stand for.
    """

    def __init__(self, folder: Path, words: Sequence[str], photos: Sequence[str]):
        roots = [Path(_fixed_part(word)) for word in words]
        self.places = {name: folder / _below(Path(name), roots) for name in photos}
        self.names = Counter(map(self._place, photos))
        self.none, self.several = 0, 0

    def write(self, name: str, faces: Sequence[dict]) -> None:
        """Args: faces: of the pipeline, with "crop"."""
        self.none += not faces
        self.several += len(faces) > 1
        folder, stem = self._place(name)
        if self.names[folder, stem] > 1:  # x.jpg and x.png
            stem = Path(name).name
        for number, face in enumerate(faces, 1):
            path = free_path(folder, f"{stem[:100]}_{number}", ".png")
            Image.fromarray(face["crop"]).save(path)

    def described(self) -> str:
        """What there is to look at before a training; "" for nothing."""
        words = []
        if self.none:
            words.append(f"{self.none} photos gave no face")
        if self.several:
            words.append(
                f"{self.several} gave several (x_1.png, x_2.png, ...), which all carry the "
                "photo's class: remove those of other people"
            )
        return "; ".join(words) + "." if words else ""

    def _place(self, name: str) -> tuple[Path, str]:
        path = urlsplit(name).path if "://" in name else name
        return self.places[name], Path(path).stem


def _fixed_part(word: str) -> str:
    """The folder of `word` that is searched: of a glob, what is before its first wildcard."""
    if Path(word).is_dir() or not glob.has_magic(word):
        return word
    parts = Path(word).parts
    fixed = next(i for i, part in enumerate(parts) if glob.has_magic(part))
    return str(Path(*parts[:fixed]))


def _below(file: Path, roots: Sequence[Path]) -> Path:
    """The folder of `file` below the innermost root that it is in."""
    found = [file.parent.relative_to(root) for root in roots if file.parent.is_relative_to(root)]
    return min(found, key=lambda path: len(path.parts), default=Path())
