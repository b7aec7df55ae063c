"""A colour for each class, whichever classes a model has."""

import colorsys
import functools
from collections.abc import Iterable, Sequence

import cv2
import numpy as np

WHITE, GREY = "#FFFFFF", "#8A8A8A"  # the grey has a contrast of 3 on white and on black
COLORS = {  # Okabe & Ito: told apart by colour-blind readers too; the word stands beside anyway
    "angry": "#D55E00",
    "disgust": "#009E73",
    "fear": "#CC79A7",
    "happy": "#F0E442",
    "sad": "#56B4E9",
    "surprise": "#E69F00",
    "neutral": WHITE,
}


def colors(labels: Iterable[str], on_white: bool = False) -> dict[str, str]:
    """
    Legible on the dark field of captions: the colours of `COLORS`, and for other names those that
    are left of these, then whichever differs most from all colours before it.

    Args:
        labels: all classes of a model, in their order, as a face's `scores` have them.
        on_white: whether grey takes the place of white.
    """
    chosen = _colors(tuple(labels))
    return {
        label: GREY if on_white and color == WHITE else color for label, color in chosen.items()
    }


@functools.lru_cache
def _colors(labels: tuple[str, ...]) -> dict[str, str]:
    chosen = {label: COLORS[label] for label in labels if label in COLORS}
    free = [color for color in COLORS.values() if color not in (*chosen.values(), WHITE)]
    for label in labels:
        if label not in chosen:
            chosen[label] = free.pop(0) if free else _farthest(chosen.values())
    return {label: chosen[label] for label in labels}


def _farthest(taken: Iterable[str]) -> str:
    """The one of 24 hues in four lightnesses whose nearest colour in `taken` is farthest off."""
    hues = [
        colorsys.hls_to_rgb(hue / 24, lightness, 0.9)
        for hue in range(24)
        for lightness in (0.4, 0.55, 0.7, 0.85)
    ]
    hexes = ["#" + "".join(f"{round(255 * part):02X}" for part in rgb) for rgb in hues]
    lab, others = _lab(hexes), _lab([*taken])
    distance = np.linalg.norm(lab[:, None] - others, axis=2).min(axis=1)
    return hexes[int(np.where(lab[:, 0] >= 55, distance, 0).argmax())]  # 5 : 1 on the dark field


def _lab(hexes: Sequence[str]) -> np.ndarray:
    """(N, 3): CIE L*a*b*, L* in [0, 100]."""
    rgb = np.array([list(bytes.fromhex(color[1:])) for color in hexes], np.float32) / 255
    return cv2.cvtColor(rgb[None], cv2.COLOR_RGB2LAB)[0]
