"""training/stages.py: a chain of runs, as run.yaml holds it, in words for somebody else."""

import copy
import json
import shutil
from pathlib import Path

import pytest
import yaml
from training.card import _base_model
from training.stages import commands, finished_run, portable, share_equal_runs, stages

MODEL = Path(__file__).parents[1] / "model"


def a_run(command, source=None, started_from=None, fingerprint="same", teachers=(), taught_by=()):
    return {
        "command": command,
        "data_fingerprint": fingerprint,
        "arguments": {
            "model": {"model_name_or_path": source},
            "imbalance": {"teachers": list(teachers)},
        },
        "started_from": started_from,
        "taught_by": list(taught_by),
    }


def test_the_shipped_run_starts_a_chain_of_one_more(tmp_path):
    shipped = finished_run(MODEL)
    run = a_run("python train.py configs/next.yaml --output_dir model", "model")
    (tmp_path / "run.yaml").write_text(yaml.safe_dump(run | {"started_from": shipped}))
    shutil.copyfile(MODEL / "all_results.json", tmp_path / "all_results.json")
    chain = stages(tmp_path)
    assert chain[:-1] == stages(MODEL) and len(chain) > 2
    assert "configs/fer2013.yaml" in chain[0]["command"] and "started_from" not in chain[0]
    assert all(run["train_runtime"] > 0 for run in chain)
    assert [run["epoch"] > 0 for run in chain[:-1]] == [
        "averaged_with" not in run for run in chain[:-1]
    ]
    results = json.loads((MODEL / "all_results.json").read_text())
    assert chain[-2]["train_runtime"] == results["train_runtime"]


def test_an_evaluation_is_no_stage(tmp_path):
    (tmp_path / "run.yaml").write_text("seed: 1")
    (tmp_path / "all_results.json").write_text('{"eval_accuracy": 0.5}')
    assert finished_run(tmp_path) is None


def test_each_stage_starts_where_the_one_before_wrote(tmp_path):
    data = tmp_path / "secret place" / "fer2013.csv"
    data.parent.mkdir()
    data.touch()
    one = a_run(
        "python train.py configs/one.yaml --dataset data/moved "
        "--output_dir model --resume_from_checkpoint true"
    )
    two = a_run(
        f"python /x/train.py configs/two.yaml --dataset={data} --overwrite", "runs/one", one
    )
    three = a_run(f"python train.py configs/two.yaml --dataset '{data}' --seed 3", "model", two)
    runs = [one, two, three]
    assert commands(runs) == [
        "python train.py configs/one.yaml --dataset fer2013.csv",
        "python train.py configs/two.yaml --dataset fer2013.csv",
        "python train.py configs/two.yaml --dataset fer2013.csv --seed 3 --output_dir runs/stage3 "
        "--model_name_or_path runs/two",
    ]


def test_other_data_keep_their_name():
    first = a_run("python train.py configs/one.yaml --dataset me/faces", fingerprint="other")
    last = a_run("python train.py configs/two.yaml --dataset me/fer2013", "runs/one", first)
    assert "--dataset me/faces" in commands([first, last])[0]


def test_teachers_come_before_their_pupil_and_only_once(tmp_path):
    first = a_run("python train.py configs/first.yaml")
    good = a_run("python train.py configs/good.yaml", "runs/first", first)
    pupil = a_run(
        "python train.py configs/pupil.yaml --teachers /x/first model me/teacher",
        *("runs/first", first),
        teachers=["/x/first", "model", "me/teacher"],
        taught_by=[first, good, None],
    )
    (tmp_path / "run.yaml").write_text(yaml.safe_dump(pupil))
    shutil.copyfile(MODEL / "all_results.json", tmp_path / "all_results.json")
    chain = stages(tmp_path)
    assert chain[:-1] == [first, good]
    assert commands(chain) == [
        "python train.py configs/first.yaml",
        "python train.py configs/good.yaml",
        "python train.py configs/pupil.yaml --teachers runs/first runs/good me/teacher",
    ]


def test_a_soup_comes_after_what_is_in_it():
    first, other = (a_run(f"python train.py configs/{name}.yaml") for name in ("first", "other"))
    soup = a_run("python train.py --average_with /x/other", "runs/first", first)
    soup["arguments"]["model"]["average_with"] = ["/x/other"]
    soup["averaged_with"] = [other]
    assert commands([first, other, soup])[2] == "python train.py --average_with runs/other"


def test_equal_runs_are_written_once():
    first, again = (a_run("python train.py configs/first.yaml") for _ in range(2))
    pupil = a_run("python train.py", "runs/first", first, teachers=["a", "b"])
    pupil["taught_by"] = [None, a_run("python train.py", "runs/first", again)]
    shared = share_equal_runs(copy.deepcopy(pupil))
    assert shared == pupil
    assert shared["taught_by"][1]["started_from"] is shared["started_from"]


def test_the_base_model_is_the_pupils_own_and_no_teachers():
    teacher = a_run("python train.py configs/teacher.yaml", "their/model")
    pupil = a_run("python train.py configs/pupil.yaml", teachers=["x"], taught_by=[teacher])
    pupil["arguments"]["model"] |= {"pretrained": "imagenet", "backbone": "tf_efficientnet_lite2"}
    assert _base_model(pupil) == "timm/tf_efficientnet_lite2.in1k"
    assert _base_model(a_run("python train.py", "runs/pupil", pupil)) == _base_model(pupil)
    assert _base_model(teacher) == "their/model"


def test_a_folder_that_is_no_run_is_named_without_its_place(tmp_path):
    run = a_run(f"python train.py --model_name_or_path {tmp_path}", str(tmp_path))
    assert commands([run]) == [f"python train.py --model_name_or_path {tmp_path.name}"]


@pytest.mark.parametrize(
    "word, expected",
    [
        ("/home/me/fer2013.csv", "fer2013.csv"),
        ("../fer/", "fer"),
        ("~/fer2013", "fer2013"),
        ("a/b/c", "c"),
        ("me/fer2013", "me/fer2013"),
        ("0.5", "0.5"),
        ("", ""),
    ],
)
def test_portable(word, expected):
    assert portable(word) == expected


def test_a_folder_of_the_working_folder_is_local(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data" / "fer2013").mkdir(parents=True)
    assert portable("data/fer2013") == "fer2013"
