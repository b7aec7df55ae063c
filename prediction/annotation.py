"""Faces drawn into a picture, legible on any background."""

from collections.abc import Sequence

import cv2
import numpy as np
from PIL import Image, ImageDraw

from .colors import colors
from .lettering import drawn, font


def annotate(photo: np.ndarray, faces: Sequence[dict], numbers: bool = False) -> np.ndarray:
    """
    Args:
        photo: uint8 (H, W, 3).
        faces: the pipeline's; in a video with "person", which is drawn in place of the number.
        numbers: whether to draw the number of each face.

    Returns:
        A copy with a box around each face and, on a dark field above it, label and probability,
        with a question mark if the face is uncertain.
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
        name = drawn(tuple(face["scores"]))[face["label"]]
        text = f"{name} {face['score']:.0%}{mark}"
        if numbers or "person" in face:
            text = f"{face.get('person', number)}  {text}"
        others = [other["box"] for other in faces if other is not face]
        _caption(draw, image.size, edges, text, size, color, others)
    return np.asarray(image)


def heat_picture(face: dict, side: int = 200) -> np.ndarray:
    """uint8 (side, side, 3): the crop in grey under its heat map."""
    crop = cv2.resize(face["crop"], (side, side), interpolation=cv2.INTER_CUBIC)
    grey = cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY)[..., None].repeat(3, axis=2)
    heat = cv2.resize((face["heatmap"] * 255).astype(np.uint8), (side, side))
    heat = cv2.cvtColor(cv2.applyColorMap(heat, cv2.COLORMAP_INFERNO), cv2.COLOR_BGR2RGB)
    return cv2.addWeighted(grey, 0.5, heat, 0.5, 0)


def _caption(
    draw: ImageDraw.ImageDraw,
    picture: tuple[int, int],
    edges: Sequence[int],
    text: str,
    size: int,
    color: str,
    others: Sequence[dict] = (),
) -> None:
    """
    Above the box, or inside it where that is outside the picture or on another's box; moved in from
    the right border.
    """
    letters = font(size)
    left, top, right, bottom = draw.textbbox((0, 0), text, font=letters)
    pad = max(2, size // 5)
    width, height = right - left + 2 * pad, bottom - top + 2 * pad
    x = max(0, min(edges[0], picture[0] - width))

    above = edges[1] - height
    on_another = any(
        x < box["xmax"]
        and box["xmin"] < x + width
        and above < box["ymax"]
        and box["ymin"] < edges[1]
        for box in others
    )
    y = edges[1] if above < 0 or on_another else above
    draw.rectangle((x, y, x + width, y + height), fill="#101010")
    draw.text((x + pad - left, y + pad - top), text, font=letters, fill=color)
