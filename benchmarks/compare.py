"""
Finished runs side by side: results, recall of each class, and which differences are no chance.

    python train.py ... --save_predictions --output_dir runs/a
    python train.py ... --save_predictions --output_dir runs/b
    python -m benchmarks.compare runs/a runs/b

The first run is the baseline of the others. A saved model has predictions by `train.py
--evaluate_only --model_name_or_path DIR --save_predictions --output_dir runs/c`. Brackets are 95 %
bootstrap intervals over the images that all runs share, paired with the baseline; Holm's correction
is over the runs, and in the table of recalls over runs and classes. Nothing of this is about
another seed: train each with several, or see benchmarks/imbalance.py.

Writes compare.md and compare.png to --output_dir.
"""

import argparse
import csv
import json
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib
import numpy as np
import yaml
from scipy.special import softmax

matplotlib.use("Agg")
matplotlib.rcParams["text.parse_math"] = False  # $ in somebody's names is a dollar
import matplotlib.pyplot as plt  # noqa: E402

sys.path.insert(0, str(Path(__file__).parents[1]))
from benchmarks.imbalance_report import (  # noqa: E402
    MEASURES,
    Differences,
    Found,
    compared,
    with_change,
)
from benchmarks.imbalance_statistics import Bootstrap, holm  # noqa: E402
from benchmarks.runner import RUNS, predictions  # noqa: E402
from training.evaluation.metrics import expected_calibration_error  # noqa: E402
from training.markdown import markdown_table  # noqa: E402

OVER_CLASSES = ("accuracy", "balanced_accuracy", "macro_f1")
FILES = ("predictions.csv", "all_results.json", "run.yaml")


@dataclass
class Run:
    """
    What a run's folder says.

    data: fingerprint of its data. split: that it was evaluated on. label_names: by id.
    images: (N,) an id of each image, None in a predictions.csv that has none. found: of
    `runner.predictions`.
    """

    folder: Path
    data: str
    split: str
    label_names: list[str]
    images: list[str] | None
    found: dict[str, np.ndarray]

    def __str__(self) -> str:
        return (
            f"{self.folder} (data {self.data[:12]}, {self.split} split, {len(self.label_names)} "
            f"classes, {len(self.found['labels']):,} images)"
        )


def read_run(folder: Path) -> Run:
    """
    Raises:
        SystemExit: it is not a finished run with predictions.
    """
    if missing := [name for name in FILES if not (folder / name).is_file()]:
        raise SystemExit(
            f"compare: {folder}: {', '.join(missing)} missing; expected the output folder of "
            "train.py with --save_predictions (with --evaluate_only, of a saved model)."
        )
    with (folder / "predictions.csv").open(newline="") as lines:
        reader = csv.DictReader(lines)
        names = [name[len("logit_") :] for name in reader.fieldnames if name[:6] == "logit_"]
        images = [row["image"] for row in reader] if "image" in reader.fieldnames else None
    return Run(
        folder,
        yaml.safe_load((folder / "run.yaml").read_text())["data_fingerprint"],
        json.loads((folder / "all_results.json").read_text())["eval_split"],
        names,
        images,
        predictions(folder / "predictions.csv"),
    )


def shared_rows(runs: Sequence[Run]) -> list[np.ndarray]:
    """
    Of each run, the rows of the images that all have, in the same order.

    Raises:
        SystemExit: two runs are of other data, another split or other classes.
    """
    first = runs[0]
    for other in runs[1:]:
        same = [(run.data, run.split, run.label_names) for run in (first, other)]
        rows = _rows([first, other]) if same[0] == same[1] else [np.array([], int)] * 2
        labels = [run.found["labels"][of_run] for run, of_run in zip((first, other), rows)]
        if not len(rows[0]) or not np.array_equal(*labels):
            raise SystemExit(
                "compare: expected runs that were evaluated on the same images of the same data, "
                f"but found {first} and {other}."
            )
    return _rows(runs)


def _rows(runs: Sequence[Run]) -> list[np.ndarray]:
    if any(run.images is None for run in runs):  # then the order of the rows has to do
        lengths = {len(run.found["labels"]) for run in runs}
        return [np.arange(lengths.pop() if len(lengths) == 1 else 0)] * len(runs)
    places = [_places(run.images) for run in runs]
    shared = [key for key in places[0] if all(key in other for other in places[1:])]
    return [np.array([of_run[key] for key in shared], int) for of_run in places]


def _places(images: Sequence[str]) -> dict[tuple[str, int], int]:
    """(image, how often it stood before) -> row."""
    before: Counter = Counter()
    places = {}
    for row, image in enumerate(images):
        places[image, before[image]] = row
        before[image] += 1
    return places


def names_of(folders: Sequence[Path]) -> list[str]:
    """The folders' own names, or their paths where two are the same."""
    names = [folder.resolve().name for folder in folders]
    return names if len({*names}) == len(names) else [str(folder) for folder in folders]


def compare(folders: Sequence[Path], output_dir: Path) -> str:
    """Writes compare.md and compare.png; the text."""
    runs, names = [read_run(folder) for folder in folders], names_of(folders)
    rows = shared_rows(runs)
    labels, classes = runs[0].found["labels"][rows[0]], runs[0].label_names
    bootstrap = Bootstrap(labels, 1, classes)
    of_runs = [run.found["predicted"][of_run] for run, of_run in zip(runs, rows)]
    found = {name: bootstrap.measures(one[None]) for name, one in zip(names, of_runs)}
    ece = {
        name: expected_calibration_error(
            softmax(run.found["logits"][of_run].astype(np.float64), axis=1), labels
        )
        for name, run, of_run in zip(names, runs, rows)
    }
    there = [name for i, name in enumerate(classes) if (labels == i).any()]
    differences = compared(found, names[0], OVER_CLASSES)
    of_recalls = recall_differences(found, names[0], there)
    images = f"{len(labels):,} images of the {runs[0].split} split"
    text = "\n\n".join(
        [
            figures_table(found, differences, ece),
            f"Recall of each class:\n\n{recalls_table(found, of_recalls, there)}",
            f"Over {images} that all runs share. Brackets: 95 % bootstrap intervals over images; "
            f"in parentheses the difference to {names[0]}, paired, or 'no difference' where Holm's "
            "correction leaves none at 5 %. ECE: without interval. One training each: nothing is "
            "said about another seed.",
        ]
    )
    output_dir.mkdir(parents=True, exist_ok=True)
    (output_dir / "compare.md").write_text(text + "\n")
    draw(output_dir / "compare.png", found, {**differences, **of_recalls}, images)
    return text


def recall_differences(found: Found, baseline: str, label_names: Sequence[str]) -> Differences:
    """As `compared`, for each class's recall, corrected for all of them together."""
    others = [name for name in found if name != baseline]
    all_of_it = {
        (label, name): found[name][f"recall_{label}"] - found[baseline][f"recall_{label}"]
        for label in label_names
        for name in others
    }
    real = holm({key: one.p for key, one in all_of_it.items()})
    return {
        f"recall_{label}": {
            name: all_of_it[label, name] if real[label, name] else None for name in others
        }
        for label in label_names
    }


def figures_table(found: Found, differences: Differences, ece: dict[str, float]) -> str:
    rows = [
        [name, *(with_change(found, differences, name, one) for one in OVER_CLASSES)]
        + [f"{ece[name]:.3f}"]
        for name in found
    ]
    return markdown_table(["run", *(MEASURES[one] for one in OVER_CLASSES), "ECE"], rows)


def recalls_table(found: Found, differences: Differences, label_names: Sequence[str]) -> str:
    """A row for each class."""
    rows = [
        [label, *(with_change(found, differences, name, f"recall_{label}") for name in found)]
        for label in label_names
    ]
    return markdown_table(["class", *found], rows)


def draw(path: Path, found: Found, differences: Differences, images: str) -> None:
    """Each measure's difference to the first run, filled where it is no chance."""
    baseline, *others = found
    measures = [*differences]
    height = 1.6 + len(measures) * (0.2 + 0.14 * len(others))
    figure, axes = plt.subplots(figsize=(9, height), layout="constrained")
    axes.axvline(0, color="#555555", lw=1)
    for number, name in enumerate(others):
        color = plt.get_cmap("tab10")(number % 10)
        for row, measure in enumerate(measures):
            one = found[name][measure] - found[baseline][measure]
            y = row + (number - (len(others) - 1) / 2) * 0.7 / len(others)
            axes.plot(one.interval, [y, y], color=color, lw=1.5)
            axes.plot(one.value, y, "o", color=color, ms=6, label=name if row == 0 else None,
                      mfc=color if differences[measure][name] else "white")  # fmt: skip
    words = [MEASURES.get(one, one.replace("recall_", "recall of ")) for one in measures]
    axes.set_yticks(range(len(measures)), words)
    axes.invert_yaxis()
    axes.grid(axis="x", alpha=0.3)
    axes.set_xlabel(f"difference to {baseline}, 95 % interval; filled: more than chance")
    figure.legend(loc="outside upper left", ncols=3, frameon=False)
    axes.set_title(f"Over {images}", fontsize=10)
    figure.savefig(path, dpi=200)
    plt.close(figure)


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="two or more folders")
    parser.add_argument(
        "--output_dir", type=Path, default=RUNS / "compare", help="default: %(default)s"
    )
    args = parser.parse_args(argv)
    if len({folder.resolve() for folder in args.runs}) < max(2, len(args.runs)):
        parser.error("expected two or more runs, each once.")
    print(compare(args.runs, args.output_dir))
    print(f"Table and picture: {args.output_dir.resolve()}")


if __name__ == "__main__":
    main()
