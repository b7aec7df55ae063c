"""Every figure of a run's evaluation."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from scipy.special import log_softmax

from ..data import RunData
from ..treatments.functional import normalised
from .calibration import calibrate, certainty_figures, prior_figures
from .metrics import FerMetrics


def evaluation_results(
    logits: np.ndarray, labels: np.ndarray, copies: np.ndarray | None, label_names: Sequence[str]
) -> dict:
    """
    Every figure of `FerMetrics` as `eval_<name>`, and as `eval_<name>_without_copies`.

    The latter are over the images that are no copies.

    Args:
        logits: (N, C). labels: (N,). copies: (N,) bool, as in `RunData`, or None.
    """
    metrics = FerMetrics(label_names)
    results: dict = {}
    for suffix, rows in (
        ("", np.ones(len(labels), bool)),
        ("_without_copies", None if copies is None else ~copies),
    ):
        if rows is None or not rows.any():
            continue
        figures = metrics.compute(
            predictions=logits[rows].astype(np.float32), references=labels[rows]
        )
        log_p = log_softmax(logits[rows].astype(np.float64), axis=1)
        figures["loss"] = float(-log_p[np.arange(len(log_p)), labels[rows]].mean())
        figures["samples"] = int(rows.sum())
        results |= {f"eval_{name}{suffix}": value for name, value in figures.items()}
    return results


def evaluate(trainer, data: RunData, say: Callable[[str], None]) -> dict:
    """
    The evaluation of a run; after a training, calibration comes first.

    Args:
        trainer: the `FerTrainer`, whose model's config gets temperature, threshold and the class
            distributions of the training set and that it has learned to expect.
        say: is told of what is left out.

    Returns:
        Figures for all_results.json.
    """
    prediction, model, names = trainer.predict(data.eval), trainer.model, data.label_names
    config = model.config
    logits, labels = prediction.predictions, prediction.label_ids
    fitted: dict = {}
    if data.train is not None:
        shares = trainer.targets.shares(data.drawn_counts)
        config.learned_distribution = trainer.criterion.presented_distribution(shares).tolist()
        counts = torch.tensor(data.counts_before, dtype=torch.float32)
        # twice, as on the way to the learned one: without a treatment both are the same numbers
        config.train_distribution = normalised(normalised(counts)).tolist()
        shift = model.prior_shift("train").numpy()
        if data.development is not None:
            held_out = trainer.predict(data.development)
            _, fitted = calibrate(config, held_out.predictions, held_out.label_ids, shift)
            fitted["calibrated_on"] = "development"
            logits = logits / np.float32(config.temperature)
        elif data.eval_split == "validation":
            logits, fitted = calibrate(config, logits, labels, shift)
        else:
            say(f"Not calibrated: that takes held-out images, not the {data.eval_split} split.")
    data.eval_logits = logits
    results = evaluation_results(logits, labels, data.eval_copies, names)
    if config.uncertain_below is not None:
        results |= certainty_figures(logits, labels, config.uncertain_below)
    if config.assumed_by("learned") is not None:
        for prior in ("train", "uniform"):
            shift = (model.prior_shift(prior) - model.prior_shift(config.prior)).numpy()
            if prior == "uniform" or shift.any():
                results |= prior_figures(prior, logits + shift, labels, names)
    if data.eval_copies is None:
        say("No training split to compare with: the figures without copies are left out.")
    else:
        fitted["eval_copies_of"] = list(data.eval_copies_of)
    return results | fitted | {"eval_split": data.eval_split}


def copied_splits(results: Mapping) -> str:
    """Of which images copies are left out: "training images", "training and validation images"."""
    of = results.get("eval_copies_of", ["train"])  # older results do not say it
    *others, last = ["training" if name == "train" else name for name in of]
    return f"{', '.join(others)} and {last} images" if others else f"{last} images"


def recall_table(results: Mapping, data: RunData) -> str:
    """What imbalance does: each class's share of training images and recall, rarest first."""
    label_names = data.label_names
    evaluated = np.bincount(data.eval.labels, minlength=len(label_names))
    counts = data.counts_before if data.counts_before is not None else evaluated
    width = max(10, *(len(name) + 2 for name in label_names))
    lines = [f"{'class':<{width}}{'share':>8}{'images':>8}{'recall':>8}"]
    for c in np.argsort(counts, kind="stable"):
        recall = results[f"eval_recall_{label_names[c]}"]
        share = counts[c] / counts.sum()
        lines.append(f"{label_names[c]:<{width}}{share:>8.1%}{evaluated[c]:>8}{recall:>8.3f}")
    return "\n".join(lines)


def result_line(results: Mapping, eval_split: str) -> str:
    """The main figures in one line."""
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
    return line
