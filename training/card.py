"""The model card, made from the run and never edited by hand."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import timm
from huggingface_hub import EvalResult, ModelCard, ModelCardData

from .arguments import Arguments
from .data import DEFAULT_SOURCE
from .splits import RunData
from .stages import commands, portable, stages

TEMPLATE = Path(__file__).with_name("model_card_template.md")
FIGURES = {
    "accuracy": "accuracy",
    "macro_f1": "macro-F1",
    "balanced_accuracy": "balanced accuracy",
    "ece": "expected calibration error",
}
CLASS_FIGURES = ("precision", "recall", "f1")
GPU_STEPS_PER_SECOND = 15  # assumed for the card's estimate: a step is bound by kernel launches
LOSS_OPTIONS = {
    "focal": ("focal_gamma", "focal_alpha"),
    "class_balanced": ("class_balanced_beta",),
    "logit_adjusted": ("logit_adjustment_tau",),
    "ldam": ("ldam_max_margin", "ldam_scale", "deferred_reweighting_epoch"),
}


def write_model_card(
    path: Path,
    *,
    args: Arguments,
    config,
    data: RunData,
    data_summary: str,
    results: Mapping,
    parameters: int,
    device: str,
    model_id: str,
) -> None:
    """
    Args:
        path: in the folder that holds the run's other files, run.yaml among them.
        config: of the model. data_summary: the audit's line. results: of all_results.json.
        parameters: of the model. device: what it was trained on, in words.
        model_id: Hub id, or folder, for the snippet.
    """
    runs = stages(path.parent)
    label_names = [config.id2label[i] for i in range(config.num_labels)]
    card = ModelCard.from_template(
        card_data=_card_data(args, results, model_id, _base_model(runs[-1])),
        template_path=str(TEMPLATE),
        usage=usage(model_id),
        parameters=f"{parameters / 1e6:.1f} million",
        backbone=config.backbone,
        image_size=config.image_size,
        channels="grey" if config.num_channels == 1 else "RGB",
        label_names=", ".join(label_names),
        **_about_results(results, data, label_names),
        **_about_data(args, data, data_summary),
        **_about_training(args, results, runs, device),
    )
    card.save(path)


def _about_results(results: Mapping, data: RunData, label_names: Sequence[str]) -> dict:
    rarest = int(data.counts_before.argmin())
    evaluated = np.bincount(data.eval.labels, minlength=len(label_names))
    return {
        "eval_split": data.eval_split,
        "figures_table": _figures_table(results),
        "calibration": _calibration(results),
        "prior_table": _prior_table(results, label_names[rarest]),
        "classes_table": _classes_table(
            results, label_names, data.train_counts, evaluated, data.eval_split
        ),
        "confusions": _confusions(results, label_names),
        "rarest": label_names[rarest],
        "rarest_eval": evaluated[rarest],
    }


def _about_data(args: Arguments, data: RunData, data_summary: str) -> dict:
    source = args.data.dataset
    return {
        "dataset_name": _dataset_name(args),
        "synthetic": source == "synthetic",
        "data_summary": data_summary,
        "dropped": data.record.get("training_images_dropped_as_copies", 0),
        "own_copy": portable(source) if Path(source).exists() else "",
        "votes": bool(args.imbalance.ferplus_weight),
    }


def _about_training(
    args: Arguments, results: Mapping, runs: Sequence[Mapping], device: str
) -> dict:
    training, imbalance = args.training, args.imbalance
    return {
        "sampling": imbalance.sampling,
        "loss": imbalance.loss,
        "loss_options": _loss_options(args),
        "ema": bool(training.ema_decay),
        "precise_bn": training.precise_bn,
        "trained": results["epoch"] > 0,
        "epochs": f"{results['epoch']:g}",
        "batch_size": training.per_device_train_batch_size * training.gradient_accumulation_steps,
        "processes": training.world_size,
        "optimizer": training.timm_optim or str(training.optim.value),
        "sizes": ", ".join(map(str, training.progressive_sizes)),
        "learning_rate": training.learning_rate,
        "scheduler": str(training.lr_scheduler_type.value),
        "seed": training.seed,
        "start": _start(runs[-1], runs),
        "runs": len(runs),
        "runtime": _runtime(runs, results),
        "device": device,
        "gpu_minutes": "" if training.device.type == "cuda" else _gpu_minutes(runs),
        "gpu_steps_per_second": GPU_STEPS_PER_SECOND,
        "commands": _commands(runs),
        "weights_file": _weights_file(runs),
    }


def figures(results: Mapping, label_names: Sequence[str]) -> list[str]:
    """What the card says of `results`, word for word."""
    classes = [
        " | ".join(f"{results[f'eval_{key}_{name}']:.3f}" for key in CLASS_FIGURES)
        for name in label_names
    ]
    return [
        _figures_table(results),
        _calibration(results),
        _confusions(results, label_names),
        *classes,
    ]


def usage(model_id: str, revision: str | None = None) -> str:
    """The card's snippets. model_id: Hub id, or folder. revision: tag or commit to pin."""
    pinned = f', revision="{revision}"' if revision else ""
    where = f'model="{model_id}"{pinned}, trust_remote_code=True'
    return (
        "Faces in a photo (`pip install transformers torch timm 'opencv-python-headless<5'`):\n\n"
        "```python\nfrom transformers import pipeline\n\n"
        f'find = pipeline("facial-emotion", {where})\n'
        'print(find("photo.jpg"))  # a dict for each face: box, label, score, scores, uncertain\n'
        "```\n\nOne tight face:\n\n"
        "```python\nfrom transformers import pipeline\n\n"
        f'classifier = pipeline("image-classification", {where})\n'
        'print(classifier("face.png"))\n```'
    )


def _card_data(
    args: Arguments, results: Mapping, model_id: str, base_model: str | None
) -> ModelCardData:
    source = args.data.dataset
    data_id = "synthetic" if source == "synthetic" else "fer2013"
    hub_id = DEFAULT_SOURCE if Path(source).exists() else source  # a local copy is of the same data
    evaluations = [
        EvalResult(
            task_type="image-classification",
            task_name="Image Classification",
            dataset_type=data_id,
            dataset_name=_dataset_name(args),
            dataset_split=args.data.eval_split,
            metric_type={"macro_f1": "f1"}.get(key, key),
            metric_name=name,
            metric_value=results[f"eval_{key}"],
        )
        for key, name in FIGURES.items()
    ]
    return ModelCardData(
        license="apache-2.0",
        library_name="transformers",
        pipeline_tag="image-classification",
        tags=[
            "facial-expression-recognition",
            "efficientnet",
            "fer2013",
            "class-imbalance",
            "timm",
        ],
        metrics=["accuracy", "f1"],
        datasets=None if source == "synthetic" else [hub_id],
        base_model=base_model,
        model_name=Path(model_id).name,
        eval_results=evaluations,
    )


def _base_model(run: Mapping) -> str | None:
    """Hub id of the weights that the chain of runs started from; those of teachers are none."""
    while previous := run.get("started_from"):
        run = previous
    model = run["arguments"]["model"]
    if source := model["model_name_or_path"]:
        return None if Path(source).exists() else source
    if not model["pretrained"] or Path(model["pretrained"]).is_file():
        return None
    name = model["backbone"] if model["pretrained"] == "imagenet" else model["pretrained"]
    return timm.get_pretrained_cfg(name).hf_hub_id


def _dataset_name(args: Arguments) -> str:
    return "synthetic faces drawn by code" if args.data.dataset == "synthetic" else "FER-2013"


def _start(run: Mapping, runs: Sequence[Mapping]) -> str:
    """What `run`, one of `runs`, started from and who taught it."""
    start, taught_by = _weights(run, runs) + _averaged(run, runs), run.get("taught_by", ())
    numbers = [str(runs.index(teacher) + 1) for teacher in taught_by if teacher is not None]
    stages = "stage" if len(numbers) == 1 else "stages"
    return start + (f", taught by {stages} {' and '.join(numbers)}" if numbers else "")


def _averaged(run: Mapping, runs: Sequence[Mapping]) -> str:
    model = run["arguments"]["model"]
    others = [
        f"stage {runs.index(one) + 1}" if one else portable(name)
        for name, one in zip(model.get("average_with", ()), run.get("averaged_with", ()))
    ]
    share = f" (share {model['average_weight']:g})" if others else ""
    return ", averaged with " + " and ".join(others) + share if others else ""


def _weights(run: Mapping, runs: Sequence[Mapping]) -> str:
    if previous := run.get("started_from"):
        return f"on from stage {runs.index(previous) + 1}"
    model = run["arguments"]["model"]
    if model["model_name_or_path"]:
        return f"fine-tuned from {portable(model['model_name_or_path'])}"
    if not model["pretrained"]:
        return "from random weights"
    if Path(model["pretrained"]).suffix == ".safetensors":
        return f"from the ImageNet weights in {Path(model['pretrained']).name}"
    return "from ImageNet weights of timm"


def _weights_file(runs: Sequence[Mapping]) -> str:
    """Name of the local file that the first of the runs with one took ImageNet weights from."""
    given = [Path(run["arguments"]["model"]["pretrained"] or "") for run in runs]
    return next((path.name for path in given if path.suffix == ".safetensors"), "")


def _runtime(runs: Sequence[Mapping], results: Mapping) -> str:
    minutes = [run["train_runtime"] / 60 for run in runs]
    if not results["epoch"]:
        return f"{sum(minutes):.1f} minutes of training in all stages"
    in_all = f" ({sum(minutes):.1f} in all stages)" if len(runs) > 1 else ""
    return (
        f"{minutes[-1]:.1f} minutes of training{in_all}, "
        f"{results['train_samples_per_second']:.0f} images/s"
    )


def _commands(runs: Sequence[Mapping]) -> str:
    """A shell script of all stages."""
    lines = []
    for i, (run, command) in enumerate(zip(runs, commands(runs))):
        start = _start(run, runs)
        stage = f"stage {i + 1}, {start}" if len(runs) > 1 else start
        minutes = run["train_runtime"] / 60
        lines += [f"# {stage}: {run['epoch']:g} epochs, {minutes:.1f} minutes", command]
    return "\n".join(lines)


def _loss_options(args: Arguments) -> str:
    options = list(LOSS_OPTIONS.get(args.imbalance.loss, ()))
    options += [
        name
        for name in ("label_smoothing", "ferplus_weight", "mixup", "cutmix")
        if getattr(args.imbalance, name)
    ]
    options += ["distillation_weight"] if args.imbalance.teachers else []
    values = {name: getattr(args.imbalance, name) for name in options}
    shown = [f"{name} {_shown(value)}" for name, value in values.items() if value is not None]
    return f" ({', '.join(shown)})" if shown else ""


def _shown(value) -> str:
    return " ".join(value) if isinstance(value, list) else str(value)


def _figures_table(results: Mapping) -> str:
    suffixes, header = [""], ["", f"all {results['eval_samples']:,} images"]
    if "eval_samples_without_copies" in results:
        copies = results["eval_samples"] - results["eval_samples_without_copies"]
        suffixes.append("_without_copies")
        header.append(f"without {copies} copies of training images")
    rows = [
        [name, *(_figure(results, key, suffix) for suffix in suffixes)]
        for key, name in FIGURES.items()
    ]
    return _table(header, rows)


def _figure(results: Mapping, key: str, suffix: str) -> str:
    interval = results.get(f"eval_{key}_ci95{suffix}")
    shown = f" [{interval[0]:.4f}, {interval[1]:.4f}]" if interval else ""
    return f"{results[f'eval_{key}{suffix}']:.4f}{shown}"


def _calibration(results: Mapping) -> str:
    if "temperature" not in results:
        return ""
    text = (
        f"Logits are divided by a temperature of {results['temperature']:.3f}, fitted on these "
        "images by likelihood; the expected calibration error was "
        f"{results['eval_ece_before_temperature']:.4f} before and is {results['eval_ece']:.4f}."
    )
    if results["eval_certain_accuracy"] is None:
        return f"{text} No prediction counts as certain: `uncertain` is always true."
    return (
        f"{text} A score of at least {results['uncertain_below']:.3f} counts as certain: so are "
        f"{results['eval_certain_share']:.1%} of these images, and "
        f"{results['eval_certain_accuracy']:.1%} of those are right. The others get "
        "`uncertain: True`."
    )


def _prior_table(results: Mapping, rarest: str) -> str:
    """What `prior="uniform"` does beside "train"."""
    if "eval_uniform_prior_accuracy" not in results:
        return ""
    keys = {"accuracy": "accuracy", "balanced_accuracy": "balanced accuracy"} | {
        f"recall_{rarest}": f"recall of {rarest}"
    }
    rows = [
        [f'`prior="{name}"`', *(f"{results[f'eval_{prefix}{key}']:.3f}" for key in keys)]
        for name, prefix in (("train", ""), ("uniform", "uniform_prior_"))
    ]
    return _table(["", *keys.values()], rows)


def _classes_table(results: Mapping, names, train_counts, eval_counts, eval_split: str) -> str:
    header = ["class", "training images", f"{eval_split} images", "precision", "recall", "F1"]
    rows = [
        [name, f"{train_counts[c]:,}", f"{eval_counts[c]:,}"]
        + [f"{results[f'eval_{key}_{name}']:.3f}" for key in CLASS_FIGURES]
        for c, name in enumerate(names)
    ]
    return _table(header, rows)


def _gpu_minutes(runs: Sequence[Mapping]) -> str:
    steps = sum(run["train_steps_per_second"] * run["train_runtime"] for run in runs)
    return f"{max(1, round(steps / GPU_STEPS_PER_SECOND / 60))}"


def _confusions(results: Mapping, names: Sequence[str], most: int = 4) -> str:
    """The largest shares of a class that get another label, in words."""
    counts = np.array(results["eval_confusion_matrix"], dtype=float)
    share = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    np.fill_diagonal(share, 0)
    pairs = [np.unravel_index(i, share.shape) for i in np.argsort(-share, axis=None)[:most]]
    return ", ".join(f"{names[a]} taken for {names[b]} ({share[a, b]:.0%})" for a, b in pairs)


def _table(header: list[str], rows: list[list[str]]) -> str:
    return "\n".join(
        "| " + " | ".join(row) + " |" for row in [header, ["---"] * len(header), *rows]
    )
