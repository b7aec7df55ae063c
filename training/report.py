"""What a run leaves behind: figures, pictures, resolved arguments, and the model card from them."""

import contextlib
import json
import os
import platform
import shlex
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from importlib import metadata
from pathlib import Path

import matplotlib
import numpy as np
import yaml
from safetensors import SafetensorError

matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402  (the backend is chosen first: no display is needed)
from matplotlib.ticker import MaxNLocator  # noqa: E402

from .arguments import Arguments  # noqa: E402
from .checkpoints import TrainingError  # noqa: E402
from .metrics import FerMetrics  # noqa: E402
from .splits import RunData  # noqa: E402
from .stages import finished_run, share_equal_runs  # noqa: E402

BLUE, ORANGE, GREEN, GREY = (
    "#0072B2",
    "#E69F00",
    "#009E73",
    "#999999",
)  # Okabe & Ito: safe for colour-blind readers
PACKAGES = (
    "torch",
    "torchvision",
    "transformers",
    "datasets",
    "evaluate",
    "accelerate",
    "timm",
    "safetensors",
    "numpy",
)


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


@contextlib.contextmanager
def written_whole(folder: Path) -> Iterator[Path]:
    """
    A folder to write into; its files are moved into `folder` when all of them are written.

    Raises:
        TrainingError: they could not be written (no room, say); `folder` is as it was.
    """
    partial = folder / ".partial"
    shutil.rmtree(partial, ignore_errors=True)
    try:
        partial.mkdir(parents=True)
        yield partial
        for file in partial.iterdir():
            os.replace(file, folder / file.name)
    except (OSError, SafetensorError) as error:
        raise TrainingError(
            f"{folder} could not be written ({error}); what it held is as it was. Make room, "
            "then --resume_from_checkpoint true goes on from the last checkpoint."
        ) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def write_json(path: Path, content: Mapping) -> None:
    path.write_text(json.dumps(content, indent=2) + "\n")


def write_run_yaml(
    path: Path, args: Arguments, config, data_fingerprint: str, recipe_changes: Sequence[str] = ()
) -> None:
    """
    Resolved arguments, versions, seed and data fingerprint: what is needed to run it again.

    Args:
        config: of the model, which knows better than the flags what a saved model is.
    """
    arguments = args.to_dict()
    arguments["model"] |= {
        name: value for name, value in config.to_dict().items() if name in arguments["model"]
    }
    content = {
        "command": shell_command(sys.argv),
        "seed": args.training.seed,
        "data_fingerprint": data_fingerprint,
        "arguments": arguments,
        "versions": {"python": platform.python_version()}
        | {name: metadata.version(name) for name in PACKAGES},
    }
    if recipe_changes:
        content["changed_on_resume"] = list(recipe_changes)
    source = args.model.model_name_or_path
    if source and (previous := finished_run(Path(source))):
        content["started_from"] = previous
    if others := args.model.average_with:
        content["averaged_with"] = [finished_run(Path(other)) for other in others]
    if teachers := args.imbalance.teachers:
        content["taught_by"] = [finished_run(Path(teacher)) for teacher in teachers]
    content = share_equal_runs(content)
    path.write_text(yaml.safe_dump(content, sort_keys=False, width=120))


def shell_command(argv: Sequence[str]) -> str:
    """The command, to be run again; a value after a flag named ..._token is never written down."""
    shown, secret = ["python"], False
    for word in argv:
        flag, _, value = word.partition("=")
        shown.append(
            "<hidden>"
            if secret
            else f"{flag}=<hidden>"
            if value and flag.endswith("token")
            else word
        )
        secret = not value and flag.startswith("--") and flag.endswith("token")
    return shlex.join(shown)


def plot_confusion_matrix(
    path: Path, confusion: Sequence[Sequence[int]], label_names: Sequence[str], title: str
) -> None:
    """Rows are true classes; the colour is the share of the row, the number the count."""
    counts = np.asarray(confusion)
    share = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    figure, axes = plt.subplots(figsize=(7, 6), layout="constrained")
    image = axes.imshow(share, cmap="cividis", vmin=0, vmax=1)
    for (row, column), count in np.ndenumerate(counts):
        color = "black" if share[row, column] > 0.55 else "white"
        text = f"{share[row, column]:.2f}\n{count}"
        axes.text(column, row, text, ha="center", va="center", color=color, fontsize=9)
    axes.set_xticks(range(len(label_names)), label_names, rotation=35, ha="right")
    axes.set_yticks(range(len(label_names)), label_names)
    axes.set(xlabel="predicted", ylabel="label", title=title)
    figure.colorbar(image, ax=axes, label="share of the class")
    _save(figure, path)


def plot_class_distribution(path: Path, data: RunData, label_names: Sequence[str]) -> None:
    """Training images per class before and after sampling, and the evaluation split."""
    bars = {
        f"evaluation ({data.eval_split})": (
            np.bincount(data.eval.labels, minlength=len(label_names)),
            GREY,
        )
    }
    if data.train_counts is not None:
        if data.record["sampling"] == "none":
            bars = {"training": (data.train_counts, BLUE)} | bars
        else:
            after = data.drawn_counts.numpy().round().astype(int)
            name = f"training, after sampling ({data.record['sampling']})"
            bars = {
                "training, before sampling": (data.counts_before, BLUE),
                name: (after, ORANGE),
            } | bars
    figure, axes = plt.subplots(figsize=(8, 4.5), layout="constrained")
    width = 0.85 / len(bars)
    for i, (name, (counts, color)) in enumerate(bars.items()):
        drawn = axes.bar(
            np.arange(len(label_names)) + (i - (len(bars) - 1) / 2) * width,
            counts,
            width,
            color=color,
        )
        drawn.set_label(f"{name}: {int(np.sum(counts)):,} images")
        axes.bar_label(drawn, fontsize=7, rotation=90, padding=3)
    axes.set_xticks(range(len(label_names)), label_names)
    axes.margins(y=0.12)
    axes.set(ylabel="images", title="Class distribution")
    figure.legend(loc="outside lower center", ncols=2, fontsize=8)
    _save(figure, path)


def plot_training_curves(path: Path, history: Sequence[Mapping]) -> None:
    """Losses on the left, accuracy and macro-F1 of the evaluation split on the right, by epoch."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.8), layout="constrained")
    for axes, key, name, color in (
        (left, "loss", "training", BLUE),
        (left, "eval_loss", "evaluation (cross-entropy)", ORANGE),
        (right, "eval_accuracy", "accuracy", BLUE),
        (right, "eval_macro_f1", "macro-F1", ORANGE),
        (right, "eval_balanced_accuracy", "balanced accuracy", GREEN),
    ):
        points = [(entry["epoch"], entry[key]) for entry in history if key in entry]
        if points:
            axes.plot(
                *zip(*points),
                color=color,
                label=name,
                marker="o" if len(points) < 30 else None,
                markersize=3,
            )
    left.set(xlabel="epoch", title="Loss")
    right.set(xlabel="epoch", title="Evaluation")
    for axes in (left, right):
        axes.grid(alpha=0.3)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        if axes.lines:
            axes.legend(fontsize=8)
    _save(figure, path)


def _save(figure, path: Path) -> None:
    figure.savefig(path, dpi=130)
    plt.close(figure)


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
