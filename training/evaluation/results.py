"""The results of an evaluation, in full for all_results.json and in short for the terminal."""

from collections.abc import Mapping, Sequence

import numpy as np

from ..metrics import FerMetrics
from ..splits import RunData


def evaluation_results(
    logits: np.ndarray, labels: np.ndarray, copies: np.ndarray | None, label_names: Sequence[str]
) -> dict:
    """
    Every figure of `FerMetrics` as `eval_<name>`, and as `eval_<name>_without_copies`.

    The latter are over the images that are no copies of training images.

    Args:
        logits: (N, C). labels: (N,). copies: (N,) bool, or None where there are no training images
            to compare with.
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
        figures["loss"] = _cross_entropy(logits[rows], labels[rows])
        figures["samples"] = int(rows.sum())
        results |= {f"eval_{name}{suffix}": value for name, value in figures.items()}
    return results


def _cross_entropy(logits: np.ndarray, labels: np.ndarray) -> float:
    logits = logits.astype(np.float64) - logits.max(axis=1, keepdims=True)
    log_p = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    return float(-log_p[np.arange(len(labels)), labels].mean())


def recall_table(results: Mapping, data: RunData, label_names: Sequence[str]) -> str:
    """What imbalance does: each class's share of training images and recall, rarest first."""
    evaluated = np.bincount(data.eval.labels, minlength=len(label_names))
    counts = data.counts_before if data.counts_before is not None else evaluated
    lines = [f"{'class':<10}{'share':>8}{'images':>8}{'recall':>8}"]
    for c in np.argsort(counts, kind="stable"):
        recall = results[f"eval_recall_{label_names[c]}"]
        lines.append(
            f"{label_names[c]:<10}{counts[c] / counts.sum():>8.1%}{evaluated[c]:>8}{recall:>8.3f}"
        )
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
            "; without copies of training images: "
            f"accuracy {results['eval_accuracy_without_copies']:.4f}, macro-F1 "
            f"{results['eval_macro_f1_without_copies']:.4f} "
            f"over {results['eval_samples_without_copies']}"
        )
    return line
