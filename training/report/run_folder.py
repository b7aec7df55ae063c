"""
Writes the folder of a run: model and record as soon as it is trained, and then what describes it,
piece by piece.
"""

import contextlib
import csv
import importlib.util
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from transformers import Trainer
from transformers.utils import logging

from ..arguments import Arguments
from ..data import RunData
from ..failures import Failures
from ..network import save_network
from .files import added, write_json, written_whole
from .quoted import evaluated_weights
from .run_record import chain_totals, write_run_record

logger = logging.get_logger(__name__)


@dataclass
class RunFolder:
    """
    The folder of a run, --output_dir. Only the main process writes.

    Args:
        trainer: FerTrainer of the run. audit_report: of its data.
        failures: notes what cannot be written.
        argv: the words after `python train.py`.
    """

    args: Arguments
    trainer: Trainer
    data: RunData
    audit_report: Mapping
    failures: Failures
    argv: Sequence[str]

    @property
    def path(self) -> Path:
        return Path(self.args.training.output_dir)

    def save_model(self, results: Mapping) -> None:
        """
        As soon as a training is over, and in place of an earlier report, which would be another
        model's: weights, config, processor, code; what is known of the run.

        Args:
            results: of the training.

        Raises:
            TrainingError: the model could not be written; the folder is as it was.
        """
        if not self.trainer.is_world_process_zero():
            return
        with written_whole(self.path) as folder:
            dtype = getattr(torch, self.args.training.weights_dtype)
            save_network(self.trainer.model, self.trainer.processing_class, folder, dtype=dtype)
            with self._piece("all_results.json", folder) as file:
                write_json(file, results)
            self._write_records(folder)
        logger.info(f"The weights are saved in {self.path}; next they are measured.")

    def describe(self, results: Mapping) -> None:
        """
        What comes of the evaluation, each piece by itself: calibration, results, predictions,
        figures, card. An evaluation alone replaces an earlier report, if anything was measured.

        Args:
            results: of training and evaluation.
        """
        measured = "eval_accuracy" in results
        if not self.trainer.is_world_process_zero() or not (
            measured or self.data.train is not None
        ):
            return
        if self.data.train is None:
            with written_whole(self.path) as folder:
                write_json(folder / "all_results.json", results | evaluated_weights(self.args))
                self._write_records(folder)
        else:
            with self._piece("all_results.json") as file:  # with the calibration that it is about
                write_json(file, results | chain_totals(self.path))
                self.trainer.model.config.save_pretrained(file.parent)
        if self.args.training.save_predictions and measured:
            with self._piece("predictions.csv") as file:
                _write_predictions(file, self.data)
        self._draw(results)
        if measured and self.data.train is not None:  # of an evaluation there is no card
            with self.failures.noted("README.md"):
                # here, so that `python -m training.report.card` is not imported before it is run
                from .card import write_model_card

                write_model_card(self.path)

    @contextlib.contextmanager
    def _piece(self, name: str, folder: Path | None = None) -> Iterator[Path]:
        """Where to write a file that joins the report when it is done, or is left out."""
        with self.failures.noted(name), added(folder or self.path) as new:
            yield new / name

    def _write_records(self, folder: Path) -> None:
        with self._piece("data_report.json", folder) as file:
            write_json(file, self.audit_report | self.data.record)
        with self._piece("run.yaml", folder) as file:
            write_run_record(
                file,
                self.args,
                config=self.trainer.model.config,
                argv=self.argv,
                data_fingerprint=self.audit_report["fingerprint"],
                changed_settings=self.trainer.changed_settings,
            )

    def _draw(self, results: Mapping) -> None:
        if importlib.util.find_spec("matplotlib") is None:
            logger.info("Without matplotlib, the figures (*.png, *.svg) are left out.")
            return
        from .pictures import plot_class_distribution, plot_confusion_matrix, plot_training_curves

        name, data, state = _model_name(self.args), self.data, self.trainer.state
        if matrix := results.get("eval_confusion_matrix"):
            title = f"{name}: {data.eval_split} split, {results['eval_samples']:,} images"
            with self._piece("confusion_matrix.png") as file:
                plot_confusion_matrix(file, matrix, data.label_names, title)
        with self._piece("class_distribution.png") as file:
            plot_class_distribution(file, data, data.label_names, name)
        if state.global_step:
            with self._piece("training_curves.png") as file:
                plot_training_curves(file, state.log_history, name)


def _write_predictions(file: Path, data: RunData) -> None:
    """
    A line for each image of the evaluation split, in its order; logits with the temperature, and a
    digest of the image, by which runs are paired.
    """
    names = data.label_names
    copies = np.zeros(len(data.eval), bool) if data.eval_copies is None else data.eval_copies
    with file.open("w", newline="") as opened:
        writer = csv.writer(opened, lineterminator="\n")
        header = ["image", "label", "predicted", "copy", *(f"logit_{name}" for name in names)]
        writer.writerow(header)
        columns = data.eval.digests, data.eval.labels.tolist(), copies, data.eval_logits
        for image, label, copy, logits in zip(*columns):
            scores = (f"{value:.4f}" for value in logits)
            writer.writerow([image, names[label], names[logits.argmax()], int(copy), *scores])


def _model_name(args: Arguments) -> str:
    trained = args.training.hub_model_id or args.training.output_dir
    model = args.model.model_name_or_path if args.training.evaluate_only else trained
    return Path(model).resolve().name
