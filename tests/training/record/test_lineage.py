"""training/record/lineage.py: the runs that led to a run, each in short and once."""

import pytest

from training.record.lineage import (
    LABELS_OF,
    abridged,
    add,
    commands,
    in_full,
    mark_paths,
    merge,
    portable,
    recipe_of,
    short,
)


def a_run(command, fingerprint="same", versions=None, **options):
    """A run as `read_run` gives it."""
    keys = ("started_from", "averaged_with", "taught_by")
    links = {key: options.pop(key) for key in keys if key in options}
    flags = {"dataset": None, "model_name_or_path": None, "average_with": [], "teachers": []}
    flags |= {"pretrained": None, "output_dir": "x"}
    return {
        "command": command,
        "recipe": recipe_of(command),
        "seed": 1,
        "data_fingerprint": fingerprint,
        "arguments": {"all": flags | LABELS_OF | options},
        "versions": versions or {"torch": "2"},
        "epoch": 1.0,
        "train_runtime": 60.0,
        **links,
    }


def chain_of(**runs):
    return {name: short(run) for name, run in runs.items()}


def test_a_stage_is_what_differs_from_its_recipe():
    stage = short(
        a_run(
            "python /x/train.py configs/one.yaml --dataset='/me/my faces' --seed 3 --overwrite "
            "--output_dir model --pretrained runs/lite2.safetensors --head_hidden_sizes",
            dataset="/me/my faces",
            pretrained="runs/lite2.safetensors",
            backbone="lite2",
        )
    )
    assert stage == {
        "recipe": "configs/one.yaml",
        "flags": "--dataset 'my faces' --seed 3 --pretrained lite2.safetensors --head_hidden_sizes",
        "seed": 1,
        "data_fingerprint": "same",
        "pretrained": "lite2.safetensors",
        "backbone": "lite2",
        "epoch": 1.0,
        "train_runtime": 60.0,
        "versions": {"torch": "2"},
    }


@pytest.mark.parametrize(
    "words, options, expected",
    [
        ("--dataset data/moved", {"dataset": "./data/moved"}, {"flags": "--dataset moved"}),
        (
            *("--model_name_or_path /x/start", {"model_name_or_path": "/x/start"}),
            {"flags": "--model_name_or_path start", "model_name_or_path": "start"},
        ),
        ("/home/me/mine.yaml", {}, {"recipe": "mine.yaml"}),
        ("configs/model/1_a.yaml", {}, {"recipe": "configs/model/1_a.yaml"}),
        ("--seed 1", {}, {"recipe": None}),
    ],
)
def test_places_on_the_machine_are_in_no_stage(words, options, expected):
    assert expected.items() <= short(a_run(f"python train.py {words}", **options)).items()


def test_each_stage_starts_where_the_one_before_wrote():
    data = "/secret place/fer2013.csv"
    one = a_run(
        "python train.py configs/one.yaml --dataset data/moved "
        "--output_dir model --resume_from_checkpoint true",
        dataset="./data/moved",
    )
    two = a_run(
        f"python /x/train.py configs/two.yaml --dataset='{data}' --overwrite",
        dataset=data,
        model_name_or_path="runs/one",
        started_from="one",
    )
    again = a_run(
        f"python train.py configs/two.yaml --dataset '{data}' --seed 3",
        dataset=data,
        model_name_or_path="model",
        started_from="two",
    )
    assert commands(chain_of(one=one, two=two, two_2=again)) == [
        "python train.py configs/one.yaml --dataset fer2013.csv",
        "python train.py configs/two.yaml --dataset fer2013.csv",
        "python train.py configs/two.yaml --dataset fer2013.csv --seed 3 "
        "--model_name_or_path runs/two --output_dir runs/two_2",
    ]


def test_other_data_keep_their_name():
    first = a_run("python train.py configs/one.yaml --dataset me/faces", "other")
    first["arguments"]["all"]["dataset"] = "me/faces"
    last = a_run("python train.py configs/two.yaml --dataset me/fer2013", dataset="me/fer2013")
    assert commands(chain_of(one=first, two=last)) == [
        "python train.py configs/one.yaml --dataset me/faces",
        "python train.py configs/two.yaml --dataset me/fer2013",
    ]


def test_teachers_of_the_chain_are_named_by_their_folders_and_others_as_they_are():
    pupil = a_run(
        "python train.py configs/pupil.yaml --teachers /x/first model me/teacher /y/alone",
        teachers=["/x/first", "model", "me/teacher", "/y/alone"],
        taught_by=["first", "good", "me/teacher", "./alone"],
    )
    plain = (a_run(f"python train.py configs/{name}.yaml") for name in ("first", "good"))
    stages = chain_of(**dict(zip(("first", "good"), plain)), pupil=pupil)
    assert commands(stages)[-1] == (
        "python train.py configs/pupil.yaml --teachers runs/first runs/good me/teacher alone"
    )


def test_a_soup_says_what_is_in_it_and_its_share():
    soup = a_run(
        "python train.py --average_with /x/other",
        model_name_or_path="runs/first",
        average_with=["/x/other"],
        average_weight=0.25,
        started_from="first",
        averaged_with=["other"],
    )
    plain = {name: a_run(f"python train.py configs/{name}.yaml") for name in ("first", "other")}
    stages = chain_of(**plain, train=soup)
    assert commands(stages)[2] == "python train.py --average_with runs/other"
    assert stages["train"]["average_weight"] == 0.25


def test_merged_chains_hold_equal_stages_once_and_tell_others_apart():
    first = a_run("python train.py configs/first.yaml")
    second = a_run(
        "python train.py configs/second.yaml",
        model_name_or_path="runs/first",
        started_from="first",
    )
    stages: dict = {}
    assert merge(stages, chain_of(first=first, second=second)) == "second"
    assert merge(stages, chain_of(first=first)) == "first"
    assert [*stages] == ["first", "second"]
    other = chain_of(first=first | {"seed": 9}, second=second)  # of the same recipes
    assert merge(stages, other) == "second_2"
    assert [*stages] == ["first", "second", "first_2", "second_2"]
    assert stages["second_2"]["started_from"] == "first_2"
    assert commands(stages)[2:] == [
        "python train.py configs/first.yaml --output_dir runs/first_2",
        "python train.py configs/second.yaml --model_name_or_path runs/first_2 "
        "--output_dir runs/second_2",
    ]
    assert merge(stages, other) == "second_2" and len(stages) == 4
    pupil = a_run("python train.py configs/p.yaml", teachers=["runs/first"], taught_by=["first"])
    assert merge(stages, {"first": other["first"], "p": short(pupil)}) == "p"
    assert stages["p"]["taught_by"] == ["first_2"]
    assert commands(stages)[-1].endswith("p.yaml --teachers runs/first_2")


def test_of_versions_only_those_that_differ_are_written():
    same, newer = (
        short(a_run("python train.py", versions={"torch": v, "timm": "1"})) for v in "23"
    )
    older = short(a_run("python train.py", versions={"torch": "2"}))
    stages: dict = {}
    for name, stage in (("same", same), ("newer", newer), ("older", older)):
        assert add(stages, name, stage) == name
    versions = {"torch": "2", "timm": "1"}
    written = abridged(stages, versions)
    assert "versions" not in written["same"] and "flags" not in written["same"]
    assert written["newer"]["versions"] == {"torch": "3"}
    assert written["older"]["versions"] == {"timm": None}
    assert in_full(written, versions) == stages


@pytest.mark.parametrize(
    "word, expected",
    [
        ("/home/me/fer2013.csv", "fer2013.csv"),
        ("../fer/", "fer"),
        ("./data/fer2013", "fer2013"),
        ("~/fer2013", "fer2013"),
        ("a/b/c", "c"),
        ("me/fer2013", "me/fer2013"),
        ("0.5", "0.5"),
        ("", ""),
    ],
)
def test_portable(word, expected):
    assert portable(word) == expected


def test_a_path_that_looks_like_a_hub_id_is_marked_where_it_exists(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data" / "fer2013").mkdir(parents=True)
    for links, marked in ({}, "./data/fer2013"), ({"started_from": "fer2013"}, "data/fer2013"):
        group = {"dataset": "data/fer2013", "model_name_or_path": "data/fer2013"}
        mark_paths({"group": group}, links)
        assert group == {"dataset": "./data/fer2013", "model_name_or_path": marked}
    assert portable("./data/fer2013") == "fer2013"
    group = {"dataset": "me/fer2013", "model_name_or_path": None}
    mark_paths({"group": group}, {})
    assert group == {"dataset": "me/fer2013", "model_name_or_path": None}
