"""benchmarks/imbalance.py: runs that are gone on with, and the report on made-up ones."""

import json

import pytest

from benchmarks import imbalance, imbalance_report
from benchmarks.runner import read_runs, write_json
from training.data import LABELS

TINY = [
    *["--backbone", "test_efficientnet", "--synthetic_images", "60", "--max_steps", "2"],
    *["--per_device_train_batch_size", "8", "--progressive_sizes", "16"],
]


def made_up(seed, accuracy, happy, **figures):
    results = {f"eval_recall_{label}": 0.5 for label in LABELS} | {
        "eval_accuracy": accuracy,
        "eval_balanced_accuracy": 0.5,
        "eval_macro_f1": 0.5,
        "eval_recall_happy": happy,
        "eval_confusion_matrix": [[1 + (a == b) for b in range(7)] for a in range(7)],
        "eval_samples": 100,
        "eval_split": "validation",
        "train_runtime": 120.0,
        "train_samples_per_second": 10.0,
    }
    results |= {f"eval_{name}": value for name, value in figures.items()}
    arguments = ["configs/x.yaml", "--loss", f"made_up_{seed}"]
    return {
        "arguments": arguments,
        "seed": seed,
        "machine": "1 CPU thread (made up)",
        "results": results,
    }


@pytest.fixture
def runs():
    return {
        "cross_entropy": [made_up(0, 0.60, 0.9), made_up(1, 0.62, 0.9)],
        "focal": [
            made_up(0, 0.61, 0.8, recall_disgust=0.7, balanced_accuracy=0.6),
            made_up(1, 0.60, 0.8, recall_disgust=0.6, balanced_accuracy=0.65),
        ],
    }


def test_table_has_mean_and_spread_and_marks_the_best(runs):
    rows = [line.split(" | ") for line in imbalance_report.table(runs, "official").splitlines()]
    assert rows[0][1:5] == ["accuracy", "balanced accuracy", "macro-F1", "recall of disgust"]
    assert rows[2][0] == "| cross-entropy (baseline)"
    assert rows[2][1] == "**0.610 ± 0.014**"
    assert rows[3][4] == "**0.650 ± 0.071**"
    assert rows[3][-3:] == ["2", "1,200", "2.0 |"]


def test_papers_figures_stand_beside_ours(runs):
    rows = imbalance_report.table(runs, "paper").splitlines()
    assert "| focal loss (paper) | 0.558 |" in rows[3]


def test_conclusions_weigh_differences_by_the_spread_over_seeds(runs):
    lines = imbalance_report.conclusions(runs).splitlines()
    assert lines[0] == (
        "- **accuracy**: no treatment beats the baseline (0.610); the nearest, focal loss (paper), "
        "is 0.005 below the baseline, less than twice the spread of the difference over 2 seeds "
        "(0.021): not a difference to build on."
    )
    assert "focal loss (paper) leads with 0.625, 0.125 above the baseline, 3.5 times" in lines[1]
    assert lines[-1].endswith("costs in recall: happy -0.100.")


def test_a_difference_without_spread_is_not_divided_by_it(runs):
    for run in runs["focal"]:
        run["results"]["eval_balanced_accuracy"] = 0.75
    assert "0.250 above the baseline, the same with each of 2 seeds" in (
        imbalance_report.conclusions(runs)
    )


def test_one_seed_is_no_comparison(runs):
    runs["focal"].pop()
    assert "no comparison is made" in imbalance_report.conclusions(runs)


def test_report_writes_table_and_pictures(tmp_path, runs):
    for name, found in runs.items():
        for run in found:
            (tmp_path / "imbalance_official").mkdir(exist_ok=True)
            file = tmp_path / "imbalance_official" / f"{name}-seed{run['seed']}.json"
            write_json(file, run)
    assert read_runs(tmp_path / "imbalance_official", ["focal", "cross_entropy"]) == runs
    imbalance_report.write_report(tmp_path, "official")
    text = (tmp_path / "imbalance_official.md").read_text()
    assert "Over 100 images of the validation split" in text
    assert "Every run: `train.py configs/x.yaml --loss ...`" in text
    assert (tmp_path / "imbalance_official.png").stat().st_size > 10_000
    assert (tmp_path / "imbalance_official_confusion.png").stat().st_size > 10_000


def test_second_call_does_only_what_is_missing(tmp_path, capsys):
    command = ["--dataset", "synthetic", "--output_dir", str(tmp_path), "--seeds", "0"]
    imbalance.main([*command, "--treatments", "focal", "--", *TINY])
    file = tmp_path / "imbalance_official" / "focal-seed0.json"
    first = json.loads(file.read_text())
    assert "focal" in first["arguments"] and first["seed"] == 0
    assert first["results"]["eval_split"] == "validation"
    written = file.stat().st_mtime_ns
    imbalance.main([*command, "--treatments", "focal", "--", *TINY])
    assert file.stat().st_mtime_ns == written
    assert "1 runs, 1 of them done before" in capsys.readouterr().out
    with pytest.raises(SystemExit, match="focal-seed0.json was made with other settings"):
        imbalance.main([*command, "--treatments", "focal", "--", *TINY, "--max_steps", "3"])


def test_a_run_that_fails_says_why(tmp_path):
    with pytest.raises(SystemExit, match="failed:(.|\n)*unknown optimizer 'nmuom'"):
        imbalance.main(
            ["--dataset", "synthetic", "--output_dir", str(tmp_path), "--seeds", "0"]
            + ["--treatments", "focal", "--", *TINY, "--timm_optim", "nmuom"]
        )
