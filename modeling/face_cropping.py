"""From a photo to the pixels of a face: cropped, turned upright and resized, at once. No torch."""

import math

import numpy as np

from .face_detection import Face
from .pixels import resize, to_uint8

try:
    import cv2
except ImportError:  # whole photos are resized without it
    cv2 = None

# FER-2013's pictures relative to the detector's box: side of the picture / longer side of the box,
# and the picture's centre above the box's in such sides. Medians over its validation split,
# enlarged to 400 px: boxes of YuNet are wider around large faces (benchmarks/LOG.md, 2026-11-29).
FRAME = {"yunet": (0.94, 0.01), "haar": (1.02, 0.0)}
MOST_SAMPLES = 16  # of the photo, averaged to a pixel, across and down


def face_pixels(photo: np.ndarray, face: Face | None, side: int, channels: int = 1) -> np.ndarray:
    """
    What the network sees of a face, before it is normalised: the one way there from a photo.

    Args:
        photo: uint8 (H, W, 3) RGB. face: in it; None: all of the photo is one tight face.
        side: of the network's input, in pixels. channels: 1 for grey, 3 for RGB.

    Returns:
        float32 (channels, side, side) in [0, 255]: area averages where it is smaller than the face.
    """
    crop = photo if face is None else crop_face(photo, face, side)
    pixels = to_uint8(crop, channels, "channels_last").transpose(2, 0, 1)
    return np.ascontiguousarray(resize(pixels, side, side))


def crop_face(photo: np.ndarray, face: Face, side: int | None = None) -> np.ndarray:
    """
    The upright square around a face with the margin that FER-2013 has.

    Args:
        photo: uint8 (H, W, 3).
        side: of the crop, in pixels. None: in the photo's resolution.

    Returns:
        uint8 (side, side, 3); the photo's edge is repeated beyond its border. Each pixel is the
        mean of the photo over the pixel's square, or interpolated (bilinear) where it grows.
    """
    factor, above = FRAME[face.detector]
    left, top, right, bottom = face.box
    length = factor * face.side  # in pixels of the photo
    samples = min(math.ceil(length / side), MOST_SAMPLES) if side else 1
    side = side or max(8, round(length))
    count = samples * side
    step = length / count
    turn = math.radians(face.angle)
    x = (left + right) / 2 + above * length * math.sin(turn)
    y = (top + bottom) / 2 - above * length * math.cos(turn)
    cos, sin, half = step * math.cos(turn), step * math.sin(turn), (count - 1) / 2
    reach = math.ceil(0.75 * length) + 2  # the turned square's corners lie within it
    x0, y0 = max(0, math.floor(x) - reach), max(0, math.floor(y) - reach)
    around = photo[y0 : math.ceil(y) + reach, x0 : math.ceil(x) + reach]
    # Sample (u, v) lies at: centre + step * ((u, v) - half), turned about the centre.
    back = np.array(
        [
            [cos, -sin, x - x0 - 0.5 - half * (cos - sin)],
            [sin, cos, y - y0 - 0.5 - half * (sin + cos)],
        ]
    )
    crop = cv2.warpAffine(
        around,
        back,
        (count, count),
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REPLICATE,
    )
    return cv2.resize(
        crop, (side, side), interpolation=cv2.INTER_AREA
    )  # means of samples x samples
