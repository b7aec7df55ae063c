"""benchmarks/compare.py: finished runs side by side."""

import csv
import json

import numpy as np
import pytest
import yaml

from benchmarks import compare, imbalance
from benchmarks.runner import ROOT, argument_parser

CLASSES = ["calm", "tense", "asleep"]
IMAGES = np.arange(300)  # the label is the remainder by 3


@pytest.fixture
def make_run(tmp_path):
    def make(name, recall, *, rows=IMAGES, images=True, data="a" * 64, split="validation", seed=0):
        """Each image is right with the probability `recall` of its class."""
        rng, folder = np.random.default_rng(seed), tmp_path / name
        folder.mkdir(parents=True)
        labels = rows % 3
        right = rng.random(len(labels)) < np.asarray(recall)[labels]
        predicted = np.where(right, labels, (labels + 1) % 3)
        with (folder / "predictions.csv").open("w", newline="") as file:
            writer = csv.writer(file)
            header = ["label", "predicted", "copy", *(f"logit_{one}" for one in CLASSES)]
            writer.writerow(["image"] * images + header)
            for row, label, answer in zip(rows, labels, predicted):
                logits = 2.0 * np.eye(3)[answer]
                found = [CLASSES[label], CLASSES[answer], 0, *logits]
                writer.writerow([f"{row:032x}"] * images + found)
        (folder / "all_results.json").write_text(json.dumps({"eval_split": split}))
        (folder / "run.yaml").write_text(yaml.safe_dump({"data_fingerprint": data}))
        return folder

    return make


def row_of(text, name):
    return next(line.split(" | ") for line in text.splitlines() if line.startswith(f"| {name} "))


def test_differences_that_are_none_are_called_so(make_run, tmp_path, capsys):
    runs = [
        make_run("first", [0.8, 0.8, 0.8]),
        make_run("better", [0.8, 0.8, 1.0]),
        make_run("$same^$", [0.8, 0.8, 0.8], seed=4),
    ]
    compare.main([*map(str, runs), "--output_dir", str(tmp_path / "out")])
    text = (tmp_path / "out" / "compare.md").read_text()
    assert text in capsys.readouterr().out
    assert "(+0.0" in row_of(text, "better")[1] and "no difference" in row_of(text, "$same^$")[1]
    calm, asleep = row_of(text, "calm"), row_of(text, "asleep")
    assert "no difference" in calm[2] and "1.000 (+0." in asleep[2]
    assert "no difference" in asleep[3] and "[" in asleep[1]
    assert "Over 300 images of the validation split" in text
    assert (tmp_path / "out" / "compare.png").stat().st_size > 10_000


def test_images_are_paired_by_their_ids(make_run, tmp_path):
    rng = np.random.default_rng(0)
    order = rng.permutation(300)[:250]
    first, other = (
        make_run("first", [1, 1, 1]),
        make_run("other", [1, 0, 1], rows=order),
    )
    again = make_run("again", [1, 1, 1], rows=np.concatenate([order, order[:9]]))
    text = compare.compare([first, other, again], tmp_path / "out")
    assert "Over 250 images" in text
    assert "0.000 (-1.000 [-1.000, -1.000])" in row_of(text, "tense")[2]
    assert "1.000 (no difference)" in row_of(text, "tense")[3]


def test_without_ids_the_order_of_the_rows_pairs(make_run, tmp_path):
    first, other = make_run("a/x", [1, 1, 1], images=False), make_run("b/x", [1, 0, 1])
    text = compare.compare([first, other], tmp_path / "out")
    assert row_of(text, str(other))[1].startswith("0.667 (-0.333")  # named by their paths


@pytest.mark.parametrize(
    "other, found",
    [
        ({"data": "b" * 64}, "data bbbbbbbbbbbb, validation split"),
        ({"split": "test"}, "data aaaaaaaaaaaa, test split"),
        ({"rows": IMAGES + 3000}, "300 images"),
        ({"rows": IMAGES[::-1], "images": False}, "300 images"),
        ({"rows": IMAGES[:100], "images": False}, "100 images"),
    ],
)
def test_other_data_or_splits_are_refused_by_name(make_run, tmp_path, other, found):
    runs = [make_run("first", [1, 1, 1]), make_run("second", [1, 1, 1], **other)]
    with pytest.raises(SystemExit) as ended:
        compare.main([*map(str, runs), "--output_dir", str(tmp_path / "out")])
    words = str(ended.value)
    assert str(runs[0]) in words and str(runs[1]) in words and found in words
    assert not (tmp_path / "out").exists()


def test_a_run_without_predictions_is_refused(make_run, tmp_path):
    runs = [make_run("first", [1, 1, 1]), make_run("second", [1, 1, 1])]
    (runs[1] / "predictions.csv").unlink()
    with pytest.raises(SystemExit, match=r"second: predictions.csv missing; .*--save_predictions"):
        compare.main([*map(str, runs)])
    with pytest.raises(SystemExit):
        compare.main([str(runs[0]), str(runs[0])])


def test_no_benchmark_writes_into_the_committed_results_by_default():
    assert argument_parser("").get_default("output_dir") == ROOT / "runs" / "benchmarks"
    assert imbalance.argument_parser is argument_parser
