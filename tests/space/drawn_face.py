"""A face made of ellipses, which both detectors find, and a camera that shows it."""

from pathlib import Path

import cv2
import numpy as np

WALL, SKIN, SHADE, HAIR, DARK, LIPS = (
    *((120, 140, 150), (225, 185, 150), (200, 155, 120), (90, 60, 40), (60, 40, 40), (170, 70, 70)),
)


def drawn_face(side: int = 240, smiling: bool = True) -> np.ndarray:
    """uint8 (side, side, 3) RGB."""
    picture = np.full((240, 240, 3), WALL, np.uint8)
    cv2.ellipse(picture, (120, 100), (84, 92), 0, 0, 360, HAIR, -1)
    cv2.ellipse(picture, (120, 128), (70, 92), 0, 0, 360, SKIN, -1)
    for x in (90, 150):
        cv2.ellipse(picture, (x, 108), (24, 14), 0, 0, 360, SHADE, -1)
        cv2.ellipse(picture, (x, 110), (15, 8), 0, 0, 360, (240, 240, 240), -1)
        cv2.circle(picture, (x, 110), 7, DARK, -1)
        cv2.ellipse(picture, (x, 92), (20, 6), 0, 180, 360, DARK, 5)
    cv2.ellipse(picture, (120, 150), (13, 7), 0, 0, 180, SHADE, 4)
    if smiling:
        cv2.ellipse(picture, (120, 170), (30, 16), 0, 0, 180, LIPS, -1)
    else:
        cv2.ellipse(picture, (120, 186), (30, 16), 0, 180, 360, LIPS, 6)
    return cv2.GaussianBlur(cv2.resize(picture, (side, side)), (5, 5), 0)


def write_camera(path: Path, frames: int = 60) -> Path:
    """A Motion JPEG of 640 x 480: the face moves about in the left half; Chromium repeats it."""
    with path.open("wb") as file:
        for number in range(frames):
            picture = np.full((480, 640, 3), WALL, np.uint8)
            left = 40 + round(20 * np.sin(2 * np.pi * number / frames))
            picture[120:360, left : left + 240] = drawn_face(smiling=number < frames / 2)
            file.write(cv2.imencode(".jpg", picture[..., ::-1])[1].tobytes())
    return path
