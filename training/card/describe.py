"""What describes a run, piece by piece: its pictures and its card."""

import importlib.util
from collections.abc import Mapping

from transformers.utils import logging

from ..record import RunFolder
from .card import write_card

logger = logging.get_logger(__name__)


def describe(run: RunFolder, results: Mapping) -> None:
    """
    Draws the pictures and writes the card, each piece by itself; an evaluation alone has no card.
    results: those of training and evaluation.
    """
    measured, trained = "eval_accuracy" in results, run.data.train is not None
    if not run.trainer.is_world_process_zero() or not (measured or trained):
        return
    if importlib.util.find_spec("matplotlib") is None:
        logger.info("Without matplotlib, the figures (*.png, *.svg) are left out.")
    else:
        _draw(run, results)
    if measured and trained:
        with run.failures.noted("README.md"):
            write_card(run.path)


def _draw(run: RunFolder, results: Mapping) -> None:
    from .pictures import plot_class_distribution, plot_confusion_matrix, plot_training_curves

    data, state = run.data, run.trainer.state
    if matrix := results.get("eval_confusion_matrix"):
        title = f"{run.model_name}: {data.eval_split} split, {results['eval_samples']:,} images"
        with run.piece("confusion_matrix.png") as file:
            plot_confusion_matrix(file, matrix, data.label_names, title)
    with run.piece("class_distribution.png") as file:
        plot_class_distribution(file, data, run.model_name)
    if state.global_step:
        with run.piece("training_curves.png") as file:
            plot_training_curves(file, state.log_history, run.model_name)
