"""Boxes, labels and probabilities drawn into a picture, legible on any background."""

import colorsys
import functools
import itertools
from collections.abc import Iterable, Sequence
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

COLORS = {  # Okabe & Ito: told apart by colour-blind readers too; the word stands beside anyway
    "angry": "#D55E00",
    "disgust": "#009E73",
    "fear": "#CC79A7",
    "happy": "#F0E442",
    "sad": "#56B4E9",
    "surprise": "#E69F00",
    "neutral": "#FFFFFF",
}


def colors(labels: Iterable[str]) -> dict[str, str]:
    """
    A colour for each class, legible on the captions' dark field: those of `COLORS`, and for other
    names what is left of these, then whatever differs most from the colours before it.

    Args:
        labels: all classes of a model, in their order; a face's `scores` have them.
    """
    return _colors(tuple(labels))


@functools.lru_cache
def _colors(labels: tuple[str, ...]) -> dict[str, str]:
    found = {label: COLORS[label] for label in labels if label in COLORS}
    free = [color for color in COLORS.values() if color not in (*found.values(), "#FFFFFF")]
    for label in labels:
        if label not in found:
            found[label] = free.pop(0) if free else _farthest(found.values())
    return {label: found[label] for label in labels}


def _farthest(taken: Iterable[str]) -> str:
    """Of all hues in four lightnesses, the one whose nearest of `taken` is farthest off, in Lab."""
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


def annotate(photo: np.ndarray, faces: Sequence[dict], numbers: bool = False) -> np.ndarray:
    """
    Args:
        photo: uint8 (H, W, 3). faces: of the pipeline, with "person" in place of the number for a
            video. numbers: whether to draw the number of each face.

    Returns:
        A copy with a box around each face and, on a dark field over it, label and probability; a
        question mark stands behind an uncertain one.
    """
    image = Image.fromarray(photo).convert("RGB")
    draw = ImageDraw.Draw(image)
    for number, face in enumerate(faces, 1):
        box = face["box"]
        side = max(box["xmax"] - box["xmin"], box["ymax"] - box["ymin"])
        size = int(min(max(14, side / 7), max(14, image.height / 12)))
        width = max(2, size // 9)
        color = colors(face["scores"])[face["label"]]
        edges = [box[edge] for edge in ("xmin", "ymin", "xmax", "ymax")]
        draw.rectangle([e + d * width for e, d in zip(edges, (-1, -1, 1, 1))], None, "black", width)
        draw.rectangle(edges, None, color, width)
        mark = " ?" if face["uncertain"] else ""
        text = f"{face['label']} {face['score']:.0%}{mark}"
        if numbers or "person" in face:
            text = f"{face.get('person', number)}  {text}"
        _caption(draw, image.size, edges, text, size, color)
    return np.asarray(image)


def heat_picture(face: dict, side: int = 200) -> np.ndarray:
    """uint8 (side, side, 3): the crop, grey, with the heat map over it."""
    crop = cv2.resize(face["crop"], (side, side), interpolation=cv2.INTER_CUBIC)
    grey = cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY)[..., None].repeat(3, axis=2)
    heat = cv2.resize((face["heatmap"] * 255).astype(np.uint8), (side, side))
    heat = cv2.cvtColor(cv2.applyColorMap(heat, cv2.COLORMAP_INFERNO), cv2.COLOR_BGR2RGB)
    return cv2.addWeighted(grey, 0.5, heat, 0.5, 0)


def free_path(folder: Path, stem: str, suffix: str) -> Path:
    """folder/stem.suffix, or with -2, -3, ... where that is taken. Makes the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    names = itertools.chain([stem], (f"{stem}-{number}" for number in itertools.count(2)))
    return next(path for name in names if not (path := folder / f"{name}{suffix}").exists())


def _caption(draw, picture: tuple[int, int], edges, text: str, size: int, color: str) -> None:
    """Over the box, or inside it where the picture ends; moved in from the right border."""
    font = ImageFont.load_default(size)
    left, top, right, bottom = draw.textbbox((0, 0), text, font=font)
    pad = max(2, size // 5)
    width, height = right - left + 2 * pad, bottom - top + 2 * pad
    x = max(0, min(edges[0], picture[0] - width))
    y = edges[1] - height if edges[1] >= height else edges[1]
    draw.rectangle((x, y, x + width, y + height), fill="#101010")
    draw.text((x + pad - left, y + pad - top), text, font=font, fill=color)
