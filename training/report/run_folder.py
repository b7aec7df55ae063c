"""Writes the folder of a finished run: model, results, record, figures and card."""

import csv
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from ..arguments import Arguments
from ..data import RunData
from ..network import save_network
from .files import write_json, written_whole
from .pictures import plot_class_distribution, plot_confusion_matrix, plot_training_curves
from .quoted import evaluated_weights
from .run_record import write_run_record


def write_run_folder(
    args: Arguments,
    trainer,
    data: RunData,
    audit_report: dict,
    results: dict,
    *,
    argv: Sequence[str],
) -> None:
    """
    Replaces the report in --output_dir, all of it or nothing: see `written_whole`.

    Args:
        trainer: FerTrainer of the run. argv: the words after `python train.py`.
    """
    with written_whole(Path(args.training.output_dir)) as folder:
        if data.train is None:
            results = results | evaluated_weights(args)
        else:
            dtype = getattr(torch, args.training.weights_dtype)
            save_network(trainer.model, trainer.processing_class, folder, dtype=dtype)
        write_json(folder / "all_results.json", results)
        write_json(folder / "data_report.json", audit_report | data.record)
        write_run_record(
            folder / "run.yaml",
            args,
            config=trainer.model.config,
            argv=argv,
            data_fingerprint=audit_report["fingerprint"],
            recipe_changes=trainer.recipe_changes,
        )
        if args.training.save_predictions:
            _write_predictions(folder / "predictions.csv", data)
        _draw(folder, _model_name(args), trainer, data, results)
        if data.train is not None:  # the card is made from the other files of a training
            # here, so that `python -m training.report.card` is not imported before it is run
            from .card import write_model_card

            write_model_card(folder)


def _write_predictions(file: Path, data: RunData) -> None:
    """A line for each image of the evaluation split, in its order; logits with the temperature."""
    names = data.label_names
    copies = np.zeros(len(data.eval), bool) if data.eval_copies is None else data.eval_copies
    with file.open("w", newline="") as opened:
        writer = csv.writer(opened, lineterminator="\n")
        writer.writerow(["label", "predicted", "copy", *(f"logit_{name}" for name in names)])
        for label, copy, logits in zip(data.eval.labels.tolist(), copies, data.eval_logits):
            scores = (f"{value:.4f}" for value in logits)
            writer.writerow([names[label], names[logits.argmax()], int(copy), *scores])


def _model_name(args: Arguments) -> str:
    trained = args.training.hub_model_id or args.training.output_dir
    model = args.model.model_name_or_path if args.training.evaluate_only else trained
    return Path(model).resolve().name


def _draw(folder: Path, name: str, trainer, data: RunData, results: dict) -> None:
    title = f"{name}: {data.eval_split} split, {results['eval_samples']:,} images"
    plot_confusion_matrix(
        folder / "confusion_matrix.png", results["eval_confusion_matrix"], data.label_names, title
    )
    plot_class_distribution(folder / "class_distribution.png", data, data.label_names, name)
    if trainer.state.global_step:
        plot_training_curves(folder / "training_curves.png", trainer.state.log_history, name)
