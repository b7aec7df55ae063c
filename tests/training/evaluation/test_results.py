"""Results of an evaluation split, for any classes, also where some have no images."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from training.evaluation import evaluation_results, summary
from training.evaluation.calibration import prior_results
from training.evaluation.results import recall_table, result_line

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
    assert recall_table(results, data_of(NAMES, LABELS, [6, 3, 1])).splitlines() == [
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
def test_results_under_a_prior_have_every_class(prior):
    """What the card reads of the rarest class must be there, whatever the split lacks."""
    results = prior_results(prior, LOGITS, LABELS, NAMES)
    assert {f"eval_{prior}_prior_recall_{name}" for name in NAMES} <= {*results}


def data_of(names, labels, counts=None):
    return SimpleNamespace(
        label_names=names,
        eval=SimpleNamespace(labels=torch.as_tensor(labels)),
        eval_split="validation",
        counts_before=None if counts is None else np.array(counts),
    )


@pytest.mark.parametrize("number", [2, 64])
def test_summary_of_any_number_of_classes_and_long_names(number):
    names = [f"class {i}, " + "which looks into the mirror " * (i % 3) for i in range(number)]
    labels = np.arange(number)
    logits = 9 * np.eye(number)[labels]
    results = evaluation_results(logits, labels, None, names)
    *table, line = summary(results, data_of(names, labels)).splitlines()
    assert len(table) == 1 + number and len({len(row) for row in table}) == 1
    assert len(table[0]) <= 66 and table[1].endswith("1.000")
    assert line.startswith("validation: accuracy 1.0000 [1.0000, 1.0000], macro-F1 1.0000, bal")
    assert line.endswith(f" over {number} images") and len(line) < 140


def test_without_results_there_is_nothing_to_sum_up():
    assert summary({"temperature": 1.2}, data_of(["a", "b"], [0, 1])) == ""
