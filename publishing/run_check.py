"""Whether a folder is a finished run that may be published, as far as that is seen in no time."""

from pathlib import Path

from safetensors import SafetensorError, safe_open

from . import PublishError

WEIGHTS = "model.safetensors"
JSON_FILES = ("config.json", "preprocessor_config.json", "all_results.json", "data_report.json")
PICKLES = {".bin", ".pt", ".pth", ".pkl", ".pickle", ".ckpt", ".npy", ".npz", ".joblib"}


def check_run(run: Path) -> None:
    """Raises PublishError if a file is missing or not whole, or may run code."""
    names = (WEIGHTS, *JSON_FILES, "run.yaml")
    if missing := [name for name in names if not (run / name).is_file()]:
        raise PublishError(
            f"{run}: {', '.join(missing)} missing; expected the output folder of a finished "
            "train.py."
        )
    if unsafe := [file.name for file in run.iterdir() if file.suffix in PICKLES]:
        raise PublishError(
            f"{run}: {', '.join(unsafe)} may run code when loaded and is not published; expected "
            f"weights in {WEIGHTS} alone. Remove it."
        )
    try:
        with safe_open(run / WEIGHTS, "numpy"):
            pass
    except SafetensorError as error:
        raise PublishError(f"{run / WEIGHTS} is not whole: {error}") from error
