"""Checkpoints that a run can be resumed from, whatever ended it."""

import json
import math
import shutil
import zipfile
from collections.abc import Mapping
from pathlib import Path

from safetensors import SafetensorError, safe_open
from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR

from .errors import TrainingError

STATE_FILE = "trainer_state.json"  # the Trainer writes it last
RUN_STATE_FILE = "run_state.json"  # FerTrainer's: the decisive settings, and the loss up to here
# Settings that must be those of the checkpoint.
FIXED_BY_CHECKPOINT = (
    *("data_fingerprint", "split", "split_seed", "development_share", "eval_split"),
    *("backbone", "num_channels", "image_size", "stem_stride"),
    *("head_hidden_sizes", "loss", "optim", "timm_optim", "ema_decay"),
    *("learning_rate", "weight_decay"),  # optimizer and scheduler restore their own
)
OF_A_STEP = ("per_device_train_batch_size", "gradient_accumulation_steps", "processes")
REQUIRED = ("model.safetensors", "optimizer.pt", "scheduler.pt", STATE_FILE)


def is_whole(checkpoint: Path) -> bool:
    """Whether every file is there, and none cut off as a kill or a full disk leaves them."""
    try:
        for file in checkpoint.glob("*.json"):
            json.loads(file.read_text())
        for file in checkpoint.glob("*.safetensors"):
            with safe_open(file, "pt"):  # compares the sizes of header and file
                pass
    except (OSError, ValueError, SafetensorError):
        return False
    pickles = [*checkpoint.glob("*.pt"), *checkpoint.glob("*.pth")]  # zip files: index at the end
    return (
        all((checkpoint / name).is_file() for name in REQUIRED)
        and any(file.name.startswith("rng_state") for file in pickles)
        and all(zipfile.is_zipfile(file) for file in pickles)
    )


def checkpoints(folder: Path) -> list[Path]:
    """Newest first, whole or not."""
    paths = folder.glob(f"{PREFIX_CHECKPOINT_DIR}-*")
    return sorted((path for path in paths if _number(path) >= 0), key=_number, reverse=True)


def _number(checkpoint: Path) -> int:
    step = checkpoint.name.removeprefix(f"{PREFIX_CHECKPOINT_DIR}-")
    return int(step) if step.isdigit() else -1


def last_whole_checkpoint(folder: Path) -> Path | None:
    return next(filter(is_whole, checkpoints(folder)), None)


def how_to_resume(folder: str | Path) -> str:
    """A sentence on how to go on with a run that ended early."""
    kept = last_whole_checkpoint(Path(folder))
    if kept is None:
        return "There is no checkpoint to resume from yet."
    return f"{kept} is whole: --resume_from_checkpoint true goes on from there."


def resume_point(wanted: str | None, folder: Path) -> tuple[Path | None, str]:
    """
    Args:
        wanted: the value of --resume_from_checkpoint: None or "false", "true" (the last whole
            checkpoint of `folder`), or a path.

    Returns:
        The checkpoint, or None to start anew; and a line about it for the user.

    Raises:
        TrainingError: the checkpoint that was asked for by its path is not whole.
    """
    if wanted is None or str(wanted).lower() == "false":
        return None, ""
    if str(wanted).lower() != "true":
        if not is_whole(Path(wanted)):
            raise TrainingError(
                f"--resume_from_checkpoint {wanted}: expected a checkpoint with "
                f"{', '.join(REQUIRED)} and rng_state.pth, each of them whole. "
                "--resume_from_checkpoint true takes the last whole one of --output_dir."
            )
        return Path(wanted), f"Resuming from {wanted}"
    last, broken = last_whole_checkpoint(folder), []
    for path in checkpoints(folder):
        if path == last:
            break
        broken.append(path.name)
    passed_over = f" ({', '.join(broken)}: not whole, passed over)" if broken else ""
    if last is None:
        return None, f"No whole checkpoint in {folder}{passed_over}: starting from step 0"
    return last, f"Resuming from {last}{passed_over}"


def read_run_state(checkpoint: str | Path) -> dict:
    """What FerTrainer added to a checkpoint; {} for a checkpoint of another Trainer."""
    file = Path(checkpoint) / RUN_STATE_FILE
    return json.loads(file.read_text()) if file.is_file() else {}


def changed_settings(checkpoint: Path, settings: Mapping) -> list[str]:
    """
    How the settings of a resumed run differ from its checkpoint's: ["seed 1 -> 2", ...].

    Raises:
        TrainingError: one of `FIXED_BY_CHECKPOINT` differs: the checkpoint does not fit.
    """
    before = read_run_state(checkpoint).get("settings", {})
    now = json.loads(json.dumps(settings))  # as the checkpoint's: tuples are lists
    changed = {
        name: f"{name} {value} -> {now[name]}"
        for name, value in before.items()
        # flags that came or went since the checkpoint are not compared
        if name in now and value != now[name]
    }
    fixed = FIXED_BY_CHECKPOINT
    # Trainer counts steps: with other batches, it would pass over images, or show them twice
    if len({math.prod(run.get(name, 1) for name in OF_A_STEP) for run in (before, now)}) > 1:
        fixed += OF_A_STEP
    if misfits := [change for name, change in changed.items() if name in fixed]:
        raise TrainingError(
            f"{checkpoint} is of another run: {', '.join(misfits)}. Resume with the arguments and "
            "the data that it was trained with, or begin a new run in another --output_dir (from "
            f"these weights: --model_name_or_path {checkpoint})."
        )
    return list(changed.values())


def set_aside_newer(folder: Path, checkpoint: Path | None) -> list[str]:
    """
    Renames the whole checkpoints of `folder` that are newer than the one to resume from (None: step
    0), which the next resume would take for this run's, and removes those that are not whole.
    Returns the new names.
    """
    step = -1
    if checkpoint is not None:
        step = json.loads((checkpoint / STATE_FILE).read_text())["global_step"]
    renamed = []
    for path in checkpoints(folder):
        if _number(path) <= step:
            continue
        if not is_whole(path):
            remove(path)
            continue
        aside = path.with_name(f"superseded-{path.name}")
        remove(aside)
        renamed.append(path.rename(aside).name)
    return renamed


def find_best_beside(checkpoint: Path) -> None:
    """
    The state of a checkpoint names the best one by its path. If the folder was renamed or copied
    since, this makes it the one beside `checkpoint`, if that is there.
    """
    file = checkpoint / STATE_FILE
    state = json.loads(file.read_text())
    best = Path(state["best_model_checkpoint"] or checkpoint)
    beside = checkpoint.parent / best.name
    if beside.is_dir() and beside.resolve() != best.resolve():
        partial = file.with_name(f"{file.name}.partial")  # a kill leaves the old file or the new
        partial.write_text(json.dumps(state | {"best_model_checkpoint": str(beside)}, indent=2))
        partial.replace(file)


def remove(checkpoint: Path) -> None:
    """Removes the state file first, so that a half removed checkpoint does not pass for whole."""
    (checkpoint / STATE_FILE).unlink(missing_ok=True)
    shutil.rmtree(checkpoint, ignore_errors=True)
