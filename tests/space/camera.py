"""A face that both detectors find, and a camera that shows it."""

from pathlib import Path

import cv2
import numpy as np
from space_client import astronaut

WALL = (176, 190, 200)


def a_face(side: int = 240) -> np.ndarray:
    """uint8 (side, side, 3) RGB."""
    return cv2.resize(astronaut()[:220, 120:340], (side, side))


def write_camera(path: Path, frames: int = 60) -> Path:
    """A Motion JPEG of 640 x 480: the face moves about in the left half; Chromium repeats it."""
    with path.open("wb") as file:
        for number in range(frames):
            picture = np.full((480, 640, 3), WALL, np.uint8)
            left = 40 + round(20 * np.sin(2 * np.pi * number / frames))
            picture[120:360, left : left + 240] = a_face()
            file.write(cv2.imencode(".jpg", picture[..., ::-1])[1].tobytes())
    return path
