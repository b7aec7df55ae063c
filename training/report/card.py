"""
The model card, made from the files of a run's folder and never edited by hand.

Make it again, after a change of the template, say, or to name the data:
  python -m training.report.card model
  python -m training.report.card runs/mine --dataset_name 'faces of drivers, 2025'
"""

import argparse
import json
import re
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import timm
from huggingface_hub import EvalResult, ModelCard, ModelCardData
from safetensors import safe_open

from ..data import summary_line
from ..evaluation import copied_splits
from ..evaluation.calibration import TEMPERATURES
from ..treatments import SAMPLINGS, find_loss
from ..treatments.register import BASELINE
from .files import added
from .lineage import commands, flags_of, is_weights_file, of_same_data, other_data, portable
from .markdown import markdown_table, plain
from .provenance import Provenance, is_local, provenance, set_dataset_name
from .quoted import TEST, quoted_results, quoted_robustness
from .run_record import chain, read_run

TEMPLATE = Path(__file__).with_name("model_card_template.md")
PICTURES = ("confusion_matrix", "class_distribution", "training_curves")
NUMBERS = dict(enumerate("two three four five six seven eight nine ten eleven twelve".split(), 2))
FIGURES = {
    "accuracy": "accuracy",
    "macro_f1": "macro-F1",
    "balanced_accuracy": "balanced accuracy",
    "ece": "expected calibration error",
}
CLASS_FIGURES = ("mean_score", "precision", "recall", "f1")  # older results lack the first
TRANSFORMERS = "transformers>=5.10.1"  # earlier ones copy too little of a local folder's code
GPU_STEPS_PER_SECOND = 15  # assumed for the card's estimate: a step is bound by kernel launches
# Assumed for the card's estimate, as benchmarks/chosen_on_validation.py measures it between two
# stages of the model that ships: the share of images that one of two networks has right and the
# other wrong.
DIFFERENCE = 0.08
BEST_OF_TEN = 1.54  # expected maximum of ten standard normal variables
BUFFERS = re.compile(r"running_mean|running_var|num_batches_tracked")  # no parameters


def write_model_card(
    folder: Path, model_id: str | None = None, *, say: Callable[[str], None] = print
) -> Path:
    """
    Args:
        folder: with config.json, model.safetensors, all_results.json, data_report.json and run.yaml
            of a training, and test_results.json of an evaluation and robustness.json, if they are
            there. Nothing else decides what the card says.
        model_id: Hub id, or folder, for the snippets. Default: the run's.
        say: is told if test_results.json or robustness.json is not of this model and is left out.

    Returns:
        The card's file.

    Raises:
        ValueError: `folder` holds no training.
    """
    run = read_run(folder)
    if run is None:
        raise ValueError(
            f"{folder}: expected a folder that a training left, with run.yaml and the figures of "
            "the training in all_results.json."
        )
    options = defaultdict(lambda: None, flags_of(run))  # older records lack the newer flags
    model_id = model_id or options["hub_model_id"] or options["output_dir"]
    quoted = quoted_results(folder, say)
    results = quoted["all_results.json"]
    if "eval_accuracy" not in results:
        raise ValueError(
            f"{folder}: expected results of an evaluation in all_results.json, but it was not "
            "measured. Resume the run, which measures it: --resume_from_checkpoint true."
        )
    config, data_report = (
        json.loads((folder / f"{name}.json").read_text()) for name in ("config", "data_report")
    )
    label_names = [config["id2label"][str(i)] for i in range(len(config["id2label"]))]
    stages, data = chain(folder), provenance(options, data_report)
    pictures = {name for name in PICTURES if (folder / f"{name}.png").is_file()}
    robustness = quoted_robustness(folder, say)
    card = ModelCard.from_template(
        card_data=_card_data(data, quoted, model_id, _base_model(stages)),
        template_path=str(TEMPLATE),
        usage=usage(model_id),
        parameters=f"{count_parameters(folder / 'model.safetensors') / 1e6:.1f} million",
        backbone=config["backbone"],
        image_size=config["image_size"],
        channels="grey" if config["num_channels"] == 1 else "RGB",
        label_names=plain(", ".join(label_names)),
        number_of_classes=NUMBERS.get(len(label_names), len(label_names)),
        pictures=pictures,
        **_about_results(quoted, data_report, label_names),
        choices=_choices(options, results, stages),
        robustness=robustness_text(robustness) if robustness else "",
        **_about_data(data, options, data_report, results["eval_split"]),
        **_about_training(run, options, results, stages),
    )
    with added(folder) as new:
        card.save(new / "README.md")
    return folder / "README.md"


def count_parameters(weights: Path) -> int:
    """From the header of a safetensors file."""
    with safe_open(weights, "pt") as stored:
        shapes = {name: stored.get_slice(name).get_shape() for name in stored.keys()}
    return sum(int(np.prod(shape)) for name, shape in shapes.items() if not BUFFERS.search(name))


def _about_results(
    quoted: Mapping[str, Mapping], data_report: Mapping, label_names: Sequence[str]
) -> dict:
    before = data_report["train_counts_before_sampling"]
    after = data_report["train_counts_after_sampling"]
    images = {name: min(before[name], after[name]) for name in before}  # repeated ones once
    rarest = min(label_names, key=before.get)
    first = next(iter(quoted.values()))
    counts = {file: dict(zip(label_names, _evaluated(one))) for file, one in quoted.items()}
    measured = all(of[rarest] for of in counts.values())
    return {
        "splits": [
            {
                "name": results["eval_split"],
                "file": file,
                "figures": _figures_table(results),
                "classes": _classes_table(results, label_names, images),
                "of_rarest": _of_class(results, rarest) if counts[file][rarest] else "",
                "absent": _absent(results, label_names),
            }
            for file, results in quoted.items()
        ],
        "test_copies": _copies_in_training(quoted, data_report),
        "calibration": _calibration(quoted),
        "prior_table": _prior_table(quoted, rarest if measured else None),
        "learned_another": _learned_another(quoted),
        "scored": any(f"eval_mean_score_{rarest}" in results for results in quoted.values()),
        "confusions": _confusions(first, label_names),
        "rarest": rarest,
        "rarest_eval": _evaluated(first)[label_names.index(rarest)],
    }


def _about_data(data: Provenance, options: Mapping, data_report: Mapping, eval_split: str) -> dict:
    without_majority = data_report.get("images_without_ferplus_majority", {})
    return {
        "data": data,
        "data_name": plain(data.name),
        "data_summary": plain(summary_line(data_report)),
        "without_majority": sum(without_majority.values()),
        "conflicting": data_report["groups_with_conflicting_labels"],
        "dropped": data_report.get("training_images_dropped_as_copies", 0),
        "dropped_as": " and ".join(data_report.get("dropped_as_copies_of", [eval_split])),
        "own_copy": portable(options["dataset"]) if is_local(options["dataset"]) else "",
        "votes": bool(options["ferplus_weight"]),
    }


def _about_training(
    run: Mapping, options: Mapping, results: Mapping, stages: Mapping[str, Mapping]
) -> dict:
    batch_size = options["per_device_train_batch_size"] * options["gradient_accumulation_steps"]
    device = run.get("device", "")  # older records do not have it
    return {
        "sampling": options["sampling"],
        "loss": Path(options["loss"]).name,  # of one from outside, the file's name
        "treatment": _treatment(run, options),
        "loss_options": _loss_options(run, options),
        "ema": bool(options["ema_decay"]),
        "precise_bn": options["precise_bn"],
        "trained": results["epoch"] > 0,
        "epochs": _epochs(results["epoch"]),
        "batch_size": batch_size,
        "processes": run.get("processes", 1),
        "optimizer": options["timm_optim"] or options["optim"],
        "sizes": ", ".join(map(str, options["progressive_sizes"] or ())),
        "learning_rate": options["learning_rate"],
        "scheduler": options["lr_scheduler_type"],
        "seed": run["seed"],
        "start": _start([*stages][-1], stages),
        "other_data": other_data(stages),
        "runs": len(stages),
        "runtime": _runtime(stages, results),
        "device": device,
        "gpu_minutes": "" if re.match(r"\d+ x ", device) else _gpu_minutes(stages),
        "gpu_steps_per_second": GPU_STEPS_PER_SECOND,
        "commands": _commands(stages),
        "own_folder": f"runs/{[*stages][-1]}",
        "dataset": portable(options["dataset"]),
        "weights_file": _weights_file(stages),
    }


def figures(quoted: Mapping[str, Mapping], label_names: Sequence[str]) -> list[str]:
    """What the card says of results, by file, word for word."""
    first = next(iter(quoted.values()))
    classes = [
        " | ".join(cells)
        for results in quoted.values()
        for cells in _class_figures(results, label_names)
    ]
    tables = map(_figures_table, quoted.values())
    return [*tables, _calibration(quoted), _confusions(first, label_names), *classes]


def robustness_text(robustness: Mapping, most: int = 3) -> str:
    """The essence of robustness.json: means, and the shifts that cost most."""
    plain, *shifted = robustness["shifts"].values()
    worst = sorted(shifted, key=lambda one: one["accuracy"])[:most]
    *others, last = (f"{one['title']} ({one['accuracy']:.3f})" for one in worst)
    mean, images = robustness["mean"], f"{robustness['images']:,}"
    if robustness["images"] < robustness["of"]:
        images += f" of the {robustness['of']:,}"
    return (
        f"Under {len(shifted)} shifts of crop, turn, resolution, compression and light, each over "
        f"{images} images of the {robustness['split']} split (`robustness.json`), accuracy is "
        f"{mean['accuracy']:.3f} on average and balanced accuracy "
        f"{mean['balanced_accuracy']:.3f}; without a shift they are {plain['accuracy']:.3f} and "
        f"{plain['balanced_accuracy']:.3f}. The lowest accuracies: "
        f"{', '.join(others)} and {last}."
    )


def usage(model_id: str, revision: str | None = None) -> str:
    """The card's snippets. model_id: Hub id, or folder. revision: tag or commit to pin."""
    pinned = f', revision="{revision}"' if revision else ""
    where = f'model="{model_id}"{pinned}, trust_remote_code=True'
    return (
        f"Faces in a photo (`pip install '{TRANSFORMERS}' torch timm 'opencv-python-headless<5'`):"
        "\n\n"
        "```python\nfrom transformers import pipeline\n\n"
        f'find = pipeline("facial-emotion", {where})\n'
        'print(find("photo.jpg"))  # a dict for each face: box, label, score, scores, uncertain\n'
        "```\n\nOne tight face:\n\n"
        "```python\nfrom transformers import pipeline\n\n"
        f'classifier = pipeline("image-classification", {where})\n'
        'print(classifier("face.png"))\n```'
    )


def _card_data(
    data: Provenance, quoted: Mapping[str, Mapping], model_id: str, base_model: str | None
) -> ModelCardData:
    evaluations = [
        EvalResult(
            task_type="image-classification",
            task_name="Image Classification",
            dataset_type=data.type,
            dataset_name=data.name,
            dataset_split=results["eval_split"],
            metric_type={"macro_f1": "f1"}.get(key, key),
            metric_name=name,
            metric_value=results[f"eval_{key}"],
            source_name=file,
            source_url=file,  # beside the card; publishing knows the whole address
        )
        for file, results in quoted.items()
        for key, name in FIGURES.items()
    ]
    tags = ["facial-expression-recognition", "efficientnet"]
    tags += ["fer2013"] if data.fer2013 else []
    tags += ["ferplus"] if data.ferplus else []
    return ModelCardData(
        license="apache-2.0",
        library_name="transformers",
        pipeline_tag="image-classification",
        tags=[*tags, "class-imbalance", "timm"],
        metrics=["accuracy", "f1"],
        datasets=[*data.hub_ids] or None,
        base_model=base_model,
        model_name=Path(model_id).name,
        eval_results=evaluations if data.type else None,  # there it must be named
    )


def _base_model(stages: Mapping[str, Mapping]) -> str | None:
    """Hub id of the weights that the last stage goes back to; those of teachers do not count."""
    stage = [*stages.values()][-1]
    while previous := stage.get("started_from"):
        stage = stages[previous]
    if source := stage.get("model_name_or_path"):
        return source if "/" in source else None  # or the folder of a machine
    pretrained = stage.get("pretrained")
    if not pretrained or is_weights_file(pretrained):
        return None
    name = stage["backbone"] if pretrained == "imagenet" else pretrained
    return timm.get_pretrained_cfg(name).hf_hub_id


def _start(name: str, stages: Mapping[str, Mapping]) -> str:
    """What a stage started from and which others taught it."""
    stage = stages[name]
    start = _weights(stage, stages)
    if others := stage.get("averaged_with"):
        words = " and ".join(_numbered(other, stages) for other in others)
        start += f", averaged with {words} (share {stage['average_weight']:g})"
    teachers = [one for one in stage.get("taught_by", ()) if one in stages]
    numbers = [str(_number(one, stages)) for one in teachers]
    if numbers:
        kind = "stage" if len(numbers) == 1 else "stages"
        start += f", taught by {kind} {' and '.join(numbers)}"
    return start


def _number(name: str, stages: Mapping[str, Mapping]) -> int:
    return [*stages].index(name) + 1


def _numbered(name: str, stages: Mapping[str, Mapping]) -> str:
    return f"stage {_number(name, stages)}" if name in stages else name.removeprefix("./")


def _weights(stage: Mapping, stages: Mapping[str, Mapping]) -> str:
    if previous := stage.get("started_from"):
        return f"on from {_numbered(previous, stages)}"
    if source := stage.get("model_name_or_path"):
        return f"fine-tuned from {source}"
    pretrained = stage.get("pretrained")
    if not pretrained:
        return "from random weights"
    if is_weights_file(pretrained):
        return f"from the ImageNet weights in {pretrained}"
    return "from ImageNet weights of timm"


def _weights_file(stages: Mapping[str, Mapping]) -> str:
    """Name of the file that the first of the stages with one took ImageNet weights from."""
    given = [stage.get("pretrained") or "" for stage in stages.values()]
    return next(filter(is_weights_file, given), "")


def _runtime(stages: Mapping[str, Mapping], results: Mapping) -> str:
    minutes = [stage["train_runtime"] / 60 for stage in stages.values()]
    if not results["epoch"]:
        return f"{sum(minutes):.1f} minutes of training in all stages"
    in_all = f" ({sum(minutes):.1f} in all stages)" if len(stages) > 1 else ""
    return (
        f"{minutes[-1]:.1f} minutes of training{in_all}, "
        f"{results['train_samples_per_second']:.0f} images/s"
    )


def _commands(stages: Mapping[str, Mapping]) -> str:
    """A shell script of all stages."""
    lines = []
    for (name, stage), command in zip(stages.items(), commands(stages)):
        start = _start(name, stages)
        words = f"stage {_number(name, stages)}, {start}" if len(stages) > 1 else start
        minutes = stage["train_runtime"] / 60
        lines += [f"# {words}: {_epochs(stage['epoch'])}, {minutes:.1f} minutes", command]
    return "\n".join(lines)


def _epochs(number: float) -> str:
    """With one decimal, or one digit below 0.1."""
    rounded = f"{number:.1g}" if number < 0.1 else f"{round(number, 1):g}"
    return f"{rounded} epoch{'s' * (rounded != '1')}"


def _treatment(run: Mapping, options: Mapping) -> str:
    """Titles of sampling and loss; empty where neither treats the imbalance."""
    sampling, loss = SAMPLINGS[options["sampling"]].title, ""
    if options["loss"] != BASELINE:
        loss = run.get("loss_title") or find_loss(options["loss"]).title
    return " and ".join(title for title in (sampling, loss) if title)


def _loss_options(run: Mapping, options: Mapping) -> str:
    """The chosen loss's own flags, and what makes its targets soft."""
    treatment = run["arguments"].get("treatment")
    if treatment is None:  # a record of before the losses' flags stood in this group
        names = [*find_loss(options["loss"]).flags()]
    else:
        names = [name for name in treatment if name not in ("sampling", "undersample", "loss")]
    soft = ("label_smoothing", "ferplus_weight", "mixup", "cutmix")
    names += [name for name in soft if options[name]]
    names += ["distillation_weight"] if options["teachers"] else []
    values = {name: options[name] for name in names}
    shown = [f"{name} {_shown(value)}" for name, value in values.items() if value is not None]
    return f" ({', '.join(shown)})" if shown else ""


def _shown(value) -> str:
    return " ".join(map(str, value)) if isinstance(value, list) else str(value)


def _figures_table(results: Mapping) -> str:
    suffixes, header = [""], ["", f"all {results['eval_samples']:,} images"]
    if "eval_samples_without_copies" in results:
        suffixes.append("_without_copies")
        header.append(f"without {_copies(results)} copies of {copied_splits(results)}")
    rows = [
        [name, *(_figure(results, key, suffix) for suffix in suffixes)]
        for key, name in FIGURES.items()
    ]
    return markdown_table(header, rows)


def _copies(results: Mapping) -> int:
    """Evaluated images that are known to be copies of images of earlier splits."""
    return results["eval_samples"] - results.get(
        "eval_samples_without_copies", results["eval_samples"]
    )


def _copies_in_training(quoted: Mapping[str, Mapping], data_report: Mapping) -> bool:
    """Whether the training has seen images of which the quoted test split has a copy."""
    dropped = "test" in data_report.get("dropped_as_copies_of", ())
    return TEST in quoted and _copies(quoted[TEST]) > 0 and not dropped


def _figure(results: Mapping, key: str, suffix: str) -> str:
    interval = results.get(f"eval_{key}_ci95{suffix}")
    shown = f" [{interval[0]:.4f}, {interval[1]:.4f}]" if interval else ""
    return f"{results[f'eval_{key}{suffix}']:.4f}{shown}"


def _choices(options: Mapping, results: Mapping, stages: Mapping[str, Mapping]) -> str:
    """What was chosen by results on which split, and what that does to them; "" for nothing."""
    if options["label_source"] != "ferplus":  # whose images are FER-2013's
        stages = of_same_data(stages)
    several = len(stages) > 1
    chosen = ["epochs"] if several or options["load_best_model_at_end"] else []
    chosen += ["stages"] if several else []
    if any("averaged_with" in stage for stage in stages.values()):
        chosen.append("soup (the mean of several models' weights)")
    if not chosen:
        return ""
    names = " and ".join(filter(None, [", ".join(chosen[:-1]), chosen[-1]]))
    were = "were" if "epochs" in chosen else "was"
    if options["development_share"] and results["eval_split"] != "development":
        return (
            f"{names[0].upper()}{names[1:]} {were} chosen on the development split, images held "
            "out of the training split."
        )
    points = 100 * optimism(results["eval_samples"], DIFFERENCE)
    return (
        f"{names[0].upper()}{names[1:]} {were} chosen on the {results['eval_split']} split, which "
        f"makes accuracy there about {points:.1f} points too high: an estimate for the best of "
        "ten equally good networks, not a measurement, and less than the intervals are wide."
    )


def optimism(samples: int, difference: float) -> float:
    """
    By how much an accuracy is expected to be too high, in [0, 1], if the best of ten equally good
    networks was chosen by it.

    Args:
        samples: evaluated images.
        difference: share of them that one of any two networks has right and the other wrong. Two
            accuracies then differ by a variance of difference / samples, half of it from each.
    """
    return BEST_OF_TEN * (difference / 2 / samples) ** 0.5


def _calibration(quoted: Mapping[str, Mapping]) -> str:
    results = quoted["all_results.json"]
    if "temperature" not in results:
        return ""
    split = results["eval_split"]
    fitted_on = results.get("calibrated_on", split)  # older results do not say it
    under_train = results.get("eval_train_prior_ece", results["eval_ece"])
    before = f"was {results['eval_ece_before_temperature']:.4f} before and "
    text = (
        f"Logits are divided by a temperature of {results['temperature']:.3f}, fitted on the "
        f'{fitted_on} split by likelihood under `prior="train"`. The expected calibration error '
        f"on the {split} split under that prior {before if fitted_on == split else ''}is "
        f"{under_train:.4f}."
    )
    if "eval_train_prior_ece" in results:
        text += f" Under the default, the learned distribution, it is {results['eval_ece']:.4f}."
    if not 1.01 * TEMPERATURES[0] < results["temperature"] < 0.99 * TEMPERATURES[1]:
        text += (
            " The temperature is at the end of the range that is searched: the images are too few, "
            "or all right or all wrong, and scores are no probabilities."
        )
    if "eval_certain_accuracy" not in results:
        return text
    if results["eval_certain_accuracy"] is None:
        return f"{text} No prediction counts as certain: `uncertain` is always true."
    text += (
        f" A score of at least {results['uncertain_below']:.3f} counts as certain: so are "
        f"{results['eval_certain_share']:.1%} of the {split} images, and "
        f"{results['eval_certain_accuracy']:.1%} of those are right. The others get "
        "`uncertain: True`."
        if results["uncertain_below"]
        else f" Every prediction counts as certain: {results['eval_certain_accuracy']:.1%} of the "
        f"{split} images are right, so `uncertain` is always false."
    )
    test = quoted.get(TEST, {})
    if test.get("eval_certain_accuracy") is not None:
        text += (
            " Of the test split, on which nothing was fitted, "
            f"{test['eval_certain_share']:.1%} are certain, and "
            f"{test['eval_certain_accuracy']:.1%} of those are right."
        )
    return text


def _of_class(results: Mapping, name: str) -> str:
    """How far the scores of one class can be trusted."""
    starts = [one for one in ("eval_", "eval_train_prior_") if f"{one}classwise_ece" in results]
    if not starts:
        return ""
    said = [
        f"{results[f'{start}precision_{name}']:.0%} are right, at a mean score of {score:.2f}"
        if (score := results[f"{start}mean_score_{name}"])
        else "none are right, as none were made"
        for start in starts
    ]
    errors = [f"{results[f'{start}classwise_ece']:.3f}" for start in starts]
    under_train = ', and under `prior="train"` '  # between default and train, where these differ
    return (
        f"Of the predictions of `{name}`, {under_train.join(said)}. The classwise ECE, the mean "
        f"over the classes, is {under_train.join(errors)}."
    )


def _learned_another(quoted: Mapping[str, Mapping]) -> bool:
    """Whether training has taught another class distribution than the training set's."""
    return any("eval_train_prior_accuracy" in results for results in quoted.values())


def _prior_table(quoted: Mapping[str, Mapping], rarest: str | None) -> str:
    """What the other priors do beside the default, on each split whose results say it."""
    default = "learned" if _learned_another(quoted) else "train"
    keys = {"accuracy": "accuracy", "balanced_accuracy": "balanced accuracy"}
    keys |= {f"recall_{rarest}": f"recall of {plain(rarest)}"} if rarest else {}
    rows = []
    for results in quoted.values():
        others = [one for one in ("train", "uniform") if f"eval_{one}_prior_accuracy" in results]
        priors = {default: ""} | {one: f"{one}_prior_" for one in others} if others else {}
        rows += [
            [results["eval_split"], f'`"{name}"`']
            + [f"{results[f'eval_{prefix}{key}']:.3f}" for key in keys]
            for name, prefix in priors.items()
        ]
    return markdown_table(["split", "`prior`", *keys.values()], rows) if rows else ""


def _evaluated(results: Mapping) -> np.ndarray:
    """(C,) evaluated images of each class."""
    return np.sum(results["eval_confusion_matrix"], axis=1)


def _absent(results: Mapping, names: Sequence[str]) -> str:
    """The classes without evaluated images."""
    counts = _evaluated(results)
    return ", ".join(f"`{name}`" for c, name in enumerate(names) if not counts[c])


def _classes_table(results: Mapping, names: Sequence[str], train_counts: Mapping) -> str:
    split, eval_counts = results["eval_split"], _evaluated(results)
    shown = [key.replace("_", " ").replace("f1", "F1") for key in _class_keys(results, names[0])]
    rows = [
        [plain(name), f"{train_counts[name]:,}", f"{eval_counts[c]:,}", *cells]
        for c, (name, cells) in enumerate(zip(names, _class_figures(results, names)))
    ]
    return markdown_table(["class", "training images", f"{split} images", *shown], rows)


def _class_keys(results: Mapping, name: str) -> list[str]:
    return [key for key in CLASS_FIGURES if f"eval_{key}_{name}" in results]


def _class_figures(results: Mapping, names: Sequence[str]) -> list[list[str]]:
    """The cells of each class; dashes where nothing was measured."""
    keys, cells = _class_keys(results, names[0]), []
    predicted = np.sum(results["eval_confusion_matrix"], axis=0)
    for c, (name, evaluated) in enumerate(zip(names, _evaluated(results))):
        undefined = () if predicted[c] else ("mean_score", "precision")
        known = [bool(evaluated) and key not in undefined for key in keys]
        values = [results[f"eval_{key}_{name}"] for key in keys]
        cells.append([f"{value:.3f}" if k else "–" for value, k in zip(values, known)])
    return cells


def _gpu_minutes(stages: Mapping[str, Mapping]) -> str:
    steps = sum(one["train_steps_per_second"] * one["train_runtime"] for one in stages.values())
    minutes = max(1, round(steps / GPU_STEPS_PER_SECOND / 60))
    return f"{minutes} minute" if minutes == 1 else f"{minutes} minutes"


def _confusions(results: Mapping, names: Sequence[str], most: int = 4) -> str:
    """The largest shares of a class that get another label, in words; "" without an error."""
    counts = np.array(results["eval_confusion_matrix"], dtype=float)
    share = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    np.fill_diagonal(share, 0)
    pairs = [np.unravel_index(i, share.shape) for i in np.argsort(-share, axis=None)[:most]]
    pairs = [(a, b) for a, b in pairs if counts[a, b] and a != b]
    words = [f"{names[a]} taken for {names[b]} ({share[a, b]:.0%})" for a, b in pairs]
    return plain(", ".join(words))


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m training.report.card", description="Make the card of a run's folder again."
    )
    parser.add_argument("folder", type=Path, help="Output folder of train.py.")
    parser.add_argument("--model_id", help="Hub id or folder in the snippets. Default: the run's.")
    parser.add_argument(
        "--dataset_name",
        help="What the data are called, in words or as a Hub id; kept in the folder's run.yaml.",
    )
    args = parser.parse_args(argv)
    try:
        if args.dataset_name:
            set_dataset_name(args.folder, args.dataset_name)
        print(write_model_card(args.folder, args.model_id))
    except (OSError, ValueError) as error:
        parser.error(str(error))


if __name__ == "__main__":
    main()
