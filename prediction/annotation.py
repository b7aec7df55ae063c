"""Boxes, labels and probabilities drawn into a picture, legible on any background."""

import itertools
from collections.abc import Sequence
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
        color = COLORS.get(face["label"], "#FFFFFF")
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
