import json
import re
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import (
    accuracy_score,
    balanced_accuracy_score,
    confusion_matrix,
    f1_score,
    precision_recall_fscore_support,
)

from training import FerMetrics
from training.evaluation.metrics import (
    bootstrap_intervals,
    expected_calibration_error,
    reliability,
    summary,
)

ROOT = Path(__file__).parents[3]
NAMES = ["angry", "disgust", "fear", "happy", "sad", "surprise", "neutral"]
C = len(NAMES)
HEADLINES = ("accuracy", "balanced_accuracy", "macro_f1")


def random_scores(absent=None):
    rng = np.random.default_rng(0)
    references = rng.permutation(np.repeat(range(C), [80, 8, 72, 100, 40, 40, 60]))
    references[references == absent] = 0
    logits = rng.normal(size=(len(references), C)).astype(np.float32)
    logits[np.arange(len(references)), references] += 1.5
    return logits, references


def softmax(logits):
    exp = np.exp(logits.astype(np.float64))
    return exp / exp.sum(axis=1, keepdims=True)


def compute(predictions, references, bootstrap=0, seed=0):
    metrics = FerMetrics(NAMES, bootstrap=bootstrap, seed=seed)
    return metrics.compute(predictions=predictions, references=references)


def raises(text):
    return pytest.raises(ValueError, match="^" + re.escape(text) + "$")


@pytest.mark.filterwarnings("ignore:y_pred contains classes not in y_true")
@pytest.mark.parametrize("absent", [None, 3])
@pytest.mark.parametrize("never_predicted", [None, 1])
def test_metrics_equal_those_of_scikit_learn(absent, never_predicted):
    logits, references = random_scores(absent=absent)
    if never_predicted is not None:
        logits[:, never_predicted] = -100
    predicted = logits.argmax(axis=1)
    result = compute(logits, references)
    assert result["accuracy"] == pytest.approx(accuracy_score(references, predicted))
    assert result["balanced_accuracy"] == pytest.approx(
        balanced_accuracy_score(references, predicted)
    )
    assert result["macro_f1"] == pytest.approx(
        f1_score(references, predicted, average="macro", zero_division=0)
    )
    every_class = {"labels": range(C), "zero_division": 0}
    per_class = precision_recall_fscore_support(references, predicted, **every_class)
    for name, expected in zip(("precision", "recall", "f1"), per_class):
        assert [result[f"{name}_{c}"] for c in NAMES] == pytest.approx(expected.tolist())
    expected = confusion_matrix(references, predicted, labels=range(C))
    assert result["confusion_matrix"] == expected.tolist()


@pytest.mark.filterwarnings("ignore:y_pred contains classes not in y_true")
@pytest.mark.parametrize(
    "predicted, references, macro_f1",
    [
        ([0, 1, 2, 3], [0, 1, 2, 3], 1),  # three classes neither seen nor predicted
        ([0, 1, 2, 4], [0, 1, 2, 3], 3 / 5),  # one seen and never predicted, one the other way
        ([6], [5], 0),
    ],
)
def test_means_leave_out_classes_that_do_not_occur(predicted, references, macro_f1):
    result = compute(predicted, references, bootstrap=200)
    assert result["macro_f1"] == pytest.approx(macro_f1)
    assert result["macro_f1"] == pytest.approx(
        f1_score(references, predicted, average="macro", zero_division=0)
    )
    assert result["balanced_accuracy"] == pytest.approx(
        balanced_accuracy_score(references, predicted)
    )
    low, high = result["macro_f1_ci95"]
    assert low <= result["macro_f1"] <= high


def test_the_rule_changes_no_digit_of_the_shipped_models_results():
    results = json.loads((ROOT / "model" / "all_results.json").read_text())
    for suffix in ("", "_without_copies"):
        confusion = np.array(results[f"eval_confusion_matrix{suffix}"])
        for name, value in summary(confusion).items():
            assert results[f"eval_{name}{suffix}"] == value
        for name, interval in bootstrap_intervals(confusion, 1000, seed=0).items():
            assert results[f"eval_{name}{suffix}"] == interval


def test_logits_probabilities_and_class_ids_give_the_same_metrics():
    """Ids without calibration."""
    logits, references = random_scores()
    inputs = (logits, softmax(logits), logits.argmax(axis=1))
    of_logits, of_scores, of_ids = (compute(each, references, bootstrap=20) for each in inputs)
    for row, other in zip(of_logits.pop("reliability"), of_scores.pop("reliability")):
        assert row == pytest.approx(other, abs=1e-6)
    for name in calibration(of_logits):
        assert of_logits.pop(name) == pytest.approx(of_scores.pop(name), abs=1e-6)
    assert of_logits == of_scores == of_ids


def calibration(result):
    names = ("classwise_ece", "mean_probability", "share", "mean_score")
    keys = [key for key in result if key == "ece" or key.startswith(names)]
    assert len(keys) == 2 + 4 * C
    return keys


def test_calibration_class_by_class_by_hand():
    probabilities = np.full((3, C), 0.0)
    probabilities[0, :2] = 0.59, 0.41  # of the fifteenths, number 8 and 6
    probabilities[1, :2] = 0.58, 0.42  # 8 and 6
    probabilities[2, 1:3] = 0.9, 0.1
    result = compute(probabilities, np.array([0, 1, 0]))
    assert result["classwise_ece_angry"] == pytest.approx((0.17 + 1) / 3, abs=1e-6)
    assert result["classwise_ece_disgust"] == pytest.approx((0.17 + 0.9) / 3, abs=1e-6)
    assert result["classwise_ece_fear"] == pytest.approx(0.1 / 3, abs=1e-6)
    assert result["classwise_ece_happy"] == 0
    assert result["classwise_ece"] == pytest.approx((1.17 + 1.07 + 0.1) / 3 / C, abs=1e-6)
    assert result["mean_probability_disgust"] == pytest.approx((0.41 + 0.42 + 0.9) / 3)
    assert result["share_disgust"] == pytest.approx(1 / 3)
    assert result["mean_score_angry"] == pytest.approx(0.585)
    assert result["precision_angry"] == 0.5
    assert result["mean_score_happy"] == result["precision_happy"] == 0  # never predicted


def test_calibration_error_by_hand():
    # 0.90 (right) and 0.91 (wrong) share a bin, 0.55 (right) has its own
    probabilities = np.array([[0.90, 0.10], [0.91, 0.09], [0.45, 0.55]])
    references = np.array([0, 1, 1])
    expected = (abs(1 + 0 - 0.90 - 0.91) + abs(1 - 0.55)) / 3
    assert expected_calibration_error(probabilities, references) == pytest.approx(expected)
    lower, upper = reliability(probabilities, references)
    assert lower == pytest.approx({"confidence": 0.55, "accuracy": 1, "count": 1})
    assert upper == pytest.approx({"confidence": 0.905, "accuracy": 0.5, "count": 2})


def test_the_points_of_a_reliability_diagram_give_the_calibration_error():
    logits, references = random_scores()
    result = compute(logits, references)
    points = result["reliability"]
    assert sum(point["count"] for point in points) == len(references)
    gaps = [abs(point["confidence"] - point["accuracy"]) * point["count"] for point in points]
    assert sum(gaps) / len(references) == pytest.approx(result["ece"])
    assert points == sorted(points, key=lambda point: point["confidence"]) and len(points) > 3


def test_intervals_contain_the_value_and_come_from_the_seed():
    logits, references = random_scores()
    assert not [key for key in compute(logits, references) if key.endswith("_ci95")]
    result = compute(logits, references, bootstrap=300)
    again = compute(logits, references, bootstrap=300)
    other = compute(logits, references, bootstrap=300, seed=1)
    for name in HEADLINES:
        low, high = result[f"{name}_ci95"]
        assert low < result[name] < high
        assert again[f"{name}_ci95"] == [low, high]
        assert other[f"{name}_ci95"] != [low, high]


def test_intervals_agree_with_resampling_the_images():
    logits, references = random_scores()
    predicted = logits.argmax(axis=1)
    rng = np.random.default_rng(1)
    resampled = {name: [] for name in HEADLINES}
    for _ in range(2000):
        rows = rng.integers(0, 400, 400)
        true, guess = references[rows], predicted[rows]
        hits = np.bincount(true[true == guess], minlength=C)
        sizes, guesses = np.bincount(true, minlength=C), np.bincount(guess, minlength=C)
        f1 = 2 * hits / np.maximum(sizes + guesses, 1)
        resampled["accuracy"].append((true == guess).mean())
        resampled["balanced_accuracy"].append((hits[sizes > 0] / sizes[sizes > 0]).mean())
        resampled["macro_f1"].append(f1[sizes + guesses > 0].mean())
    result = compute(logits, references, bootstrap=2000)
    for name, values in resampled.items():
        expected = np.quantile(values, [0.025, 0.975])
        np.testing.assert_allclose(result[f"{name}_ci95"], expected, atol=0.007)


@pytest.mark.parametrize("shape", [(0,), (0, C)])
def test_no_images_are_refused(shape):
    with raises("Nothing to evaluate: expected at least one image, but found none."):
        compute(np.zeros(shape, dtype=np.int64), [])


@pytest.mark.parametrize("ids", [[0, 7], [-1, 3]])
def test_ids_out_of_range_are_refused(ids):
    message = f"must be in [0, 7), but they go from {min(ids)} to {max(ids)}."
    with raises(f"Labels {message}"):
        compute([0, 0], ids)
    with raises(f"Predictions {message}"):
        compute(ids, [0, 0])


@pytest.mark.parametrize("columns", [6, 8])
def test_predictions_need_one_column_per_class(columns):
    with raises(f"Predictions need 7 columns, one per class, but they have {columns}."):
        compute(np.eye(columns)[:2], [0, 1])
