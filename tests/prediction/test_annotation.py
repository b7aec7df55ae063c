"""Colours for whatever classes a model has."""

import itertools

import numpy as np
import pytest

from modeling import FerEfficientNetConfig
from prediction.annotation import COLORS, _lab, annotate, colors

SEVEN = tuple(FerEfficientNetConfig().id2label.values())


def luminance(color):
    parts = np.array([*bytes.fromhex(color[1:])]) / 255
    parts = np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
    return float(parts @ [0.2126, 0.7152, 0.0722])


def test_known_names_keep_their_colours_beside_others():
    assert colors(SEVEN) == COLORS
    eight = colors((*SEVEN, "contempt"))
    assert {name: eight[name] for name in SEVEN} == COLORS
    assert [*colors(("tense", "happy", "calm"))] == ["tense", "happy", "calm"]
    assert colors(("tense", "happy", "calm"))["happy"] == COLORS["happy"]


@pytest.mark.parametrize("count, apart", [(3, 70), (16, 30), (64, 10)])
def test_other_names_get_distinct_readable_colours(count, apart):
    found = [*colors(f"class {i}" for i in range(count)).values()]
    lab = _lab(found)
    gaps = [np.linalg.norm(one - other) for one, other in itertools.combinations(lab, 2)]
    assert min(gaps) > apart  # of CIE Lab; 2.3 is just noticeable
    field = luminance("#101010")
    assert min((luminance(color) + 0.05) / (field + 0.05) for color in found) >= 4.5


def test_a_box_of_another_class_has_its_colour():
    scores = {"calm": 0.2, "tense": 0.7, "asleep": 0.1}
    box = {"xmin": 20, "ymin": 40, "xmax": 80, "ymax": 90}
    face = {"box": box, "label": "tense", "score": 0.7, "uncertain": False, "scores": scores}
    drawn = annotate(np.zeros((100, 100, 3), np.uint8), [face])
    assert "#" + drawn[89, 50].tobytes().hex().upper() == colors(scores)["tense"]
