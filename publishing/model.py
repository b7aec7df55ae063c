"""A finished run -> the folder that the Hub gets, checked before anything is sent."""

import json
import re
import shlex
import shutil
from pathlib import Path

import numpy as np
import torch
import yaml
from huggingface_hub import ModelCard
from safetensors import SafetensorError, safe_open

from modeling import FerEfficientNetForImageClassification, FerEfficientNetImageProcessor
from training.data import FaceDataset, decode_split, load_fer2013
from training.data.splits import paper_split
from training.data.synthetic import encode_png
from training.report import predict_in_clean_process
from training.report.card import figures, usage

from .client import PublishError

CODE = Path(__file__).parents[1] / "modeling"
FILES = (
    "model.safetensors",
    "config.json",
    "preprocessor_config.json",
    "all_results.json",
    "data_report.json",
    "run.yaml",  # last: its folders are forgotten value by value
)
ACCURACY_TOLERANCE = 0.005  # copies of FER-2013 differ in a few pixels
PICKLES = {".bin", ".pt", ".pth", ".pkl", ".pickle", ".ckpt", ".npy", ".npz", ".joblib"}
METADATA = ("license", "library_name", "pipeline_tag", "tags", "metrics", "eval_results")
FOLDERS = re.compile(r"(?<![\w.:/~-])~?/(?:[^/\s'\",:]+/)+")  # of an absolute path


def stage_model(
    run: Path, folder: Path, *, repo_id: str, revision: str | None, dataset: str | None, onnx: bool
) -> None:
    """
    Writes what the Hub gets of `run` to `folder`, and checks it.

    Args:
        run: output folder of train.py.
        revision: tag or branch that the card's snippets name; None: the main branch.
        dataset: faces for the 8-bit ranges and for parity; None: the run's own.
        onnx: whether to export ONNX.

    Raises:
        PublishError: a file is missing or is no safe one, the model does not load by remote code
            or predicts otherwise, or the card is not the run's.
    """
    card = _check_run(run)
    shutil.copyfile(run / "model.safetensors", folder / "model.safetensors")
    for name in FILES[1:-1]:
        (folder / name).write_text(FOLDERS.sub("", (run / name).read_text()))
    record = _without_folders(yaml.safe_load((run / "run.yaml").read_text()))
    (folder / "run.yaml").write_text(yaml.safe_dump(record, sort_keys=False, width=120))
    for file in CODE.glob("[!_]*.py"):
        shutil.copyfile(file, folder / file.name)
    for picture in re.findall(r"!\[[^\]]*\]\(([\w.-]+)\)", card.text):
        shutil.copyfile(run / picture, folder / picture)
    _fill_in_card(card, run, repo_id, revision)
    if onnx:
        parts = _export(run, folder, dataset), _onnx_usage(folder, repo_id, revision)
        heading = "## What it is bad at"
        card.content = card.content.replace(heading, "\n\n".join(("## ONNX", *parts, heading)))
    card.save(folder / "README.md")
    _check_predictions(run, folder)


def _without_folders(value):
    """Of run.yaml: absolute paths become names, spaces in them or not."""
    if isinstance(value, dict):
        cleaned = {key: _without_folders(one) for key, one in value.items()}
        if "command" in value:
            words = map(_without_folders, shlex.split(value["command"]))
            cleaned["command"] = shlex.join(words)
        return cleaned
    if isinstance(value, list):
        return [_without_folders(one) for one in value]
    if isinstance(value, str):
        is_path = Path(value).expanduser().is_absolute()
        return Path(value).name if is_path else FOLDERS.sub("", value)
    return value


def _check_run(run: Path) -> ModelCard:
    """The run's card, if the run is fit to be published."""
    if missing := [name for name in (*FILES, "README.md") if not (run / name).is_file()]:
        raise PublishError(
            f"{run}: {', '.join(missing)} missing; expected the output folder of a finished "
            "train.py."
        )
    if unsafe := [file.name for file in run.iterdir() if file.suffix in PICKLES]:
        raise PublishError(
            f"{run}: {', '.join(unsafe)} may run code when loaded and is not published; expected "
            "weights in model.safetensors alone. Remove it."
        )
    try:
        with safe_open(run / "model.safetensors", "pt"):
            pass
    except SafetensorError as error:
        raise PublishError(f"{run}/model.safetensors is not whole: {error}") from error
    try:
        card = ModelCard.load(run / "README.md")
    except (ValueError, yaml.YAMLError) as error:
        raise PublishError(f"{run}/README.md: its metadata cannot be read. {error}") from error
    _check_card(card, run)
    return card


def _check_card(card: ModelCard, run: Path) -> None:
    if missing := [name for name in METADATA if not card.data.get(name)]:
        raise PublishError(
            f"{run}/README.md has no {', '.join(missing)} in its metadata. Make it by train.py."
        )
    results = json.loads((run / "all_results.json").read_text())
    for found in card.data.eval_results:
        name = {"f1": "macro_f1"}.get(found.metric_type, found.metric_type)
        if found.metric_value != results.get(f"eval_{name}"):
            raise PublishError(
                f"{run}/README.md says {found.metric_name} {found.metric_value}, but "
                f"all_results.json says {results.get(f'eval_{name}')}: the card is not of this "
                "run. Make both again by train.py."
            )
    labels = json.loads((run / "config.json").read_text())["id2label"].values()
    if strange := [words for words in figures(results, [*labels]) if words not in card.text]:
        raise PublishError(
            f"{run}/README.md: expected the figures of all_results.json, but this is not there:\n"
            f"{strange[0]}\nThe card is not of this run. Make both again by train.py."
        )


def _fill_in_card(card: ModelCard, run: Path, repo_id: str, revision: str | None) -> None:
    training = yaml.safe_load((run / "run.yaml").read_text())["arguments"]["training"]
    written = usage(training.get("hub_model_id") or training["output_dir"])
    if written not in card.content:
        raise PublishError(
            f"{run}/README.md does not have the usage that train.py wrote; it is made from the "
            "run and not edited by hand."
        )
    card.data.model_name = repo_id.split("/")[-1]
    card.content = str(card).replace(written, usage(repo_id, revision))


def _export(run: Path, folder: Path, dataset: str | None) -> str:
    """Writes onnx/; returns the card's section."""
    from .onnx_export import (
        CALIBRATION_IMAGES,
        export_onnx,
        onnx_probabilities,
        parity_table,
        quantize,
    )

    split, faces = _faces(run, dataset)
    network = FerEfficientNetForImageClassification.from_pretrained(folder).eval()
    processor = FerEfficientNetImageProcessor.from_pretrained(folder)
    full, small = folder / "onnx" / "model.onnx", folder / "onnx" / "model_int8.onnx"
    pixel_values = processor.normalize_batch(faces.images)
    labels, names = faces.labels.numpy(), list(network.config.id2label.values())
    expected = _probabilities(network, pixel_values)
    _check_accuracy(run, expected, labels)
    export_onnx(network, full)
    rows = np.random.default_rng(0).permutation(len(labels))
    quantize(full, small, pixel_values[rows[:CALIBRATION_IMAGES]].numpy())
    probabilities = {"PyTorch": expected}
    for file in (full, small):
        name = f"`onnx/{file.name}`, {file.stat().st_size / 1e6:.1f} MB"
        probabilities[name] = onnx_probabilities(file, pixel_values.numpy())
    config = network.config
    grey = "grey (ITU-R 601 luma)" if config.num_channels == 1 else "RGB"
    return (
        f"Input `pixel_values`, float32 (N, {config.num_channels}, {config.image_size}, "
        f"{config.image_size}): the face in {grey}, resized (bilinear, antialiased), divided by "
        f"255, minus {processor.image_mean}, divided by {processor.image_std}. Output `logits` "
        f"(N, {config.num_labels}); softmax gives probabilities, in the order {', '.join(names)}. "
        "`model_int8.onnx` has weights and activations in 8 bits, with ranges from "
        f"{min(CALIBRATION_IMAGES, len(labels))} of these faces. Parity on the {len(labels):,} "
        f"faces of the {split} split, onnxruntime on the CPU: the largest difference in a "
        "probability from PyTorch's, accuracy, and the recall of each class.\n\n"
        + parity_table(probabilities, labels, names)
    )


def _onnx_usage(folder: Path, repo_id: str, revision: str | None) -> str:
    """A snippet without PyTorch: one face after another goes several times as fast."""
    processor = FerEfficientNetImageProcessor.from_pretrained(folder)
    height, width = processor.size["height"], processor.size["width"]
    mode = "L" if processor.num_channels == 1 else "RGB"
    pinned = f', revision="{revision}"' if revision else ""
    return f"""One tight face, without PyTorch:

```python
import numpy as np
import onnxruntime
from huggingface_hub import hf_hub_download
from PIL import Image

session = onnxruntime.InferenceSession(hf_hub_download("{repo_id}", "onnx/model.onnx"{pinned}))
face = Image.open("face.png").convert("{mode}").resize(({width}, {height}), Image.BILINEAR)
pixels = np.float32(face).reshape({height}, {width}, {processor.num_channels}).transpose(2, 0, 1)
mean, std = np.float32([{processor.image_mean}, {processor.image_std}])[:, :, None, None]
logits = session.run(["logits"], {{"pixel_values": ((pixels / 255 - mean) / std)[None]}})[0]
```"""


def _faces(run: Path, dataset: str | None) -> tuple[str, FaceDataset]:
    """The evaluation split of the data that the run had, and its name."""
    groups = yaml.safe_load((run / "run.yaml").read_text())["arguments"]
    arguments, seed = groups["data"], groups["training"]["seed"]
    source, skipped = dataset or arguments["dataset"], [] if arguments["skip_bad_rows"] else None
    processor = FerEfficientNetImageProcessor.from_pretrained(run)
    try:
        splits = load_fer2013(
            source,
            arguments["dataset_revision"] if dataset is None else None,
            label_names=arguments["label_names"] or None,
            synthetic_images=arguments["synthetic_images"],
            synthetic_seed=arguments["synthetic_seed"],
            skipped=skipped,
        )
        if arguments["split"] == "paper":  # its test part is of the pooled splits
            decoded = {
                name: decode_split(split, processor, name, skipped)
                for name, split in splits.items()
            }
            parts = paper_split(decoded, arguments["paper_samples_per_class"], seed=seed)
            return "test", parts["test"]
        name = arguments["eval_split"] if arguments["eval_split"] in splits else [*splits][-1]
        return name, decode_split(splits[name], processor, name, skipped)
    except ValueError as error:
        raise PublishError(
            f"ONNX in 8 bits needs faces to set its ranges and to measure parity. {error}\n"
            "Give them by --dataset_for_onnx PATH, or publish without by --no_onnx."
        ) from error


def _check_accuracy(run: Path, probabilities: np.ndarray, labels: np.ndarray) -> None:
    """On the images that the report is about, the accuracy must be the report's."""
    results = json.loads((run / "all_results.json").read_text())
    reported = np.sum(results["eval_confusion_matrix"], axis=1)
    if not np.array_equal(reported, np.bincount(labels, minlength=len(reported))):
        return  # other images
    accuracy = (probabilities.argmax(1) == labels).mean()
    if not abs(accuracy - results["eval_accuracy"]) < ACCURACY_TOLERANCE:
        raise PublishError(
            f"{run}: its weights have an accuracy of {accuracy:.4f}, but all_results.json says "
            f"{results['eval_accuracy']:.4f}. Are weights and report of the same run?"
        )


def _probabilities(network, pixel_values: torch.Tensor) -> np.ndarray:
    with torch.inference_mode():
        logits = [network(pixel_values=batch).logits for batch in pixel_values.split(256)]
    return torch.cat(logits).softmax(1).numpy()


def _check_predictions(run: Path, folder: Path) -> None:
    """The staged folder in a clean process says what the run's weights say here."""
    network = FerEfficientNetForImageClassification.from_pretrained(run).eval()
    processor = FerEfficientNetImageProcessor.from_pretrained(run)
    face = np.random.default_rng(0).integers(0, 256, (48, 48), dtype=np.uint8)
    with torch.inference_mode():
        expected = network(**processor(face, return_tensors="pt")).logits[0].softmax(0)
    found = predict_in_clean_process(folder, encode_png(face))
    largest = max(abs(found[name] - expected[i]) for i, name in network.config.id2label.items())
    if not largest < 1e-4:  # NaN, too
        raise PublishError(
            f"{folder}: remote code gives probabilities that differ from the run's by up to "
            f"{largest:.2g}; expected the same. Was {run} trained with other code?"
        )
