"""What goes wrong after a training does not cost it: train.py with an error in each later step."""

import json
import re
import shlex
import shutil

import matplotlib.pyplot as plt
import pytest
from training.report import card, pictures, run_folder

import train
from training import trainer as trainer_module
from training.checkpoints import TrainingError
from training.evaluation import results as results_module
from training.gaps import Gaps
from training.trainer import FerTrainer

FLAGS = [
    *["--dataset", "synthetic", "--synthetic_images", "60", "--backbone", "test_efficientnet"],
    *["--image_size", "32", "--head_hidden_sizes", "16", "--per_device_train_batch_size", "16"],
    *["--disable_tqdm", "true", "--max_steps", "1", "--use_cpu", "--precise_bn", "8"],
    "--save_predictions",
]
PICTURES = ("confusion_matrix", "class_distribution", "training_curves")
# Where to force an error, in runs of some that do not depend on each other -> what is left out,
# and the files that are then missing.
NOT_MEASURED = ["README.md", "predictions.csv", "confusion_matrix.png", "confusion_matrix.svg"]
STEPS = [
    {
        (FerTrainer, "predict"): ("all results of the evaluation", NOT_MEASURED),
        (train, "load_back"): ("loading back", []),
    },
    {
        (trainer_module, "recompute_statistics"): ("batch norm statistics of --precise_bn", []),
        (results_module, "evaluation_results"): ("all results of the evaluation", NOT_MEASURED),
    },
    {
        (results_module, "certainty_figures"): ("share of certain predictions", []),
        (results_module, "prior_figures"): ("results under other priors", []),
        (run_folder, "_write_predictions"): ("predictions.csv", ["predictions.csv"]),
        **{
            (pictures, f"plot_{name}"): (f"{name}.png", [f"{name}.png", f"{name}.svg"])
            for name in PICTURES
        },
        (train, "summary"): ("summary", []),
    },
    {
        (results_module, "calibrate"): ("calibration", []),
        (run_folder, "write_run_record"): ("run.yaml", ["run.yaml", "README.md"]),
    },
    {
        (results_module, "_note_distributions"): ("class distributions of the training", []),
        (run_folder, "write_json"): ("data_report.json", ["data_report.json", "README.md"]),
    },
    {(card, "write_model_card"): ("README.md", ["README.md"])},
]


def run(folder, *flags):
    train.main([*FLAGS, "--output_dir", str(folder), *flags])


def names(folder):
    return {path.name for path in folder.iterdir() if path.name != "runs"}


def save_figure(figure, path):
    plt.close(figure)
    path.touch()
    path.with_suffix(".svg").touch()


@pytest.fixture(scope="module", autouse=True)
def quick():
    """Without what takes longest here, the pixels of figures and the clean process."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pictures, "_save", save_figure)
        patch.setattr(train, "load_back", lambda *args: "Loaded back")
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


def fail(*args, **kwargs):
    if str(args[0]).endswith(
        "all_results.json"
    ):  # of what write_json writes, the data report fails
        return args[0].write_text(json.dumps(args[1]))
    raise RuntimeError("forced\nand more")


def shown(folder):
    """The pictures that the card shows."""
    card = (folder / "README.md").read_text()
    assert "## What it is bad at" in card
    return {name for name in PICTURES if f"]({name}.png)" in card}


@pytest.mark.parametrize("steps", STEPS, ids=lambda steps: next(iter(steps))[1])
def test_an_error_in_a_later_step_costs_what_it_makes_alone(
    whole, folder, monkeypatch, capsys, steps
):
    for step in steps:
        monkeypatch.setattr(*step, fail)
    forced, resume = {name for _, name in steps}, ["--resume_from_checkpoint", "true"]
    if forced & {"predict", "evaluation_results", "load_back"}:
        with pytest.raises(TrainingError, match="is in doubt: forced|Nothing could be .* forced"):
            run(folder, *resume)
    else:
        run(folder, *resume)
    said = capsys.readouterr().out
    for what, _ in steps.values():
        assert re.search(rf"^Left out: {what}.* \(RuntimeError: forced\)$", said, re.M)
    assert f"The weights are in {folder}. To measure them:\n  python train.py --eval" in said
    assert "report again, without training again: the same command and --resume_from_ch" in said
    missing = {name for _, files in steps.values() for name in files}
    assert names(folder) == names(whole) - missing  # nothing of the earlier report
    if "recompute_statistics" not in forced:
        weights = (path / "model.safetensors" for path in (folder, whole))
        assert next(weights).read_bytes() == next(weights).read_bytes()
    if "README.md" in names(folder):
        assert shown(folder) == {one for one in PICTURES if f"{one}.png" in names(folder)}


def test_what_was_not_measured_is_measured_by_the_words_that_are_printed_or_by_a_resume(
    whole, folder, tmp_path, monkeypatch, capsys
):
    with monkeypatch.context() as patch, pytest.raises(TrainingError, match="Nothing could be"):
        patch.setattr(FerTrainer, "predict", fail)
        run(folder, "--resume_from_checkpoint", "true")
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
    run(folder, "--resume_from_checkpoint", "true")
    assert names(folder) == names(whole)
    found = json.loads((folder / "all_results.json").read_text())
    assert {name for name in found if name.startswith("eval_")} == {
        name for name in expected if name.startswith("eval_")
    }
    assert found["temperature"] == expected["temperature"]
    config = (path / "config.json" for path in (folder, whole))
    assert next(config).read_text() == next(config).read_text()


def test_an_evaluation_that_fails_leaves_an_earlier_report_as_it_is(whole, tmp_path, monkeypatch):
    flags = ["--evaluate_only", "--model_name_or_path", str(whole), "--precise_bn", "0"]
    monkeypatch.setattr(pictures, "plot_class_distribution", fail)
    run(tmp_path, *flags)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert "confusion_matrix.png" in before and "class_distribution.png" not in before
    monkeypatch.setattr(results_module, "evaluation_results", fail)
    with pytest.raises(TrainingError, match="^Nothing could be measured: all results of"):
        run(tmp_path, *flags, "--overwrite")
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_only_errors_are_left_out_and_each_is_said_once():
    said = []
    gaps = Gaps(said.append)
    with gaps.on_error("nothing"):
        pass
    with pytest.raises(KeyboardInterrupt), gaps.on_error("all"):
        raise KeyboardInterrupt
    with gaps.on_error("card"):
        raise ValueError("no\nfigures")
    assert said == ["Left out: card (ValueError: no)"] and [*gaps.errors] == ["card"]
