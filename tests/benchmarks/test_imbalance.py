"""benchmarks/imbalance.py: runs that are resumed, what the trials choose, and the report."""

import json
import re
import threading
from argparse import Namespace

import numpy as np
import pytest

import train
from benchmarks import imbalance, imbalance_report, runner
from benchmarks import imbalance_pictures as pictures
from benchmarks.imbalance_rows import PAPER, ROWS
from benchmarks.imbalance_sentences import curve_sentence
from benchmarks.imbalance_statistics import Line
from benchmarks.runner import RESULTS
from benchmarks.runs import add_run, read_logits, read_runs
from training.arguments import parse_arguments
from training.data import LABELS
from training.evaluation.bootstrap import Estimate
from training.evaluation.metrics import classification_metrics

TINY = [
    *["--backbone", "test_efficientnet", "--synthetic_images", "140", "--max_steps", "2"],
    *["--per_device_train_batch_size", "8", "--progressive_sizes", "16"],
]
IMAGES = 300
COUNTS = np.array([100, 10, 100, 200, 100, 80, 100])
SHARES, EVEN = COUNTS / COUNTS.sum(), np.full(7, 1 / 7)


def made_up(name, recall, seed, learned=SHARES):
    """A run and its arrays; each image is right with the probability `recall` of its class."""
    rng = np.random.default_rng([seed, len(name)])
    labels = np.arange(IMAGES) % 7
    right = rng.random(IMAGES) < np.asarray(recall)[labels]
    predicted = np.where(right, labels, (labels + 1) % 7)
    logits = 2.0 * np.eye(7)[predicted] + rng.normal(0, 0.1, (IMAGES, 7))
    metrics = classification_metrics(predicted, labels, LABELS, bootstrap=0)
    run = {
        "name": name,
        "seed": seed,
        "arguments": ["configs/imbalance.yaml", "--learning_rate", "1e-3"],
        "pretrained": "imagenet",
        "machine": "made up",
        "train_distribution": SHARES.tolist(),
        "learned_distribution": list(learned),
        "eval_samples": IMAGES,
    }
    arrays = {"labels": labels, "copies": np.zeros(IMAGES, bool), "logits": logits}
    return run | {f"eval_{key}": value for key, value in metrics.items()}, arrays


RECALLS = {
    "cross_entropy": ([0.7, 0.1, 0.7, 0.9, 0.7, 0.7, 0.7],),
    "focal": ([0.7, 0.9, 0.7, 0.3, 0.7, 0.7, 0.7],),
    "oversampling": ([0.7, 0.4, 0.7, 0.9, 0.7, 0.7, 0.7], EVEN),
    "ldam": ([0.7, 0.1, 0.7, 0.9, 0.7, 0.7, 0.7],),
}


@pytest.fixture(autouse=True)
def small_pictures(monkeypatch):
    monkeypatch.setattr(pictures, "DPI", 30)


@pytest.fixture
def report(tmp_path):
    """
    The folder and the first text of a report over three seeds and, for two rows, three later ones:
    focal loss finds less of `happy` and more of `disgust`; LDAM has two seeds alone.
    """
    for name, recall in RECALLS.items():
        seeds = {"focal": 6, "cross_entropy": 6, "ldam": 2}.get(name, 3)
        for seed in range(seeds):
            run, arrays = made_up(name, recall[0], seed, *recall[1:])
            add_run(tmp_path / "imbalance_official", run, arrays)
    imbalance_report.write_report(tmp_path, "official", resamples=4000)
    return tmp_path, (tmp_path / "imbalance_official.md").read_text()


def test_the_report_has_each_treatment_under_both_priors_and_later_seeds(report):
    folder, text = report
    lines = [line.strip("| ").split(" | ") for line in text.split("\n\n")[0].splitlines()[2:]]
    rows = {(line[0], line[2]): line[3:] for line in lines}  # (treatment, prior) -> cells
    assert [*rows] == [
        *(("cross-entropy (baseline)", prior) for prior in ("train", "tau 0.5", "uniform")),
        ("focal loss", "train"),
        ("oversampling", "learned"),
        ("oversampling", "train"),
    ]
    interval = re.compile(r"0\.\d{3} \[0\.\d{3}, 0\.\d{3}\]")
    assert all(map(interval.fullmatch, rows["cross-entropy (baseline)", "train"]))
    assert re.fullmatch(r"0\.\d{3} \(\*\*\+0\.[78].. \[.*\]\*\*\)", rows["focal loss", "train"][3])
    assert all("[" in cell for cells in rows.values() for cell in cells)
    assert "seeds 0 to 2, results of the last step; on made up" in text and "LDAM" not in text
    assert "**Recall of disgust**: highest with focal loss, **+0." in text
    assert "**Does it hold with seeds 3 to 5 alone?** On the same images, after Holm's" in text
    assert re.search(r"recall of disgust with focal loss, \+0\.... \[.*\]: yes \(all 6 seeds", text)
    for suffix in (".png", "_confusion.png"):
        assert (folder / f"imbalance_official{suffix}").read_bytes().startswith(b"\x89PNG")
    assert "**Worth a training?**" in (folder / "imbalance_excerpt.md").read_text()
    more = (folder / "imbalance_official_more.md").read_text()
    assert more.count("|\n| oversampling | ") == 2 and "Seeds 3 to 5:" in more

    points = json.loads((folder / "imbalance_official.json").read_text())
    assert points["images"] == IMAGES and points["seeds"] == 3
    baseline, *others = points["treatments"]
    assert [point["treatment"] for point in others] == ["focal loss", "oversampling"]
    assert baseline["accuracy"]["change"] == "" and baseline["to_curve"] is None
    for point, prior in zip(others, ("train", "learned")):
        accuracy, shown = point["accuracy"], rows[point["treatment"], prior][0].replace("*", "")
        assert f"{accuracy['value']:.3f} ({accuracy['change']})" == shown
    assert points["prior_shift"][0] == {"tau": 0} | {
        measure: baseline[measure]["value"] for measure in ("accuracy", "balanced_accuracy")
    }
    assert points["text"].startswith("EfficientNet-Lite0, another network than this model")


@pytest.mark.parametrize(
    "of_new_seeds, verdict", [(0.03, "holds"), (0, "does not hold"), (-0.03, "does not hold")]
)
def test_what_is_nearest_to_worth_a_training_is_tested_with_new_seeds_alone(of_new_seeds, verdict):
    def at(value):
        return Estimate(value, value + np.linspace(-0.01, 0.01, 999))

    line = Line("focal", "train", True)
    above = {(line, "macro_f1"): at(0.02), (line, "balanced_accuracy"): at(0.001)}
    first = Namespace(above=above, above_by_more_than_chance=set())
    later = Namespace(above={(line, "macro_f1"): at(of_new_seeds)}, seeds=[4, 5, 6, 7])
    text = curve_sentence(first, [later])
    assert "none; the nearest is macro-F1 with focal loss, +0.020 [" in text
    assert "; with seeds 4 to 7 alone, on the same images, it" in text
    assert f" it {verdict}: {of_new_seeds:+.3f} [" in text
    assert " alone" not in curve_sentence(first, [])


def test_the_papers_accuracies_stand_beside_ours(tmp_path):
    folder = tmp_path / "imbalance_paper"
    for name, accuracies in {"focal": (0.57, 0.58, 0.59), "undersampling": (0.48, 0.54)}.items():
        for seed, accuracy in enumerate(accuracies):
            run, _ = made_up(name, [0.5] * 7, seed)
            copies = {"eval_accuracy_without_copies": accuracy - 0.01}
            copies |= {f"eval_{key}": 0.5 for key in ("balanced_accuracy", "macro_f1")}
            add_run(folder, run | copies | {"eval_accuracy": accuracy})
    imbalance_report.write_report(tmp_path, "paper")
    text = (tmp_path / "imbalance_paper.md").read_text()
    assert "| focal loss | 0.558 | 0.580 ± 0.010 | 0.570 ± 0.010 |" in text
    assert "focal loss: 0.580 against the paper's 0.558, +0.022 [-0.003, +0.047] over seeds" in text
    assert "undersampling: 0.510" in text and "level with it, in the mean above" in text
    excerpt = (tmp_path / "imbalance_paper_excerpt.md").read_text()
    assert "focal loss 0.580 (0.558; level with it, in the mean above)." in excerpt


def test_runs_that_finish_at_once_are_all_kept(tmp_path):
    runs = [made_up("focal", [0.5] * 7, seed) for seed in range(8)]
    threads = [threading.Thread(target=add_run, args=(tmp_path, *run)) for run in runs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [run["seed"] for run in read_runs(tmp_path)["focal"]] == [*range(8)]
    assert {f"focal-seed{seed}" for seed in range(8)} < read_logits(tmp_path).keys()
    assert {file.name for file in tmp_path.iterdir()} == {"runs.jsonl", "logits.npz"}
    run, arrays = made_up("other", [0.5] * 7, 0)
    with pytest.raises(ValueError, match="of its other runs, but those of other-seed0 differ"):
        add_run(tmp_path, run, arrays | {"labels": arrays["labels"][::-1]})


def test_logits_that_rounding_made_equal_keep_their_prediction():
    logits = np.array([[1.0001, 1.0002], [3, 1], [-2.00001, -2]])
    predictions = Namespace(logits=logits, predicted=logits.argmax(axis=1))
    assert (runner._logits(predictions).argmax(axis=1) == [1, 0, 1]).all()


def test_trials_choose_and_runs_follow(tmp_path, capsys, monkeypatch, quick_reports):
    """Then a second call does only what is missing, and other settings are refused."""
    command = ["--dataset", "synthetic", "--output_dir", str(tmp_path), "--seeds", "0"]
    command += ["--no_pretrained", "--treatments", "focal"]
    tries = [flags[1] for flags in ROWS["focal"].tries]

    def tried(arguments, seed, here, threads, also_measured):
        run, arrays = made_up("focal", [0.5] * 7, seed)
        score = 0.3 if tries[1] in arguments else 0.2
        del run["name"]
        return run | {"arguments": arguments, "eval_macro_f1": score}, arrays

    def call(arguments, threads):
        train.main([*arguments, "--disable_tqdm", "true", "--save_predictions", "true"])

    monkeypatch.setattr(runner, "_call", call)  # two processes would take most of the time
    with monkeypatch.context() as patch:
        patch.setattr(runner, "train", tried)
        imbalance.main([*command, "--trials", "--", *TINY])
    trials = read_runs(tmp_path / "imbalance_official_trials")
    assert [*trials] == [f"focal --focal_gamma {gamma}" for gamma in sorted(tries)]
    for (run,) in trials.values():
        assert parse_arguments("", run["arguments"]).data.eval_split == "development"
    imbalance.main([*command, "--", *TINY])
    folder = tmp_path / "imbalance_official"
    ((run,),) = read_runs(folder).values()
    assert run["arguments"][-len(TINY) - 2 : -len(TINY)] == ["--focal_gamma", tries[1]]
    assert run["eval_split"] == "validation" and run["pretrained"] is None
    assert sum(run["learned_distribution"]) == pytest.approx(1)
    saved = read_logits(folder)
    right = saved["focal-seed0"].argmax(axis=1) == saved["labels"]
    assert right.mean() == pytest.approx(run["eval_accuracy"])
    assert len(saved["focal-seed0.development"]) == len(saved["focal-seed0.development_labels"]) > 0
    written = (folder / "runs.jsonl").stat().st_mtime_ns
    imbalance.main([*command, "--", *TINY])
    assert (folder / "runs.jsonl").stat().st_mtime_ns == written
    assert "1 runs, 1 of them done before" in capsys.readouterr().out
    with pytest.raises(SystemExit, match="focal with seed 0 was made with other settings"):
        imbalance.main([*command, "--", *TINY, "--max_steps", "3"])


def test_a_run_that_fails_says_why(tmp_path):
    command = ["--dataset", "synthetic", "--output_dir", str(tmp_path), "--seeds", "0"]
    with pytest.raises(SystemExit, match="failed:(.|\n)*focal_gamma must be"):
        imbalance.main([*command, "--treatments", "focal", "--", "--focal_gamma", "-1"])


@pytest.mark.parametrize("protocol", ["official", "paper"])
def test_the_shipped_runs_are_those_that_the_trials_choose(protocol):
    args = Namespace(
        protocol=protocol, recipe="configs/imbalance.yaml", no_pretrained=False, output_dir=RESULTS
    )
    runs = read_runs(RESULTS / f"imbalance_{protocol}")
    assert {*runs} == {*(ROWS if protocol == "official" else PAPER)}
    for name, of_row in runs.items():
        trial = [*imbalance.arguments_of(name, args), *imbalance.chosen(name, args)]
        resolved = parse_arguments("", trial).decisive("")
        for run in of_row:
            assert parse_arguments("", run["arguments"]).decisive("") == resolved, name
            assert run["pretrained"] == "imagenet" and 0 < run["eval_accuracy"] < 1


@pytest.mark.parametrize("protocol", ["official", "paper"])
def test_the_shipped_tables_are_those_of_the_shipped_runs(tmp_path, protocol):
    """But for intervals and what is made of them, which take minutes to compute."""
    for folder in RESULTS.glob("imbalance_*/"):
        (tmp_path / folder.name).symlink_to(folder)
    imbalance_report.write_report(tmp_path, protocol, resamples=20)

    def values(file):
        rows = [line for line in file.read_text().splitlines() if line.startswith("|")]
        return [re.sub(r"\*|[+-]\S+ (?=\[)|\[.*?\]", "", row) for row in rows]

    made = [*tmp_path.glob("*.md")]
    assert len(made) >= 2
    for file in made:
        assert values(file) == values(RESULTS / file.name), file.name
