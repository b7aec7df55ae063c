"""What goes wrong after a training does not cost it."""

import json
import shlex
import shutil
from types import SimpleNamespace

import numpy as np
import pytest
import torch

import train
from tests.publishing.conftest import predict_here
from training.card import describe
from training.checkpoints import TrainingError
from training.console import show_messages
from training.gaps import Gaps
from training.record import RunFolder
from training.trainer import FerTrainer

FLAGS = [
    *["--dataset", "synthetic", "--synthetic_images", "60", "--backbone", "test_efficientnet"],
    *["--image_size", "32", "--head_hidden_sizes", "16", "--per_device_train_batch_size", "16"],
    *["--disable_tqdm", "true", "--max_steps", "1", "--use_cpu", "--precise_bn", "8"],
    "--save_predictions",
]
RESUME = ["--resume_from_checkpoint", "true"]
LOSS = """
from dataclasses import dataclass
from training.treatments.cross_entropy import CrossEntropy

@dataclass
class Broken(CrossEntropy):
    title = "a broken loss"
    def presented_distribution(self, shares):
        raise RuntimeError("forced\\nand more")
"""


def run(folder, *flags):
    train.main([*FLAGS, "--output_dir", str(folder), *flags])


def names(folder):
    return {path.name for path in folder.iterdir() if path.name != "runs"}


def fail(*args, **kwargs):
    raise RuntimeError("forced\nand more")


@pytest.fixture(autouse=True, scope="module")
def quick():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("training.record.loading_back.predict_in_clean_process", predict_here)
        yield


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("gaps") / "whole"
    run(folder)
    return folder


@pytest.fixture
def folder(whole, tmp_path):
    """A finished run with a test result of its own, to be gone on with after its last step."""
    shutil.copytree(whole, tmp_path / "run", ignore=shutil.ignore_patterns("runs"))
    (tmp_path / "run" / "test_results.json").write_text("{}")
    return tmp_path / "run"


def test_a_loss_that_breaks_after_the_training_costs_what_it_makes_alone(whole, tmp_path, capsys):
    (tmp_path / "broken.py").write_text(LOSS)
    run(tmp_path / "run", "--loss", f"{tmp_path / 'broken.py'}:Broken")
    lines = capsys.readouterr().out.splitlines()
    assert "Left out: class distributions of the training (RuntimeError: forced)" in lines
    assert f"The weights are in {tmp_path / 'run'}. To measure them:" in lines
    assert names(tmp_path / "run") == names(whole)
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    assert not config.get("learned_distribution")


def test_a_model_that_loads_as_another_is_in_doubt(folder, whole, monkeypatch, capsys):
    monkeypatch.setattr(
        "training.record.loading_back.predict_in_clean_process",
        lambda folder, png: {name: 1.0 for name in predict_here(folder, png)},
    )
    monkeypatch.setattr("training.trainer.recompute_statistics", fail)
    with pytest.raises(TrainingError, match=f"The model in {folder} is in doubt: .* differ from"):
        run(folder, *RESUME)
    said = capsys.readouterr().out
    assert "Left out: batch norm statistics of --precise_bn; those of the training stay" in said
    assert "report again, without training again: the same command and --resume_from_ch" in said
    assert names(folder) == names(whole)  # nothing of the earlier report


def test_what_was_not_measured_is_measured_by_the_words_that_are_printed_or_by_a_resume(
    whole, folder, tmp_path, monkeypatch, capsys
):
    with monkeypatch.context() as patch, pytest.raises(TrainingError, match="Nothing could be"):
        patch.setattr(FerTrainer, "predict", fail)
        run(folder, *RESUME)
    of_results = {"README.md", "predictions.csv", "confusion_matrix.png", "confusion_matrix.svg"}
    assert names(folder) == names(whole) - of_results
    weights = [(path / "model.safetensors").read_bytes() for path in (folder, whole)]
    assert weights[0] == weights[1]
    lines = capsys.readouterr().out.splitlines()
    command = lines[lines.index(f"The weights are in {folder}. To measure them:") + 1]
    words = shlex.split(command)
    assert words[:2] == ["python", "train.py"] and "--synthetic_images" in words
    train.main([*words[2:], "--output_dir", str(tmp_path / "evaluation"), "--use_cpu"])
    expected, found = (
        json.loads((path / "all_results.json").read_text())
        for path in (whole, tmp_path / "evaluation")
    )
    assert found["eval_confusion_matrix"] == expected["eval_confusion_matrix"]
    before = {path: path.read_bytes() for path in (tmp_path / "evaluation").glob("*.*")}
    with monkeypatch.context() as patch, pytest.raises(TrainingError, match="Nothing could be"):
        patch.setattr(FerTrainer, "predict", fail)
        train.main([*words[2:], "--output_dir", str(tmp_path / "evaluation"), "--overwrite"])
    assert {path: path.read_bytes() for path in (tmp_path / "evaluation").glob("*.*")} == before

    run(folder, *RESUME)
    assert names(folder) == names(whole)
    found = json.loads((folder / "all_results.json").read_text())
    assert {name for name in found if name.startswith("eval_")} == {
        name for name in expected if name.startswith("eval_")
    }
    config = (path / "config.json" for path in (folder, whole))
    assert next(config).read_text() == next(config).read_text()


@pytest.fixture
def report(folder):
    """A RunFolder of it, and results that it may be described with."""
    args = SimpleNamespace(
        training=SimpleNamespace(
            output_dir=str(folder), hub_model_id=None, evaluate_only=False, save_predictions=False
        ),
        model=SimpleNamespace(model_name_or_path=None),
    )
    labels = torch.arange(7)
    data = SimpleNamespace(
        train=labels, eval=SimpleNamespace(labels=labels), eval_split="validation",
        train_counts=np.full(7, 9), record={"sampling": "none"},
        label_names=[f"class {i}" for i in range(7)],
    )  # fmt: skip
    state = SimpleNamespace(global_step=1, log_history=[{"epoch": 1, "loss": 2.0}])
    trainer = SimpleNamespace(is_world_process_zero=lambda: True, state=state)
    results = json.loads((folder / "all_results.json").read_text())
    for name in ("README.md", "confusion_matrix.png", "class_distribution.png"):
        (folder / name).unlink()
    return RunFolder(args, trainer, data, {}, Gaps(), []), results


def test_a_piece_that_fails_is_left_out_and_the_others_are_written(folder, report):
    run_folder, results = report
    (folder / "data_report.json").unlink()
    describe(run_folder, results | {"eval_confusion_matrix": [["no number"]]})
    assert [*run_folder.gaps.errors] == ["confusion_matrix.png", "README.md"]
    assert not {"confusion_matrix.png", "README.md", ".partial"} & names(folder)
    assert "class_distribution.png" in names(folder)


def test_a_card_shows_the_pictures_that_were_drawn(folder, report):
    describe(*report)
    assert "![Confusion matrix]" in (folder / "README.md").read_text()
    (folder / "confusion_matrix.png").unlink()
    run_folder, results = report
    describe(run_folder, results | {"eval_confusion_matrix": [["no number"]]})
    assert "![Confusion matrix]" not in (folder / "README.md").read_text()


def test_only_errors_are_left_out_and_each_is_said_once(capsys):
    show_messages()
    gaps = Gaps()
    with gaps.on_error("nothing"):
        pass
    with pytest.raises(KeyboardInterrupt), gaps.on_error("all"):
        raise KeyboardInterrupt
    with gaps.on_error("card"):
        raise ValueError("no\nfigures")
    assert capsys.readouterr().out == "Left out: card (ValueError: no)\n"
    assert [*gaps.errors] == ["card"]
