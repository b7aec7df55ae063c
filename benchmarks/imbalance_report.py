"""Tables, pictures and conclusions from the runs of benchmarks/imbalance.py."""

import json
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from scipy.stats import t as student
from scipy.stats import ttest_1samp

from benchmarks import imbalance_pictures as pictures
from benchmarks.imbalance_rows import (
    CHOSEN_BY,
    DEVELOPMENT,
    PAPER,
    ROWS,
    best_trial,
    title,
    trials_of,
)
from benchmarks.imbalance_statistics import (
    MEASURES,
    TAUS,
    Line,
    Treatments,
    common_seeds,
    with_seeds,
)
from benchmarks.runs import Runs, read_logits, read_runs
from training.arguments import parse_arguments
from training.data import LABELS
from training.evaluation.bootstrap import RESAMPLES, Bootstrap, measure_title
from training.report import markdown_table
from training.treatments.register import BASELINE

PAPER_ACCURACY = {
    "undersampling": 0.494286,
    "weighted_bce": 0.498982,
    "focal": 0.558316,
    "focal_alpha": 0.558316,
}
IN_README = ("undersampling", "weighted_bce", "focal")  # the paper's, as learned
SHOWN = ("accuracy", "balanced_accuracy")  # on the Space's page
SHOWN_TAUS = (0, 0.25, 0.5, 0.75, 1)


def write_report(folder: Path, protocol: str, resamples: int = RESAMPLES) -> None:
    """
    Markdown, JSON and pictures of all runs in `folder`, beside them.

    Args:
        resamples: of the bootstrap of the official protocol.
    """
    name = f"imbalance_{protocol}"
    runs = read_runs(folder / name, [*(PAPER if protocol == "paper" else ROWS)])
    trials = read_runs(folder / f"{name}_trials")
    texts = {f"{name}_trials": trials_text(trials, protocol)} if trials else {}
    if runs and protocol == "paper":
        texts |= {name: paper_text(runs), f"{name}_excerpt": paper_excerpt(runs)}
        pictures.plot_paper(folder / f"{name}.png", runs, PAPER_ACCURACY, title)
    elif BASELINE in runs:
        texts |= write_official(folder, runs, trials, resamples)
    if runs:
        pictures.plot_confusions(folder / f"{name}_confusion.png", runs, title)
    for file, text in texts.items():
        (folder / f"{file}.md").write_text(f"{text}\n")


def write_official(folder: Path, runs: Runs, trials: Runs, resamples: int) -> dict[str, str]:
    """Picture and JSON; the texts, by the name of their file."""
    arrays = read_logits(folder / "imbalance_official")
    bootstrap = Bootstrap(arrays["labels"], LABELS, resamples=resamples)
    seeds = common_seeds(runs)
    treatments = Treatments(with_seeds(runs, seeds), arrays, bootstrap)
    later = later_seeds(runs, seeds)
    again = [
        Treatments(with_seeds(runs, chosen), arrays, bootstrap)
        for chosen in ((later, [*seeds, *later]) if later else ())
    ]
    sentences = conclusions(treatments, again)
    pictures.plot_treatments(folder / "imbalance_official.png", treatments, title)
    shown = json.dumps(points_of_the_space(treatments, len(arrays["labels"])), indent=1)
    (folder / "imbalance_official.json").write_text(f"{shown}\n")
    copies = int(arrays["copies"].sum())
    images = f"{len(arrays['labels']):,} images of the validation split"
    return {
        "imbalance_official": "\n\n".join(
            [
                treatments_table(treatments, treatments.lines),
                f"Over {images} ({copies} of them copies of training or development images), "
                f"{about(treatments, trials)}",
                "\n".join(sentences),
            ]
        ),
        "imbalance_official_more": "\n\n".join(
            [
                f"Recall of each class:\n\n{recalls_table(treatments)}",
                f"Every row from one prior to the other:\n\n{priors_table(treatments)}",
                *again_tables(again),
            ]
        ),
        "imbalance_excerpt": "\n".join(
            [
                excerpt(treatments),
                "",
                highest_sentence(treatments, again),
                curve_sentence(treatments),
            ]
        ),
    }


def later_seeds(runs: Runs, seeds: Sequence[int]) -> list[int]:
    """The baseline's seeds beyond `seeds`, if another row has them all as well."""
    later = [run["seed"] for run in runs[BASELINE] if run["seed"] not in seeds]
    return later if later and len(with_seeds(runs, later)) > 1 else []


def line_title(line: Line) -> str:
    name = title(line.treatment).removesuffix(" (baseline)")
    if line.own:
        return name
    return f"{name} under {line.prior if ' ' in line.prior else f'`{line.prior}`'}"


def flags_of(of_row: Sequence[Mapping]) -> str:
    """What a row's runs are called with beside the recipe."""
    words, shown = list(of_row[0]["arguments"][1:]), []
    while words:
        flag = words.pop(0)
        values = []
        while words and not words[0].startswith("--"):
            values.append(words.pop(0))
        if flag not in ("--pretrained", "--no_pretrained", "--development_share", "--eval_split"):
            shown += [flag, *values]
    return f"`{' '.join(shown)}`" if shown else ""


def treatments_table(treatments: Treatments, lines: Sequence[Line], flags: bool = True) -> str:
    """Markdown: a row for each line, with its differences to the baseline."""
    header = ["treatment", *(["flags"] if flags else []), "prior", *map(measure_title, MEASURES)]
    rows = []
    for line in lines:
        shown = flags_of(treatments.runs[line.treatment]) if line.own else ""
        cells = [treatments.comparison.cell(line, measure) for measure in MEASURES]
        rows.append([title(line.treatment), *([shown] if flags else []), line.prior, *cells])
    return markdown_table(header, rows)


def about(treatments: Treatments, trials: Runs) -> str:
    """How the table came about, from the machine to the brackets."""
    runs = [run for of_row in treatments.runs.values() for run in of_row]
    machines = "; ".join(sorted({run["machine"] for run in runs}))
    first = runs[0]["arguments"]
    shared = [word for word in first if all(word in run["arguments"] for run in runs)]
    chosen = (
        "The flags were chosen on the development split (the trials, seed "
        f"{next(iter(trials.values()))[0]['seed']}). "
        if trials
        else ""
    )
    if any(line.prior.endswith("chosen") for line in treatments.lines):
        chosen += "A tau that is called chosen was chosen there, too. "
    return (
        f"seeds {_listed(treatments.seeds)}, results of the last step; on {machines}. Every run: "
        f"`python train.py {' '.join(shared)} FLAGS --seed N --split_seed N`. {chosen}Prior: the "
        "class distribution that predictions assume: what training taught (`learned`), the "
        "training split's (`train`; where it stands alone, both are the same), `uniform`, or "
        "halfway between the last two (tau 0.5). Brackets: 95 % bootstrap intervals over images "
        f"and seeds ({treatments.bootstrap.resamples:,} resamples). In parentheses: the "
        "difference to cross-entropy with the same seeds, bold where Holm's correction over all "
        f"{len(treatments.comparison.differences)} differences of the table confirms it at 5 %."
    )


def conclusions(treatments: Treatments, again: Sequence[Treatments]) -> list[str]:
    """Sentences made from the numbers."""
    if len(treatments.runs) == 1:
        return []
    sentences = [best_sentence(treatments, measure) for measure in MEASURES]
    return [*sentences, curve_sentence(treatments), *again_sentences(treatments, again)]


def best_sentence(treatments: Treatments, measure: str) -> str:
    """Which treatment is highest in a measure, by how much, and what it costs."""
    best, comparison = treatments.best(measure), treatments.comparison
    text = f"- **{_capital(measure_title(measure))}**: highest with {line_title(best)}, "
    text += comparison.change(best, measure)
    if (best, measure) not in comparison.confirmed:
        p = comparison.differences[best, measure].p
        text += f" (p = {p:.2g}, not confirmed)"
    text += f"; {price(treatments, best, measure)}."
    untrained = treatments.best(measure, trained=False)
    if comparison.differences[untrained, measure].value > 0:
        text += f" Without another training, {line_title(untrained)}: "
        text += f"{comparison.change(untrained, measure)}; {price(treatments, untrained, measure)}."
    return text


def highest_sentence(treatments: Treatments, again: Sequence[Treatments]) -> str:
    """All of `best_sentence` in one, without what it costs, and whether later seeds agree."""
    parts = []
    for measure in MEASURES if len(treatments.runs) > 1 else ():
        best, comparison = treatments.best(measure), treatments.comparison
        words = [f"{comparison.differences[best, measure].value:+.3f}"]
        if (best, measure) not in comparison.confirmed:
            words.append("not confirmed")
        if again and best in again[0].lines:
            later = again[0].comparison.differences[best, measure]
            words.append(f"with seeds {_listed(again[0].seeds)} {later.signed}")
        parts.append(f"in {measure_title(measure)} {line_title(best)} ({', '.join(words)})")
    return f"- **Highest**: {'; '.join(parts)}." if parts else ""


def price(treatments: Treatments, line: Line, measure: str) -> str:
    return ", ".join(
        f"{measure_title(other)} {treatments.comparison.change(line, other)}"
        for other in ("accuracy", "macro_f1")
        if other != measure
    )


def curve_sentence(treatments: Treatments) -> str:
    """What lies above the shifted baseline, and so is worth a training."""
    above = treatments.above
    real = [
        f"{_of(key)} {above[key].signed}"
        for key in above
        if key in treatments.above_by_more_than_chance and above[key].value > 0
    ]
    nearest = min((key for key in above if above[key].value > 0), key=lambda key: above[key].p,
                  default=None)  # fmt: skip
    none = "none" + (f"; the nearest to it is {_of(nearest)}, {above[nearest].signed}"
                     if nearest else "")  # fmt: skip
    return (
        "- **Worth a training?** Above what shifting the prior of the cross-entropy network "
        f"reaches at the same accuracy, by more than chance: {'; '.join(real) or none}."
    )


def _of(key: tuple[Line, str]) -> str:
    line, measure = key
    return f"{measure_title(measure)} with {line_title(line)}"


def again_sentences(treatments: Treatments, again: Sequence[Treatments]) -> list[str]:
    """Whether what was highest holds with later seeds, where a row has them."""
    if not again:
        return []
    later, every = again
    parts = []
    for measure in MEASURES:
        best = treatments.best(measure)
        if best not in later.lines:
            continue
        one = later.comparison.differences[best, measure]
        low, _ = one.interval
        in_the_mean = "in the mean, within chance" if one.value > 0 else "no"
        verdict = "yes" if low > 0 else in_the_mean
        parts.append(
            f"{measure_title(measure)} with {line_title(best)}, {one.signed}: {verdict} (all "
            f"{len(every.seeds)} seeds: {every.comparison.differences[best, measure].signed})"
        )
    text = "; ".join(parts) or "no row that is highest has them"
    return [f"- **Does it hold with seeds {_listed(later.seeds)}?** On the same images: {text}."]


def again_tables(again: Sequence[Treatments]) -> list[str]:
    """The rows with later seeds, over these alone and over all of them."""
    return [
        f"Seeds {_listed(treatments.seeds)}:\n\n"
        f"{treatments_table(treatments, treatments.lines, flags=False)}"
        for treatments in again
    ]


def excerpt(treatments: Treatments) -> str:
    """The README's table: cross-entropy, the paper's treatments, and what is highest."""
    best = {treatments.best(measure) for measure in ("balanced_accuracy", "macro_f1")}
    rows = {BASELINE, *IN_README, *(line.treatment for line in best if line)}
    lines = [
        line for line in treatments.lines if (line.own and line.treatment in rows) or line in best
    ]
    return treatments_table(treatments, lines, flags=False)


def recalls_table(treatments: Treatments) -> str:
    rows = [
        [title(row), *(str(treatments.lines[line][f"recall_{label}"]) for label in LABELS)]
        for row, line in treatments.own.items()
    ]
    return markdown_table(["treatment, prior as learned", *LABELS], rows)


def priors_table(treatments: Treatments) -> str:
    """Accuracy and macro-F1 of every row from the training's prior to equal shares."""
    header = ["accuracy / macro-F1", *(f"tau {tau:g}" for tau in SHOWN_TAUS)]
    rows = []
    for row in treatments.runs:
        curve = treatments.curve_of(row)
        places = [int(np.abs(TAUS - tau).argmin()) for tau in SHOWN_TAUS]
        cells = [f"{curve['accuracy'][i]:.3f} / {curve['macro_f1'][i]:.3f}" for i in places]
        rows.append([title(row), *cells])
    return (
        f"{markdown_table(header, rows)}\n\nTau 0 is the prior `train`, tau 1 `uniform`: the "
        "training's class shares to the power of 1 - tau."
    )


def points_of_the_space(treatments: Treatments, images: int) -> dict:
    """
    What the Space's page draws, rounded to four digits.

    Returns:
        `text`: what the chart shows, Markdown. `treatments`: a row for each treatment under the
        prior that it learned, the baseline first: name, flags, accuracy and balanced accuracy.
        `to_curve` is its balanced accuracy less what the prior shift reaches at the same accuracy,
        null where that may be chance. `prior_shift`: the curve.
    """
    rows = []
    for row, line in treatments.own.items():
        key = (line, "balanced_accuracy")
        real = key in treatments.above_by_more_than_chance
        rows.append(
            {
                "treatment": title(row),
                "setting": flags_of(treatments.runs[row]).strip("`"),
                **{measure: point_of(treatments, line, measure) for measure in SHOWN},
                "to_curve": round(treatments.above[key].value, 4) if real else None,
            }
        )
    shift = [
        {"tau": round(float(tau), 4)}
        | {measure: round(float(treatments.curve[measure][at, 0]), 4) for measure in SHOWN}
        for at, tau in enumerate(TAUS)
    ]
    return {
        "images": images,
        "seeds": len(treatments.seeds),
        "text": text_of_the_space(treatments),
        "treatments": rows,
        "prior_shift": shift,
    }


def point_of(treatments: Treatments, line: Line, measure: str) -> dict:
    """The value, its 95 % interval, and the difference to the baseline as a text."""
    estimate = treatments.lines[line][measure]
    difference = treatments.comparison.differences.get((line, measure))
    return {
        "value": round(estimate.value, 4),
        "ci95": [round(end, 4) for end in estimate.interval],
        "change": difference.signed if difference else "",
    }


def text_of_the_space(treatments: Treatments) -> str:
    above = [
        line_title(line)
        for (line, measure), lead in treatments.above.items()
        if measure == "balanced_accuracy" and lead.value > 0
        if (line, measure) in treatments.above_by_more_than_chance
    ]
    return (
        f"{network_of(treatments.runs[BASELINE][0])}, another network than this model, on "
        f"FER-2013's validation split: cross-entropy and {len(treatments.runs) - 1} treatments. "
        "Higher: right more often. Further right: rare classes count as much as common ones. The "
        "line needs no training: cross-entropy's answers, more and more as if all classes were "
        f"equally common. Above it by more than chance: {', '.join(above) or 'no treatment'}."
    )


def network_of(run: Mapping) -> str:
    """ "EfficientNet-Lite0 at 64 px from ImageNet weights"."""
    model = parse_arguments("", run["arguments"]).model
    name = model.backbone.removeprefix("tf_").replace("efficientnet_lite", "EfficientNet-Lite")
    start = "ImageNet" if run["pretrained"] else "random"
    return f"{name} at {model.image_size} px from {start} weights"


def trials_text(trials: Runs, protocol: str) -> str:
    """Markdown: every trial, on the development split of one seed."""
    measures = ("accuracy", "balanced_accuracy", "macro_f1")
    rows = []
    for row in dict.fromkeys([*ROWS, *(name.split(" ")[0] for name in trials)]):
        of_row = trials_of(row, trials)
        best = best_trial(row, trials, protocol)
        for name, run in of_row.items():
            figures = [f"{run[f'eval_{measure}']:.3f}" for measure in measures]
            chosen = "yes" if name == best else ""
            rows.append([title(row), f"`{name.partition(' ')[2]}`", *figures, chosen])
    run = next(iter(trials.values()))[0]
    header = ["treatment", "flags", *map(measure_title, measures), "chosen"]
    return (
        f"{markdown_table(header, rows)}\n\nOn the development split "
        f"({float(DEVELOPMENT[protocol]):.0%} of the training images), chosen by "
        f"{measure_title(CHOSEN_BY[protocol])}; seed {run['seed']}; on {run['machine']}."
    )


def values(runs: Sequence[Mapping], key: str) -> list[float]:
    return [run[key] for run in runs if key in run]


def cell(numbers: Sequence[float]) -> str:
    mean = f"{statistics.mean(numbers):.3f}"
    return f"{mean} ± {statistics.stdev(numbers):.3f}" if len(numbers) > 1 else f"{mean} (one seed)"


def paper_text(runs: Runs) -> str:
    header = ["treatment", "the paper", "accuracy", "without copies", "balanced accuracy",
              "macro-F1", "recall of disgust", "seeds"]  # fmt: skip
    keys = ["accuracy", "accuracy_without_copies", "balanced_accuracy", "macro_f1",
            "recall_disgust"]  # fmt: skip
    rows = [
        [title(row), f"{PAPER_ACCURACY[row]:.3f}"]
        + [cell(values(of_row, f"eval_{key}")) for key in keys]
        + [str(len(of_row))]
        for row, of_row in runs.items()
    ]
    every = [run for of_row in runs.values() for run in of_row]
    sizes = " or ".join(f"{size:,}" for size in sorted({run["eval_samples"] for run in every}))
    lost = statistics.mean(
        run["eval_accuracy"] - run["eval_accuracy_without_copies"] for run in every
    )
    recipes = ", ".join(f"`{recipe}`" for recipe in dict.fromkeys(r["arguments"][0] for r in every))
    return "\n\n".join(
        [
            markdown_table(header, rows),
            f"Mean ± standard deviation over seeds, each with its own split, over {sizes} images "
            f"of the test part, results of the last step; on "
            f"{'; '.join(sorted({run['machine'] for run in every}))}. Recipes: {recipes}. Without "
            f"the test images that are copies of training images, accuracy is {lost:.3f} lower on "
            "average.",
            "\n".join(paper_sentence(row, of_row) for row, of_row in runs.items()),
        ]
    )


def paper_sentence(row: str, of_row: Sequence[Mapping]) -> str:
    accuracies, paper = values(of_row, "eval_accuracy"), PAPER_ACCURACY[row]
    mean, seeds = statistics.mean(accuracies), len(accuracies)
    start = f"- {title(row)}: {mean:.3f} against the paper's {paper:.3f}, {mean - paper:+.3f}"
    if seeds == 1:
        return f"{start}; one seed."
    half = student.ppf(0.975, seeds - 1) * statistics.stdev(accuracies) / seeds**0.5
    low, high = mean - paper - half, mean - paper + half
    return f"{start} [{low:+.3f}, {high:+.3f}] over seeds: {verdict(accuracies, paper)}."


def verdict(accuracies: Sequence[float], paper: float) -> str:
    """Whether the mean over seeds differs from the paper's by more than chance (a t-test)."""
    where = "above" if statistics.mean(accuracies) > paper else "below"
    if len(accuracies) > 1 and ttest_1samp(accuracies, paper).pvalue < 0.05:
        return where
    return f"level with it, in the mean {where}"


def paper_excerpt(runs: Runs) -> str:
    parts = []
    for row, of_row in runs.items():
        accuracies, paper = values(of_row, "eval_accuracy"), PAPER_ACCURACY[row]
        mean, name = statistics.mean(accuracies), title(row).removesuffix(" (paper)")
        parts.append(f"{name} {mean:.3f} ({paper:.3f}; {verdict(accuracies, paper)})")
    return f"Accuracy under the paper's own protocol (and the paper's): {', '.join(parts)}."


def _listed(seeds: Sequence[int]) -> str:
    """ "0 to 3", or "0, 2"."""
    whole = list(seeds) == list(range(seeds[0], seeds[-1] + 1))
    return f"{seeds[0]} to {seeds[-1]}" if whole and len(seeds) > 2 else ", ".join(map(str, seeds))


def _capital(words: str) -> str:
    return words[0].upper() + words[1:]
