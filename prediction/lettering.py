"""Names in pictures, by the font that matplotlib brings: Latin, Greek, Cyrillic and more."""

import functools
import logging
import unicodedata
from pathlib import Path

import matplotlib
from matplotlib.ft2font import FT2Font

FONT = Path(matplotlib.get_data_path(), "fonts", "ttf", "DejaVuSans.ttf")
RIGHT_TO_LEFT = ("R", "AL")  # what Pillow would draw from left to right

logger = logging.getLogger(__name__)


@functools.cache
def drawn(names: tuple[str, ...]) -> dict[str, str]:
    """
    Args:
        names: of all classes, by id.

    Returns:
        What is drawn for each: the name or, where it cannot be drawn, its number from 1 on. A
        warning, once, says which number is which name.
    """
    letters = FT2Font(str(FONT)).get_charmap()
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
