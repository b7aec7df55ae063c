"""Every figure of a run's evaluation."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from scipy.special import log_softmax

from ..data import RunData
from ..gaps import Gaps
from ..treatments.functional import normalised
from .calibration import calibrate, certainty_figures, prior_figures
from .metrics import classification_metrics

ALL_RESULTS = "all results of the evaluation"


def evaluation_results(
    logits: np.ndarray, labels: np.ndarray, copies: np.ndarray | None, label_names: Sequence[str]
) -> dict:
    """
    Every figure of `classification_metrics` as `eval_<name>`, and as `eval_<name>_without_copies`.

    The latter are over the images that are no copies. Where a class has no image, its recall is
    undefined and stands there as 0: such classes are named by `eval_classes_without_images`.

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
        figures = classification_metrics(logits[rows].astype(np.float32), labels[rows], label_names)
        log_p = log_softmax(logits[rows].astype(np.float64), axis=1)
        figures["loss"] = float(-log_p[np.arange(len(log_p)), labels[rows]].mean())
        figures["samples"] = int(rows.sum())
        if absent := [name for c, name in enumerate(label_names) if not (labels[rows] == c).any()]:
            figures["classes_without_images"] = absent
        results |= {f"eval_{name}{suffix}": value for name, value in figures.items()}
    return results


def evaluate(trainer, data: RunData, gaps: Gaps) -> dict:
    """
    The evaluation of a run; after a training, calibration comes first.

    Args:
        trainer: the `FerTrainer`, whose model's config gets temperature, threshold and the class
            distributions of the training set and that it has learned to expect.
        gaps: notes each part that fails; the others go on without it.

    Returns:
        Figures for all_results.json; without `eval_accuracy` if nothing could be measured.
    """
    config, trained = trainer.model.config, data.train is not None
    logits, fitted, results = None, {}, {}
    if trained:
        with gaps.on_error("class distributions of the training"):
            _note_distributions(trainer, data)
    with gaps.on_error(ALL_RESULTS):
        prediction = trainer.predict(data.eval)
        logits, labels = prediction.predictions, prediction.label_ids
    if logits is None:
        return {}
    if trained:
        with gaps.on_error("calibration"):
            logits, fitted = _calibrated(trainer, data, logits, labels, gaps.say)
    data.eval_logits = logits
    with gaps.on_error(ALL_RESULTS):
        names = data.label_names
        results = evaluation_results(logits, labels, data.eval_copies, names)
        results |= {"eval_split": data.eval_split}
    if config.uncertain_below is not None:
        with gaps.on_error("share of certain predictions"):
            results |= certainty_figures(logits, labels, config.uncertain_below)
    with gaps.on_error("results under other priors"):
        results |= _other_priors(trainer.model, logits, labels, data.label_names)
    if data.eval_copies is None:
        gaps.say("No training split to compare with: the figures without copies are left out.")
    else:
        fitted["eval_copies_of"] = list(data.eval_copies_of)
    return results | fitted


def _note_distributions(trainer, data: RunData) -> None:
    config, shares = trainer.model.config, trainer.targets.shares(data.drawn_counts)
    counts = torch.tensor(data.counts_before, dtype=torch.float32)
    config.update_calibration(
        learned_distribution=trainer.criterion.presented_distribution(shares).tolist(),
        # twice, as on the way to the learned one: without a treatment both are the same numbers
        train_distribution=normalised(normalised(counts)).tolist(),
    )


def _calibrated(
    trainer, data: RunData, logits: np.ndarray, labels: np.ndarray, say: Callable[[str], None]
) -> tuple[np.ndarray, dict]:
    """Fits the model's calibration, on held-out images alone: its logits then, and figures."""
    config, shift = trainer.model.config, trainer.model.prior_shift("train").numpy()
    if data.development is not None:
        held_out = trainer.predict(data.development)
        _, fitted = calibrate(config, held_out.predictions, held_out.label_ids, shift)
        fitted["calibrated_on"] = "development"
        return logits / np.float32(config.fitted_temperature), fitted
    if data.eval_split == "validation":
        return calibrate(config, logits, labels, shift)
    say(f"Not calibrated: that takes held-out images, not the {data.eval_split} split.")
    return logits, {}


def _other_priors(
    model, logits: np.ndarray, labels: np.ndarray, label_names: Sequence[str]
) -> dict:
    results: dict = {}
    if model.config.assumed_by("learned") is None:
        return results
    for prior in ("train", "uniform"):
        shift = (model.prior_shift(prior) - model.prior_shift(model.config.prior_in_use)).numpy()
        if prior == "uniform" or shift.any():
            results |= prior_figures(prior, logits + shift, labels, label_names)
    return results


def copied_splits(results: Mapping) -> str:
    """Of which images copies are left out: "training images", "training and validation images"."""
    of = results.get("eval_copies_of", ["train"])  # older results do not say it
    *others, last = ["training" if name == "train" else name for name in of]
    return f"{', '.join(others)} and {last} images" if others else f"{last} images"


def summary(results: Mapping, data: RunData) -> str:
    """For the terminal: a line for each class, and the main figures; "" where there are none."""
    if "eval_accuracy" not in results:
        return ""
    return f"{recall_table(results, data)}\n{result_line(results, data.eval_split)}"


def recall_table(results: Mapping, data: RunData) -> str:
    """
    What imbalance does: each class's share of training images and recall, rarest first. A class
    without evaluated images has none.
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
    if absent := results.get("eval_classes_without_images"):
        line += f"; no image of {', '.join(absent)}, whose recall is left out"
    return line
