"""benchmarks/imbalance_statistics.py: priors, and the baseline's curve."""

import numpy as np
import pytest

from benchmarks.imbalance_statistics import Networks, above_curve
from training.evaluation.bootstrap import Estimate

TRAIN = np.array([[0.9, 0.1]])


def test_a_prior_moves_the_predictions_towards_its_classes():
    logits = np.log([[[0.8, 0.2]]])  # (S, N, C)
    plain = Networks(logits, TRAIN, TRAIN)
    assert not plain.learns_another_prior
    assert plain.predicted() == plain.predicted(0) == 0 and plain.predicted(1) == 1
    balanced = Networks(logits, TRAIN, np.full((1, 2), 0.5))
    assert balanced.learns_another_prior
    assert balanced.predicted() == balanced.predicted(1) == 0
    assert np.exp(balanced.shift(0)) == pytest.approx(2 * TRAIN)


def test_tau_is_chosen_on_the_development_split():
    rng, rare = np.random.default_rng(0), np.arange(100) % 2  # two classes, equally common there
    shares = np.full((1, 7), 0.18)
    shares[0, 1] = 0.01
    learned = np.eye(7)[rare] + rng.normal(0, 0.1, (100, 7)) + np.log(shares)
    development = [(learned.astype(np.float32), rare)]
    networks = Networks(np.zeros((1, 2, 7)), shares, shares, development)
    assert networks.chosen_tau() > 0.5
    assert Networks(networks.logits, shares, shares).chosen_tau() is None


def test_a_line_is_measured_against_the_curve_at_no_less_accuracy():
    curve = {
        "accuracy": np.array([[0.6], [0.5], [0.4]]).repeat(3, axis=1),
        "balanced_accuracy": np.array([[0.3], [0.5], [0.45]]).repeat(3, axis=1),
    }
    line = {
        "accuracy": Estimate(0.45, np.array([0.55, 0.7])),
        "balanced_accuracy": Estimate(0.52, np.array([0.4, 0.4])),
    }
    above = above_curve(line, curve, "balanced_accuracy")
    assert above.value == pytest.approx(0.02)  # 0.5 is reached at an accuracy of 0.5
    assert above.resamples == pytest.approx([0.1, 0.1])  # both against 0.3
