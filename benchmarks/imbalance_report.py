"""Table, chart, confusion matrices and conclusions from the runs of benchmarks/imbalance.py."""

import statistics
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402
import numpy as np  # noqa: E402

from benchmarks.runner import read_runs  # noqa: E402
from training.data import LABELS  # noqa: E402
from training.report import markdown_table  # noqa: E402
from training.treatments import SAMPLINGS, losses  # noqa: E402

TITLES = {name: loss.title for name, loss in losses().items()}
TITLES |= {one.row: one.title for one in SAMPLINGS.values() if one.row}
MEASURES = {
    "eval_accuracy": "accuracy",
    "eval_balanced_accuracy": "balanced accuracy",
    "eval_macro_f1": "macro-F1",
    "eval_recall_disgust": "recall of disgust",
    "eval_recall_happy": "recall of happy",
}
PAPER_ACCURACY = {"undersampling": 0.494286, "weighted_bce": 0.498982, "focal": 0.558316}
Runs = dict[str, list[dict]]  # by treatment, in the order of TITLES, seeds ascending


def title(name: str) -> str:
    """Of a row; a loss from outside is called by its name."""
    return TITLES.get(name, name)


def values(found: list[dict], key: str) -> list[float]:
    return [run["results"][key] for run in found]


def spread(found: list[float]) -> float:
    """Sample standard deviation; NaN for one value."""
    return statistics.stdev(found) if len(found) > 1 else float("nan")


def cell(found: list[float], best: bool = False) -> str:
    text = f"{statistics.mean(found):.3f}" + (
        f" ± {spread(found):.3f}" if len(found) > 1 else " (one seed)"
    )
    return f"**{text}**" if best else text


def images_seen(run: dict) -> float:
    results = run["results"]
    return results["train_samples_per_second"] * results["train_runtime"]


def table(runs: Runs, protocol: str) -> str:
    """Markdown: a row for each treatment, mean ± standard deviation over seeds, best in bold."""
    best = {
        key: max(runs, key=lambda name: statistics.mean(values(runs[name], key)))
        for key in MEASURES
    }
    header = ["treatment", *MEASURES.values(), "seeds", "images seen", "minutes a run"]
    if protocol == "paper":
        header.insert(1, "the paper's accuracy")
    rows = []
    for name, found in runs.items():
        row = [title(name)]
        if protocol == "paper":
            row.append(f"{PAPER_ACCURACY[name]:.3f}" if name in PAPER_ACCURACY else "")
        row += [cell(values(found, key), best[key] == name) for key in MEASURES]
        minutes = statistics.mean(values(found, "train_runtime")) / 60
        row += [str(len(found)), f"{images_seen(found[0]):,.0f}", f"{minutes:.1f}"]
        rows.append(row)
    return markdown_table(header, rows)


def conclusions(runs: Runs) -> str:
    """
    Who leads on each measure, against the baseline and against the spread over seeds.

    Differences are paired by seed: the same seed draws the same initial weights.
    """
    baseline = runs.get("cross_entropy")
    if baseline is None or min(map(len, runs.values())) < 2:
        return "Fewer than two seeds of each treatment, or no baseline: no comparison is made."
    lines = []
    for key, measure in list(MEASURES.items())[:4]:
        name = max(runs, key=lambda name: statistics.mean(values(runs[name], key)))
        mean = statistics.mean(values(runs[name], key))
        if name == "cross_entropy":
            others = [other for other in runs if other != name]
            second = max(others, key=lambda other: statistics.mean(values(runs[other], key)))
            lines.append(
                f"- **{measure}**: no treatment beats the baseline ({mean:.3f}); the nearest, "
                f"{title(second)}, is {difference(runs[second], baseline, key)}."
            )
        else:
            lines.append(
                f"- **{measure}**: {title(name)} leads with {mean:.3f}, "
                f"{difference(runs[name], baseline, key)}."
            )
    lead = max(runs, key=lambda name: statistics.mean(values(runs[name], "eval_balanced_accuracy")))
    if lead != "cross_entropy":
        prices = [
            (statistics.mean(values(runs[lead], f"eval_recall_{label}"))
             - statistics.mean(values(baseline, f"eval_recall_{label}")), label)
            for label in LABELS
        ]  # fmt: skip
        losers = [f"{label} {change:+.3f}" for change, label in sorted(prices) if change < 0]
        lines.append(
            f"- What {title(lead)}, first in balanced accuracy, costs in recall: "
            + (", ".join(losers) or "nothing")
            + "."
        )
    return "\n".join(lines)


def difference(found: list[dict], baseline: list[dict], key: str) -> str:
    """ "0.021 above the baseline (2.3 times the spread of the difference over 3 seeds)"."""
    other = {run["seed"]: run["results"][key] for run in baseline}
    paired = [run["results"][key] - other[run["seed"]] for run in found if run["seed"] in other]
    mean = statistics.mean(paired)
    side = "above" if mean >= 0 else "below"
    text = f"{abs(mean):.3f} {side} the baseline"
    if len(paired) < 2:
        return f"{text} (one seed: no spread)"
    over = f"the spread of the difference over {len(paired)} seeds"
    if abs(mean) <= 2 * spread(paired):
        return (
            f"{text}, less than twice {over} ({spread(paired):.3f}): not a difference to build on"
        )
    if spread(paired) < 1e-6:
        return f"{text}, the same with each of {len(paired)} seeds"
    return f"{text}, {abs(mean) / spread(paired):.1f} times {over}"


def plot_measures(path: Path, runs: Runs) -> None:
    """A panel for each measure: one dot for a run, a bar for the mean."""
    figure, panels = plt.subplots(
        1, len(MEASURES), figsize=(14, 0.42 * len(runs) + 1.6), sharey=True, layout="constrained"
    )
    for axes, (key, measure) in zip(panels, MEASURES.items()):
        for row, (name, found) in enumerate(runs.items()):
            color = "#999999" if name == "cross_entropy" else "#0072B2"
            axes.plot(values(found, key), [row] * len(found), "o", color=color, alpha=0.6, ms=5)
            axes.plot(statistics.mean(values(found, key)), row, "|", color="black", ms=16)
        if "cross_entropy" in runs:
            mean = statistics.mean(values(runs["cross_entropy"], key))
            axes.axvline(mean, color="#999999", lw=1, ls="--")
        axes.set_title(measure, fontsize=10)
        axes.grid(axis="x", alpha=0.3)
    panels[0].set_yticks(range(len(runs)), [title(name) for name in runs])
    panels[0].invert_yaxis()
    figure.savefig(path, dpi=130)
    plt.close(figure)


def plot_confusions(path: Path, runs: Runs) -> None:
    """Each treatment's confusion matrix, shares of the true class, averaged over seeds."""
    columns = min(5, len(runs))
    rows = -(-len(runs) // columns)
    figure, panels = plt.subplots(
        rows, columns, figsize=(2.9 * columns, 3.1 * rows), layout="constrained", squeeze=False
    )
    for axes in panels.flat[len(runs) :]:
        axes.axis("off")
    for axes, (name, found) in zip(panels.flat, runs.items()):
        counts = np.array(values(found, "eval_confusion_matrix"), dtype=float)
        share = (counts / np.maximum(counts.sum(axis=2, keepdims=True), 1)).mean(axis=0)
        axes.imshow(share, cmap="cividis", vmin=0, vmax=1)
        for (row, column), value in np.ndenumerate(share):
            color = "black" if value > 0.55 else "white"
            axes.text(column, row, f"{value:.2f}"[1:] if value < 0.995 else "1", ha="center",
                      va="center", color=color, fontsize=7)  # fmt: skip
        axes.set_xticks(range(len(LABELS)), LABELS, rotation=60, ha="right", fontsize=7)
        axes.set_yticks(range(len(LABELS)), LABELS, fontsize=7)
        axes.set_title(title(name), fontsize=8)
    figure.supxlabel("predicted", fontsize=9)
    figure.supylabel("label", fontsize=9)
    figure.savefig(path, dpi=130)
    plt.close(figure)


def write_report(folder: Path, protocol: str) -> None:
    """imbalance_<protocol>.md, .png and _confusion.png in `folder`."""
    stem = f"imbalance_{protocol}"
    runs = read_runs(folder / stem, list(TITLES))
    if not runs:
        return
    every = [run["arguments"] for found in runs.values() for run in found]
    evaluated = [run["results"] for found in runs.values() for run in found]
    sizes = sorted({results["eval_samples"] for results in evaluated})
    shared = [word for word in every[0] if all(word in arguments for arguments in every)]
    machines = sorted({run["machine"] for found in runs.values() for run in found})
    text = "\n\n".join(
        [
            table(runs, protocol),
            f"Over {' or '.join(f'{size:,}' for size in sizes)} images of the "
            f"{evaluated[0]['eval_split']} split, figures of the last step, "
            f"mean ± standard deviation over seeds; on {'; '.join(machines)}. Every run: "
            f"`train.py {' '.join([*shared, '...'])}`.",
            conclusions(runs),
        ]
    )
    (folder / f"{stem}.md").write_text(text + "\n")
    plot_measures(folder / f"{stem}.png", runs)
    plot_confusions(folder / f"{stem}_confusion.png", runs)
