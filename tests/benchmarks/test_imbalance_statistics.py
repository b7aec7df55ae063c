"""benchmarks/imbalance_statistics.py against what is known of its numbers."""

import numpy as np
import pytest

from benchmarks.imbalance_statistics import TAUS, Bootstrap, Estimate, above_curve, holm, shifted
from training.evaluation import FerMetrics

NAMES = ["a", "b", "c"]


@pytest.fixture
def case():
    """Labels (N,), predictions (S, N) right for three in four, a bootstrap over them."""
    rng = np.random.default_rng(0)
    labels = rng.choice(3, 600, p=[0.6, 0.3, 0.1])
    predicted = np.where(rng.random((2, 600)) < 0.75, labels, rng.integers(0, 3, (2, 600)))
    return labels, predicted, Bootstrap(labels, 2, NAMES)


def test_values_are_means_of_the_metrics_over_seeds(case):
    labels, predicted, bootstrap = case
    each = [
        FerMetrics(NAMES, bootstrap=0).compute(predictions=one.tolist(), references=labels.tolist())
        for one in predicted
    ]
    found = bootstrap.measures(predicted)
    for name in ("accuracy", "balanced_accuracy", "macro_f1", "recall_b"):
        assert found[name].value == pytest.approx(np.mean([one[name] for one in each]), abs=1e-6)


def test_the_interval_over_images_is_the_binomial_one(case):
    labels, predicted, _ = case
    found = Bootstrap(labels, 1, NAMES).measures(predicted[:1])["accuracy"]
    width = 2 * 1.96 * np.sqrt(found.value * (1 - found.value) / len(labels))
    low, high = found.interval
    assert high - low == pytest.approx(width, rel=0.1)


def test_seeds_that_differ_widen_the_interval(case):
    labels, predicted, bootstrap = case
    poor = predicted.copy()
    poor[1, :200] = (labels[:200] + 1) % 3
    low, high = bootstrap.measures(poor)["accuracy"].interval
    alone = Bootstrap(labels, 1, NAMES).measures(poor[:1])["accuracy"].interval
    assert high - low > 2 * (alone[1] - alone[0])


def test_differences_are_paired(case):
    _, predicted, bootstrap = case
    one, same = bootstrap.measures(predicted), bootstrap.measures(predicted.copy())
    nothing = one["accuracy"] - same["accuracy"]
    assert nothing.value == 0 and nothing.interval == (0, 0) and nothing.p == 1
    changed = predicted.copy()
    changed[:, :30] = case[0][:30]  # right in all of them
    better = bootstrap.measures(changed)["accuracy"] - one["accuracy"]
    assert better.value > 0 and better.interval[0] >= 0


def test_p_is_two_sided_and_never_zero():
    assert Estimate(1.0, np.ones(999)).p == pytest.approx(2 / 1000)
    assert Estimate(0.1, np.array([-1.0] * 300 + [1.0] * 699)).p == pytest.approx(602 / 1000)


def test_holm_stops_at_the_first_that_is_not_rejected():
    p = {"a": 0.01, "b": 0.04, "c": 0.03, "d": 0.005}  # Holm: .005*4, .01*3, .03*2 > .05
    assert holm(p) == {"d": True, "a": True, "c": False, "b": False}


def test_the_prior_shift_adds_to_rare_classes():
    logits = np.log([[[0.8, 0.2]]])  # (S, N, C)
    prior = np.array([[0.9, 0.1]])
    assert shifted(logits, prior, 0.0) == 0 and shifted(logits, prior, 1.0) == 1


def test_a_row_is_measured_against_the_curve_at_no_less_accuracy():
    curve = {
        "accuracy": np.array([[0.6], [0.5], [0.4]]).repeat(3, axis=1),
        "balanced_accuracy": np.array([[0.3], [0.5], [0.45]]).repeat(3, axis=1),
    }
    row = {
        "accuracy": Estimate(0.45, np.array([0.55, 0.7])),
        "balanced_accuracy": Estimate(0.52, np.array([0.4, 0.4])),
    }
    above = above_curve(row, curve, "balanced_accuracy")
    assert above.value == pytest.approx(0.02)  # 0.5 is had at an accuracy of 0.5
    assert above.resamples == pytest.approx([0.1, 0.1])  # both against 0.3


def test_the_curve_begins_at_the_network_itself(case):
    labels, predicted, bootstrap = case
    logits = np.eye(3)[predicted] * 2
    curve = bootstrap.curve(logits, np.full((2, 3), 1 / 3))
    accuracy = bootstrap.measures(predicted)["accuracy"]
    assert TAUS[0] == 0 and curve["accuracy"][0, 0] == accuracy.value
    assert (curve["accuracy"][-1, 1:] == accuracy.resamples).all()  # an even prior shifts nothing
