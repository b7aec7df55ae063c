"""How to make up for a report that lacks something, and when a run has failed all the same."""

from collections.abc import Mapping
from pathlib import Path

from transformers.utils import logging

from ..arguments import Arguments
from ..checkpoints import last_whole_checkpoint
from ..data import DataArguments
from ..errors import TrainingError
from ..failures import Failures
from .lineage import join_flags
from .loading_back import LOADING_BACK

logger = logging.get_logger(__name__)


def explain_recovery(args: Arguments, results: Mapping, failures: Failures) -> None:
    """
    Says how to make up for what was left out, if anything was.

    Raises:
        TrainingError: the saved model may not be the trained one, or nothing was measured.
    """
    if not failures.errors:
        return
    folder, trained = Path(args.training.output_dir), not args.training.evaluate_only
    if trained:
        command = _measuring_command(folder, args.data)
        logger.info(f"The weights are in {folder}. To measure them:\n  {command}")
        if last_whole_checkpoint(folder):
            logger.info(
                "To make the whole report again, without training again: the same command and "
                "--resume_from_checkpoint true"
            )
    if error := failures.errors.get(LOADING_BACK):
        raise TrainingError(f"The model in {folder} is in doubt: {error}")
    if "eval_accuracy" not in results:
        step, error = next(iter(failures.errors.items()))
        raise TrainingError(f"Nothing could be measured: {step} failed. {error}")


def _measuring_command(folder: Path, data: DataArguments) -> str:
    flags: dict[str, list[str]] = {"evaluate_only": [], "model_name_or_path": [str(folder)]}
    for name, default in vars(DataArguments()).items():
        value = getattr(data, name)
        if value != default:
            flags[name] = [*map(str, value)] if isinstance(value, list) else [str(value)]
    return f"python train.py {join_flags(flags)}"
