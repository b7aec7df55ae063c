"""Runs of train.py that are killed, stopped or out of room, and gone on with."""

import json
import os
import re
import resource
import shutil
import signal

import pytest
import torch
import yaml
from accelerate import Accelerator

import train
from tests.forked import run_forked
from training.checkpoints import checkpoints, is_whole, last_whole_checkpoint, resume_point
from training.errors import TrainingError
from training.stopping import StopOnSignal
from training.trainer import FerTrainer

RECIPE = [
    *["--dataset", "synthetic", "--synthetic_images", "60", "--backbone", "test_efficientnet"],
    *["--image_size", "32", "--per_device_train_batch_size", "16", "--num_train_epochs", "3"],
    *["--sampling", "weighted", "--mixup", "0.2", "--ema_decay", "0.9", "--timm_optim", "nmuon"],
    *["--drop_path_rate", "0.2", "--augment_erasing", "0.5", "--progressive_sizes", "24", "32"],
    *["--save_strategy", "steps", "--save_steps", "2", "--eval_strategy", "steps"],
    *["--eval_steps", "2", "--logging_steps", "3", "--load_best_model_at_end", "true"],
    *["--learning_rate", "1e-2", "--metric_for_best_model", "accuracy", "--report_to", "none"],
    *["--disable_tqdm", "true", "--use_cpu"],
]
LAST = "checkpoint-12"  # 4 steps an epoch


@pytest.fixture(scope="module", autouse=True)
def quick(quick_reports):
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # as in forked processes, so that sums are the same
    yield
    torch.set_num_threads(threads)


def run(folder, *flags):
    train.main([*RECIPE, "--output_dir", str(folder), *flags])


def run_and_end(folder, method, number, how, *flags):
    """
    A run in a process that ends itself at the n-th call of a method of FerTrainer -> its exit
    status and what it printed.
    """
    original, calls = getattr(FerTrainer, method), iter(range(1, 1000))

    def counted(self, *args, **kwargs):
        result = original(self, *args, **kwargs)
        if next(calls) == number:
            if how == "half":
                file = os.path.join(args[0], "optimizer.pt")
                os.truncate(file, os.path.getsize(file) // 2)
            os.kill(os.getpid(), signal.SIGINT if how == "stop" else signal.SIGKILL)
        return result

    def ending():
        setattr(FerTrainer, method, counted)
        run(folder, *flags)

    output = folder.with_suffix(".txt")
    (status,) = run_forked(ending, output)
    return status, output.read_text()


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("undisturbed")
    run(folder)
    return folder


def read_json(file):
    return json.loads(file.read_text())


def assert_same_run(folder, undisturbed):
    both = (folder, undisturbed)
    for name in ("model.safetensors", f"{LAST}/model.safetensors", f"{LAST}/ema.safetensors"):
        assert (folder / name).read_bytes() == (undisturbed / name).read_bytes(), name
    states = [torch.load(path / LAST / "optimizer.pt")["state"] for path in both]
    torch.testing.assert_close(*states, rtol=0, atol=0)
    first, second = (torch.load(path / LAST / "scheduler.pt") for path in both)
    assert first == second
    first, second = (read_json(path / LAST / "trainer_state.json") for path in both)
    assert history(first) == history(second)
    for name in ("best_metric", "best_global_step"):
        assert first[name] == second[name]
    results, expected = (read_json(path / "all_results.json") for path in both)
    for name in ("train_loss", "epoch"):
        assert results[name] == pytest.approx(expected[name]), name


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
    folder = tmp_path / "run"
    status, printed = run_and_end(folder, method, number, how)
    assert status == -signal.SIGKILL, printed
    assert not (folder / "model.safetensors").exists()
    assert last_whole_checkpoint(folder) == folder / whole
    run(folder, "--resume_from_checkpoint", "true")
    assert f"Resuming from {folder / whole}" in capsys.readouterr().out
    assert_same_run(folder, undisturbed)


def test_ctrl_c_saves_and_says_how_to_go_on(tmp_path, undisturbed):
    folder = tmp_path / "run"
    status, printed = run_and_end(folder, "training_step", 7, "stop")
    assert status == 128 + signal.SIGINT, printed
    assert "SIGINT: finishing this step and saving a checkpoint" in printed
    assert "Stopped after step 7 of 12" in printed
    assert "--resume_from_checkpoint true" in printed and "Traceback" not in printed
    assert is_whole(folder / "checkpoint-7")
    run(folder, "--resume_from_checkpoint", "true")
    assert_same_run(folder, undisturbed)


def test_ctrl_c_in_the_middle_of_an_epoch_leaves_out_the_end_of_the_epoch(tmp_path):
    flags = ["--eval_strategy", "epoch", "--save_strategy", "epoch", "--logging_strategy", "epoch"]
    run(tmp_path / "undisturbed", *flags)
    status, printed = run_and_end(tmp_path / "run", "training_step", 6, "stop", *flags)
    assert status == 128 + signal.SIGINT, printed
    run(tmp_path / "run", *flags, "--resume_from_checkpoint", "true")
    assert_same_run(tmp_path / "run", tmp_path / "undisturbed")


def test_ctrl_c_in_the_last_evaluation_saves_too(tmp_path):
    flags = ["--load_best_model_at_end", "false", "--save_strategy", "no", "--max_steps", "2"]
    status, printed = run_and_end(tmp_path / "run", "prediction_step", 1, "stop", *flags)
    assert status == 128 + signal.SIGINT, printed
    assert is_whole(tmp_path / "run" / "checkpoint-2")


def test_another_run_is_not_resumed_over(tmp_path, undisturbed):
    shutil.copytree(undisturbed, tmp_path / "run")
    other = checkpoints(undisturbed)[0]
    with pytest.raises(SystemExit, match=f"holds another run than {other}"):
        run(tmp_path / "run", "--resume_from_checkpoint", str(other))
    for checkpoint in checkpoints(tmp_path / "run"):
        shutil.rmtree(checkpoint)
    with pytest.raises(SystemExit, match="a finished run and no complete checkpoint"):
        run(tmp_path / "run", "--resume_from_checkpoint", "true")


def test_a_finished_run_that_was_renamed_reports_the_same_again(tmp_path, undisturbed, capfd):
    shutil.copytree(undisturbed, tmp_path / "again")
    state = tmp_path / "again" / LAST / "trainer_state.json"
    best = tmp_path / "gone" / os.path.basename(read_json(state)["best_model_checkpoint"])
    state.write_text(json.dumps(read_json(state) | {"best_model_checkpoint": str(best)}))
    run(tmp_path / "again", "--resume_from_checkpoint", "true")
    assert_same_run(tmp_path / "again", undisturbed)
    assert "does not exist anymore" not in capfd.readouterr().err


def test_what_a_resume_changes_is_said_or_refused(tmp_path, undisturbed, capsys):
    shutil.copytree(undisturbed, tmp_path / "run")
    older = checkpoints(tmp_path / "run")[-1]
    assert older.name != LAST
    again = ["--resume_from_checkpoint", str(older)]
    for changed, message in {
        ("--loss", "focal", "--mixup", "0"): "loss cross_entropy -> focal",
        ("--synthetic_seed", "1"): "data_fingerprint",
        ("--learning_rate", "2e-2"): "learning_rate 0.01 -> 0.02",
        ("--per_device_train_batch_size", "8"): "per_device_train_batch_size 16 -> 8",
        ("--gradient_accumulation_steps", "2"): "gradient_accumulation_steps 1 -> 2",
    }.items():
        with pytest.raises(TrainingError, match=f"of another run: {message}"):
            run(tmp_path / "run", *again, *changed)
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

    monkeypatch.setattr("training.run.load_splits", stopped)
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
    checkpoint, message = resume_point("true", tmp_path)
    assert checkpoint == tmp_path / LAST
    assert message == f"Resuming from {checkpoint} (checkpoint-14: not whole, passed over)"
    with pytest.raises(TrainingError, match="expected a checkpoint with model.safetensors"):
        resume_point(str(tmp_path / "checkpoint-14"), tmp_path)
    assert resume_point("true", tmp_path / "none")[0] is None


@pytest.mark.parametrize("name", ["optimizer.pt", "ema.safetensors", "trainer_state.json"])
def test_a_file_that_is_cut_off_makes_a_checkpoint_not_whole(tmp_path, undisturbed, name):
    checkpoint = shutil.copytree(undisturbed / LAST, tmp_path / LAST)
    assert is_whole(checkpoint)
    os.truncate(checkpoint / name, (checkpoint / name).stat().st_size - 10)
    assert not is_whole(checkpoint)


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
    run(tmp_path, "--resume_from_checkpoint", "true")
    assert_same_run(tmp_path, undisturbed)


@pytest.fixture
def small_disk():
    """Bytes -> from then on no file can grow beyond so many."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    yield lambda size: resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("file", ["model.safetensors", "optimizer.pt"])
def test_a_full_disk_keeps_the_last_checkpoint(
    tmp_path, monkeypatch, undisturbed, small_disk, file
):
    original = FerTrainer._save_checkpoint

    def save_checkpoint(self, *args):
        if self.state.global_step == 6:
            small_disk((undisturbed / LAST / file).stat().st_size - 1000)
        return original(self, *args)

    monkeypatch.setattr(FerTrainer, "_save_checkpoint", save_checkpoint)
    with pytest.raises(TrainingError, match="checkpoint-6 could not be written (.|\n)*Make room"):
        run(tmp_path)
    assert not (tmp_path / "checkpoint-6").exists()
    assert last_whole_checkpoint(tmp_path) == tmp_path / "checkpoint-4"


def test_a_full_disk_at_the_end_leaves_the_folder_as_it_was(tmp_path, monkeypatch, small_disk):
    (tmp_path / "run.yaml").write_text("of another run")
    (tmp_path / "model.safetensors").write_bytes(b"of another run")
    finish_weights = FerTrainer.finish_weights
    monkeypatch.setattr(
        FerTrainer, "finish_weights", lambda *args: [finish_weights(*args), small_disk(100_000)]
    )
    flags = ["--overwrite", "--max_steps", "2", "--save_strategy", "no", "--eval_strategy", "no"]
    with pytest.raises(TrainingError, match="its earlier content is unchanged"):
        run(tmp_path, *flags, "--load_best_model_at_end", "false")
    assert (tmp_path / "model.safetensors").read_bytes() == b"of another run"
    assert not (tmp_path / ".partial").exists()
