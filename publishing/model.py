"""A finished run -> the folder that the Hub gets, checked before anything is sent."""

import re
import shlex
import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from transformers.utils import logging

from modeling import FerEfficientNetForImageClassification, FerEfficientNetImageProcessor
from training.card import write_card
from training.card.card import PICTURES, card_facts
from training.card.facts import CardFacts, Onnx
from training.card.quoted_results import ROBUSTNESS
from training.data import encode_png
from training.record import predict_in_clean_process

from . import PublishError
from .onnx_cache import cached_onnx
from .run_check import JSON_FILES, WEIGHTS, check_run

logger = logging.get_logger(__name__)

CODE = Path(__file__).parents[1] / "modeling"
ACCURACY_TOLERANCE = 0.005  # of the run's results: copies of FER-2013 differ in a few pixels
INT8_TOLERANCE = 0.005  # of accuracy
FOLDERS = re.compile(r"(?<![\w.:/~-])~?/(?:[^/\s'\",:]+/)+")  # of an absolute path


def stage_model(
    run: Path,
    folder: Path,
    *,
    repo_id: str,
    revision: str | None = None,
    dataset: str | None = None,
    onnx: bool = True,
) -> None:
    """
    Writes what the Hub gets of `run` to `folder`, and checks it. The card is made anew; one that
    lies in the run is not sent.

    Args:
        run: output folder of train.py.
        revision: tag or branch that the card's snippets name; None: the main branch.
        dataset: faces for the 8-bit ranges and for parity; None: the run's own.
        onnx: whether ONNX files are part of it.

    Raises:
        PublishError: a file is missing or not safe, the data have no name, the weights are not
            those of the results, or the model does not load by remote code or predicts otherwise.
    """
    check_run(run)
    try:
        card = card_facts(run)
    except ValueError as error:
        raise PublishError(str(error)) from error
    if card.data.name is None:
        raise PublishError(
            f"{run}: its card must say what the model was trained on, which is not known. Name the "
            "data in words, or by a Hub id: "
            f"python -m training.card {shlex.quote(str(run))} --dataset_name '...'"
        )
    shutil.copyfile(run / WEIGHTS, folder / WEIGHTS)
    robustness = [ROBUSTNESS] if card.robustness else []
    for name in dict.fromkeys((*JSON_FILES, *card.quoted, *robustness)):
        (folder / name).write_text(FOLDERS.sub("", (run / name).read_text()))
    record = yaml.safe_load((run / "run.yaml").read_text())
    cleaned = yaml.safe_dump(_without_folders(record), sort_keys=False, width=120)
    (folder / "run.yaml").write_text(cleaned)
    pictures = [run / f"{name}.png" for name in PICTURES if name in card.pictures]
    for file in (*CODE.glob("[!_]*.py"), *pictures):
        shutil.copyfile(file, folder / file.name)
    parity = _add_onnx(run, folder, card, dataset) if onnx else None
    write_card(folder, repo_id, revision, onnx=parity)
    _check_predictions(run, folder)


def _without_folders(value: Any) -> Any:
    """Content of run.yaml, in which the names remain of absolute paths, spaces in them or not."""
    if isinstance(value, dict):
        cleaned = {key: _without_folders(item) for key, item in value.items()}
        if "command" in value:
            words = map(_without_folders, shlex.split(value["command"]))
            cleaned["command"] = shlex.join(words)
        return cleaned
    if isinstance(value, list):
        return [_without_folders(item) for item in value]
    if isinstance(value, str):
        is_path = Path(value).expanduser().is_absolute()
        return Path(value).name if is_path else FOLDERS.sub("", value)
    return value


def _add_onnx(run: Path, folder: Path, card: CardFacts, dataset: str | None) -> Onnx:
    """Adds onnx/ to the staged model; returns what the card says of it."""

    def make() -> Onnx:
        from .onnx_export import make_onnx  # not needed where kept files are reused

        return make_onnx(run, folder, card.options, dataset)

    onnx = cached_onnx(run, folder, card.run["data_fingerprint"], dataset, make)
    _check_accuracy(run, onnx, card.results)
    return without_poor_int8(folder, onnx)


def _check_accuracy(run: Path, onnx: Onnx, results: Mapping) -> None:
    """
    Raises PublishError unless PyTorch's accuracy is the run's, where both are over the same images.
    """
    if onnx.counts != np.sum(results["eval_confusion_matrix"], axis=1).tolist():
        return  # other images
    accuracy = onnx.files[0].accuracy
    if not abs(accuracy - results["eval_accuracy"]) < ACCURACY_TOLERANCE:
        raise PublishError(
            f"{run}: its weights have an accuracy of {accuracy:.4f}, but all_results.json says "
            f"{results['eval_accuracy']:.4f}. Are weights and results of the same run?"
        )


def without_poor_int8(folder: Path, onnx: Onnx) -> Onnx:
    """
    Takes the 8-bit file out of the staged model, and out of `onnx`, unless its accuracy is within
    `INT8_TOLERANCE` of PyTorch's.
    """
    pytorch, *others, small = onnx.files
    if small.accuracy >= pytorch.accuracy - INT8_TOLERANCE - 1e-9:
        return onnx
    (folder / small.name).unlink()
    logger.info(
        f"{small.name} is not published: its accuracy is {small.accuracy:.4f}, more than "
        f"{INT8_TOLERANCE} below PyTorch's {pytorch.accuracy:.4f}."
    )
    return replace(onnx, files=[pytorch, *others])


def _check_predictions(run: Path, folder: Path) -> None:
    """The staged folder in a clean process predicts what the run's weights predict here."""
    network = FerEfficientNetForImageClassification.from_pretrained(run).eval()
    processor = FerEfficientNetImageProcessor.from_pretrained(run)
    face = np.random.default_rng(0).integers(0, 256, (48, 48), dtype=np.uint8)
    with torch.inference_mode():
        expected = network(**processor(face, return_tensors="pt")).logits[0].softmax(0)
    scores = predict_in_clean_process(folder, encode_png(face))
    largest = max(abs(scores[name] - expected[i]) for i, name in network.config.id2label.items())
    if not largest < 1e-4:  # NaN, too
        raise PublishError(
            f"{folder}: remote code gives probabilities that differ from the run's by up to "
            f"{largest:.2g}; expected the same. Was {run} trained with other code?"
        )
