"""Photos to try: those that scikit-image carries, and people drawn by code."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import skimage.data
from drawing import Expression, Looks, draw_person
from PIL import Image

CREDITS = (
    "Examples: Eileen Collins (photo: NASA, public domain); people drawn by code; a cat (photo: "
    "Stéfan van der Walt, CC0)."
)
WALL = (176, 190, 200)
SIDE = 320  # pixels of a drawing
PEOPLE = {  # chosen so that both detectors find them and the model reads them as meant
    "happy": (
        Expression(
            eye_open=-0.2, squint=0.5, mouth_curve=1, mouth_open=0.6, mouth_width=0.4, teeth=0.7,
            folds=0.4,
        ),
        Looks((214, 164, 128), (36, 26, 22), (170, 110, 60)),
    ),
    "angry": (
        Expression(
            brow_raise=-0.4, brow_slant=-0.9, brow_arch=0, eye_open=0.1, mouth_curve=-0.5,
            mouth_width=-0.2, frown=1,
        ),
        Looks((205, 160, 125), (60, 36, 26), (50, 120, 130)),
    ),
    "surprise": (
        Expression(
            brow_raise=0.56, brow_arch=0.49, eye_open=0.35, mouth_open=0.7, mouth_width=-0.28
        ),
        Looks((236, 196, 166), (96, 60, 36), (90, 80, 140), long_hair=True),
    ),
    "disgust": (
        Expression(
            brow_raise=-0.6, brow_slant=-0.6, eye_open=-0.5, squint=0.8, mouth_curve=-0.7,
            mouth_open=0.3, teeth=0.5, folds=1, frown=0.6,
        ),
        Looks((198, 146, 112), (30, 24, 22), (120, 60, 70), long_hair=True),
    ),
    "sad": (
        Expression(
            brow_raise=0.1, brow_slant=1, eye_open=-0.4, mouth_curve=-1, mouth_width=-0.1, frown=0.2
        ),
        Looks((236, 196, 166), (150, 96, 52), (90, 80, 140), long_hair=True),
    ),
}  # fmt: skip


@dataclass(frozen=True)
class Example:
    path: Path
    name: str


def make_examples(folder: Path) -> list[Example]:
    """Writes them to `folder`; the first one opens the page."""
    pictures = {
        "A photo": Image.fromarray(skimage.data.astronaut()[:400]),
        "Drawn: surprise": person("surprise"),
        "Drawn: sadness": person("sad"),
        "Drawn: group": group(["happy", "sad", "surprise"], ["disgust", "angry"]),
        "No face": Image.fromarray(skimage.data.chelsea()),
    }
    examples = []
    for number, (name, picture) in enumerate(pictures.items(), 1):
        examples.append(Example(folder / f"example-{number}.jpg", name))
        picture.save(examples[-1].path, quality=92)
    return examples


def person(name: str) -> Image.Image:
    return draw_person(*PEOPLE[name], WALL, SIDE)


def group(behind: list[str], before: list[str]) -> Image.Image:
    """Two rows; the one before is a person shorter."""
    rows = [
        np.concatenate([np.asarray(person(name)) for name in names], 1)
        for names in (behind, before)
    ]
    wall = np.full((SIDE, SIDE // 2, 3), WALL, np.uint8)
    rows[1] = np.concatenate([wall, rows[1], wall], 1)
    return Image.fromarray(np.concatenate(rows))
