"""Loads a finished folder as its users will, in a process that cannot import this repository."""

import base64
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import torch
from transformers import Trainer

from ..data import RunData, encode_png

LOADING_BACK = "loading back"
TOLERANCE = 1e-2  # of a probability; the run may have computed in bfloat16

SCRIPT = """
import base64, io, json, sys
for name in ("modeling", "training", "fer_efficientnet"):
    sys.modules[name] = None  # importing it raises ImportError
from PIL import Image
from transformers import pipeline
classify = pipeline("image-classification", model=sys.argv[1], trust_remote_code=True, device="cpu")
image = Image.open(io.BytesIO(base64.b64decode(sys.stdin.read())))
print(json.dumps(classify(image, top_k=classify.model.config.num_labels)))
"""


def predict_in_clean_process(folder: Path, png: bytes) -> dict[str, float]:
    """
    Args:
        folder: a saved model. png: one image; it goes through a pipe and is written nowhere.

    Returns:
        Probability by class name, as `pipeline("image-classification", trust_remote_code=True)`
        gives it.

    Raises:
        RuntimeError: the folder does not load; the message ends with the other process's error.
    """
    with tempfile.TemporaryDirectory() as elsewhere:
        done = subprocess.run(
            [sys.executable, "-I", "-c", SCRIPT, str(folder.resolve())],
            cwd=elsewhere,
            input=base64.b64encode(png).decode(),
            capture_output=True,
            text=True,
        )
    if done.returncode:
        raise RuntimeError(
            f"{folder} does not load by trust_remote_code in a clean process:\n"
            f"{done.stderr[-2000:]}"
        )
    return {entry["label"]: entry["score"] for entry in json.loads(done.stdout.splitlines()[-1])}


@torch.no_grad()
def load_back(folder: Path, data: RunData, trainer: Trainer) -> str:
    """
    Lets the saved folder predict an evaluation image in a clean process, and returns a sentence on
    the outcome.

    Args:
        trainer: the run's FerTrainer, whose network predicts the same image.

    Raises:
        RuntimeError: the folder does not load, or its probabilities are not the run's.
    """
    image, network = data.eval.pixels[:1], trainer.model.eval()
    scores = predict_in_clean_process(
        folder, encode_png(image[0].permute(1, 2, 0).squeeze(-1).numpy())
    )
    pixel_values = trainer.processing_class.normalize_batch(image.to(network.device))
    # the class's: the network's own may be accelerate's, in bf16
    expected = type(network).forward(network, pixel_values).logits[0].softmax(0)
    largest = max(abs(scores[name] - expected[i].item()) for i, name in enumerate(data.label_names))
    if largest > TOLERANCE:
        raise RuntimeError(
            f"{folder} loads, but its probabilities differ from the run's by up to {largest:.4f}."
        )
    best = max(scores, key=scores.get)
    return (
        f"Loaded back in a clean process: {best} ({scores[best]:.3f}), "
        f"labelled {data.label_names[data.eval.labels[0]]}"
    )
