"""Writes the folder of a finished run: model, results, record, figures and card."""

from collections.abc import Sequence
from pathlib import Path

import torch
from transformers.dynamic_module_utils import custom_object_save

from ..arguments import Arguments
from ..data import LABELS, RunData
from .files import write_json, written_whole
from .pictures import plot_class_distribution, plot_confusion_matrix, plot_training_curves
from .run_record import write_run_record

CUSTOM_PIPELINES = {  # as transformers' Pipeline.save_pretrained writes it
    "facial-emotion": {
        "impl": "pipeline_facial_emotion.FacialEmotionPipeline",
        "pt": ["AutoModelForImageClassification"],
    }
}


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
        if data.train is not None:
            save_model(trainer, folder)
        write_report(folder, args, trainer, data, audit_report, results, argv=argv)


def save_model(trainer, folder: Path) -> None:
    """config.json, model.safetensors, preprocessor_config.json and the modeling code; no pickle."""
    # here, so that the rest of the room imports in the installed package, which names it otherwise
    from modeling import FacialEmotionPipeline

    trainer.model.config.custom_pipelines = CUSTOM_PIPELINES
    custom_object_save(FacialEmotionPipeline, folder)
    dtype = getattr(torch, trainer.args.weights_dtype)
    weights = {
        name: value.to(dtype) if value.ndim > 1 else value
        for name, value in trainer.model.state_dict().items()
    }
    trainer.model.save_pretrained(folder, state_dict=weights)  # config.json keeps float32
    trainer.processing_class.save_pretrained(folder)


def write_report(
    folder: Path,
    args: Arguments,
    trainer,
    data: RunData,
    audit_report: dict,
    results: dict,
    *,
    argv: Sequence[str],
) -> None:
    """Everything but the model; the card only after a training, whose files it is made from."""
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
    title = f"{data.eval_split} split, {results['eval_samples']} images"
    plot_confusion_matrix(
        folder / "confusion_matrix.png", results["eval_confusion_matrix"], LABELS, title
    )
    plot_class_distribution(folder / "class_distribution.png", data, LABELS)
    if trainer.state.global_step:
        plot_training_curves(folder / "training_curves.png", trainer.state.log_history)
    if data.train is not None:
        # here, so that `python -m training.report.card` is not imported before it is run
        from .card import write_model_card

        write_model_card(folder)
