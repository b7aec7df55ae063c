"""Colours for whatever classes a model has."""

import itertools

import numpy as np
import pytest

from modeling import EXPRESSIONS
from prediction.colors import COLORS, GREY, _lab, colors


def luminance(color):
    parts = np.array([*bytes.fromhex(color[1:])]) / 255
    parts = np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
    return float(parts @ [0.2126, 0.7152, 0.0722])


def test_known_names_keep_their_colours_beside_others():
    assert colors(EXPRESSIONS) == COLORS
    eight = colors((*EXPRESSIONS, "contempt"))
    assert {name: eight[name] for name in EXPRESSIONS} == COLORS
    three = colors(("tense", "happy", "calm"))
    assert [*three] == ["tense", "happy", "calm"] and three["happy"] == COLORS["happy"]


def test_on_white_nothing_is_white():
    assert colors(EXPRESSIONS, on_white=True) == COLORS | {"neutral": GREY}


@pytest.mark.parametrize("count, apart", [(3, 70), (16, 30), (64, 10)])
def test_other_names_get_distinct_readable_colours(count, apart):
    made = [*colors(f"class {i}" for i in range(count)).values()]
    pairs = itertools.combinations(_lab(made), 2)
    assert min(np.linalg.norm(a - b) for a, b in pairs) > apart  # 2.3 is just noticeable
    field = luminance("#101010")
    assert min((luminance(color) + 0.05) / (field + 0.05) for color in made) >= 4.5
