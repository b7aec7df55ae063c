import io

import numpy as np
import pytest
from PIL import Image
from sklearn.linear_model import RidgeClassifier
from sklearn.metrics import balanced_accuracy_score

from training.data import LABELS, PUBLISHED_COUNTS
from training.data.synthetic import EXPRESSION_FEATURES, draw_faces, draw_split, encode_png

PROPORTIONS = np.array(PUBLISHED_COUNTS["train"])


@pytest.fixture(scope="module")
def drawn():
    return draw_split(700, PROPORTIONS, LABELS, seed=0)


def test_same_seed_same_pixels_other_seed_other_pixels():
    (faces, labels), (again, again_labels) = (
        draw_split(20, PROPORTIONS, LABELS, seed=1) for _ in range(2)
    )
    assert np.array_equal(faces, again) and np.array_equal(labels, again_labels)
    other = draw_faces(labels, LABELS, seed=3)
    assert not (faces == other).all(axis=(1, 2)).any()


def test_faces_are_48_px_grey_and_use_the_range(drawn):
    faces, labels = drawn
    assert faces.shape == (len(labels), 48, 48) and faces.dtype == np.uint8
    assert faces.min() == 0 and faces.max() == 255
    contrast = faces.reshape(len(faces), -1).std(axis=1)
    assert contrast.min() > 5  # none is blank


def test_labels_have_the_proportions_of_fer2013_in_random_order(drawn):
    _, labels = drawn
    counts = np.bincount(labels, minlength=7)
    assert np.abs(counts - 700 * PROPORTIONS / PROPORTIONS.sum()).max() <= 0.5
    assert np.bincount(draw_split(10, PROPORTIONS, LABELS, seed=0)[1]).min() == 4
    assert (np.diff(labels) < 0).sum() > 150  # not sorted by class


def test_images_of_a_class_differ(drawn):
    faces, labels = drawn
    assert len(np.unique(faces.reshape(len(faces), -1), axis=0)) == len(faces)
    for c in range(7):
        # much more than noise: pose, light and person
        assert faces[labels == c].astype(float).std(axis=0).mean() > 20


def test_a_linear_classifier_learns_something_but_not_all(drawn):
    faces, labels = drawn
    pixels = faces.reshape(-1, 24, 2, 24, 2).mean(axis=(2, 4)).reshape(len(faces), -1) / 255
    classifier = RidgeClassifier(alpha=3.0, class_weight="balanced")
    classifier.fit(pixels[:500], labels[:500])
    score = balanced_accuracy_score(labels[500:], classifier.predict(pixels[500:]))
    assert 2 / 7 < score < 0.8, score  # chance is 1 / 7


def test_expressions_are_the_seven_and_differ_from_each_other():
    assert set(EXPRESSION_FEATURES) == set(LABELS)
    targets = np.array(list(EXPRESSION_FEATURES.values()))
    assert np.unique(targets, axis=0).shape == (7, 7)
    assert not np.array(EXPRESSION_FEATURES["neutral"]).any()


def test_label_ids_follow_the_names_given():
    """Id 0 of one order and id 1 of the other are the same expression."""
    first = draw_faces([0, 1], ("happy", "sad"), seed=5)
    second = draw_faces([1, 0], ("sad", "happy"), seed=5)
    assert np.array_equal(first, second)
    assert not np.array_equal(first[0], draw_faces([0], ("sad", "happy"), seed=5)[0])


def test_png_keeps_every_pixel(drawn):
    face = drawn[0][0]
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(encode_png(face)))), face)
