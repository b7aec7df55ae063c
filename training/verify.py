"""Loads a finished folder as a stranger would: in a process that cannot import this repository."""

import base64
import json
import subprocess
import sys
import tempfile
from pathlib import Path

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
