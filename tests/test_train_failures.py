"""What goes wrong after a training does not cost it: train.py with an error in each later step."""

import json
import logging
import re
import shlex
import shutil

import pytest

import train
from training.errors import TrainingError
from training.failures import Failures
from training.trainer import FerTrainer

FLAGS = [
    *["--dataset", "synthetic", "--synthetic_images", "60", "--backbone", "test_efficientnet"],
    *["--image_size", "32", "--head_hidden_sizes", "16", "--per_device_train_batch_size", "16"],
    *["--disable_tqdm", "true", "--max_steps", "1", "--use_cpu", "--precise_bn", "32"],
    *["--save_predictions", "--report_to", "none"],
]
FIGURES = ("confusion_matrix", "class_distribution", "training_curves")
RESUME = ["--resume_from_checkpoint", "true"]
# What raises an error, in runs of some that do not depend on each other -> what is left out with a
# message, and the files that are then missing.
BROKEN = [
    {
        "matplotlib.figure.Figure.savefig": (
            [f"{name}.png" for name in FIGURES],
            [f"{name}.{kind}" for name in FIGURES for kind in ("png", "svg")],
        ),
        "csv.writer": (["predictions.csv"], ["predictions.csv"]),
        "training.evaluation.results.prior_results": (["results under other priors"], []),
        "training.evaluation.results.certainty_results": (["share of certain predictions"], []),
    },
    {
        "yaml.dump": (["run.yaml", "README.md"], ["run.yaml", "README.md"]),
        "training.evaluation.results.calibrate": (["calibration"], []),
        "training.run.summary": (["summary"], []),
    },
    {"training.run.load_back": (["loading back"], [])},
]


def run(folder, *flags):
    train.main([*FLAGS, "--output_dir", str(folder), *flags])


def names(folder):
    return {path.name for path in folder.iterdir()}


def read_json(file):
    return json.loads(file.read_text())


pytestmark = pytest.mark.usefixtures("quick_reports")


@pytest.fixture(scope="module")
def whole(tmp_path_factory, quick_reports):
    folder = tmp_path_factory.mktemp("failures") / "whole"
    run(folder)
    return folder


@pytest.fixture
def folder(whole, tmp_path):
    """A finished run with a test result of its own, to be gone on with after its last step."""
    shutil.copytree(whole, tmp_path / "run")
    (tmp_path / "run" / "test_results.json").write_text("{}")
    return tmp_path / "run"


def fail(*args, **kwargs):
    raise RuntimeError("forced\nand more")


@pytest.mark.parametrize("broken", BROKEN, ids=lambda broken: next(iter(broken)))
def test_an_error_in_a_later_step_costs_what_it_makes_alone(
    whole, folder, monkeypatch, capsys, broken
):
    for target in broken:
        monkeypatch.setattr(target, fail)
    if "training.run.load_back" in broken:
        with pytest.raises(TrainingError, match="is in doubt: forced"):
            run(folder, *RESUME)
    else:
        run(folder, *RESUME)
    printed = capsys.readouterr().out
    for what in [what for left_out, _ in broken.values() for what in left_out]:
        assert re.search(rf"^Left out: {what} \(\w+: ", printed, re.M), what
    assert f"The weights are in {folder}. To measure them:\n  python train.py --eval" in printed
    assert "report again, without training again: the same command and --resume_from_ch" in printed
    missing = {name for _, files in broken.values() for name in files}
    assert names(folder) == names(whole) - missing  # nothing of the earlier report
    weights = [path / "model.safetensors" for path in (folder, whole)]
    assert weights[0].read_bytes() == weights[1].read_bytes()
    if "README.md" not in missing:
        card = (folder / "README.md").read_text()
        assert {name for name in FIGURES if f"]({name}.png)" in card} == {
            name for name in FIGURES if f"{name}.png" not in missing
        }


def test_what_was_not_measured_is_measured_by_the_command_that_is_printed_or_by_a_resume(
    whole, folder, tmp_path, monkeypatch, capsys
):
    with monkeypatch.context() as patch, pytest.raises(TrainingError, match="Nothing could be"):
        patch.setattr(FerTrainer, "predict", fail)
        run(folder, *RESUME)
    lines = capsys.readouterr().out.splitlines()
    command = shlex.split(lines[lines.index(f"The weights are in {folder}. To measure them:") + 1])
    assert command[:2] == ["python", "train.py"] and "--synthetic_images" in command
    train.main([*command[2:], "--output_dir", str(tmp_path / "evaluation"), "--use_cpu"])
    expected = read_json(whole / "all_results.json")
    measured = read_json(tmp_path / "evaluation" / "all_results.json")
    assert measured["eval_confusion_matrix"] == expected["eval_confusion_matrix"]
    run(folder, *RESUME)
    assert names(folder) == names(whole)
    again = read_json(folder / "all_results.json")
    assert {**again} == {**expected} | {name: again[name] for name in again if "train_" in name}
    assert read_json(folder / "config.json") == read_json(whole / "config.json")


def test_batch_norm_statistics_that_cannot_be_had_are_those_of_the_training(
    tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr("training.trainer.recompute_statistics", fail)
    run(tmp_path, "--save_strategy", "no", "--eval_strategy", "no")
    assert "Left out: batch norm statistics of --precise_bn; those of" in capsys.readouterr().out
    assert "README.md" in names(tmp_path)


def test_a_loss_that_cannot_say_what_it_teaches_leaves_the_distributions_out(tmp_path, capsys):
    (tmp_path / "odd.py").write_text(
        "from dataclasses import dataclass\n"
        "from training.treatments import CrossEntropy\n\n"
        "@dataclass\n"
        "class Odd(CrossEntropy):\n"
        "    def presented_distribution(self, shares):\n"
        "        raise RuntimeError('forced')\n"
    )
    flags = ["--loss", f"{tmp_path / 'odd.py'}:Odd", "--eval_strategy", "no"]
    run(tmp_path / "run", *flags, "--save_strategy", "no")
    assert "Left out: class distributions of the training (Ru" in capsys.readouterr().out
    assert (
        read_json(tmp_path / "run" / "config.json")["calibration"].get("learned_distribution")
        is None
    )


def test_an_evaluation_that_fails_leaves_an_earlier_report_as_it_is(whole, tmp_path, monkeypatch):
    flags = ["--evaluate_only", "--model_name_or_path", str(whole), "--precise_bn", "0"]
    run(tmp_path, *flags)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert "confusion_matrix.png" in before
    monkeypatch.setattr("training.evaluation.results.evaluation_results", fail)
    with pytest.raises(TrainingError, match="^Nothing could be measured: all results of"):
        run(tmp_path, *flags, "--overwrite")
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_only_errors_are_noted_and_each_is_logged_once(caplog):
    failures = Failures()
    with caplog.at_level(logging.INFO, "training"):
        with failures.noted("nothing"):
            pass
        with pytest.raises(KeyboardInterrupt), failures.noted("all"):
            raise KeyboardInterrupt
        with failures.noted("card"):
            raise ValueError("no\nresults")
    assert caplog.messages == ["Left out: card (ValueError: no)"] and [*failures.errors] == ["card"]
