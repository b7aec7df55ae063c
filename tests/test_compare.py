"""compare.py: finished runs side by side."""

import csv
import json

import numpy as np
import pytest
import yaml

import compare
from training.comparison import what_could_be_seen

CLASSES = ["calm", "tense", "asleep"]
IMAGES = np.arange(300)  # the label is the remainder by 3


@pytest.fixture
def make_run(tmp_path):
    def make(name, recall, *, rows=IMAGES, data="a" * 64, split="validation", seed=0):
        """Each image is right with the probability `recall` of its class."""
        rng, folder = np.random.default_rng(seed), tmp_path / name
        folder.mkdir(parents=True)
        labels = rows % 3
        right = rng.random(len(labels)) < np.asarray(recall)[labels]
        predicted = np.where(right, labels, (labels + 1) % 3)
        with (folder / "predictions.csv").open("w", newline="") as file:
            writer = csv.writer(file)
            logits = [f"logit_{name}" for name in CLASSES]
            writer.writerow(["image", "label", "predicted", "copy", *logits])
            for row, label, answer in zip(rows, labels, predicted):
                scores = 2.0 * np.eye(3)[answer]
                writer.writerow([f"{row:032x}", CLASSES[label], CLASSES[answer], 0, *scores])
        (folder / "all_results.json").write_text(json.dumps({"eval_split": split}))
        (folder / "run.yaml").write_text(yaml.safe_dump({"data_fingerprint": data}))
        return folder

    return make


@pytest.fixture
def compared(tmp_path):
    def run(*folders):
        compare.main([*map(str, folders), "--output_dir", str(tmp_path / "out")])
        return (tmp_path / "out" / "compare.md").read_text()

    return run


def row_of(text, name):
    return next(line.split(" | ") for line in text.splitlines() if line.startswith(f"| {name} "))


def test_every_difference_has_its_interval_and_what_is_confirmed_is_bold(
    make_run, compared, tmp_path, capsys
):
    text = compared(
        make_run("first", [0.8, 0.8, 0.8]),
        make_run("better", [0.8, 0.8, 1.0]),
        make_run("$same^$", [0.8, 0.8, 0.8], seed=4),
    )
    assert text in capsys.readouterr().out
    assert "(**+0.0" in row_of(text, "better")[1]
    assert row_of(text, "$same^$")[1].count("[") == 1 and "**" not in row_of(text, "$same^$")[1]
    calm, asleep = row_of(text, "calm"), row_of(text, "asleep")
    assert calm[1] == "100" and "(+0.000 [+0.000, +0.000])" in calm[3]
    assert "1.000 (**+0." in asleep[3] and "**" not in asleep[4]
    assert "Over 300 images of the validation split" in text
    assert (tmp_path / "out" / "compare.png").stat().st_size > 10_000


def test_images_are_paired_by_their_ids(make_run, compared):
    order = np.random.default_rng(0).permutation(300)[:250]
    text = compared(
        make_run("first", [1, 1, 1]),
        make_run("other", [1, 0, 1], rows=order),
        make_run("again", [1, 1, 1], rows=np.concatenate([order, order[:9]])),
    )
    assert "Over 250 images" in text
    assert "0.000 (**-1.000 [-1.000, -1.000]**)" in row_of(text, "tense")[3]
    assert "1.000 (+0.000 [+0.000, +0.000])" in row_of(text, "tense")[4]


def test_runs_of_one_name_are_named_by_their_paths(make_run, compared):
    first, other = make_run("a/x", [1, 1, 1]), make_run("b/x", [1, 0, 1])
    assert row_of(compared(first, other), str(other))[1].startswith("0.667 (**-0.333")


def test_few_images_show_large_differences_only():
    labels = np.zeros(19, int)
    few = what_could_be_seen({"a": labels, "b": labels}, labels)
    assert "What 19 images can show" in few and "by about 0.144 in accuracy" in few
    many = np.zeros(1999, int)
    wrong = np.where(np.arange(1999) % 5 == 0, 1, 0)  # 400 images
    assert "by about 0.028 in" in what_could_be_seen({"a": many, "b": wrong}, many)


@pytest.mark.parametrize(
    "other, found",
    [
        ({"data": "b" * 64}, "data bbbbbbbbbbbb, validation split"),
        ({"split": "test"}, "data aaaaaaaaaaaa, test split"),
        ({"rows": IMAGES + 3000}, "300 images"),
    ],
)
def test_other_data_or_splits_are_refused_by_name(make_run, compared, tmp_path, other, found):
    runs = [make_run("first", [1, 1, 1]), make_run("second", [1, 1, 1], **other)]
    with pytest.raises(SystemExit) as ended:
        compared(*runs)
    message = str(ended.value)
    assert str(runs[0]) in message and str(runs[1]) in message and found in message
    assert not (tmp_path / "out").exists()


def test_what_is_no_run_with_predictions_is_refused(make_run, compared, capsys):
    runs = [make_run("first", [1, 1, 1]), make_run("second", [1, 1, 1])]
    (runs[1] / "predictions.csv").unlink()
    with pytest.raises(SystemExit, match=r"second: predictions.csv missing; .*--save_predictions"):
        compared(*runs)
    for other, message in ((runs[0], "each once"), ("no", "no such folder")):
        with pytest.raises(SystemExit):
            compared(runs[0], other)
        assert message in capsys.readouterr().err
