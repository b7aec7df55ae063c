"""Faces cropped from photos, as files to train on."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlsplit

from PIL import Image

from .inputs import fixed_part
from .output import free_path


class CropWriter:
    """
    A PNG file for each face: the upright square that the model is given, in the photo's own
    resolution, without the photo's metadata. `photos/calm/x.jpg` of the input `photos` becomes
    `<folder>/calm/x_1.png`, `x_2.png`, ... for its faces from left to right.

    Args:
        folder: where the files go.
        inputs: as given on the command line.
        photos: the files that the inputs stand for.
    """

    def __init__(self, folder: Path, inputs: Sequence[str], photos: Sequence[str]):
        roots = [Path(fixed_part(given)) for given in inputs]
        self.places = {name: folder / _below(Path(name), roots) for name in photos}
        self.names = Counter(map(self._place, photos))
        self.without_face, self.with_several = 0, 0

    def write(self, name: str, faces: Sequence[dict]) -> None:
        """Saves the crop of each of a photo's faces."""
        self.without_face += not faces
        self.with_several += len(faces) > 1
        folder, stem = self._place(name)
        if self.names[folder, stem] > 1:  # x.jpg and x.png
            stem = Path(name).name
        for number, face in enumerate(faces, 1):
            path = free_path(folder, f"{stem[:100]}_{number}", ".png")
            Image.fromarray(face["crop"]).save(path)

    def advice(self) -> str:
        """What to look at before a training; "" for nothing."""
        notes = []
        if self.without_face:
            notes.append(f"{self.without_face} photos gave no face")
        if self.with_several:
            notes.append(
                f"{self.with_several} gave several (x_1.png, x_2.png, ...), which all carry the "
                "photo's class: remove those of other people"
            )
        return "; ".join(notes) + "." if notes else ""

    def _place(self, name: str) -> tuple[Path, str]:
        path = urlsplit(name).path if "://" in name else name
        return self.places[name], Path(path).stem


def _below(file: Path, roots: Sequence[Path]) -> Path:
    """The folder of `file` below the innermost root that it is in."""
    below = [file.parent.relative_to(root) for root in roots if file.parent.is_relative_to(root)]
    return min(below, key=lambda path: len(path.parts), default=Path())
