"""The results of a run's evaluation."""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from scipy.special import log_softmax
from transformers import Trainer
from transformers.utils import logging

from .. import modeling
from ..data import FaceDataset, RunData
from ..failures import Failures
from ..markdown import listed
from ..treatments.functional import normalised
from .calibration import (
    LEAST_IMAGES,
    calibrate,
    calibrate_smaller,
    certainty_results,
    forget_fit,
    prior_results,
)
from .metrics import classification_metrics

logger = logging.get_logger(__name__)
SMALLER_SIDES = (16, 24, 32, 48)  # of faces, in pixels, where they are less than the input's
ALL_RESULTS = "all results of the evaluation"


def evaluation_results(
    logits: np.ndarray, labels: np.ndarray, copies: np.ndarray | None, label_names: Sequence[str]
) -> dict:
    """
    `classification_metrics`, loss and number of images as `eval_<name>`; and as
    `eval_<name>_without_copies` over the images that are no copies.

    The recall of a class without images is undefined and given as 0; `eval_classes_without_images`
    names such classes.

    Args:
        logits: (N, C). labels: (N,). copies: (N,) bool, as in `RunData`, or None.
    """
    results: dict = {}
    for suffix, rows in (
        ("", np.ones(len(labels), bool)),
        ("_without_copies", None if copies is None else ~copies),
    ):
        if rows is None or not rows.any():
            continue
        metrics = classification_metrics(logits[rows].astype(np.float32), labels[rows], label_names)
        log_p = log_softmax(logits[rows].astype(np.float64), axis=1)
        metrics["loss"] = float(-log_p[np.arange(len(log_p)), labels[rows]].mean())
        metrics["samples"] = int(rows.sum())
        if absent := [name for c, name in enumerate(label_names) if not (labels[rows] == c).any()]:
            metrics["classes_without_images"] = absent
        results |= {f"eval_{name}{suffix}": value for name, value in metrics.items()}
    return results


def evaluate(trainer: Trainer, data: RunData, failures: Failures) -> dict:
    """
    The evaluation of a run; after a training, or with --calibrate, calibration comes first.

    Args:
        trainer: a `FerTrainer`. Its model's config receives temperature and threshold, and the
            class distributions of the training set and that the network has learned to expect.
        failures: notes each part that fails; the others go on without it.

    Returns:
        Results for all_results.json; without `eval_accuracy` if nothing could be measured.
    """
    config, trained = trainer.model.config, data.train is not None
    calibrates = trained or trainer.args.calibrate
    logits, fitted, results = None, {}, {}
    if trained:
        with failures.noted("class distributions of the training"):
            _note_distributions(trainer, data)
    if calibrates:
        forget_fit(config)
    with failures.noted(ALL_RESULTS):
        prediction = trainer.predict(data.eval)
        logits, labels = prediction.predictions, prediction.label_ids
    if logits is None:
        return {}
    if calibrates:
        with failures.noted("calibration"):
            logits, fitted = _calibrated(trainer, data, logits, labels)
    data.eval_logits = logits
    with failures.noted(ALL_RESULTS):
        names = data.label_names
        results = evaluation_results(logits, labels, data.eval_copies, names)
        results |= {"eval_split": data.eval_split}
    if config.uncertain_below is not None:
        with failures.noted("share of certain predictions"):
            results |= certainty_results(logits, labels, config.uncertain_below)
    with failures.noted("results under other priors"):
        results |= _other_priors(trainer.model, logits, labels, data.label_names)
    if data.eval_copies is None:
        logger.info("No training split to compare with: the results without copies are left out.")
    else:
        fitted["eval_copies_of"] = list(data.eval_copies_of)
    return results | fitted


def _note_distributions(trainer: Trainer, data: RunData) -> None:
    shares = trainer.targets.shares(data.seen_counts)
    learned = trainer.criterion.presented_distribution(shares)  # (C,)
    train = normalised(torch.tensor(data.counts_before, dtype=torch.float32))
    if torch.allclose(learned, train, rtol=1e-3, atol=0):  # votes move shares by less: no treatment
        learned = train
    trainer.model.config.update_calibration(
        learned_distribution=learned.tolist(), train_distribution=train.tolist()
    )


def _calibrated(
    trainer: Trainer, data: RunData, logits: np.ndarray, labels: np.ndarray
) -> tuple[np.ndarray, dict]:
    """Fits the calibration on held-out images alone -> the model's logits from then on, results."""
    config, model = trainer.model.config, trainer.model
    faces = data.eval if data.development is None else data.development
    if data.development is None and data.eval_split != "validation":
        logger.info(f"Not calibrated: that takes held-out images, not the {data.eval_split} split.")
        return logits, {}
    if len(faces) < LEAST_IMAGES:
        logger.warning(
            f"Not calibrated: that takes at least {LEAST_IMAGES} held-out images, but there are "
            f"{len(faces)}. Scores are the network's own, and no prediction counts as uncertain."
        )
        return logits, {}
    shift = model.prior_shift("train").numpy()
    own = model.prior_shift(config.prior_in_use).numpy()
    if data.development is None:
        calibrated, fitted = calibrate(config, logits - own, labels, shift, own)
    else:
        held_out = trainer.predict(faces)
        labels = held_out.label_ids
        _, fitted = calibrate(config, held_out.predictions - own, labels, shift, own)
        fitted["calibrated_on"] = "development"
        calibrated = (logits - own) / np.float32(config.fitted_temperature) + own
    return calibrated, fitted | _smaller(trainer, faces, labels, shift, own)


def _smaller(
    trainer: Trainer, faces: FaceDataset, labels: np.ndarray, shift: np.ndarray, own: np.ndarray
) -> dict:
    """Fits the calibration of smaller faces on the same images, reduced and enlarged again."""
    config, logits = trainer.model.config, {}
    for side in (side for side in SMALLER_SIDES if side < config.image_size):
        reduced = _reduced(faces, trainer.processing_class, side)
        predictions = trainer.predict(reduced).predictions - own
        logits[side] = predictions * np.float32(config.fitted_temperature)  # as the network gives
    return {"smaller_faces": calibrate_smaller(config, logits, labels, shift, own)}


def _reduced(
    faces: FaceDataset, processor: modeling.FerEfficientNetImageProcessor, side: int
) -> FaceDataset:
    """As faces of `side` pixels come from a photo: area averages, then interpolated."""
    images = [
        processor.resize_batch(processor.resize_batch(images, side).round(), images.shape[-1])
        for images in faces.batches()
    ]
    pixels = torch.cat(images).round().to(torch.uint8)
    return FaceDataset(pixels, faces.labels, label_names=faces.label_names)


def _other_priors(
    model: modeling.FerEfficientNetForImageClassification,
    logits: np.ndarray,
    labels: np.ndarray,
    label_names: Sequence[str],
) -> dict:
    results: dict = {}
    if model.config.assumed_by("learned") is None:
        return results
    for prior in ("train", "uniform"):
        shift = (model.prior_shift(prior) - model.prior_shift(model.config.prior_in_use)).numpy()
        if prior == "uniform" or shift.any():
            results |= prior_results(prior, logits + shift, labels, label_names)
    return results


def copied_splits(results: Mapping) -> str:
    """The images whose copies are left out: "training images", "training and validation images"."""
    splits = results.get("eval_copies_of", ["train"])
    return f"{listed('training' if name == 'train' else name for name in splits)} images"


def summary(results: Mapping, data: RunData) -> str:
    """For the terminal: a line per class, and the main results; "" where there are none."""
    if "eval_accuracy" not in results:
        return ""
    return f"{recall_table(results, data)}\n{result_line(results, data.eval_split)}"


def recall_table(results: Mapping, data: RunData) -> str:
    """
    What imbalance does: each class's share of the training images and its recall, rarest first. A
    class without evaluated images has no recall.
    """
    label_names = data.label_names
    evaluated = np.bincount(data.eval.labels, minlength=len(label_names))
    counts = data.counts_before if data.counts_before is not None else evaluated
    names = [name if len(name) <= 40 else f"{name[:39]}…" for name in label_names]
    width = max(10, *(len(name) + 2 for name in names))
    lines = [f"{'class':<{width}}{'share':>8}{'images':>8}{'recall':>8}"]
    for c in np.argsort(counts, kind="stable"):
        recall = f"{results[f'eval_recall_{label_names[c]}']:.3f}" if evaluated[c] else "-"
        share = counts[c] / counts.sum()
        lines.append(f"{names[c]:<{width}}{share:>8.1%}{evaluated[c]:>8}{recall:>8}")
    return "\n".join(lines)


def result_line(results: Mapping, eval_split: str) -> str:
    """The main results in one line."""
    low, high = results["eval_accuracy_ci95"]
    line = (
        f"{eval_split}: accuracy {results['eval_accuracy']:.4f} [{low:.4f}, {high:.4f}], "
        f"macro-F1 {results['eval_macro_f1']:.4f}, "
        f"balanced accuracy {results['eval_balanced_accuracy']:.4f}, "
        f"ECE {results['eval_ece']:.4f} over {results['eval_samples']} images"
    )
    if "eval_accuracy_without_copies" in results:
        line += (
            f"; without copies of {copied_splits(results)}: "
            f"accuracy {results['eval_accuracy_without_copies']:.4f}, macro-F1 "
            f"{results['eval_macro_f1_without_copies']:.4f} "
            f"over {results['eval_samples_without_copies']}"
        )
    if absent := results.get("eval_classes_without_images"):
        line += f"; no image of {', '.join(absent)}, whose recall is left out"
    return line
