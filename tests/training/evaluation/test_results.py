"""Results of an evaluation split, also of one that lacks a class."""

from types import SimpleNamespace

import numpy as np
import pytest

from training.evaluation import evaluation_results, prior_figures, recall_table, result_line

NAMES = ("calm", "tense", "fast asleep")
LABELS = np.array([0, 0, 1, 1, 1])
LOGITS = np.eye(3)[[0, 2, 1, 1, 0]] * 2


@pytest.fixture
def results():
    return evaluation_results(LOGITS, LABELS, np.array([0, 0, 1, 1, 1], bool), NAMES)


def test_classes_without_images_are_named(results):
    assert results["eval_classes_without_images"] == ["fast asleep"]
    assert results["eval_classes_without_images_without_copies"] == ["tense", "fast asleep"]
    whole = evaluation_results(LOGITS[:3], np.array([0, 2, 1]), None, NAMES)
    assert "eval_classes_without_images" not in whole


def test_their_recall_is_in_no_mean_and_no_line(results):
    assert results["eval_balanced_accuracy"] == pytest.approx((1 / 2 + 2 / 3) / 2)
    data = SimpleNamespace(
        label_names=NAMES, eval=SimpleNamespace(labels=LABELS), counts_before=np.array([6, 3, 1])
    )
    assert recall_table(results, data).splitlines() == [
        "class           share  images  recall",
        "fast asleep     10.0%       0       -",
        "tense           30.0%       3   0.667",
        "calm            60.0%       2   0.500",
    ]
    line = result_line(results, "validation")
    assert line.endswith("; no image of fast asleep, whose recall is left out")
    del results["eval_classes_without_images"]
    assert "no image of" not in result_line(results, "validation")


@pytest.mark.parametrize("prior", ["train", "uniform"])
def test_figures_under_a_prior_have_every_class(prior):
    """What the card reads of the rarest class must be there, whatever the split lacks."""
    figures = prior_figures(prior, LOGITS, LABELS, NAMES)
    assert {f"eval_{prior}_prior_recall_{name}" for name in NAMES} <= {*figures}
