"""A finished run -> the folder that the Hub gets, checked before anything is sent."""

import re
import shlex
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml

from modeling import FerEfficientNetForImageClassification, FerEfficientNetImageProcessor
from training.card import write_card
from training.card.card import PICTURES, card_facts
from training.card.facts import CardFacts
from training.card.quoted_results import ONNX, ROBUSTNESS
from training.data import encode_png
from training.record import predict_in_clean_process

from . import PublishError
from .run_check import JSON_FILES, WEIGHTS, check_run

CODE = Path(__file__).parents[1] / "modeling"
ACCURACY_TOLERANCE = 0.005  # of the run's results: copies of FER-2013 differ in a few pixels
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
        dataset: faces on which model.onnx is measured, where it is made now; None: the run's own.
        onnx: whether model.onnx is part of it.

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
    if onnx:
        card = _with_onnx(run, card, dataset)
        shutil.copyfile(run / "model.onnx", folder / "model.onnx")
    shutil.copyfile(run / WEIGHTS, folder / WEIGHTS)
    robustness = [ROBUSTNESS] if card.robustness else []
    measured = [*robustness, *([ONNX] if onnx else [])]
    for name in dict.fromkeys((*JSON_FILES, *card.quoted, *measured)):
        (folder / name).write_text(FOLDERS.sub("", (run / name).read_text()))
    record = yaml.safe_load((run / "run.yaml").read_text())
    cleaned = yaml.safe_dump(_without_folders(record), sort_keys=False, width=120)
    (folder / "run.yaml").write_text(cleaned)
    pictures = [run / f"{name}.png" for name in PICTURES if name in card.pictures]
    for file in (*CODE.glob("[!_]*.*"), *pictures):
        shutil.copyfile(file, folder / file.name)
    write_card(folder, repo_id, revision)
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


def _with_onnx(run: Path, card: CardFacts, dataset: str | None) -> CardFacts:
    """Makes model.onnx in the run, if there is none of its weights; the facts with it."""
    from training.onnx_export import FILE, evaluation_faces, missing_packages, write_onnx

    if card.onnx is None or not (run / FILE).is_file():
        if missing := missing_packages():
            raise PublishError(
                f"{run} has no {FILE} of its weights, and to make it {', '.join(missing)} is "
                "missing: pip install '.[publish]', or publish without by --no_onnx."
            )
        try:
            split, faces = evaluation_faces(run, dataset)
        except ValueError as error:
            raise PublishError(
                f"{run} has no {FILE} of its weights, and to measure it needs faces. {error}\n"
                "Give them by --dataset_for_onnx PATH, or publish without by --no_onnx."
            ) from error
        write_onnx(run, faces, split)
        card = card_facts(run)
    accuracy, results = card.onnx["pytorch"]["accuracy"], card.results
    same_images = card.onnx["counts"] == np.sum(results["eval_confusion_matrix"], axis=1).tolist()
    if same_images and not abs(accuracy - results["eval_accuracy"]) < ACCURACY_TOLERANCE:
        raise PublishError(
            f"{run}: its weights have an accuracy of {accuracy:.4f}, but all_results.json says "
            f"{results['eval_accuracy']:.4f}. Are weights and results of the same run?"
        )
    return card


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
