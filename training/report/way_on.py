"""What to do about a report with failed steps, and when a run has failed for all that."""

import dataclasses
import shlex
from collections.abc import Callable, Mapping
from pathlib import Path

from ..arguments import Arguments
from ..checkpoints import last_whole_checkpoint
from ..data import DataArguments
from ..errors import TrainingError
from ..failures import Failures

LOADING_BACK = "loading back"


def say_way_on(
    args: Arguments, results: Mapping, failures: Failures, say: Callable[[str], None] = print
) -> None:
    """
    How to make up for what was left out, if anything was.

    Raises:
        TrainingError: the saved model may be another than the trained one, or nothing was measured.
    """
    if not failures.errors:
        return
    folder, trained = Path(args.training.output_dir), not args.training.evaluate_only
    if trained:
        say(f"The weights are in {folder}. To measure them:\n  {_to_measure(folder, args.data)}")
        if last_whole_checkpoint(folder):
            say(
                "To make the whole report again, without training again: the same command and "
                "--resume_from_checkpoint true"
            )
    if error := failures.errors.get(LOADING_BACK):
        raise TrainingError(f"The model in {folder} is in doubt: {error}")
    if "eval_accuracy" not in results:
        what, error = next(iter(failures.errors.items()))
        raise TrainingError(f"Nothing could be measured: {what} failed. {error}")


def _to_measure(folder: Path, data: DataArguments) -> str:
    flags = []
    for name, default in dataclasses.asdict(DataArguments()).items():
        value = getattr(data, name)
        if value != default:
            values = value if isinstance(value, list) else [value]
            flags += [f"--{name}", *map(str, values)]
    words = ["python", "train.py", "--evaluate_only", "--model_name_or_path", str(folder)]
    return shlex.join([*words, *flags])
