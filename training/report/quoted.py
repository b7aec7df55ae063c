"""
The results that a folder's card quotes: those of its training, and before them those of the test
split, if somebody has put them there as test_results.json (docs/training.md). Then robustness.json,
if benchmarks/robustness.py has measured the model.
"""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

from transformers.utils import cached_file

from ..arguments import Arguments

TRAINING, TEST = "all_results.json", "test_results.json"
ROBUSTNESS = "robustness.json"


def quoted_results(folder: Path, say: Callable[[str], None]) -> dict[str, dict]:
    """
    Args:
        folder: of a training.
        say: is told in one line why test_results.json is left out, where it is.

    Returns:
        Results by the name of their file, in the order in which a card quotes them.
    """
    trained = json.loads((folder / TRAINING).read_text())
    if not (folder / TEST).is_file():
        return {TRAINING: trained}
    test, config = (json.loads((folder / name).read_text()) for name in (TEST, "config.json"))
    sha256 = weights_sha256(folder / "model.safetensors")
    reasons = {
        "it is not of a test split": test.get("eval_split") != "test",
        "it does not name these weights": test.get("weights_sha256") != sha256,
        "their calibration has changed": test.get("uncertain_below")
        != (config.get("calibration") or {}).get("uncertain_below"),
        "the training was evaluated on a test split of its own": trained["eval_split"] == "test",
    }
    if why := [reason for reason, applies in reasons.items() if applies]:
        say(f"{folder / TEST} is left out: {', and '.join(why)}.")
        return {TRAINING: trained}
    return {TEST: test, TRAINING: trained}


def quoted_robustness(folder: Path, say: Callable[[str], None]) -> dict | None:
    """
    What benchmarks/robustness.py wrote for the folder's weights, if it did.

    Args: as of `quoted_results`.
    """
    if not (folder / ROBUSTNESS).is_file():
        return None
    found = json.loads((folder / ROBUSTNESS).read_text())
    if found.get("weights_sha256") != weights_sha256(folder / "model.safetensors"):
        say(f"{folder / ROBUSTNESS} is left out: it does not name these weights.")
        return None
    return found


def weights_sha256(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


def evaluated_weights(args: Arguments) -> dict[str, str]:
    """
    For the results of --evaluate_only: whose they are. Empty if the model was evaluated at another
    size than it is saved with, or on other splits than the official ones.
    """
    config, weights = (
        Path(cached_file(args.model.model_name_or_path, name))
        for name in ("config.json", "model.safetensors")
    )
    size = json.loads(config.read_text())["image_size"]
    if args.data.split != "official" or args.model.image_size not in (None, size):
        return {}
    return {"weights_sha256": weights_sha256(weights)}
