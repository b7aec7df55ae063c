"""Writes the folder of a run: model and record as soon as it is trained, then its results."""

import contextlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from transformers import Trainer
from transformers.utils import cached_file, logging

from ..arguments import Arguments
from ..data import RunData
from ..evaluation.predictions import write_predictions
from ..failures import Failures
from ..network import save_network
from .files import added, weights_sha256, write_json, written_whole
from .run_yaml import chain_totals, write_run

logger = logging.get_logger(__name__)


@dataclass
class RunFolder:
    """
    The folder of a run, --output_dir. Only the main process writes.

    Args:
        trainer: the run's FerTrainer. audit_report: the audit of its data.
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

    @property
    def model_name(self) -> str:
        trained = self.args.training.hub_model_id or self.args.training.output_dir
        evaluated = self.args.model.model_name_or_path
        return Path(evaluated if self.args.training.evaluate_only else trained).resolve().name

    def save_model(self, results: Mapping) -> None:
        """
        Writes weights, config, processor, code and what is known of the run, as soon as a training
        is over. They replace an earlier report, which would be another model's.

        Raises:
            TrainingError: the model could not be written; the folder is as it was.
        """
        if not self.trainer.is_world_process_zero():
            return
        with written_whole(self.path) as folder:
            dtype = getattr(torch, self.args.training.weights_dtype)
            save_network(self.trainer.model, self.trainer.processing_class, folder, dtype=dtype)
            with self.piece("all_results.json", folder) as file:
                write_json(file, results)
            self._write_records(folder)
        logger.info(f"The weights are saved in {self.path}; next they are measured.")

    def write_results(self, results: Mapping) -> None:
        """
        Writes calibration, results and predictions, each piece by itself. An evaluation alone
        replaces an earlier report, if anything was measured.
        """
        measured, trained = "eval_accuracy" in results, self.data.train is not None
        if not self.trainer.is_world_process_zero() or not (measured or trained):
            return
        if trained:
            with self.piece("all_results.json") as file:  # beside the calibration it was made with
                write_json(file, results | chain_totals(self.path))
                self.trainer.model.config.save_pretrained(file.parent)
        else:
            with written_whole(self.path) as folder:
                write_json(folder / "all_results.json", results | _evaluated_weights(self.args))
                self._write_records(folder)
        if self.args.training.save_predictions and measured:
            with self.piece("predictions.csv") as file:
                write_predictions(file, self.data)

    def write_calibration(self, results: Mapping) -> None:
        """Of --calibrate: into the evaluated model's folder, beside the results that go with it."""
        folder = Path(self.args.model.model_name_or_path)
        if not self.trainer.is_world_process_zero() or "temperature" not in results:
            return
        config = json.loads((folder / "config.json").read_text())
        config["calibration"] = self.trainer.model.config.calibration
        earlier = json.loads((folder / "all_results.json").read_text())
        with self.piece("config.json", folder) as file:
            file.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")
        with self.piece("all_results.json", folder) as file:
            write_json(file, earlier | results)

    @contextlib.contextmanager
    def piece(self, name: str, folder: Path | None = None) -> Iterator[Path]:
        """Where to write a file that joins the report once it is whole, or else is left out."""
        with self.failures.noted(name), added(folder or self.path) as new:
            yield new / name

    def _write_records(self, folder: Path) -> None:
        with self.piece("data_report.json", folder) as file:
            write_json(file, self.audit_report | self.data.record)
        with self.piece("run.yaml", folder) as file:
            write_run(
                file,
                self.args,
                config=self.trainer.model.config,
                argv=self.argv,
                data_fingerprint=self.audit_report["fingerprint"],
                changed_settings=self.trainer.changed_settings,
            )


def _evaluated_weights(args: Arguments) -> dict[str, str]:
    """
    Which weights the results of --evaluate_only belong to; {} if the model was evaluated at another
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
