"""
Names in pictures, by the font that matplotlib brings: Latin, Greek, Cyrillic and more. Without
matplotlib, by Pillow's own: Latin.
"""

import functools
import logging
import unicodedata
from collections.abc import Container
from pathlib import Path

from PIL import ImageFont

try:
    import matplotlib
    from matplotlib.ft2font import FT2Font
except ImportError:
    matplotlib = None

RIGHT_TO_LEFT = ("R", "AL")  # what Pillow would draw from left to right

logger = logging.getLogger(__name__)


@functools.cache
def font(size: int) -> ImageFont.FreeTypeFont:
    """size: in pixels."""
    if matplotlib is None:
        return ImageFont.load_default(size)
    path = Path(matplotlib.get_data_path(), "fonts", "ttf", "DejaVuSans.ttf")
    return ImageFont.truetype(str(path), size)


def _letters() -> Container[int]:
    """The code points that the font has."""
    return range(256) if matplotlib is None else FT2Font(font(10).path).get_charmap()


@functools.cache
def drawn(names: tuple[str, ...]) -> dict[str, str]:
    """
    Args:
        names: of all classes, by id.

    Returns:
        What is drawn for each: the name or, where it cannot be drawn, its number from 1 on. A
        warning, once, says which number is which name.
    """
    letters = _letters()
    shown, numbers = {}, []
    for number, name in enumerate(names, 1):
        shown[name] = unicodedata.normalize("NFC", name)
        if not all(
            ord(letter) in letters and unicodedata.bidirectional(letter) not in RIGHT_TO_LEFT
            for letter in shown[name]
        ):
            shown[name] = f"class {number}"
            numbers.append(f"class {number} is {name}")
    if numbers:
        logger.warning(
            f"Pictures have numbers for names that cannot be drawn: {', '.join(numbers)}"
        )
    return shown
