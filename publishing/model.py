"""A finished run -> the folder that the Hub gets, checked before anything is sent."""

import json
import re
import shutil
from pathlib import Path

import numpy as np
import torch
import yaml
from huggingface_hub import ModelCard
from safetensors import SafetensorError, safe_open

from modeling import FerEfficientNetForImageClassification, FerEfficientNetImageProcessor
from training.card import usage
from training.data import FaceDataset, decode_split, load_fer2013
from training.synthetic import encode_png
from training.verify import predict_in_clean_process

from .hub import PublishError
from .onnx_export import (
    CALIBRATION_IMAGES,
    export_onnx,
    onnx_probabilities,
    parity_table,
    quantize,
)

CODE = Path(__file__).parents[1] / "modeling"
FILES = (
    "config.json",
    "model.safetensors",
    "preprocessor_config.json",
    "README.md",
    "all_results.json",
    "data_report.json",
    "run.yaml",
)
PICKLES = {".bin", ".pt", ".pth", ".pkl", ".pickle", ".ckpt", ".npy", ".npz", ".joblib"}
SECRET = re.compile(rb"\bhf_[A-Za-z0-9]{30,}\b|\bapi_org_[A-Za-z0-9]{30,}\b")


def stage_model(
    run: Path, folder: Path, *, repo_id: str, tag: str | None, dataset: str | None, onnx: bool
) -> None:
    """
    Writes what the Hub gets of `run` to `folder`, and checks it.

    Args:
        run: output folder of train.py.
        dataset: faces for the 8-bit ranges and for parity; None: the run's own.
        onnx: whether to export ONNX.

    Raises:
        PublishError: a file is missing or is no safe one, the model does not load by remote code
            or predicts otherwise, the card is not the run's, or a file holds a token.
    """
    _check_run(run)
    for name in FILES:
        shutil.copyfile(run / name, folder / name)
    for file in CODE.glob("[!_]*.py"):
        shutil.copyfile(file, folder / file.name)
    card = ModelCard.load(run / "README.md")
    for picture in re.findall(r"!\[[^\]]*\]\(([\w.-]+)\)", card.text):
        shutil.copyfile(run / picture, folder / picture)
    _fill_in_card(card, run, repo_id, tag)
    if onnx:
        card.content = card.content.replace(
            "## What it is bad at",
            f"## ONNX\n\n{_export(folder, _faces(run, dataset))}\n\n## What it is bad at",
        )
    card.save(folder / "README.md")
    check_no_secret(folder)
    _check_predictions(run, folder)


def _check_run(run: Path) -> None:
    if missing := [name for name in FILES if not (run / name).is_file()]:
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
    results = json.loads((run / "all_results.json").read_text())
    card = ModelCard.load(run / "README.md")
    for found in card.data.eval_results or []:
        name = {"f1": "macro_f1"}.get(found.metric_type, found.metric_type)
        if found.metric_value != results.get(f"eval_{name}"):
            raise PublishError(
                f"{run}/README.md says {found.metric_name} {found.metric_value}, but "
                f"all_results.json says {results.get(f'eval_{name}')}: the card is not of this "
                "run. Make both again by train.py."
            )
    if not card.data.eval_results:
        raise PublishError(f"{run}/README.md has no evaluation results in its metadata.")


def _fill_in_card(card: ModelCard, run: Path, repo_id: str, tag: str | None) -> None:
    training = yaml.safe_load((run / "run.yaml").read_text())["arguments"]["training"]
    written = usage(training.get("hub_model_id") or training["output_dir"])
    if written not in card.content:
        raise PublishError(
            f"{run}/README.md does not have the usage that train.py wrote; it is made from the "
            "run and not edited by hand."
        )
    card.data.model_name = repo_id.split("/")[-1]
    card.content = str(card).replace(written, usage(repo_id, tag))


def _faces(run: Path, dataset: str | None) -> FaceDataset:
    """The evaluation split of the data that the run had."""
    arguments = yaml.safe_load((run / "run.yaml").read_text())["arguments"]["data"]
    source = dataset or arguments["dataset"]
    processor = FerEfficientNetImageProcessor.from_pretrained(run)
    try:
        splits = load_fer2013(
            source,
            arguments["dataset_revision"] if dataset is None else None,
            label_names=arguments["label_names"] or None,
            synthetic_images=arguments["synthetic_images"],
            synthetic_seed=arguments["synthetic_seed"],
        )
        name = arguments["eval_split"] if arguments["eval_split"] in splits else [*splits][-1]
        return decode_split(splits[name], processor, name)
    except ValueError as error:
        raise PublishError(
            f"ONNX in 8 bits needs faces to set its ranges and to measure parity. {error}\n"
            "Give them by --dataset_for_onnx PATH, or publish without by --no_onnx."
        ) from error


def _export(folder: Path, faces: FaceDataset) -> str:
    """Writes onnx/; returns the card's section."""
    network = FerEfficientNetForImageClassification.from_pretrained(folder).eval()
    processor = FerEfficientNetImageProcessor.from_pretrained(folder)
    full, small = folder / "onnx" / "model.onnx", folder / "onnx" / "model_int8.onnx"
    pixel_values = processor.normalize_batch(faces.images)
    labels, names = faces.labels.numpy(), list(network.config.id2label.values())
    export_onnx(network, full)
    rows = np.random.default_rng(0).permutation(len(labels))
    quantize(full, small, pixel_values[rows[:CALIBRATION_IMAGES]].numpy())
    probabilities = {
        "PyTorch": _probabilities(network, pixel_values),
        f"`onnx/model.onnx`, {full.stat().st_size / 1e6:.1f} MB": onnx_probabilities(
            full, pixel_values.numpy()
        ),
        f"`onnx/model_int8.onnx`, {small.stat().st_size / 1e6:.1f} MB": onnx_probabilities(
            small, pixel_values.numpy()
        ),
    }
    config = network.config
    return (
        f"Input `pixel_values`, float32 (N, {config.num_channels}, {config.image_size}, "
        f"{config.image_size}): the face in {'grey' if config.num_channels == 1 else 'RGB'}, "
        f"resized, divided by 255, minus {processor.image_mean}, divided by "
        f"{processor.image_std}. Output `logits` (N, {config.num_labels}); softmax gives "
        f"probabilities, in the order {', '.join(names)}. Parity on {len(labels):,} faces:\n\n"
        + parity_table(probabilities, labels, names)
    )


def _probabilities(network, pixel_values: torch.Tensor) -> np.ndarray:
    with torch.inference_mode():
        logits = [network(pixel_values=batch).logits for batch in pixel_values.split(256)]
    return torch.cat(logits).softmax(1).numpy()


def check_no_secret(folder: Path, token: str | None = None) -> None:
    """Raises PublishError if a file holds what looks like a token of the Hub, or `token`."""
    for file in sorted(folder.rglob("*")):
        if file.is_file():
            content = file.read_bytes()
            if SECRET.search(content) or (token and token.encode() in content):
                raise PublishError(
                    f"{file.name} holds a token of the Hub. Nothing was sent. Take it out, and "
                    "revoke the token at https://huggingface.co/settings/tokens."
                )


def _check_predictions(run: Path, folder: Path) -> None:
    """The staged folder in a clean process says what the run's weights say here."""
    network = FerEfficientNetForImageClassification.from_pretrained(run).eval()
    processor = FerEfficientNetImageProcessor.from_pretrained(run)
    face = np.random.default_rng(0).integers(0, 256, (48, 48), dtype=np.uint8)
    with torch.inference_mode():
        expected = network(**processor(face, return_tensors="pt")).logits[0].softmax(0)
    found = predict_in_clean_process(folder, encode_png(face))
    largest = max(abs(found[name] - expected[i]) for i, name in network.config.id2label.items())
    if largest > 1e-4:
        raise PublishError(
            f"{folder}: remote code gives probabilities that differ from the run's by up to "
            f"{largest:.2g}; expected the same. Was {run} trained with other code?"
        )
