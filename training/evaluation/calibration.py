"""What makes a probability mean something: temperature, certainty, and the assumed prior."""

from collections.abc import Mapping, Sequence

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, softmax
from transformers import PreTrainedConfig

from .metrics import classification_metrics, expected_calibration_error

LEAST_IMAGES = 100  # with fewer, a temperature is chance
CERTAIN_ACCURACY = 0.8  # of the predictions that count as certain
TEMPERATURES = (0.05, 20.0)


def fit_temperature(
    logits: np.ndarray, labels: np.ndarray, shift: np.ndarray | float = 0.0
) -> float:
    """
    The T > 0 that makes the labels most likely under softmax(logits / T + shift) (Guo et al., "On
    Calibration of Modern Neural Networks", ICML 2017, section 4.2), in [0.05, 20].

    Args:
        logits: (N, C). labels: (N,) class ids.
        shift: (C,), from the class distribution that the logits assume to that of the labels.
    """
    logits, rows = logits.astype(np.float64), np.arange(len(labels))

    def loss(log_t: float) -> float:
        return -log_softmax(logits / np.exp(log_t) + shift, axis=1)[rows, labels].mean()

    bounds = np.log(TEMPERATURES)
    return float(np.exp(minimize_scalar(loss, bounds=bounds, method="bounded").x))


def certainty_threshold(
    probabilities: np.ndarray, labels: np.ndarray, accuracy: float = CERTAIN_ACCURACY
) -> float:
    """
    The least score such that a share of `accuracy` of the predictions with that score or more are
    right.

    Args:
        probabilities: (N, C). labels: (N,) class ids.

    Returns:
        In [0, 1]; 0 where all predictions together are that accurate, 1 where no such share is.
    """
    score = probabilities.max(axis=1)
    order = np.argsort(-score, kind="stable")
    right = (probabilities.argmax(axis=1) == labels)[order]
    share = np.cumsum(right) / np.arange(1, len(right) + 1)
    last_of_its_score = np.append(np.diff(score[order]) < 0, True)
    enough = np.flatnonzero((share >= accuracy) & last_of_its_score)
    if not len(enough):
        return 1.0
    return 0.0 if enough[-1] == len(right) - 1 else float(score[order][enough[-1]])


def calibrate(
    config: PreTrainedConfig,
    logits: np.ndarray,
    labels: np.ndarray,
    shift: np.ndarray,
    own: np.ndarray | float = 0.0,
) -> tuple[np.ndarray, dict]:
    """
    Fits temperature and threshold on held-out images and stores them in a model's config.

    The temperature is fitted under the training set's class distribution, which that of the images
    must resemble: it cannot make up for classes that the network expects more often than they
    occur. The threshold is for the predictions that the model makes by default.

    Args:
        config: of the model, which has no temperature yet.
        logits: (N, C) of the model in eval mode, under what it has learned. labels: (N,).
        shift: (C,), the model's `prior_shift("train")`. own: (C,), that of the config's prior.

    Returns:
        The logits that the model gives from now on, and results for all_results.json.
    """
    before = expected_calibration_error(softmax(logits + shift, axis=1), labels)
    logits, fitted = _fit(logits, labels, shift, own)
    temperature = fitted["temperature"]
    config.update_calibration(**fitted)  # both or neither
    return logits, {"temperature": temperature, "eval_ece_before_temperature": before}


def _fit(
    logits: np.ndarray, labels: np.ndarray, shift: np.ndarray, own: np.ndarray | float
) -> tuple[np.ndarray, dict]:
    """Temperature and threshold, and the logits with that temperature under the own prior."""
    temperature = fit_temperature(logits, labels, shift)
    logits = logits / np.float32(temperature) + own  # as forward does, to the last digit
    certain = certainty_threshold(softmax(logits, axis=1), labels)
    return logits, {"temperature": temperature, "uncertain_below": certain}


def calibrate_smaller(
    config: PreTrainedConfig,
    logits: Mapping[int, np.ndarray],
    labels: np.ndarray,
    shift: np.ndarray,
    own: np.ndarray | float = 0.0,
) -> list[dict]:
    """
    The same for faces that are smaller than the network's input.

    Args:
        logits: for each side in pixels, ascending, those of the images reduced to it.

    Returns:
        A row for each side, for all_results.json.
    """
    sizes, rows = [], []
    for side, of_side in logits.items():
        of_side, fitted = _fit(of_side, labels, shift, own)
        sizes.append({"side": side} | fitted)
        results = certainty_results(of_side, labels, fitted["uncertain_below"])
        right = of_side.argmax(axis=1) == labels
        rows.append(sizes[-1] | results | {"eval_accuracy": float(right.mean())})
    config.update_calibration(smaller_faces=sizes)
    return rows


def forget_fit(config: PreTrainedConfig) -> None:
    """So that the model gives logits without a temperature; what is fitted replaces it."""
    fitted = {"temperature", "uncertain_below", "smaller_faces"}
    if config.calibration:
        config.calibration = {k: v for k, v in config.calibration.items() if k not in fitted}


def certainty_results(logits: np.ndarray, labels: np.ndarray, uncertain_below: float) -> dict:
    """Share of the predictions that count as certain, and how many of those are right."""
    probabilities = softmax(logits, axis=1)
    certain = probabilities.max(axis=1) >= uncertain_below
    right = probabilities.argmax(axis=1) == labels
    return {
        "uncertain_below": uncertain_below,
        "eval_certain_share": float(certain.mean()),
        "eval_certain_accuracy": float(right[certain].mean()) if certain.any() else None,
    }


def prior_results(
    prior: str, logits: np.ndarray, labels: np.ndarray, label_names: Sequence[str]
) -> dict:
    """
    What assuming another class distribution does: `classification_metrics`, without intervals, as
    `eval_<prior>_prior_<name>`.

    Args:
        prior: its name. Calibration is measured under `"train"` alone: probabilities for other
            class frequencies than the images' must be wrong.
        logits: (N, C) under this prior. labels: (N,).
    """
    predictions = logits if prior == "train" else logits.argmax(axis=1)
    metrics = classification_metrics(predictions, labels, label_names, bootstrap=0)
    return {f"eval_{prior}_prior_{name}": value for name, value in metrics.items()}
