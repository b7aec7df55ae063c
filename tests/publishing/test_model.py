"""publishing/model.py: what is staged of a run, and which runs are refused."""

import json
import logging
import os
import shutil
from pathlib import Path

import pytest
from huggingface_hub import ModelCard
from safetensors.torch import load_file, save_file

from publishing import PublishError, model
from publishing.run_check import check_run
from tests.publishing.conftest import predict_here, push
from tests.publishing.hub_server import files_of
from training.card.card import card_facts, card_text
from training.record import weights_sha256

ROOT = Path(__file__).parents[2]


def test_a_dry_run_holds_the_hub_folder_and_nothing_else(staged):
    assert set(files_of(staged)) == {
        *("config.json", "model.safetensors", "preprocessor_config.json", "README.md"),
        *("all_results.json", "data_report.json", "run.yaml"),
        *("configuration_fer_efficientnet.py", "modeling_fer_efficientnet.py"),
        *("image_processing_fer_efficientnet.py", "pipeline_facial_emotion.py"),
        *("face_detection.py", "photo_reading.py", "grad_cam.py", "confusion_matrix.png"),
        *("calibration.py", "face_cropping.py", "names.py", "pixels.py", "labelling.py"),
        *("detector_file.py", "warn_once.py", "yunet_onnx.py", "face_detection_yunet.onnx"),
        *("face_detection_yunet.txt", "model.onnx", "onnx.json"),
        *("class_distribution.png", "training_curves.png"),
    }


def test_no_file_names_a_folder_of_this_machine(staged, run):
    for name, content in files_of(staged).items():
        assert str(run.parent).encode() not in content and str(ROOT).encode() not in content, name


def test_of_absolute_paths_the_names_stay_with_spaces_or_without():
    record = {
        "command": "python train.py --dataset '/home/Jane Doe/my data/faces.csv' --seed 3",
        "started_from": {
            "taught_by": [{"dataset": "/home/Jane Doe/my data/faces.csv"}, "me/faces"]
        },
    }
    assert model._without_folders(record) == {
        "command": "python train.py --dataset faces.csv --seed 3",
        "started_from": {"taught_by": [{"dataset": "faces.csv"}, "me/faces"]},
    }


def test_the_card_is_made_anew_for_the_repository(staged, run):
    text = (staged / "README.md").read_text()
    assert text == card_text(card_facts(run), "me/faces", "v1")
    assert "Edited by hand" not in text and "## ONNX" in text


@pytest.fixture
def copy(run, tmp_path):
    """A copy of the run, which may be harmed."""
    return shutil.copytree(run, tmp_path / "run")


def edit(name, old, new):
    def change(run):
        text = (run / name).read_text()
        assert old in text
        (run / name).write_text(text.replace(old, new, 1))

    return change


def not_a_number(run):
    weights = load_file(run / "model.safetensors")
    name = next(name for name in weights if name.endswith("weight"))
    weights[name][:] = float("nan")
    save_file(weights, run / "model.safetensors", {"format": "pt"})


@pytest.mark.parametrize(
    "harm, message",
    [
        (lambda run: (run / "model.safetensors").unlink(), "model.safetensors missing"),
        (lambda run: os.truncate(run / "model.safetensors", 1000), "is not whole"),
        (lambda run: (run / "pytorch_model.bin").touch(), "pytorch_model.bin may run code"),
        (edit("run.yaml", "seed:", f"token: hf_{'a' * 34}\nseed:"), "run.yaml holds a token"),
        (
            lambda run: (run / "notes.txt").write_text(f"export HF_TOKEN=hf_{'a' * 34}"),
            "notes.txt holds a token",
        ),
        (edit("run.yaml", "dataset: synthetic", "dataset: faces"), "is not known. Name the data"),
        (lambda run: (run / "all_results.json").write_text("{}"), "a folder that a training left"),
        (not_a_number, "probabilities that differ"),
    ],
)
def test_a_run_that_is_not_fit_is_refused(copy, tmp_path, harm, message):
    harm(copy)
    with pytest.raises(PublishError, match=message):
        push(*("model", copy, "--repo_id", "me/faces"), "--no_onnx", "--dry_run", tmp_path / "dry")
    assert not (tmp_path / "dry").exists()


def test_a_run_needs_no_card(copy):
    (copy / "README.md").unlink()
    check_run(copy)


def test_results_of_these_weights_go_along_and_others_stay_behind(
    copy, tmp_path, monkeypatch, caplog
):
    monkeypatch.setattr(model, "predict_in_clean_process", predict_here)
    results = json.loads((copy / "all_results.json").read_text())
    results |= {"eval_split": "test", "eval_accuracy": 0.123456}
    results["weights_sha256"] = weights_sha256(copy / "model.safetensors")
    (copy / "test_results.json").write_text(json.dumps(results))
    (copy / "robustness.json").write_text('{"weights_sha256": "of others"}')
    (tmp_path / "staged").mkdir()
    with caplog.at_level(logging.INFO, "training"):
        model.stage_model(copy, tmp_path / "staged", repo_id="me/faces", onnx=False)
    assert "robustness.json is left out" in caplog.text
    sent = files_of(tmp_path / "staged")
    assert sent["test_results.json"] == (copy / "test_results.json").read_bytes()
    assert not {"robustness.json", "model.onnx", "onnx.json"} & {*sent}
    test, *_, validation = ModelCard.load(tmp_path / "staged" / "README.md").data.eval_results
    assert (test.dataset_split, test.metric_value) == ("test", 0.123456)
    assert test.source_url == "https://huggingface.co/me/faces/blob/main/test_results.json"


def test_weights_of_another_accuracy_than_the_results_are_refused(copy, tmp_path):
    results = json.loads((copy / "all_results.json").read_text()) | {"eval_accuracy": 2.0}
    (copy / "all_results.json").write_text(json.dumps(results))
    with pytest.raises(PublishError, match="Are weights and results of the same run"):
        push("model", copy, "--repo_id", "me/faces", "--dry_run", tmp_path / "dry")


def test_a_run_without_onnx_gets_it_or_a_word_on_what_is_missing(copy, tmp_path, monkeypatch):
    monkeypatch.setattr(model, "predict_in_clean_process", predict_here)
    (copy / "model.onnx").unlink()
    words = "model", copy, "--repo_id", "me/faces", "--dry_run"
    push(*words, tmp_path / "made")
    assert (tmp_path / "made" / "model.onnx").is_file() and (copy / "model.onnx").is_file()
    (copy / "model.onnx").unlink()
    monkeypatch.setattr("training.onnx_export.missing_packages", lambda: ["onnx"])
    with pytest.raises(PublishError, match="onnx is missing: pip install '.\\[publish\\]'"):
        push(*words, tmp_path / "not_made")
