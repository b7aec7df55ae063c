"""Two CPU processes, over gloo."""

import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

import train
from tests.forked import run_forked
from training.run import check_processes
from training.trainer import FerTrainer

ROOT = Path(__file__).parents[1]
RECIPE = [
    *["--dataset", "synthetic", "--synthetic_images", "155", "--backbone", "test_efficientnet"],
    *["--image_size", "32", "--per_device_train_batch_size", "16", "--num_train_epochs", "1"],
    *["--export_onnx", "false"],
    *["--per_device_eval_batch_size", "8", "--disable_tqdm", "true", "--use_cpu"],
]


def launch(*command):
    environment = {name: os.environ[name] for name in os.environ if "ACCELERATE" not in name}
    return subprocess.run(
        [sys.executable, "-m", "accelerate.commands.launch", *command],
        cwd=ROOT,
        env=environment | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )


@pytest.fixture(scope="module")
def of_two(tmp_path_factory):
    """A run by accelerate launch: its folder, and what was printed."""
    folder = tmp_path_factory.mktemp("two") / "run"
    done = launch(
        *["--config_file", "configs/accelerate/cpu_2.yaml", "train.py", *RECIPE],
        *["--output_dir", str(folder), "--ema_decay", "0.5", "--load_best_model_at_end", "true"],
        *["--bf16", "true"],  # of the training alone
    )
    assert done.returncode == 0, done.stderr
    return folder, done.stdout


def test_two_processes_run_and_one_of_them_prints(of_two):
    _, printed = of_two
    assert "Training on 157 images, 2 process(es)" in printed
    for line in ("Data: ", "Loaded back", "Model, card and report:"):
        assert printed.count(line) == 1


def test_evaluation_by_two_processes_is_that_of_one(of_two, tmp_path):
    """35 images over two processes in batches of 8: not evenly."""
    folder, _ = of_two
    train.main(
        ["--evaluate_only", "--model_name_or_path", str(folder), "--dataset", "synthetic"]
        + ["--synthetic_images", "155", "--output_dir", str(tmp_path / "one"), "--use_cpu"]
        + ["--per_device_eval_batch_size", "8"]
    )
    two, one = (
        json.loads((path / "all_results.json").read_text()) for path in (folder, tmp_path / "one")
    )
    names = [name for name in one if name.startswith("eval_")]
    assert one["eval_samples"] == 35 and len(names) > 40
    for name in names:
        # of float32 logits, whose last bits depend on the size of their batch
        if name.startswith("eval_reliability"):
            assert len(two[name]) == len(one[name])
            for row, expected in zip(two[name], one[name]):
                assert row == pytest.approx(expected, abs=1e-6)
        elif any(part in name for part in ("ece", "loss", "mean_")):
            assert two[name] == pytest.approx(one[name], abs=1e-6), name
        else:
            assert two[name] == one[name], name


def test_a_loss_that_is_not_finite_in_one_process_stops_all(tmp_path):
    compute_loss = FerTrainer.compute_loss

    def nan_in_one(self, *args, **kwargs):
        loss = compute_loss(self, *args, **kwargs)
        return loss * float("nan") if os.environ["RANK"] == "1" else loss

    def run():
        FerTrainer.compute_loss = nan_in_one
        train.main([*RECIPE, "--report_to", "none", "--output_dir", str(tmp_path / "run")])

    output = tmp_path / "output.txt"
    assert run_forked(run, output, number=2) == [1, 1]
    assert output.read_text().count("TrainingError: The loss of step 1 is nan") == 2


def test_two_processes_that_do_not_know_each_other_are_refused(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")  # of accelerate or torchrun
    with pytest.raises(SystemExit, match="2 processes were started.*--use_cpu"):
        check_processes(SimpleNamespace(world_size=1))


def test_one_process_where_two_were_asked_for_is_refused(tmp_path, monkeypatch):
    script = tmp_path / "environment.py"
    script.write_text("import json, os; print(json.dumps({**os.environ}))")
    done = launch("--cpu", "--num_processes", "2", str(script))
    monkeypatch.setattr(os, "environ", json.loads(done.stdout.splitlines()[-1]))
    with pytest.raises(SystemExit, match="but started one(.|\n)*configs/accelerate/cpu_2.yaml"):
        check_processes(SimpleNamespace(world_size=1))
