"""Faces drawn into a picture."""

import numpy as np

from prediction.annotation import annotate
from prediction.colors import colors


def test_a_box_has_the_colour_of_its_class():
    scores = {"calm": 0.2, "tense": 0.7, "asleep": 0.1}
    box = {"xmin": 20, "ymin": 40, "xmax": 80, "ymax": 90}
    face = {"box": box, "label": "tense", "score": 0.7, "uncertain": False, "scores": scores}
    drawn = annotate(np.zeros((100, 100, 3), np.uint8), [face])
    assert "#" + drawn[89, 50].tobytes().hex().upper() == colors(scores)["tense"]


def test_a_caption_stays_in_the_picture(face):
    black = np.zeros((60, 90, 3), np.uint8)
    drawn = annotate(black, [face(0) | {"box": dict(xmin=70, ymin=0, xmax=90, ymax=20)}])
    assert drawn.shape == black.shape and (drawn[:20, :60] > 200).any()
