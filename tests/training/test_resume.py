"""Runs of train.py that are killed, stopped or out of room, and gone on with."""

import json
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml
from accelerate import Accelerator
from safetensors.torch import load_file

import train
from training.checkpoints import (
    TrainingError,
    checkpoints,
    is_whole,
    last_whole_checkpoint,
    resume_point,
)
from training.record import run_folder
from training.stopping import StopOnSignal
from training.trainer import FerTrainer

ROOT = Path(__file__).parents[2]
RECIPE = [
    *["--dataset", "synthetic", "--synthetic_images", "60", "--backbone", "test_efficientnet"],
    *["--image_size", "32", "--per_device_train_batch_size", "16", "--num_train_epochs", "3"],
    *["--sampling", "weighted", "--mixup", "0.2", "--ema_decay", "0.9", "--timm_optim", "nmuon"],
    *["--drop_path_rate", "0.2", "--augment_erasing", "0.5", "--progressive_sizes", "24", "32"],
    *["--save_strategy", "steps", "--save_steps", "2", "--eval_strategy", "steps"],
    *["--eval_steps", "2", "--logging_steps", "3", "--load_best_model_at_end", "true"],
    *["--learning_rate", "1e-2", "--metric_for_best_model", "accuracy"],
    *["--disable_tqdm", "true", "--use_cpu"],
]
LAST = "checkpoint-12"  # 4 steps an epoch

# What a process does that is to be ended at its n-th call of a method of FerTrainer.
KILLED = """
import os, signal, sys
method, number, how, *argv = sys.argv[1:]
import train
from training.trainer import FerTrainer
original, calls = getattr(FerTrainer, method), 0
def counted(self, *args, **kwargs):
    global calls
    calls += 1
    result = original(self, *args, **kwargs)
    if calls == int(number):
        if how == "half":
            file = os.path.join(args[0], "optimizer.pt")
            os.truncate(file, os.path.getsize(file) // 2)
        os.kill(os.getpid(), signal.SIGINT if how == "stop" else signal.SIGKILL)
    return result
setattr(FerTrainer, method, counted)
train.main(argv)
"""


def run(folder, *flags):
    train.main([*RECIPE, "--output_dir", str(folder), *flags])


def run_and_end(folder, method, number, how, *flags):
    return subprocess.run(
        [sys.executable, "-c", KILLED, method, str(number), how]
        + [*RECIPE, "--output_dir", str(folder), *flags],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )


@pytest.fixture(scope="module", autouse=True)
def not_loaded_back():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(train, "load_back", lambda *_: "")  # slow, and tested elsewhere
        yield


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("undisturbed")
    run(folder)
    return folder


def assert_same_run(folder, undisturbed):
    for name in ("model.safetensors", f"{LAST}/model.safetensors", f"{LAST}/ema.safetensors"):
        assert (folder / name).read_bytes() == (undisturbed / name).read_bytes(), name
    states = [torch.load(path / LAST / "optimizer.pt")["state"] for path in (folder, undisturbed)]
    torch.testing.assert_close(*states, rtol=0, atol=0)
    schedules = [torch.load(path / LAST / "scheduler.pt") for path in (folder, undisturbed)]
    assert schedules[0] == schedules[1]
    first, second = (
        json.loads((path / LAST / "trainer_state.json").read_text())
        for path in (folder, undisturbed)
    )
    assert history(first) == history(second)
    assert [first["best_metric"], first["best_global_step"]] == [
        second["best_metric"],
        second["best_global_step"],
    ]
    figures, expected = (
        json.loads((path / "all_results.json").read_text()) for path in (folder, undisturbed)
    )
    for name in ("train_loss", "epoch"):
        assert figures[name] == pytest.approx(expected[name]), name


def history(state):
    """Without what measures time."""
    measured = re.compile("elapsed|runtime|per_second")
    return [
        {name: value for name, value in entry.items() if not measured.search(name)}
        for entry in state["log_history"]
    ]


@pytest.mark.parametrize(
    "method, number, how, whole",
    [
        ("training_step", 6, "kill", "checkpoint-4"),  # in a step, in the middle of an epoch
        ("prediction_step", 5, "kill", "checkpoint-8"),  # in an evaluation, before its checkpoint
        ("_save_optimizer_and_scheduler", 4, "half", "checkpoint-6"),  # checkpoint half written
        ("save_model", 3, "kill", "checkpoint-4"),  # weights written, nothing else
    ],
)
def test_a_killed_run_goes_on_as_if_nothing_had_happened(
    tmp_path, undisturbed, capsys, method, number, how, whole
):
    done = run_and_end(tmp_path, method, number, how)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert not (tmp_path / "model.safetensors").exists()
    assert last_whole_checkpoint(tmp_path) == tmp_path / whole
    run(tmp_path, "--resume_from_checkpoint", "true")
    assert f"Resuming from {tmp_path / whole}" in capsys.readouterr().out
    assert_same_run(tmp_path, undisturbed)


def test_ctrl_c_saves_and_says_how_to_go_on(tmp_path, undisturbed):
    done = run_and_end(tmp_path, "training_step", 7, "stop")
    assert done.returncode == 128 + signal.SIGINT, done.stderr
    assert "SIGINT: finishing this step and saving a checkpoint" in done.stdout
    assert "Stopped after step 7 of 12" in done.stdout
    assert "--resume_from_checkpoint true" in done.stdout and "Traceback" not in done.stderr
    assert is_whole(tmp_path / "checkpoint-7")
    run(tmp_path, "--resume_from_checkpoint", "true")
    assert_same_run(tmp_path, undisturbed)


def test_ctrl_c_in_the_last_evaluation_saves_too(tmp_path):
    flags = ["--load_best_model_at_end", "false", "--save_strategy", "no", "--max_steps", "2"]
    done = run_and_end(tmp_path, "prediction_step", 1, "stop", *flags)
    assert done.returncode == 128 + signal.SIGINT, done.stderr
    assert is_whole(tmp_path / "checkpoint-2")


def test_a_finished_run_without_checkpoint_is_not_resumed_over(tmp_path):
    (tmp_path / "run.yaml").write_text("of another run")
    with pytest.raises(SystemExit, match="a finished run and no complete checkpoint"):
        run(tmp_path, "--resume_from_checkpoint", "true")


def test_a_checkpoint_of_another_folder_does_not_replace_a_run(tmp_path, undisturbed):
    shutil.copytree(undisturbed, tmp_path / "run")
    other = checkpoints(undisturbed)[0]
    with pytest.raises(SystemExit, match=f"holds another run than {other}"):
        run(tmp_path / "run", "--resume_from_checkpoint", str(other))


def test_a_finished_run_resumed_reports_the_same_again(tmp_path, undisturbed):
    shutil.copytree(undisturbed, tmp_path / "again")
    run(tmp_path / "again", "--resume_from_checkpoint", "true")
    assert_same_run(tmp_path / "again", undisturbed)


def test_a_renamed_run_resumed_finds_its_best_checkpoint(tmp_path, undisturbed, capfd):
    shutil.copytree(undisturbed, tmp_path / "first")
    state = tmp_path / "first" / LAST / "trainer_state.json"
    gone = str(tmp_path / "first" / "checkpoint-10")
    state.write_text(json.dumps(json.loads(state.read_text()) | {"best_model_checkpoint": gone}))
    (tmp_path / "first").rename(tmp_path / "second")
    run(tmp_path / "second", "--resume_from_checkpoint", "true")
    best = load_file(tmp_path / "second" / "checkpoint-10" / "ema.safetensors")
    saved = load_file(tmp_path / "second" / "model.safetensors")
    name = next(iter(saved))
    assert torch.equal(saved[name], best[name])
    assert "does not exist anymore" not in capfd.readouterr().err


def test_what_a_resume_changes_is_said_or_refused(tmp_path, undisturbed, capsys):
    shutil.copytree(undisturbed, tmp_path / "run")
    older = checkpoints(tmp_path / "run")[-1]
    assert older.name != LAST
    again = ["--resume_from_checkpoint", str(older)]
    with pytest.raises(TrainingError, match="of another run: loss cross_entropy -> focal"):
        run(tmp_path / "run", *again, "--loss", "focal", "--mixup", "0")
    with pytest.raises(TrainingError, match="of another run: data_fingerprint"):
        run(tmp_path / "run", *again, "--synthetic_seed", "1")
    with pytest.raises(TrainingError, match="of another run: learning_rate 0.01 -> 0.02"):
        run(tmp_path / "run", *again, "--learning_rate", "2e-2")
    with pytest.raises(SystemExit, match="holds another run"):
        run(tmp_path / "run", "--resume_from_checkpoint", "False")
    run(tmp_path / "run", *again, "--augment_erasing", "0.25")
    printed = capsys.readouterr().out
    assert f"Changed since {older}, from here on: augment_erasing 0.5 -> 0.25" in printed
    assert "Newer checkpoints are set aside: superseded-checkpoint-12" in printed
    noted = yaml.safe_load((tmp_path / "run" / "run.yaml").read_text())["changed_on_resume"]
    assert noted == [f"{older.name}: augment_erasing 0.5 -> 0.25"]


def test_only_a_later_ctrl_c_ends_at_once(monkeypatch):
    """torchrun sends its processes SIGTERM, or the SIGINT again, just after the terminal's."""
    clock = iter([10.0, 10.5, 12.0])
    monkeypatch.setattr("training.stopping.time.monotonic", lambda: next(clock))
    stop = StopOnSignal(Accelerator(cpu=True))
    stop._note(signal.SIGINT, None)
    stop._note(signal.SIGTERM, None)
    stop._note(signal.SIGINT, None)
    assert stop.received == signal.SIGINT
    with pytest.raises(KeyboardInterrupt):
        stop._note(signal.SIGINT, None)


@pytest.mark.parametrize("whole", [True, False])
def test_ctrl_c_before_the_training_says_what_there_is(tmp_path, monkeypatch, capsys, whole):
    def stopped(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(train, "load_splits", stopped)
    monkeypatch.setattr("training.checkpoints.is_whole", lambda checkpoint: whole)
    (tmp_path / LAST).mkdir()
    with pytest.raises(SystemExit) as end:
        run(tmp_path, "--resume_from_checkpoint", "true")
    assert end.value.code == 130
    said = "is whole: --resume_from_checkpoint true" if whole else "There is no checkpoint"
    assert said in capsys.readouterr().err


def test_a_broken_checkpoint_is_passed_over_and_said(tmp_path, undisturbed):
    for number in (10, 12):
        os.symlink(undisturbed / f"checkpoint-{number}", tmp_path / f"checkpoint-{number}")
    (tmp_path / "checkpoint-14").mkdir()
    found, words = resume_point("true", tmp_path)
    assert found == tmp_path / LAST
    assert words == f"Resuming from {found} (checkpoint-14: not whole, passed over)"
    with pytest.raises(TrainingError, match="expected a checkpoint with model.safetensors"):
        resume_point(str(tmp_path / "checkpoint-14"), tmp_path)
    assert resume_point("true", tmp_path / "none")[0] is None
    assert resume_point("false", tmp_path) == (None, "")


@pytest.mark.parametrize("name", ["optimizer.pt", "ema.safetensors", "trainer_state.json"])
def test_a_file_that_is_cut_off_makes_a_checkpoint_not_whole(tmp_path, undisturbed, name):
    for file in (undisturbed / LAST).iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    assert is_whole(tmp_path)
    os.truncate(tmp_path / name, (tmp_path / name).stat().st_size - 10)
    assert not is_whole(tmp_path)


def test_a_loss_that_is_not_finite_stops_the_run(tmp_path, monkeypatch, undisturbed):
    original, calls = FerTrainer.compute_loss, iter(range(100))

    def compute_loss(self, model, *args, **kwargs):
        loss = original(self, model, *args, **kwargs)
        return loss * float("nan") if model.training and next(calls) == 6 else loss

    with monkeypatch.context() as patch:
        patch.setattr(FerTrainer, "compute_loss", compute_loss)
        with pytest.raises(
            TrainingError, match="loss of step 7 is nan(.|\n)*checkpoint-6 is whole"
        ):
            run(tmp_path)
    kept = load_file(tmp_path / "checkpoint-6" / "model.safetensors")
    assert all(value.isfinite().all() for value in kept.values())
    run(tmp_path, "--resume_from_checkpoint", "true")
    assert_same_run(tmp_path, undisturbed)


class SmallDisk:
    """No file can grow beyond so many bytes."""

    def __init__(self, size):
        self.size = size

    def __enter__(self):
        self.before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (self.size, self.before[1]))

    def __exit__(self, *error):
        resource.setrlimit(resource.RLIMIT_FSIZE, self.before)


@pytest.mark.parametrize("file", ["model.safetensors", "optimizer.pt"])
def test_a_full_disk_keeps_the_last_checkpoint(tmp_path, monkeypatch, undisturbed, file):
    room = (undisturbed / LAST / file).stat().st_size - 1000
    original = FerTrainer._save_checkpoint

    def save_checkpoint(self, *args):
        if self.state.global_step < 6:
            return original(self, *args)
        with SmallDisk(room):
            return original(self, *args)

    with monkeypatch.context() as patch:
        patch.setattr(FerTrainer, "_save_checkpoint", save_checkpoint)
        with pytest.raises(
            TrainingError, match="checkpoint-6 could not be written (.|\n)*Make room"
        ):
            run(tmp_path)
    assert not (tmp_path / "checkpoint-6").exists()
    assert last_whole_checkpoint(tmp_path) == tmp_path / "checkpoint-4"


def test_a_full_disk_at_the_end_leaves_the_folder_as_it_was(tmp_path, monkeypatch, undisturbed):
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "run.yaml").write_text("of another run")
    (folder / "model.safetensors").write_bytes(b"of another run")
    save_network = run_folder.save_network

    def save(*args, **kwargs):
        with SmallDisk(100_000):
            save_network(*args, **kwargs)

    monkeypatch.setattr(run_folder, "save_network", save)
    with pytest.raises(TrainingError, match="its earlier content is unchanged"):
        run(folder, "--overwrite", "--max_steps", "2")
    assert (folder / "model.safetensors").read_bytes() == b"of another run"
    assert not (folder / ".partial").exists()
