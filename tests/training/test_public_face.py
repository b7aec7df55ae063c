"""What docs/training.md shows of the package in Python: run as it stands, on few images."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import TrainingArguments, pipeline

import training
from modeling import FerEfficientNetImageProcessor
from tests.networks import saved, tiny_network
from training.data.synthetic import draw_faces

PAGE = (Path(__file__).parents[2] / "docs" / "training.md").read_text()
FEW = {"synthetic_images=500": "synthetic_images=60", "runs/focal": "focal"}


def code_under(heading):
    (code,) = re.findall(rf"\n##+ {heading}\n.*?```python\n(.*?)```", PAGE, re.S)
    return code


def run(code, **changes):
    for before, after in (FEW | changes).items():
        code = code.replace(before, after)
    names: dict = {}
    exec(code, names)
    return names


@pytest.fixture
def trained(tmp_path, monkeypatch, own_cache):
    monkeypatch.chdir(tmp_path)
    code = code_under("In Python")
    assert len([line for line in code.splitlines() if line.strip()]) <= 15
    tiny = {
        "ModelArguments()": "ModelArguments(backbone='test_efficientnet', image_size=32)",
        "num_train_epochs=2": "max_steps=2, use_cpu=True, report_to='none'",
    }
    return run(code, **tiny)


def test_a_training_in_python_leaves_a_folder_that_both_pipelines_load(trained, capsys):
    results, labels = trained["trainer"].evaluate(), trained["faces"]["train"].label_names
    assert {"eval_loss", "eval_macro_f1", "eval_recall_disgust"} <= {*results}
    assert not [*Path("focal").glob("*.bin")]  # no pickle
    face = Image.fromarray(draw_faces(np.array([3]), labels, seed=0)[0])
    classify = pipeline("image-classification", model="focal", trust_remote_code=True)
    assert len(classify(face)) == 5
    find = pipeline("facial-emotion", model="focal", trust_remote_code=True)
    (result,) = find(face, detector="none")
    assert result["label"] == classify(face)[0]["label"]


def test_a_loss_is_bound_to_the_counts_that_batches_have_unless_it_is_a_function(trained):
    faces, network = trained["faces"]["train"], trained["network"]
    counts = torch.bincount(faces.labels).float()
    assert torch.equal(trained["trainer"].criterion.counts, counts)
    given = {"processing_class": trained["processor"], "train_dataset": faces}
    arguments = TrainingArguments("plain", max_steps=1, use_cpu=True, report_to="none")
    trainer = training.FerTrainer(network, arguments, weighted_sampling=True, **given)
    assert torch.equal(trainer.criterion.counts, torch.full((7,), len(faces) / 7))
    trainer = training.FerTrainer(network, arguments, criterion=training.focal_loss, **given)
    assert trainer.train().training_loss > 0  # a pure function will do as well
    with pytest.raises(ValueError, match=r"LDAM needs a cosine .*cosine_scale=30\.0"):
        training.FerTrainer(network, arguments, criterion=training.LDAM(), **given)


def test_evaluates_evaluator_measures_with_the_same_metrics(tmp_path, monkeypatch, own_cache):
    monkeypatch.chdir(tmp_path)
    labels = training.modeling.EXPRESSIONS
    saved(tiny_network(image_size=48, initializer_range=1.0), Path("model"))
    names = run(code_under("With `evaluate`"))
    results, faces = names["results"], training.load_faces("synthetic", synthetic_images=60)
    processor = FerEfficientNetImageProcessor.from_pretrained("model")
    with torch.no_grad():
        images = processor.normalize_batch(faces["validation"].images)
        predicted = names["model"].cpu().eval()(images).logits.argmax(1).numpy()
    expected = training.classification_metrics(
        predicted, faces["validation"].labels.numpy(), labels
    )
    assert {name: results[name] for name in expected} == expected


def test_what_is_asked_for_is_there_and_the_rest_is_not_imported():
    for name in training.__all__:
        assert getattr(training, name).__doc__
    assert {*training.__all__} <= {*dir(training)}
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        assert training.nothing
