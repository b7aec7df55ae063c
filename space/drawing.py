"""Drawn people, so that examples of every expression need nobody's photo."""

from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

FINE = 2  # drawn that many times larger and reduced, so that lines are smooth


@dataclass(frozen=True)
class Expression:
    """What it does to a neutral face, in units of each feature's own range, about -1 to 1."""

    brow_raise: float = 0
    brow_slant: float = 0  # + inner end up
    brow_arch: float = 0.4
    eye_open: float = 0
    squint: float = 0  # of the lower lid
    mouth_curve: float = 0  # + smile
    mouth_open: float = 0
    mouth_width: float = 0
    teeth: float = 0
    folds: float = 0  # beside the nose
    frown: float = 0  # between the brows


@dataclass(frozen=True)
class Looks:
    skin: tuple[int, int, int] = (224, 178, 146)
    hair: tuple[int, int, int] = (62, 42, 32)
    shirt: tuple[int, int, int] = (58, 96, 142)
    long_hair: bool = False


class _Canvas:
    """Draws in face units: x and y in [-1, 1] over the head."""

    def __init__(self, image: Image.Image, centre: tuple[float, float], half: float):
        self.image, self.centre, self.half = image, np.array(centre), half
        self.draw = ImageDraw.Draw(image)

    def _at(self, points) -> list[tuple[float, float]]:
        return [tuple(self.centre + self.half * np.array(point)) for point in points]

    def ellipse(self, x, y, rx, ry, color) -> None:
        (start, end) = self._at([(x - rx, y - ry), (x + rx, y + ry)])
        self.draw.ellipse([*start, *end], fill=color)

    def shape(self, points, color) -> None:
        self.draw.polygon(self._at(points), fill=color)

    def line(self, points, width, color) -> None:
        dots, radius = self._at(points), width * self.half / 2
        self.draw.line(dots, fill=color, width=max(1, round(2 * radius)), joint="curve")
        for x, y in (dots[0], dots[-1]):
            self.draw.ellipse([x - radius, y - radius, x + radius, y + radius], fill=color)


def draw_person(expression: Expression, looks: Looks, wall, side: int) -> Image.Image:
    """RGB, side x side: head and shoulders before a wall of colour `wall`."""
    size = side * FINE
    image = Image.new("RGB", (size, size), wall)
    canvas = _Canvas(image, (size / 2, size * 0.47), size * 0.36)
    dark, light = _shade(looks.skin, 0.72), _shade(looks.skin, 1.12)
    _body(canvas, looks, dark)
    _soft(canvas, lambda soft: _modelling(soft, dark, light), 0.06)
    _hair(canvas, looks)
    for s in (-1, 1):
        _eye(canvas, s, expression, looks, dark)
        _brow(canvas, s, expression, looks)
    _soft(canvas, lambda soft: _creases(soft, expression, _shade(looks.skin, 0.55)), 0.012)
    _nose(canvas, _shade(looks.skin, 0.62))
    _mouth(canvas, expression, looks)
    small = image.filter(ImageFilter.GaussianBlur(0.8)).resize((side, side), Image.Resampling.BOX)
    grain = np.random.default_rng(0).normal(0, 2, (side, side, 1))
    return Image.fromarray(np.clip(np.asarray(small) + grain, 0, 255).astype(np.uint8))


def _shade(color, by: float) -> tuple[int, ...]:
    return tuple(min(255, round(part * by)) for part in color)


def _soft(canvas: _Canvas, paint, blur: float) -> None:
    """What `paint` draws, with soft edges."""
    layer = Image.new("RGBA", canvas.image.size)
    paint(_Canvas(layer, canvas.centre, canvas.half))
    layer = layer.filter(ImageFilter.GaussianBlur(blur * canvas.half))
    canvas.image.paste(layer, (0, 0), layer)


def _body(canvas: _Canvas, looks: Looks, dark) -> None:
    if looks.long_hair:
        canvas.ellipse(0, 0.2, 0.98, 1.2, looks.hair)
    else:
        canvas.ellipse(0, -0.25, 0.84, 0.85, looks.hair)
    canvas.shape([(-0.3, 0.6), (0.3, 0.6), (0.34, 1.3), (-0.34, 1.3)], dark)
    canvas.ellipse(0, 1.75, 1.2, 0.62, looks.shirt)
    canvas.ellipse(0, 1.16, 0.36, 0.2, dark)
    for s in (-1, 1):
        canvas.ellipse(0.76 * s, 0.06, 0.1, 0.2, dark)
    canvas.ellipse(0, -0.05, 0.75, 0.8, looks.skin)
    canvas.ellipse(0, 0.3, 0.62, 0.7, looks.skin)


def _modelling(canvas: _Canvas, dark, light) -> None:
    for s in (-1, 1):
        canvas.ellipse(0.32 * s, -0.14, 0.25, 0.16, (*dark, 130))
        canvas.ellipse(0.36 * s, 0.26, 0.2, 0.16, (*light, 100))
    canvas.ellipse(0, 0.2, 0.06, 0.3, (*light, 150))
    canvas.ellipse(0, -0.5, 0.4, 0.16, (*light, 110))
    canvas.ellipse(0, 0.86, 0.3, 0.06, (*dark, 110))


def _hair(canvas: _Canvas, looks: Looks) -> None:
    t = np.linspace(np.pi, 2 * np.pi, 30)
    outer = [(0.8 * np.cos(a), -0.1 + 0.98 * np.sin(a)) for a in t]
    inner = [(0.7 * np.cos(a), -0.3 + 0.36 * np.sin(a)) for a in t[::-1]]
    canvas.shape(outer + inner, looks.hair)


def _eye(canvas: _Canvas, s: int, expression: Expression, looks: Looks, dark) -> None:
    x, y = 0.32 * s, -0.1
    up = max(0.015, 0.075 * (1 + 0.9 * expression.eye_open))
    down = max(0.01, 0.06 * (1 + 0.5 * expression.eye_open - 0.8 * expression.squint))
    t = np.linspace(-1, 1, 21)
    upper = [(x + 0.16 * a, y - up * (1 - a**2)) for a in t]
    lower = [(x + 0.16 * a, y + down * (1 - a**2)) for a in t[::-1]]
    mask = Image.new("L", canvas.image.size)
    ImageDraw.Draw(mask).polygon(canvas._at(upper + lower), fill=255)
    eye = Image.new("RGB", canvas.image.size, (238, 234, 228))
    ball = _Canvas(eye, canvas.centre, canvas.half)
    ball.ellipse(x, y - 0.005, 0.075, 0.078, (84, 60, 44))
    ball.ellipse(x, y - 0.005, 0.04, 0.042, (16, 14, 14))
    ball.ellipse(x + 0.025, y - 0.03, 0.015, 0.015, (255, 255, 255))
    canvas.image.paste(eye, (0, 0), mask)
    canvas.line(upper, 0.03, (40, 28, 24))
    canvas.line(lower, 0.012, dark)
    crease = [(px, py - 0.05) for px, py in upper[3:-3]]
    canvas.line(crease, 0.014, dark)


def _brow(canvas: _Canvas, s: int, expression: Expression, looks: Looks) -> None:
    height = -0.31 - 0.1 * expression.brow_raise
    t = np.linspace(0, 1, 15)
    inner, outer = 0.12, 0.52
    middle = [
        (
            s * (inner + (outer - inner) * a),
            height
            - 0.11 * expression.brow_slant * (1 - 1.6 * a)
            - 0.08 * expression.brow_arch * (1 - (2 * a - 1.15) ** 2),
        )
        for a in t
    ]
    thick = 0.045 * (1 - 0.65 * t**2)
    over = [(x, y - w) for (x, y), w in zip(middle, thick)]
    under = [(x, y + w) for (x, y), w in zip(middle, thick)]
    canvas.shape(over + under[::-1], _shade(looks.hair, 0.8))


def _creases(canvas: _Canvas, expression: Expression, dark) -> None:
    for s in (-1, 1):
        if expression.folds > 0:
            strength = round(200 * min(1, expression.folds))
            canvas.line(
                [(0.17 * s, 0.2), (0.3 * s, 0.36), (0.36 * s, 0.52)], 0.03, (*dark, strength)
            )
            canvas.line([(0.05 * s, -0.02), (0.14 * s, 0.08)], 0.02, (*dark, strength))
        if expression.frown > 0:
            strength = round(230 * min(1, expression.frown))
            canvas.line([(0.05 * s, -0.38), (0.07 * s, -0.22)], 0.025, (*dark, strength))


def _nose(canvas: _Canvas, dark) -> None:
    canvas.line([(-0.1, 0.24), (-0.05, 0.28), (0.05, 0.28), (0.1, 0.24)], 0.026, dark)
    for s in (-1, 1):
        canvas.ellipse(0.06 * s, 0.255, 0.032, 0.018, _shade(dark, 0.6))


def _mouth(canvas: _Canvas, expression: Expression, looks: Looks) -> None:
    width = 0.27 * (1 + 0.4 * expression.mouth_width)
    lips = (_shade(looks.skin, 0.72)[0], *_shade(looks.skin, 0.5)[1:])
    t = np.linspace(-1, 1, 25)
    middle = 0.53 - 0.13 * expression.mouth_curve * (t**2 - 0.35)
    gap = 0.19 * max(0, expression.mouth_open) * (1 - t**2)
    upper, lower = middle - 0.45 * gap, middle + gap
    x = width * t
    lip = 0.045 * (1 - t**2)
    canvas.shape([*zip(x, upper - lip), *zip(x[::-1], (lower + 1.4 * lip)[::-1])], lips)
    canvas.shape([*zip(x, upper), *zip(x[::-1], lower[::-1])], (70, 26, 28))
    if expression.teeth > 0 and expression.mouth_open > 0:
        edge = upper + np.minimum(lower - upper, (lower - upper) * expression.teeth)
        inside = np.abs(t) < 0.92
        canvas.shape(
            [*zip(x[inside], upper[inside]), *zip(x[inside][::-1], edge[inside][::-1])],
            (236, 230, 220),
        )
    canvas.line([*zip(x, middle if expression.mouth_open <= 0.02 else upper)], 0.022, (92, 40, 40))
