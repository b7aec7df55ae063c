"""The shipped model as it is once its test split has been measured, whether it has been or not."""

import json
import shutil
from pathlib import Path

from training.record import weights_sha256

MODEL = Path(__file__).parents[1] / "model"


def with_test_results(folder: Path) -> Path:
    """Copies what cards are made from, and makes test_results.json of the validation results."""
    shutil.copytree(MODEL, folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns("*.py"))
    results = json.loads((folder / "all_results.json").read_text())
    of_training = ("train_", "chain_", "epoch", "temperature", "eval_ece_before", "smaller_faces")
    results = {key: value for key, value in results.items() if not key.startswith(of_training)}
    results |= {"eval_split": "test", "eval_copies_of": ["train", "validation"]}
    results |= {"eval_samples_without_copies": results["eval_samples"] - 314}
    results |= {"weights_sha256": weights_sha256(folder / "model.safetensors")}
    (folder / "test_results.json").write_text(json.dumps(results))
    return folder
