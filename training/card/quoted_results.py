"""
The results that a folder's card quotes: those of its training, and before them those of the test
split, if somebody has put them there as test_results.json (docs/training.md). Also robustness.json
of benchmarks/robustness.py, and onnx.json of training/onnx_export.py.
"""

import json
import math
from pathlib import Path

from transformers.utils import logging

from ..record import weights_sha256

logger = logging.get_logger(__name__)

TRAINING, TEST = "all_results.json", "test_results.json"
ROBUSTNESS, ONNX = "robustness.json", "onnx.json"


def quoted_results(folder: Path) -> dict[str, dict]:
    """
    Results by the name of their file, in the order in which a card quotes them. A message says why
    test_results.json is left out, where it is.

    Args:
        folder: a training's.
    """
    trained = json.loads((folder / TRAINING).read_text())
    if not (folder / TEST).is_file():
        return {TRAINING: trained}
    test, config = (json.loads((folder / name).read_text()) for name in (TEST, "config.json"))
    sha256 = weights_sha256(folder / "model.safetensors")
    reasons = {
        "it is not of a test split": test.get("eval_split") != "test",
        "it does not name these weights": test.get("weights_sha256") != sha256,
        "their calibration has changed": not math.isclose(
            _threshold(test), _threshold(config.get("calibration") or {}), abs_tol=1e-4
        ),
        "the training was evaluated on a test split of its own": trained["eval_split"] == "test",
    }
    if why := [reason for reason, applies in reasons.items() if applies]:
        logger.info(f"{folder / TEST} is left out: {', and '.join(why)}.")
        return {TRAINING: trained}
    return {TEST: test, TRAINING: trained}


def _threshold(fitted: dict) -> float:
    threshold = fitted.get("uncertain_below")
    return -1.0 if threshold is None else threshold


def quoted_measurement(folder: Path, name: str) -> dict | None:
    """
    What the file `name`, robustness.json or onnx.json, says of the folder's weights; None without
    it. A message says so if it is of other weights.
    """
    if not (folder / name).is_file():
        return None
    measured = json.loads((folder / name).read_text())
    if measured.get("weights_sha256") != weights_sha256(folder / "model.safetensors"):
        logger.info(f"{folder / name} is left out: it does not name these weights.")
        return None
    return measured
