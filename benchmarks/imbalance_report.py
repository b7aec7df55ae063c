"""Tables, pictures and conclusions from the runs of benchmarks/imbalance.py."""

import json
import statistics
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np

from benchmarks import imbalance_pictures as pictures
from benchmarks.imbalance_statistics import TAUS, Bootstrap, Estimate, above_curve, holm, shifted
from benchmarks.runner import RESULTS, read_runs
from training.data import LABELS
from training.markdown import markdown_table
from training.treatments import SAMPLINGS, BenchmarkRow, losses
from training.treatments.register import BASELINE

MEASURES = {
    "accuracy": "accuracy",
    "balanced_accuracy": "balanced accuracy",
    "macro_f1": "macro-F1",
    "recall_disgust": "recall of disgust",
}
CHOSEN_BY = {"official": "macro_f1", "paper": "accuracy"}  # on the development split
SHIFT = "prior_shift"
SHIFT_TRIES = (1.0, 0.5)  # tau: as many trials as each other row has
PAPER_ACCURACY = {
    "undersampling": 0.494286,
    "weighted_bce": 0.498982,
    "focal": 0.558316,
    "focal_alpha": 0.558316,
}
IN_README = (BASELINE, SHIFT, "undersampling", "weighted_bce", "focal", "focal_alpha",
             "oversampling", "weighted_sampling")  # fmt: skip
Runs = dict[str, list[dict]]  # by row, in the order of ROWS, seeds ascending
Found = dict[str, dict[str, Estimate]]  # row -> measure -> estimate
Differences = dict[str, dict[str, Estimate | None]]  # measure -> row -> to the baseline, if any


def _rows() -> dict[str, BenchmarkRow]:
    """Every row by name, the baseline first; flags with the loss."""
    found = {}
    for loss, one in losses().items():
        for suffix, row in one.benchmark_rows.items():
            flags = () if loss == BASELINE else ("--loss", loss)
            title = row.title or one.title
            found[loss + suffix] = BenchmarkRow(title, flags + row.flags, row.tries)
    return found | {one.row: one.benchmark for one in SAMPLINGS.values() if one.row}


ROWS = _rows()
TITLES = {name: row.title for name, row in ROWS.items()}
TITLES[SHIFT] = "cross-entropy, prior shift after training"


def title(name: str) -> str:
    """Of a row; a loss from outside is called by its name."""
    return TITLES.get(name, name)


def values(found: list[dict], key: str) -> list[float]:
    return [run[key] for run in found]


def spread(found: list[float]) -> float:
    """Sample standard deviation; NaN for one value."""
    return statistics.stdev(found) if len(found) > 1 else float("nan")


def cell(found: list[float]) -> str:
    mean = f"{statistics.mean(found):.3f}"
    return f"{mean} ± {spread(found):.3f}" if len(found) > 1 else f"{mean} (one seed)"


def write_report(folder: Path, protocol: str) -> None:
    """Markdown and pictures of all runs in `folder`, beside them."""
    order = list(PAPER_ACCURACY if protocol == "paper" else TITLES)
    runs = read_runs(folder / f"imbalance_{protocol}", order)
    trials = read_runs(folder / f"imbalance_{protocol}_trials", [])
    if trials:
        text = trials_table(trials, protocol)
        (folder / f"imbalance_{protocol}_trials.md").write_text(text + "\n")
    if not runs:
        return
    if protocol == "paper":
        (folder / "imbalance_paper.md").write_text(paper_report(runs) + "\n")
        pictures.plot_paper(folder / "imbalance_paper.png", runs, PAPER_ACCURACY, title)
    elif BASELINE in runs:
        write_comparison(folder, runs, trials)
    pictures.plot_confusions(folder / f"imbalance_{protocol}_confusion.png", runs, title)


def write_comparison(folder: Path, runs: Runs, trials: Runs) -> None:
    """Of the official split: rows with the baseline's seeds, compared with it."""
    seeds = values(runs[BASELINE], "seed")
    runs = {name: found for name, found in runs.items() if values(found, "seed") == seeds}
    files = folder / "imbalance_official"
    saved = {name: [np.load(files / f"{name}-seed{seed}.npz") for seed in seeds] for name in runs}
    labels = saved[BASELINE][0]["labels"]
    bootstrap = Bootstrap(labels, len(seeds), LABELS)
    found: Found = {
        name: bootstrap.measures(np.stack([one["predicted"] for one in of_seeds]))
        for name, of_seeds in saved.items()
    }
    logits = np.stack([one["logits"].astype(np.float32) for one in saved[BASELINE]])
    prior = np.array(values(runs[BASELINE], "train_counts"), float)
    prior /= prior.sum(axis=1, keepdims=True)
    tau = chosen_tau(folder, trials)
    curve = bootstrap.curve(logits, prior)
    found = {
        BASELINE: found.pop(BASELINE),
        SHIFT: bootstrap.measures(shifted(logits, prior, tau)),
        **found,
    }
    settings = {name: setting(name, run[0]) for name, run in runs.items()}
    settings[SHIFT] = f"tau {tau:g}"
    copies = np.stack([one["copies"] for one in saved[BASELINE]])
    differences = compared(found)
    text = "\n\n".join(
        [
            comparison_table(found, differences, settings),
            about(runs, len(labels), int(copies.sum(axis=1).mean())),
            conclusions(found, differences, curve),
        ]
    )
    (folder / "imbalance_official.md").write_text(text + "\n")
    (folder / "imbalance_official_recalls.md").write_text(recalls_table(found) + "\n")
    rows = {name: found[name] for name in IN_README if name in found}
    excerpt = comparison_table(rows, differences, {})
    text = f"{excerpt}\n\n{advice(found, differences, curve, tau)}\n"
    (folder / "imbalance_excerpt.md").write_text(text)
    pictures.plot_curve(folder / "imbalance_official.png", runs, found, curve, title)
    points = {"images": len(labels), "seeds": len(seeds)} | comparison_points(
        found, differences, curve, settings
    )
    (folder / "imbalance_official.json").write_text(json.dumps(points, indent=1) + "\n")


def comparison_points(
    found: Found,
    differences: Differences,
    curve: Mapping[str, np.ndarray],
    settings: Mapping[str, str],
) -> dict:
    """
    What the Space's page draws, rounded to four digits.

    Returns:
        `treatments`: a row for each treatment, the baseline first: name, setting, and of accuracy
        and balanced accuracy the value, the 95 % interval and the difference to the baseline as a
        text. `to_curve` is its balanced accuracy less what the prior shift reaches at the same
        accuracy, null where that is chance and for rows on the curve. `prior_shift`: the curve.
    """
    above, real = against_curve(found, curve, "balanced_accuracy")
    rows = []
    for name, one in found.items():
        row: dict = {"treatment": title(name), "setting": settings[name].strip("`")}
        for measure in ("accuracy", "balanced_accuracy"):
            row[measure] = {
                "value": round(one[measure].value, 4),
                "ci95": [round(end, 4) for end in one[measure].interval],
                "change": "" if name == BASELINE else change(differences[measure][name]),
            }
        row["to_curve"] = round(above[name].value, 4) if real.get(name) else None
        rows.append(row)
    shift = [
        {"tau": round(float(tau), 4)}
        | {name: round(float(curve[name][at, 0]), 4) for name in ("accuracy", "balanced_accuracy")}
        for at, tau in enumerate(TAUS)
    ]
    return {"treatments": rows, "prior_shift": shift}


def setting(name: str, run: dict) -> str:
    """What was chosen for a row, of the arguments of one of its runs."""
    tried = ROWS[name].tries if name in ROWS else ()
    words = {*run["arguments"]}
    return next((f"`{' '.join(flags)}`" for flags in tried if {*flags} <= words), "")


def chosen_tau(folder: Path, trials: Runs) -> float:
    """Of SHIFT_TRIES, the best on the development split of the baseline's best trial."""
    tries = [name for name in trials if name.startswith(f"{BASELINE}-try")]
    best = max(tries, key=lambda name: trials[name][0]["eval_macro_f1"], default=None)
    if best is None:
        return SHIFT_TRIES[0]
    run = trials[best][0]
    saved = np.load(folder / "imbalance_official_trials" / f"{best}-seed{run['seed']}.npz")
    prior = np.array(run["train_counts"], float)[None] / sum(run["train_counts"])
    one = Bootstrap(saved["labels"], 1, LABELS, resamples=1)
    logits = saved["logits"][None].astype(np.float32)
    scores = {
        tau: one.measures(shifted(logits, prior, tau))["macro_f1"].value for tau in SHIFT_TRIES
    }
    return max(scores, key=scores.get)


def compared(
    found: Found, baseline: str = BASELINE, measures: Iterable[str] = tuple(MEASURES)
) -> Differences:
    """
    Measure -> row -> the difference to the baseline; None where there is none, after Holm's
    correction for the number of rows.
    """
    result = {}
    for measure in measures:
        all_of_it = {
            name: one[measure] - found[baseline][measure]
            for name, one in found.items()
            if name != baseline
        }
        real = holm({name: one.p for name, one in all_of_it.items()})
        result[measure] = {name: one if real[name] else None for name, one in all_of_it.items()}
    return result


def signed(one: Estimate) -> str:
    low, high = one.interval
    return f"{one.value:+.3f} [{low:+.3f}, {high:+.3f}]"


def change(difference: Estimate | None) -> str:
    """Of an entry of `Differences`."""
    return signed(difference) if difference else "no difference"


def with_interval(one: Estimate) -> str:
    low, high = one.interval
    return f"{one.value:.3f} [{low:.3f}, {high:.3f}]"


def with_change(found: Found, differences: Differences, name: str, measure: str) -> str:
    """A row's measure with its difference to the baseline; the baseline's with its interval."""
    one = found[name][measure]
    if name not in differences[measure]:
        return with_interval(one)
    return f"{one.value:.3f} ({change(differences[measure][name])})"


def comparison_table(found: Found, differences: Differences, settings: Mapping[str, str]) -> str:
    """Markdown: a row for each treatment; differences to the baseline that are not chance."""
    header = ["treatment", *(["setting"] if settings else []), *MEASURES.values()]
    rows = [
        [title(name), *([settings[name]] if settings else [])]
        + [with_change(found, differences, name, measure) for measure in MEASURES]
        for name in found
    ]
    return markdown_table(header, rows)


def recalls_table(found: Found) -> str:
    header = ["treatment", *LABELS]
    rows = [
        [title(name), *(with_interval(one[f"recall_{label}"]) for label in LABELS)]
        for name, one in found.items()
    ]
    return markdown_table(header, rows)


def trials_table(trials: Runs, protocol: str) -> str:
    """Markdown: every trial, on the development split of one seed."""
    measures = ["accuracy", "balanced_accuracy", "macro_f1"]
    chosen_by = CHOSEN_BY[protocol]
    header = ["treatment", "setting", *(MEASURES[one] for one in measures), "chosen"]
    by_row: dict[str, dict[str, dict]] = {}
    for name, found in trials.items():
        by_row.setdefault(name.rpartition("-try")[0], {})[name] = found[0]
    order = [name for name in TITLES if name in by_row]
    rows = []
    for name in [*order, *(name for name in by_row if name not in order)]:
        found = dict(sorted(by_row[name].items()))
        best = max(found, key=lambda one: found[one][f"eval_{chosen_by}"])
        for trial, run in found.items():
            words = run["arguments"]
            tried = setting(name, run)
            if protocol == "paper":
                at = words.index("--image_size")
                tried = f"`{' '.join(words[at : at + 4])}`"
            figures = [f"{run[f'eval_{one}']:.3f}" for one in measures]
            rows.append([title(name), tried, *figures, "yes" if trial == best else ""])
    run = next(iter(trials.values()))[0]
    return (
        f"{markdown_table(header, rows)}\n\nOn the development split, chosen by "
        f"{MEASURES[chosen_by]}; seed {run['seed']}; on {run['machine']}."
    )


def about(runs: Runs, images: int, copies: int) -> str:
    every = [run for found in runs.values() for run in found]
    machines = sorted({run["machine"] for run in every})
    shared = [word for word in every[0]["arguments"] if all(word in r["arguments"] for r in every)]
    return (
        f"Over {images:,} images of the validation split ({copies} of them copies of training or "
        f"development images), {len(runs[BASELINE])} seed(s), results of the last step; on "
        f"{'; '.join(machines)}. Every run: `python train.py {' '.join(shared)} ...`. Brackets: "
        "95 % bootstrap intervals over images and seeds; in parentheses the difference to the "
        'baseline with the same seeds, or "no difference" where Holm\'s correction for '
        f"{len(runs)} rows leaves none at 5 %."
    )


def conclusions(found: Found, differences: Differences, curve: Mapping[str, np.ndarray]) -> str:
    """Sentences made from the numbers."""
    lines = []
    for measure, words in MEASURES.items():
        real = {name: one for name, one in differences[measure].items() if one}
        better = sorted((n for n in real if real[n].value > 0), key=lambda n: -real[n].value)
        worse = sorted((n for n in real if real[n].value < 0), key=lambda n: real[n].value)
        same = [name for name, one in differences[measure].items() if one is None]
        parts = [
            f"{how}: {listed(names, real)}"
            for how, names in (("better", better), ("worse", worse), ("no difference", same))
            if names
        ]
        start = f"- **{words}** ({found[BASELINE][measure].value:.3f} with cross-entropy)"
        lines.append(f"{start}. {'. '.join(part[0].upper() + part[1:] for part in parts)}.")
    lines += [curve_sentence(found, curve, measure) for measure in
              ("balanced_accuracy", "recall_disgust")]  # fmt: skip
    return "\n".join([*lines, *both_networks(differences)])


def listed(names: list[str], real: Mapping[str, Estimate]) -> str:
    return "; ".join(
        title(name) + (f" {real[name].value:+.3f}" if name in real else "") for name in names
    )


def against_curve(
    found: Found, curve: Mapping[str, np.ndarray], measure: str
) -> tuple[dict[str, Estimate], dict[str, bool]]:
    """How far each trained row lies above the baseline's curve, and whether that is no chance."""
    above = {
        name: above_curve(one, curve, measure)
        for name, one in found.items()
        if name not in (BASELINE, SHIFT)
    }
    return above, holm({name: one.p for name, one in above.items()})


def curve_sentence(found: Found, curve: Mapping[str, np.ndarray], measure: str) -> str:
    above, real = against_curve(found, curve, measure)
    over = [name for name in above if real[name] and above[name].value > 0]
    under = [name for name in above if real[name] and above[name].value < 0]
    on = [name for name in above if not real[name]]
    words = MEASURES[measure]
    text = f"- **Worth a training?** {words[0].upper() + words[1:]} above what shifting the prior "
    text += "of the cross-entropy network reaches at the same accuracy: "
    text += "; ".join(f"{title(n)} {signed(above[n])}" for n in over) or "no treatment"
    if on:
        text += f". No difference to it: {', '.join(map(title, on))}"
    if under:
        text += f". Below it: {'; '.join(f'{title(n)} {above[n].value:+.3f}' for n in under)}"
    return text + "."


def both_networks(differences: Differences) -> list[str]:
    """What the small network of the first comparison shows as well: the same sign."""
    small = read_runs(RESULTS / "imbalance_small", [])
    if BASELINE not in small:
        return []
    lines = []
    for measure in ("accuracy", "balanced_accuracy", "recall_disgust"):
        key = f"eval_{measure}"
        base = statistics.mean(values(small[BASELINE], key))
        same = [
            name
            for name, one in differences[measure].items()
            if one and name in small
            and (statistics.mean(values(small[name], key)) - base) * one.value > 0
        ]  # fmt: skip
        for sign, how in ((1, "higher"), (-1, "lower")):
            names = [name for name in same if differences[measure][name].value * sign > 0]
            if names:
                lines.append(f"{MEASURES[measure]} is {how} with {', '.join(map(title, names))}")
    return [f"- **In the small network too**: {'; '.join(lines)}."] if lines else []


def advice(
    found: Found, differences: Differences, curve: Mapping[str, np.ndarray], tau: float
) -> str:
    """What to do for accuracy and for the rare classes, and what it costs."""
    lines = []
    for measure in ("accuracy", "balanced_accuracy", "recall_disgust"):
        words = MEASURES[measure]
        better = [name for name, one in differences[measure].items() if one and one.value > 0]
        best = max(better, key=lambda name: found[name][measure].value, default=None)
        if best is None:
            lines.append(
                f"- **For {words}**: plain cross-entropy ({found[BASELINE][measure].value:.3f}). "
                "No treatment is better."
            )
            continue
        gain, cost = differences[measure][best], differences["accuracy"][best]
        text = f"- **For {words}**: {title(best)}, {signed(gain)}; {price(cost)}."
        if best != SHIFT and differences[measure][SHIFT]:
            gain, cost = differences[measure][SHIFT], differences["accuracy"][SHIFT]
            text += (
                f" Without another training: the prior of a cross-entropy network shifted by tau "
                f"{tau:g}, {gain.value:+.3f}; {price(cost)}."
            )
        lines.append(text)
    worth = set()
    for measure in ("balanced_accuracy", "recall_disgust"):
        above, real = against_curve(found, curve, measure)
        worth |= {title(name) for name in above if real[name] and above[name].value > 0}
    lines.append(
        "- **Worth a training?** At the same accuracy, in balanced accuracy or recall of "
        "*disgust*, better than shifting the prior by whatever tau: "
        f"{', '.join(sorted(worth)) or 'none'}."
    )
    return "\n".join(lines)


def price(cost: Estimate | None) -> str:
    return f"accuracy {signed(cost)}" if cost else "no difference in accuracy"


def paper_report(runs: Runs) -> str:
    header = ["treatment", "the paper", "accuracy", "without copies", "balanced accuracy",
              "macro-F1", "recall of disgust", "seeds"]  # fmt: skip
    keys = ["accuracy", "accuracy_without_copies", "balanced_accuracy", "macro_f1",
            "recall_disgust"]  # fmt: skip
    rows, sentences = [], []
    for name, found in runs.items():
        paper = PAPER_ACCURACY.get(name)
        figures = [cell(values(found, f"eval_{key}")) for key in keys]
        rows.append([title(name), f"{paper:.3f}" if paper else "", *figures, str(len(found))])
        if paper:
            over = sum(accuracy > paper for accuracy in values(found, "eval_accuracy"))
            mean = statistics.mean(values(found, "eval_accuracy"))
            sentences.append(
                f"- {title(name)}: {mean - paper:+.3f} against the paper's result, above it with "
                f"{over} of {len(found)} seeds."
            )
    every = [run for found in runs.values() for run in found]
    sizes = sorted({run["eval_samples"] for run in every})
    lost = statistics.mean(run["eval_accuracy"] - run["eval_accuracy_without_copies"]
                           for run in every if "eval_accuracy_without_copies" in run)  # fmt: skip
    recipes = ", ".join(f"`{run}`" for run in dict.fromkeys(r["arguments"][0] for r in every))
    return "\n\n".join(
        [
            markdown_table(header, rows),
            f"Mean ± standard deviation over seeds, each with its own split, over "
            f"{' or '.join(f'{size:,}' for size in sizes)} images of the test part, results of "
            f"the last step; on {'; '.join(sorted({run['machine'] for run in every}))}. Recipes: "
            f"{recipes}. Without the test images that are copies of training images, accuracy is "
            f"{lost:.3f} lower on average.",
            "\n".join(sentences),
        ]
    )
