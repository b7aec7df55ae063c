"""benchmarks/imbalance.py: runs that are gone on with, what is chosen, and the report."""

import json
from argparse import Namespace

import numpy as np
import pytest

from benchmarks import imbalance, imbalance_report, runner
from benchmarks.imbalance_report import RESULTS, ROWS
from benchmarks.runner import about, read_runs, write_json
from training.arguments import parse_arguments
from training.data import LABELS
from training.evaluation import FerMetrics

TINY = [
    *["--backbone", "test_efficientnet", "--synthetic_images", "140", "--max_steps", "2"],
    *["--per_device_train_batch_size", "8", "--progressive_sizes", "16"],
]
SEEDS = 3
IMAGES = 300


def made_up(rng, recall, seed):
    """A run of which each image of a class is right with the probability `recall` of the class."""
    labels = np.arange(IMAGES) % 7
    right = rng.random(IMAGES) < np.asarray(recall)[labels]
    predicted = np.where(right, labels, (labels + 1) % 7)
    logits = 2.0 * np.eye(7)[predicted] + rng.normal(0, 0.1, (IMAGES, 7))
    figures = FerMetrics(LABELS, bootstrap=0).compute(
        predictions=predicted.tolist(), references=labels.tolist()
    )
    run = about(["configs/imbalance.yaml", "--learning_rate", "1e-3"], seed, "imagenet", "made up")
    run |= {f"eval_{name}": value for name, value in figures.items()}
    run |= {"train_counts": [100, 10, 100, 200, 100, 80, 100], "eval_samples": IMAGES}
    arrays = {"labels": labels, "predicted": predicted, "logits": logits}
    return run, arrays | {"copies": np.zeros(IMAGES, bool)}


@pytest.fixture
def made(tmp_path):
    """A results folder: focal loss finds less of `happy` and more of `disgust`."""
    rng, folder = np.random.default_rng(0), tmp_path / "imbalance_official"
    folder.mkdir()
    recalls = {
        "cross_entropy": [0.7, 0.1, 0.7, 0.9, 0.7, 0.7, 0.7],
        "focal": [0.7, 0.9, 0.7, 0.3, 0.7, 0.7, 0.7],
        "class_balanced": [0.7, 0.1, 0.7, 0.9, 0.7, 0.7, 0.7],
    }
    for name, recall in recalls.items():
        for seed in range(SEEDS):
            run, arrays = made_up(rng, recall, seed)
            write_json(folder / f"{name}-seed{seed}.json", run)
            np.savez(folder / f"{name}-seed{seed}.npz", **arrays)
    return tmp_path


def test_the_report_names_differences_and_calls_chance_none(made):
    imbalance_report.write_report(made, "official")
    text = (made / "imbalance_official.md").read_text()
    rows = {line.split(" | ")[0][2:]: line.split(" | ") for line in text.splitlines()}
    assert rows["class-balanced loss"][2:].count("no difference") == 0
    assert all("(no difference)" in one for one in rows["class-balanced loss"][2:])
    assert "(+0." in rows["focal loss"][5]
    better = next(line for line in text.splitlines() if line.startswith("- **recall of disgust**"))
    assert "; focal loss +0.791. No difference: class-balanced loss." in better
    assert "LDAM" not in text
    for suffix in (".png", "_confusion.png"):
        assert (made / f"imbalance_official{suffix}").stat().st_size > 10_000
    assert "For accuracy" in (made / "imbalance_excerpt.md").read_text()
    assert (made / "imbalance_official_recalls.md").read_text().count("[") == 4 * 7
    points = json.loads((made / "imbalance_official.json").read_text())
    assert points["images"] == IMAGES and points["seeds"] == SEEDS
    baseline, shift, *others = points["treatments"]
    assert [one["treatment"] for one in others] == ["class-balanced loss", "focal loss"]
    assert baseline["accuracy"]["change"] == "" and shift["to_curve"] is None
    for one in others:
        accuracy = one["accuracy"]
        cell = f"{accuracy['value']:.3f} ({accuracy['change']})"
        assert cell == rows[one["treatment"]][2] and len(accuracy["ci95"]) == 2
    of_the_line = points["prior_shift"][0]
    assert of_the_line == {"tau": 0} | {
        measure: baseline[measure]["value"] for measure in ("accuracy", "balanced_accuracy")
    }


def test_a_row_without_the_baselines_seeds_is_left_out(made):
    (made / "imbalance_official" / "focal-seed2.json").unlink()
    imbalance_report.write_report(made, "official")
    assert "focal loss" not in (made / "imbalance_official.md").read_text()


def test_the_papers_figures_stand_beside_ours(tmp_path):
    folder = tmp_path / "imbalance_paper"
    folder.mkdir()
    for seed, accuracy in enumerate((0.55, 0.57)):
        run, _ = made_up(np.random.default_rng(seed), [0.5] * 7, seed)
        run |= {"eval_accuracy": accuracy, "eval_accuracy_without_copies": accuracy - 0.01}
        write_json(folder / f"focal-seed{seed}.json", run)
    imbalance_report.write_report(tmp_path, "paper")
    text = (tmp_path / "imbalance_paper.md").read_text()
    assert "| focal loss | 0.558 | 0.560 ± 0.014 | 0.550 ± 0.014 |" in text
    assert "focal loss: +0.002 against the paper's result, above it with 1 of 2 seeds" in text


def test_trials_choose_and_runs_follow(tmp_path, capsys, monkeypatch):
    """Then a second call does only what is missing, and other settings are refused."""
    command = ["--dataset", "synthetic", "--output_dir", str(tmp_path), "--seeds", "0"]
    command += ["--no_pretrained", "--treatments", "focal"]

    def tried(arguments, seed, here, threads):
        run, arrays = made_up(np.random.default_rng(0), [0.5] * 7, seed)
        score = 0.3 if "0.5" in arguments else 0.2
        return run | {"arguments": arguments, "eval_macro_f1": score}, arrays

    with monkeypatch.context() as patch:
        patch.setattr(runner, "train", tried)
        imbalance.main([*command, "--trials", "--", *TINY])
    trials = read_runs(tmp_path / "imbalance_official_trials", [])
    assert {name: len(runs) for name, runs in trials.items()} == {"focal-try1": 1, "focal-try2": 1}
    for (run,) in trials.values():
        assert parse_arguments("", run["arguments"]).data.eval_split == "development"
    imbalance.main([*command, "--", *TINY])
    file = tmp_path / "imbalance_official" / "focal-seed0.json"
    first = json.loads(file.read_text())
    assert first["arguments"][-len(TINY) - 2 : -len(TINY)] == ["--focal_gamma", "0.5"]
    assert first["command"].startswith("python train.py configs/imbalance.yaml")
    assert first["eval_split"] == "validation" and first["pretrained"] is None
    saved = np.load(file.with_suffix(".npz"))
    assert (saved["predicted"] == saved["labels"]).mean() == pytest.approx(first["eval_accuracy"])
    written = file.stat().st_mtime_ns
    imbalance.main([*command, "--", *TINY])
    assert file.stat().st_mtime_ns == written
    assert "1 runs, 1 of them done before" in capsys.readouterr().out
    with pytest.raises(SystemExit, match="focal-seed0.json was made with other settings"):
        imbalance.main([*command, "--", *TINY, "--max_steps", "3"])


def test_a_run_that_fails_says_why(tmp_path):
    with pytest.raises(SystemExit, match="failed:(.|\n)*unknown optimizer 'nmuom'"):
        imbalance.main(
            ["--dataset", "synthetic", "--output_dir", str(tmp_path), "--seeds", "0"]
            + ["--treatments", "focal", "--", *TINY, "--timm_optim", "nmuom"]
        )


def test_every_row_has_as_many_trials():
    assert {len(row.tries) for row in ROWS.values()} == {len(imbalance_report.SHIFT_TRIES)}


@pytest.mark.parametrize("protocol", ["official", "paper"])
def test_the_shipped_runs_are_those_that_the_trials_choose(protocol):
    args = Namespace(
        protocol=protocol, recipe="configs/imbalance.yaml", no_pretrained=False, output_dir=RESULTS
    )
    runs = read_runs(RESULTS / f"imbalance_{protocol}", [])
    assert set(runs) == set(ROWS if protocol == "official" else imbalance.PAPER)
    for name, found in runs.items():
        best = imbalance.tries_of(name, args)[imbalance.chosen(name, args)]
        resolved = parse_arguments("", best)
        for run in found:
            assert parse_arguments("", run["arguments"]).decisive("") == resolved.decisive(""), name
            assert run["command"].startswith(f"python train.py {' '.join(run['arguments'])} --seed")
            assert run["pretrained"] == "imagenet" and 0 < run["eval_accuracy"] < 1


def test_the_shipped_tables_are_those_of_the_shipped_runs(tmp_path):
    for folder in RESULTS.glob("imbalance_*/"):
        (tmp_path / folder.name).symlink_to(folder)
    for protocol in ("official", "paper"):
        imbalance_report.write_report(tmp_path, protocol)
    for file in tmp_path.glob("*.md"):
        assert file.read_text() == (RESULTS / file.name).read_text(), file.name
