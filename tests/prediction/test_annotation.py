"""Colours for whatever classes a model has, and faces drawn with them."""

import itertools

import numpy as np
import pytest

from modeling import EXPRESSIONS
from prediction.annotation import annotate
from prediction.colors import COLORS, GREY, _lab, colors
from prediction.lettering import drawn
from prediction.lettering import font as font_of


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


def test_names_beyond_ascii_are_drawn_or_numbered_and_named_once(caplog):
    names = ("énervé", "e\u0301nerve", "радость", "χαρά", "怒り", "שמח", "ก")
    shown = drawn.__wrapped__(names)
    assert shown["e\u0301nerve"] == "énerve"
    assert [*shown.values()][2:] == ["радость", "χαρά", "class 5", "class 6", "class 7"]
    (warning,) = caplog.messages
    assert warning.endswith("be drawn: class 5 is 怒り, class 6 is שמח, class 7 is ก")
    font = font_of(20)
    missing = bytes(font.getmask("\uffff"))
    assert missing not in [
        bytes(font.getmask(letter)) for name in names[:4] for letter in shown[name]
    ]


def test_a_box_has_the_colour_of_its_class():
    scores = {"calm": 0.2, "tense": 0.7, "asleep": 0.1}
    box = {"xmin": 20, "ymin": 40, "xmax": 80, "ymax": 90}
    face = {"box": box, "label": "tense", "score": 0.7, "uncertain": False, "scores": scores}
    drawn = annotate(np.zeros((100, 100, 3), np.uint8), [face])
    assert "#" + drawn[89, 50].tobytes().hex().upper() == colors(scores)["tense"]


def test_a_caption_is_not_on_a_neighbours_box(face):
    """Inside its own box, where the neighbour is just above."""
    above, below = (
        face(20) | {"box": dict(xmin=20, ymin=y, xmax=180, ymax=y + 90)} for y in (40, 135)
    )
    alone, both = (
        annotate(np.full((240, 200, 3), 99, np.uint8), faces) for faces in ([above], [above, below])
    )
    inside = np.s_[50:126, 30:170]
    assert (alone[inside] == both[inside]).all()
    assert (both[139:150, 30:60] != 99).any()


def test_a_caption_stays_in_the_picture(face):
    black = np.zeros((60, 90, 3), np.uint8)
    drawn = annotate(black, [face(0) | {"box": dict(xmin=70, ymin=0, xmax=90, ymax=20)}])
    assert drawn.shape == black.shape and (drawn[:20, :60] > 200).any()
