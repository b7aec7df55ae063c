"""Metrics of a classifier on imbalanced classes."""

from collections.abc import Sequence

import numpy as np
from scipy.special import softmax

ECE_BINS = 15


def classification_metrics(
    predictions: np.ndarray,
    references: np.ndarray,
    label_names: Sequence[str],
    *,
    bootstrap: int = 1000,
    seed: int = 0,
) -> dict:
    """
    Accuracy, balanced accuracy, macro-F1, metrics per class, confusion matrix, calibration.

    Args:
        predictions: (N, C) probabilities, or logits, which are softmaxed if the rows do not sum to
            1; or (N,) class ids, which leave the calibration out.
        references: (N,) class ids.
        label_names: the C class names, in the order of their ids.
        bootstrap: resamples for the 95 % intervals; 0 leaves them out.
        seed: of the bootstrap.

    Returns a dict of `accuracy`, `balanced_accuracy`, `macro_f1`, `precision_<class>`,
    `recall_<class>`, `f1_<class>` (0 where undefined), `confusion_matrix` (C lists of C counts,
    true class by row), `<metric>_ci95` ([low, high], bootstrap over images) for the first three,
    and those of `calibration_metrics`.

    The means over classes are scikit-learn's. `balanced_accuracy` is the mean recall of the classes
    that the images have, as `balanced_accuracy_score`; `macro_f1` the mean F1 of those that the
    images have or the predictions name, as `f1_score(average="macro", zero_division=0)`. A class
    without either is left out. Each resample of the bootstrap is counted in the same way.

    Raises ValueError where there is nothing to evaluate or an id lies outside [0, C).
    """
    num_classes = len(label_names)
    require_images(references)
    _require_ids("Labels", references, num_classes)
    if predictions.ndim == 2 and predictions.shape[1] != num_classes:
        raise ValueError(
            f"Predictions need {num_classes} columns, one per class, "
            f"but they have {predictions.shape[1]}."
        )
    probabilities = _probabilities(predictions) if predictions.ndim == 2 else None
    predicted = predictions if probabilities is None else predictions.argmax(axis=1)
    _require_ids("Predictions", predicted, num_classes)
    confusion = np.bincount(references * num_classes + predicted, minlength=num_classes**2)
    confusion = confusion.reshape(num_classes, num_classes)  # true class by row

    result = {name: float(value) for name, value in summary(confusion).items()}
    for name, *values in zip(label_names, *per_class(confusion)):
        for metric, value in zip(("precision", "recall", "f1"), values):
            result[f"{metric}_{name}"] = float(value)
    if probabilities is not None:
        result |= calibration_metrics(probabilities, references, label_names)
    result["confusion_matrix"] = confusion.tolist()
    if bootstrap:
        result |= bootstrap_intervals(confusion, bootstrap, seed)
    return result


def expected_calibration_error(probabilities: np.ndarray, references: np.ndarray) -> float:
    """Mean gap of confidence and accuracy over equal-width bins of confidence, weighted by size."""
    correct = probabilities.argmax(axis=1) == references
    return _calibration_error(probabilities.max(axis=1), correct)


def _calibration_error(probability: np.ndarray, occurred: np.ndarray) -> float:
    """(N,) probabilities of an event, and (N,) bool whether it occurred."""
    gap = np.bincount(_bin_of(probability), weights=occurred - probability, minlength=ECE_BINS)
    return float(np.abs(gap).sum() / len(probability))


def _bin_of(probability: np.ndarray) -> np.ndarray:
    """(N,) probabilities -> (N,) the bin (0, 1/15], (1/15, 2/15], ... that each lies in."""
    return np.clip(np.ceil(probability * ECE_BINS).astype(int) - 1, 0, ECE_BINS - 1)


def reliability(probabilities: np.ndarray, references: np.ndarray) -> list[dict[str, float]]:
    """`confidence`, `accuracy` and `count` of each bin of confidence that holds an image."""
    confidence, correct = probabilities.max(axis=1), probabilities.argmax(axis=1) == references
    which = _bin_of(confidence)
    return [
        {
            "confidence": float(confidence[which == number].mean()),
            "accuracy": float(correct[which == number].mean()),
            "count": int((which == number).sum()),
        }
        for number in np.unique(which)
    ]


def calibration_metrics(
    probabilities: np.ndarray, references: np.ndarray, label_names: Sequence[str]
) -> dict:
    """
    - `ece`: expected calibration error over 15 equal-width bins of the top probability (Guo et al.,
      ICML 2017, equation 3)
    - `classwise_ece_<class>`: the same gap of the class's probability, over all images, and the
      share of them that are of the class; `classwise_ece`: mean over the C classes (Kull et al.,
      NeurIPS 2019; the static calibration error of Nixon et al., CVPR workshops 2019)
    - `reliability`: `confidence` (mean top probability), `accuracy` and `count` of each bin of
      `ece` that holds an image, lowest first: the points of a reliability diagram
    - `mean_probability_<class>`: the mean over all images, and `share_<class>`, the share of the
      images that are of the class
    - `mean_score_<class>`: mean top probability of the images that are predicted as the class, 0
      without one; `precision_<class>` is the share of them that are
    """
    predicted = probabilities.argmax(axis=1)
    result: dict = {
        "ece": expected_calibration_error(probabilities, references),
        "reliability": reliability(probabilities, references),
    }
    for i, name in enumerate(label_names):
        probability, occurred = probabilities[:, i], references == i
        scores = probability[predicted == i]
        result |= {
            f"classwise_ece_{name}": _calibration_error(probability, occurred),
            f"mean_probability_{name}": float(probability.mean()),
            f"share_{name}": float(occurred.mean()),
            f"mean_score_{name}": float(scores.mean()) if len(scores) else 0.0,
        }
    errors = [result[f"classwise_ece_{name}"] for name in label_names]
    return result | {"classwise_ece": float(np.mean(errors))}


def bootstrap_intervals(confusion: np.ndarray, resamples: int, seed: int) -> dict[str, list[float]]:
    """
    95 % percentile intervals over images sampled with replacement.

    To sample N images with replacement and count their cells is to sample once from a multinomial
    over the confusion matrix.
    """
    rng = np.random.default_rng(seed)
    cells = confusion.ravel() / confusion.sum()
    resampled = rng.multinomial(confusion.sum(), cells, size=resamples)  # (resamples, C * C)
    metrics = summary(resampled.reshape(resamples, *confusion.shape))
    return {
        f"{name}_ci95": np.quantile(values, [0.025, 0.975]).tolist()
        for name, values in metrics.items()
    }


def require_images(references: Sequence[int]) -> None:
    if len(references) == 0:
        raise ValueError("Nothing to evaluate: expected at least one image, but found none.")


def _require_ids(what: str, ids: np.ndarray, num_classes: int) -> None:
    if ids.min() < 0 or ids.max() >= num_classes:
        raise ValueError(
            f"{what} must be in [0, {num_classes}), but they go from {ids.min()} to {ids.max()}."
        )


def summary(confusion: np.ndarray) -> dict[str, np.ndarray]:
    """(..., C, C) -> accuracy, balanced accuracy and macro-F1 of shape (...)."""
    _, recall, f1 = per_class(confusion)
    present = confusion.sum(axis=-1) > 0
    occurs = present | (confusion.sum(axis=-2) > 0)
    return {
        "accuracy": np.trace(confusion, axis1=-2, axis2=-1) / confusion.sum(axis=(-2, -1)),
        "balanced_accuracy": (recall * present).sum(axis=-1) / present.sum(axis=-1),
        "macro_f1": (f1 * occurs).sum(axis=-1) / occurs.sum(axis=-1),
    }


def per_class(confusion: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(..., C, C) -> precision, recall and F1 of shape (..., C), 0 where undefined."""
    hits = np.diagonal(confusion, axis1=-2, axis2=-1)
    true, predicted = confusion.sum(axis=-1), confusion.sum(axis=-2)
    return (
        hits / np.maximum(predicted, 1),
        hits / np.maximum(true, 1),
        2 * hits / np.maximum(true + predicted, 1),
    )


def _probabilities(scores: np.ndarray) -> np.ndarray:
    scores = scores.astype(np.float64)
    if (scores >= 0).all() and np.allclose(scores.sum(axis=1), 1, atol=1e-3):
        return scores
    return softmax(scores, axis=1)
