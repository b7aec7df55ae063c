"""Faces of the page's drawn examples, which both detectors find, and a camera that shows them."""

from pathlib import Path

import cv2
import numpy as np
from PIL import Image

EXAMPLES = Path(__file__).parents[2] / "space" / "examples"
WALL = (176, 190, 200)


def drawn_face(name: str = "2_drawn_surprise", side: int = 240) -> np.ndarray:
    """uint8 (side, side, 3) RGB."""
    return np.asarray(Image.open(EXAMPLES / f"{name}.jpg").resize((side, side)))


def write_camera(path: Path, frames: int = 60) -> Path:
    """A Motion JPEG of 640 x 480: the face moves about in the left half; Chromium repeats it."""
    faces = [drawn_face(name) for name in ("2_drawn_surprise", "3_drawn_sadness")]
    with path.open("wb") as file:
        for number in range(frames):
            picture = np.full((480, 640, 3), WALL, np.uint8)
            left = 40 + round(20 * np.sin(2 * np.pi * number / frames))
            picture[120:360, left : left + 240] = faces[number >= frames / 2]
            file.write(cv2.imencode(".jpg", picture[..., ::-1])[1].tobytes())
    return path
