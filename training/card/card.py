"""The model card, made from the files of a run's folder and never edited by hand."""

import json
import re
from pathlib import Path
from urllib.parse import quote

import numpy as np
from huggingface_hub import EvalResult, ModelCardData
from safetensors import safe_open

from ..markdown import render
from ..record.files import added
from ..record.run_yaml import read_run, stages_of
from .facts import METRICS, CardFacts
from .quoted_results import ONNX, ROBUSTNESS, quoted_measurement, quoted_results

TEMPLATE = Path(__file__).with_name("model_card.md")
PICTURES = ("confusion_matrix", "class_distribution", "training_curves")
TRANSFORMERS = "transformers>=5.10.1"  # earlier ones copy too little of a local folder's code
BUFFERS = re.compile(r"running_mean|running_var|num_batches_tracked")  # no parameters


def write_card(folder: Path, model_id: str | None = None, revision: str | None = None) -> Path:
    """
    Args:
        folder: with config.json, model.safetensors, all_results.json, data_report.json and run.yaml
            of a training, and test_results.json of an evaluation, robustness.json and onnx.json, if
            they are there. Nothing else decides what the card says.
        model_id, revision: as for `card_text`.

    Returns:
        The card's file.

    Raises:
        ValueError: `folder` holds no training, or one that was not measured.
    """
    text = card_text(card_facts(folder), model_id, revision)
    with added(folder) as new:
        (new / "README.md").write_text(text, encoding="utf-8")
    return folder / "README.md"


def card_text(card: CardFacts, model_id: str | None = None, revision: str | None = None) -> str:
    """
    Args:
        model_id: Hub id that the snippets load and where the results are found. Default: the run's
            Hub id or folder, and the results beside the card.
        revision: tag, branch or commit of the Hub repository; None: its main branch.
    """
    model = model_id or card.options["hub_model_id"] or card.options["output_dir"]
    place = f"https://huggingface.co/{model_id}/blob/{quote(revision or 'main', safe='')}/"
    return render(
        TEMPLATE,
        card=card,
        metadata=metadata(card, Path(model).name, place if model_id else "").to_yaml(),
        metrics=METRICS,
        model_id=model,
        revision=revision,
        transformers=TRANSFORMERS,
    )


def card_facts(folder: Path) -> CardFacts:
    """Arguments and errors are those of `write_card`."""
    run = read_run(folder)
    if run is None:
        raise ValueError(
            f"{folder}: expected a folder that a training left, with run.yaml and the results of "
            "the training in all_results.json."
        )
    config, audit, results = (
        json.loads((folder / f"{name}.json").read_text())
        for name in ("config", "data_report", "all_results")
    )
    if "eval_accuracy" not in results:
        raise ValueError(
            f"{folder}: expected results of an evaluation in all_results.json, but it was not "
            "measured. Resume the run, which measures it: --resume_from_checkpoint true."
        )
    return CardFacts(
        run=run,
        chain=stages_of(folder),
        quoted=quoted_results(folder),
        config=config,
        audit=audit,
        robustness=quoted_measurement(folder, ROBUSTNESS),
        onnx=quoted_measurement(folder, ONNX),
        parameters=count_parameters(folder / "model.safetensors"),
        pictures=frozenset(name for name in PICTURES if (folder / f"{name}.png").is_file()),
    )


def count_parameters(weights: Path) -> int:
    """From the header of a safetensors file."""
    with safe_open(weights, "pt") as stored:
        shapes = {name: stored.get_slice(name).get_shape() for name in stored.keys()}
    return sum(int(np.prod(shape)) for name, shape in shapes.items() if not BUFFERS.search(name))


def metadata(card: CardFacts, name: str, place: str) -> ModelCardData:
    """
    The card's header, which the Hub reads.

    Args:
        name: the model's. place: URL under which its files are found, or "" for beside the card.
    """
    evaluations = [
        EvalResult(
            task_type="image-classification",
            task_name="Image Classification",
            dataset_type=card.data.type,
            dataset_name=card.data.name,
            dataset_split=split.name,
            metric_type={"macro_f1": "f1"}.get(key, key),
            metric_name=metric,
            metric_value=split.results[f"eval_{key}"],
            source_name=split.file,
            source_url=f"{place}{split.file}",
        )
        for split in card.splits
        for key, metric in METRICS.items()
    ]
    tags = ["facial-expression-recognition", "efficientnet"]
    tags += ["fer2013"] if card.data.fer2013 else []
    tags += ["ferplus"] if card.data.ferplus else []
    return ModelCardData(
        license="apache-2.0",
        library_name="transformers",
        pipeline_tag="image-classification",
        tags=[*tags, "class-imbalance", "timm"],
        metrics=["accuracy", "f1"],
        datasets=[*card.data.hub_ids] or None,
        base_model=card.base_model,
        model_name=name,
        eval_results=evaluations if card.data.type else None,  # there it must be named
    )
