"""training/evaluation/bootstrap.py against what is known of its numbers."""

import numpy as np
import pytest

from training.evaluation.bootstrap import Bootstrap, Comparison, Estimate, holm, measure_title
from training.evaluation.metrics import classification_metrics

NAMES = ["a", "b", "c"]


@pytest.fixture
def case():
    """Labels (N,), predictions (S, N) right for three in four, a bootstrap over them."""
    rng = np.random.default_rng(0)
    labels = rng.choice(3, 600, p=[0.6, 0.3, 0.1])
    predicted = np.where(rng.random((2, 600)) < 0.75, labels, rng.integers(0, 3, (2, 600)))
    return labels, predicted, Bootstrap(labels, NAMES, resamples=2500)


def test_values_are_means_of_the_metrics_over_seeds(case):
    labels, predicted, bootstrap = case
    each = [classification_metrics(ids, labels, NAMES, bootstrap=0) for ids in predicted]
    bootstrap = bootstrap.over_seeds(2)
    measures, values = bootstrap.measures(predicted), bootstrap.values(predicted)
    for name in ("accuracy", "balanced_accuracy", "macro_f1", "recall_b"):
        mean = np.mean([metrics[name] for metrics in each])
        assert measures[name].value == pytest.approx(mean, abs=1e-6) == values[name]


def test_the_interval_over_images_is_the_binomial_one(case):
    labels, predicted, bootstrap = case
    accuracy = bootstrap.measures(predicted[:1])["accuracy"]
    width = 2 * 1.96 * np.sqrt(accuracy.value * (1 - accuracy.value) / len(labels))
    low, high = accuracy.interval
    assert high - low == pytest.approx(width, rel=0.1)
    assert str(accuracy) == f"{accuracy.value:.3f} [{low:.3f}, {high:.3f}]"


def test_seeds_that_differ_widen_the_interval(case):
    labels, predicted, bootstrap = case
    poor = predicted.copy()
    poor[1, :200] = (labels[:200] + 1) % 3
    low, high = bootstrap.over_seeds(2).measures(poor)["accuracy"].interval
    alone = bootstrap.measures(poor[:1])["accuracy"].interval
    assert high - low > 2 * (alone[1] - alone[0])


def test_differences_are_paired_and_the_clear_ones_confirmed(case):
    labels, predicted, bootstrap = case
    better = predicted.copy()
    better[:, :60] = labels[:60]  # right in all of them
    rows = {"first": predicted, "same": predicted, "better": better}
    measured = {name: bootstrap.over_seeds(2).measures(ids) for name, ids in rows.items()}
    comparison = Comparison(measured, ["accuracy", "macro_f1"])
    nothing, change = (comparison.differences[name, "accuracy"] for name in ("same", "better"))
    assert nothing.value == 0 and nothing.interval == (0, 0) and nothing.p == 1
    assert change.interval[0] > 0 and ("better", "accuracy") in comparison.confirmed
    value = measured["better"]["accuracy"].value
    assert comparison.cell("better", "accuracy") == f"{value:.3f} (**{change.signed}**)"
    assert comparison.cell("same", "accuracy").endswith("(+0.000 [+0.000, +0.000])")
    assert comparison.cell("first", "accuracy") == str(measured["first"]["accuracy"])


def test_p_is_two_sided_and_never_zero():
    assert Estimate(1.0, np.ones(999)).p == pytest.approx(2 / 1000)
    assert Estimate(0.1, np.array([-1.0] * 300 + [1.0] * 699)).p == pytest.approx(602 / 1000)


def test_holm_stops_at_the_first_that_is_not_rejected():
    p = {"a": 0.01, "b": 0.04, "c": 0.03, "d": 0.005}  # Holm: .005*4, .01*3, .03*2 > .05
    assert holm(p) == {"d", "a"}


def test_titles_of_measures():
    titles = {"macro_f1": "macro-F1", "balanced_accuracy": "balanced accuracy"}
    titles["recall_my_class"] = "recall of my_class"
    assert {name: measure_title(name) for name in titles} == titles
