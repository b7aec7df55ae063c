"""predictions.csv of a run, as `--save_predictions` writes it."""

import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..data import RunData


@dataclass
class Predictions:
    """
    label_names: by id. images: (N,) a digest of each image; None in a file without them.
    labels, predicted: int64 (N,) class ids. logits: float64 (N, C). copies: bool (N,), which of the
    images are copies of training images.
    """

    label_names: list[str]
    images: list[str] | None
    labels: np.ndarray
    predicted: np.ndarray
    logits: np.ndarray
    copies: np.ndarray


def write_predictions(file: Path, data: RunData) -> None:
    """
    A line for each image of the evaluation split, in its order: logits with the temperature, and a
    digest of the image, by which runs are paired.
    """
    names = data.label_names
    copies = np.zeros(len(data.eval), bool) if data.eval_copies is None else data.eval_copies
    with file.open("w", newline="") as opened:
        writer = csv.writer(opened, lineterminator="\n")
        header = ["image", "label", "predicted", "copy", *(f"logit_{name}" for name in names)]
        writer.writerow(header)
        columns = data.eval.digests, data.eval.labels.tolist(), copies, data.eval_logits
        for image, label, copy, logits in zip(*columns):
            scores = (f"{value:.4f}" for value in logits)
            writer.writerow([image, names[label], names[logits.argmax()], int(copy), *scores])


def read_predictions(file: Path) -> Predictions:
    with file.open(newline="") as lines:
        reader = csv.DictReader(lines)
        columns = reader.fieldnames or []
        rows = list(reader)
    names = [name.removeprefix("logit_") for name in columns if name.startswith("logit_")]
    ids = {name: i for i, name in enumerate(names)}
    return Predictions(
        names,
        [row["image"] for row in rows] if "image" in columns else None,
        np.array([ids[row["label"]] for row in rows], np.int64),
        np.array([ids[row["predicted"]] for row in rows], np.int64),
        np.array([[float(row[f"logit_{name}"]) for name in names] for row in rows], np.float64),
        np.array([row["copy"] == "1" for row in rows]),
    )
