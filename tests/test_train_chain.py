"""train_chain.py: which stages are trained, in which order, and what is refused."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
import yaml

import train
import train_chain
from tests.networks import saved, tiny_network
from training.arguments import parse_arguments
from training.data.packed import write_packed
from training.recipes import read_recipe
from training.record import read_run

ROOT = Path(__file__).parents[1]
SHIPPED, GPU = (ROOT / "configs" / name for name in ("model", "model_gpu"))
RECIPES = {
    "_base": "dataset: synthetic",
    "1_first": "{extends: _base.yaml, backbone: test_efficientnet}",
    "2_second": "{extends: _base.yaml, model_name_or_path: runs/1_first}",
    "10_last": "{extends: _base.yaml, model_name_or_path: m, teachers: [runs/1_first]}",
    "notes": "",
}


class FakeTrain:
    """Takes the place of the processes of train.py: notes their words and leaves a finished run."""

    def __init__(self):
        self.calls = []
        self.ends = {}  # stage -> what it does in place of finishing; its exit status

    def __call__(self, words):
        self.calls.append((Path(words[2]).stem, words[3:]))
        end = self.ends.get(Path(words[2]).stem, lambda: self.finish(words[2:]))
        return SimpleNamespace(wait=end, terminate=lambda: self.calls.append("terminated"))

    def finish(self, words):
        args = parse_arguments("", words)
        folder = Path(args.training.output_dir)
        folder.mkdir(parents=True, exist_ok=True)
        run = {"arguments": args.to_dict(), "stages": {}}
        (folder / "run.yaml").write_text(yaml.safe_dump(run))
        (folder / "all_results.json").write_text('{"epoch": 1, "eval_accuracy": 0.5}')
        (folder / "model.safetensors").touch()
        os.utime(folder / "model.safetensors", (len(self.calls),) * 2)
        return 0


@pytest.fixture
def fake(monkeypatch):
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    monkeypatch.setattr(train_chain.subprocess, "Popen", fake := FakeTrain())
    yield fake
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture
def chain(tmp_path, monkeypatch):
    """A folder of three stages; what is not a stage lies there too."""
    monkeypatch.chdir(tmp_path)
    Path("recipes").mkdir()
    for name, recipe in RECIPES.items():
        Path("recipes", f"{name}.yaml").write_text(recipe)
    return "recipes"


def ends(*argv) -> str:
    with pytest.raises(SystemExit) as end:
        train_chain.main([*argv])
    return str(end.value.code)


def test_stages_run_in_order_and_are_skipped_when_done(chain, fake, capsys):
    train_chain.main([chain, "--last", "2", "--seed", "3"])
    assert fake.calls == [("1_first", ["--seed", "3"]), ("2_second", ["--seed", "3"])]
    train_chain.main([chain, "--seed", "3", "--logging_steps", "7"])  # which changes no weights
    assert fake.calls[2:] == [("10_last", ["--seed", "3", "--logging_steps", "7"])]
    said = capsys.readouterr().out
    assert "Stage 2 of 3: 2_second\n  python train.py recipes/2_second.yaml --seed 3\n" in said
    assert "Stage 2 of 3: 2_second is done: runs/2_second\n" in said
    assert said.endswith("The model is in runs/10_last\n")


@pytest.mark.parametrize(
    "status, signals, how",
    [
        (1, [], "failed with status 1"),
        (128 + signal.SIGTERM, [], "was stopped"),
        (0, [signal.SIGINT], "was stopped"),  # as the terminal sends it to both processes
        (0, [signal.SIGTERM], "was stopped"),
    ],
)
def test_a_stage_that_was_cut_off_is_resumed(chain, fake, status, signals, how):
    def stop():
        for number in signals:
            signal.raise_signal(number)
        Path("runs/2_second/checkpoint-7").mkdir(parents=True)  # it saves its state first
        return status

    fake.ends["2_second"] = stop
    expected = f"Stage 2 of 3: 2_second {how}. The same command as before goes on from here."
    assert ends(chain) == expected
    assert ("terminated" in fake.calls) == (signal.SIGTERM in signals)
    fake.ends.clear()
    fake.calls.clear()
    train_chain.main([chain])
    resumed = ("2_second", ["--resume_from_checkpoint", "true"])
    assert fake.calls == [resumed, ("10_last", [])]


def test_a_finished_run_of_something_else_is_not_taken(chain, fake, monkeypatch):
    train_chain.main([chain])
    expected = "runs/1_first holds a finished run, but not one of this chain: {}. Move the folder"
    for flag, before, now in (("seed", 42, "2"), ("dataset", "synthetic", "else")):
        assert expected.format(f"{flag} {before} -> {now}") in ends(chain, f"--{flag}", now)
    weights = Path("runs/1_first/model.safetensors")
    os.utime(weights, (2.5, 2.5))  # after 2_second, before 10_last
    again = "runs/2_second holds .*: runs/1_first is newer or yet to be trained"
    with pytest.raises(SystemExit, match=again):
        train_chain.main([chain])
    os.utime(weights, (1, 1))
    Path("runs/1_first/all_results.json").write_text('{"epoch": 1}')  # not measured
    monkeypatch.setattr(train_chain, "last_whole_checkpoint", lambda folder: folder)
    with pytest.raises(SystemExit, match=again):
        train_chain.main([chain])
    assert len(fake.calls) == 3


@pytest.mark.parametrize(
    "argv, message",
    [
        ([], "10_last.yaml: unknown key 'lerning_rate'"),
        (["--output_dir=elsewhere"], "--output_dir: each stage has its own, runs/<recipe>."),
        (["--last", "4"], "recipes: found 3 recipes such as 1_first.yaml."),
        (["--last", "0"], "recipes: found 3 recipes such as 1_first.yaml."),
        (["--pretrained", "none"], "--pretrained none: no such file or folder."),
    ],
)
def test_mistakes_show_before_anything_is_trained(chain, fake, capsys, argv, message):
    Path(chain, "10_last.yaml").write_text("lerning_rate: 1")
    ends(chain, *argv)
    assert message in capsys.readouterr().err and not fake.calls


def test_a_rehearsal_that_was_through_begins_anew(chain, fake):
    train_chain.main([chain, "--rehearse"])
    os.chdir("../..")
    train_chain.main([chain, "--rehearse", "--last", "2"])
    assert [name for name, _ in fake.calls[3:]] == ["1_first", "2_second"]
    assert "--synthetic_images" in fake.calls[0][1] and not Path("runs/10_last").exists()


def test_imagenet_weights_go_to_the_stages_that_start_from_them(chain, fake, tmp_path, capsys):
    recipes = [Path(chain, name) for name in ("1_first.yaml", "2_second.yaml", "3_third.yaml")]
    recipes[1].write_text("{backbone: tf_efficientnet_lite2, pretrained: imagenet}")
    recipes[2].write_text("{backbone: tf_efficientnetv2_s, pretrained: imagenet}")
    (file := tmp_path / "tf_efficientnet_lite2.safetensors").touch()

    def flags(source):
        stages = [train_chain.Stage(recipe, []) for recipe in recipes]
        return [stage.with_weights(source).flags for stage in stages]

    assert flags(tmp_path) == [[], ["--pretrained", str(file)], ["--no_pretrained"]]
    missing = f"{tmp_path}/tf_efficientnetv2_s.safetensors"
    said = f"3_third starts from random weights: there is no {missing}\n"
    assert capsys.readouterr().out == said
    assert flags(file)[:2] == [[], ["--pretrained", str(file)]]
    train_chain.main([chain, "--last", "2"])
    assert "2_second will load ImageNet weights from the Hub" in capsys.readouterr().out
    train_chain.main([chain, "--last", "2", "--pretrained", str(file)])  # files may move
    assert len(fake.calls) == 2


@pytest.mark.parametrize("folder", [SHIPPED, GPU])
def test_shipped_stages_need_earlier_ones_and_repeat_nothing(folder):
    recipes = sorted(folder.glob("[0-9]*.yaml"), key=lambda p: int(p.stem.split("_")[0]))
    folders, needed = [], set()
    for path in recipes:
        stage = train_chain.Stage(path, ["--use_cpu"])
        earlier = {*stage.args.earlier_models()} - {"model"}  # which is there
        assert earlier <= {*folders}, path
        needed |= earlier
        folders.append(str(stage.folder))
        own = yaml.safe_load(path.read_text())
        if "extends" in own:
            base = read_recipe(folder / own["extends"])
            assert not {name for name, value in own.items() if base.get(name) == value}, path
    assert needed == {*folders[:-1]}  # none is trained for nothing


def test_make_says_what_it_needs(tmp_path):
    environment = {name: value for name, value in os.environ.items() if name != "DATASET"}
    for target, status, said in (("model", 2, "Give the data"), ("run", 0, "about 6.5 GB")):
        command = ["make", "-n", target, f"VENV={tmp_path}/venv"]
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
        assert done.returncode == status and said in done.stdout + done.stderr


def test_the_gpu_chain_is_rehearsed_with_train_py(tmp_path, make_faces, fake, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    labels = [*range(7)] * 3
    splits = {"train": make_faces(labels), "validation": make_faces(labels, range(50, 71))}
    for faces in splits.values():
        faces.votes = torch.eye(10)[faces.labels] * 10
    about = {"classes": "fer2013", "label_source": "dataset", "left_out": {}}
    write_packed(tmp_path / "faces.safetensors", splits, about)

    def in_this_process(words):
        monkeypatch.setattr(sys, "argv", words[1:])
        return SimpleNamespace(wait=lambda: train.main(words[2:]) or 0)

    # in place of model/, which is no toy
    toy = tiny_network(num_channels=1, image_size=48)
    saved(toy, tmp_path / "runs" / "rehearsal" / "model")
    monkeypatch.setattr(train_chain.subprocess, "Popen", in_this_process)
    monkeypatch.setattr("training.run.load_back", lambda *args: "")  # another process
    monkeypatch.setitem(sys.modules, "matplotlib", None)  # drawing takes longer than all else
    command = [str(GPU), "--rehearse", "--dataset", "faces.safetensors", "--report_to", "none"]
    command += ["--backbone", "test_efficientnet", "--disable_tqdm", "true"]
    train_chain.main([*command, "--last", "4"])
    monkeypatch.chdir(tmp_path)
    train_chain.main(command)
    said = capsys.readouterr().out
    assert [f"Stage {n} of 5: " in said for n in range(1, 6)] == [True] * 5
    assert "Stage 4 of 5: 4_taught is done: runs/4_taught\n" in said
    names = [path.stem for path in sorted(GPU.glob("[0-9]*.yaml"))]
    stages = [*read_run(Path("runs") / names[-1])["stages"]]
    assert {*stages} == {*names[:-1]}
    assert not list((tmp_path / "runs").glob("[0-9]*"))  # the chain's own folders
