"""Drawn faces for runs without data: 48 x 48 px, grey; brows, eyes and mouth make expressions."""

import io
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from .schema import LABELS, PUBLISHED_COUNTS

if TYPE_CHECKING:
    from datasets import Dataset

SIZE = 48
SCALE = 3  # drawn at 144 px and reduced, so that lines are smooth

# What a full-strength expression does to a neutral face, in units of each feature's own range:
#   brow_raise, brow_slant (+ inner end up), eye_open, mouth_curve (+ smile), mouth_open,
#   mouth_width, nose_wrinkle
EXPRESSION_FEATURES = {
    "angry": (-0.7, -1.0, -0.2, -0.4, 0.1, -0.2, 0.2),
    "disgust": (-0.5, -0.6, -0.5, -0.6, 0.4, 0.0, 1.0),
    "fear": (0.7, 0.8, 0.6, -0.3, 0.5, 0.2, 0.0),
    "happy": (0.1, 0.0, -0.2, 1.0, 0.4, 0.4, 0.0),
    "sad": (0.1, 1.0, -0.4, -0.9, 0.0, -0.2, 0.0),
    "surprise": (1.0, 0.1, 0.8, 0.0, 1.0, -0.4, 0.0),
    "neutral": (0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0),
}


class _Sketch:
    """A picture drawn in face units: [-1, 1] from left to right and from top to bottom."""

    def __init__(self, background: int):
        self.image = Image.new("L", (SIZE * SCALE, SIZE * SCALE), background)
        self.draw = ImageDraw.Draw(self.image)

    def ellipse(self, cx: float, cy: float, rx: float, ry: float, fill: int) -> None:
        corners = (cx - rx, cy - ry, cx + rx, cy + ry)
        self.draw.ellipse([(x + 1) * SIZE * SCALE / 2 for x in corners], fill=fill)

    def line(self, points: list[tuple[float, float]], width: float, fill: float) -> None:
        pixels = [((x + 1) * SIZE * SCALE / 2, (y + 1) * SIZE * SCALE / 2) for x, y in points]
        self.draw.line(pixels, fill=int(fill), width=int(width))


def draw_face(features: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A face with `features` as in `EXPRESSION_FEATURES`, random pose and light: (48, 48) uint8."""
    brow_raise, brow_slant, eye_open, mouth_curve, mouth_open, mouth_width, wrinkle = features
    skin, ink = rng.uniform(110, 220), rng.uniform(0, 60)
    sketch = _Sketch(int(rng.uniform(20, 230)))
    sketch.ellipse(0, -0.15, 0.86, 0.9, int(rng.uniform(10, 150)))  # hair
    sketch.ellipse(0, 0.08, rng.uniform(0.68, 0.8), 0.88, int(skin))
    thickness = rng.uniform(4, 7)
    for s in (-1, 1):
        eye_height = max(0.02, 0.11 * (1 + 0.8 * eye_open))
        sketch.ellipse(0.34 * s, -0.15, 0.16, eye_height, int(min(255, skin + 45)))
        pupil = 0.34 * s + rng.uniform(-0.02, 0.02)
        sketch.ellipse(pupil, -0.15, 0.07, min(0.09, eye_height), int(ink))
        brow = -0.38 - 0.13 * brow_raise
        inner, outer = (0.14 * s, brow - 0.1 * brow_slant), (0.54 * s, brow + 0.08 * brow_slant)
        sketch.line([inner, outer], thickness, ink)
        if wrinkle > 0.05:
            fold = skin - 70 * wrinkle
            sketch.line([(0.06 * s, 0.08), (0.2 * s, 0.22)], 3, fold)
            sketch.line([(0.22 * s, 0.2), (0.3 * s, 0.42)], 3, fold)
    sketch.line([(0.0, -0.1), (-0.07, 0.2), (0.05, 0.22)], 3, skin - 40)
    _draw_mouth(sketch, mouth_curve, mouth_open, 0.3 * (1 + 0.35 * mouth_width), ink, thickness)
    return _photograph(sketch.image, rng)


def _draw_mouth(
    sketch: _Sketch, curve: float, opening: float, width: float, ink: float, thickness: float
) -> None:
    t = np.linspace(-1, 1, 13)
    y = 0.52 - 0.18 * curve * (t**2 - 0.4)  # a smile lifts the corners
    if opening > 0.15:
        height = 0.05 + 0.16 * opening
        for lip in (y - height * (1 - t**2), y + height * (1 - t**2)):
            sketch.line(list(zip(width * t, lip)), thickness * 0.7, ink)
        sketch.ellipse(0, 0.52 + 0.05 * curve, width * 0.6, height * 0.7, int(ink))
    else:
        sketch.line(list(zip(width * t, y)), thickness * 0.8, ink)


def _photograph(canvas: Image.Image, rng: np.random.Generator) -> np.ndarray:
    """Pose, light and noise."""
    side = canvas.size[0]
    angle, zoom = np.deg2rad(rng.normal(0, 7)), rng.uniform(0.9, 1.15)
    turn = rng.normal(0, 0.08)  # shear, as of a head turned aside
    a, b = np.cos(angle) * zoom, np.sin(angle) * zoom + turn
    d, e = -np.sin(angle) * zoom, np.cos(angle) * zoom
    x, y = rng.normal(0, 0.03 * side, size=2)
    half = side / 2
    matrix = (a, b, half - a * half - b * half + x, d, e, half - d * half - e * half + y)
    canvas = canvas.transform(
        canvas.size, Image.Transform.AFFINE, matrix, Image.Resampling.BILINEAR, fillcolor=90
    )
    canvas = canvas.filter(ImageFilter.GaussianBlur(rng.uniform(0, 0.8) * SCALE))
    face = np.asarray(canvas.resize((SIZE, SIZE), Image.Resampling.BOX), dtype=np.float32)
    ramp = np.linspace(-1, 1, SIZE)
    light = 1 + 0.3 * (rng.normal() * ramp[None, :] + rng.normal() * ramp[:, None])
    face = (face - 128) * rng.uniform(0.55, 1.0) + 128 + rng.normal(0, 20)
    face = face * np.clip(light, 0.3, 1.7) + rng.normal(0, rng.uniform(2, 11), size=face.shape)
    return np.clip(face, 0, 255).astype(np.uint8)


def draw_faces(
    labels: np.ndarray, label_names: list[str] | tuple[str, ...], *, seed: int
) -> np.ndarray:
    """
    Faces of the given classes; strength of expression, person, pose, light and noise vary.

    Args:
        labels: (N,) ids into `label_names`.
        label_names: among the keys of `EXPRESSION_FEATURES`.
        seed: the same seed draws the same pixels.

    Returns:
        (N, 48, 48) uint8.
    """
    rng = np.random.default_rng(seed)
    faces = np.empty((len(labels), SIZE, SIZE), dtype=np.uint8)
    for i, label in enumerate(labels):
        strength = rng.uniform(0.6, 1.2)
        target = np.array(EXPRESSION_FEATURES[label_names[label]])
        faces[i] = draw_face(strength * target + rng.normal(0, 0.13, size=7), rng)
    return faces


def draw_split(
    size: int, proportions: np.ndarray, label_names: list[str] | tuple[str, ...], *, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """`size` shuffled faces (N, 48, 48) and labels (N,), in `proportions`, at least 4 per class."""
    counts = np.maximum(
        4, np.round(size * np.asarray(proportions) / np.sum(proportions)).astype(int)
    )
    labels = np.repeat(np.arange(len(counts)), counts)
    np.random.default_rng(seed).shuffle(labels)
    return draw_faces(labels, label_names, seed=seed + 1), labels


def encode_png(face: np.ndarray) -> bytes:
    """(H, W) uint8 -> PNG file."""
    buffer = io.BytesIO()
    Image.fromarray(face).save(buffer, format="PNG", compress_level=1)
    return buffer.getvalue()


def draw_splits(images: int, seed: int) -> "dict[str, Dataset]":
    """
    Drawn faces in FER-2013's class proportions; validation and test are a fifth as large. Of their
    images one in thirteen is a copy of a training image, a flaw that FER-2013 has, too.
    """
    from datasets import Dataset

    from .features import PIXEL_FEATURES

    splits, train = {}, None
    for i, name in enumerate(PUBLISHED_COUNTS):
        size = images if name == "train" else max(1, images // 5)
        faces, labels = draw_split(size, PUBLISHED_COUNTS[name], LABELS, seed=seed + 100 * i)
        if train is None:
            train = faces, labels
        else:
            rng = np.random.default_rng(seed + i)
            for row in rng.choice(len(faces), len(faces) // 13, replace=False):
                faces[row] = train[0][rng.choice(np.flatnonzero(train[1] == labels[row]))]
        columns = {"image": faces, "label": labels.tolist()}
        splits[name] = Dataset.from_dict(columns, features=PIXEL_FEATURES)
    return splits
