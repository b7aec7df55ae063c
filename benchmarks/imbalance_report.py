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
    OF_IMBALANCE,
    TAUS,
    UNIFORM,
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
IN_README = ("undersampling", "weighted_bce", "focal", "focal_alpha")  # the paper's, own prior
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
        texts[name] = paper_text(runs)
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
                *again_tables(again),
            ]
        ),
        "imbalance_official_recalls": recalls_table(treatments),
        "imbalance_official_priors": priors_table(treatments),
        "imbalance_excerpt": f"{excerpt(treatments)}\n\n" + "\n".join(sentences),
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
        f"{next(iter(trials.values()))[0]['seed']}), no prior was. "
        if trials
        else ""
    )
    comparison = treatments.comparison
    return (
        f"seeds {_listed(treatments.seeds)}, results of the last step; on {machines}. Every run: "
        f"`python train.py {' '.join(shared)} FLAGS --seed N --split_seed N`. {chosen}Prior: the "
        "class distribution that predictions assume. `learned` is what the training taught, "
        "`train` the training split's (a row with this one alone learned it), `uniform` all "
        "classes alike, tau 0.5 halfway; where a tau is called chosen, it was on the development "
        "split. Brackets: 95 % bootstrap intervals over images and seeds "
        f"({treatments.bootstrap.resamples:,} resamples); in parentheses the difference to "
        "cross-entropy with the same seeds, bold where Holm's correction over all "
        f"{len(comparison.differences)} differences of the table confirms it at 5 %."
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
        f"reaches at the same accuracy, in {', '.join(map(measure_title, OF_IMBALANCE[:-1]))} or "
        f"{measure_title(OF_IMBALANCE[-1])}, by more than chance: {'; '.join(real) or none}."
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
    if not again:
        return []
    return [
        f"The rows with more seeds, seeds {_listed(one.seeds)}:\n\n"
        f"{treatments_table(one, one.lines, flags=False)}"
        for one in again
    ]


def excerpt(treatments: Treatments) -> str:
    """The README's table: cross-entropy, the paper's treatments, and what is highest."""
    best = {treatments.best(measure) for measure in OF_IMBALANCE}
    rows = {BASELINE, *IN_README, *(line.treatment for line in best if line)}
    lines = [
        line
        for line in treatments.lines
        if (line.own and line.treatment in rows)
        or line in best
        or (line.treatment == BASELINE and line.prior == UNIFORM)
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
        `words`: what the chart shows, Markdown. `treatments`: a row for each treatment under the
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
        "words": words_of_the_space(treatments, images),
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


def words_of_the_space(treatments: Treatments, images: int) -> str:
    above = [
        f"{line_title(line)} ({one.value:+.3f})"
        for (line, measure), one in treatments.above.items()
        if measure == "balanced_accuracy" and one.value > 0
        if (line, measure) in treatments.above_by_more_than_chance
    ]
    best = treatments.best("macro_f1")
    words = (
        f"{network_of(treatments.runs[BASELINE][0])}, another network than this model, on "
        f"FER-2013's validation split ({images:,} images, {len(treatments.seeds)} seeds): plain "
        f"cross-entropy and {len(treatments.runs) - 1} treatments. Higher: right more often. "
        "Further right: rare classes count as much as common ones. The line needs no training: "
        "the answers of the cross-entropy network, more and more as if all classes were equally "
        f"common. Above it by more than chance: {', '.join(above) or 'no treatment'}."
    )
    if best is not None:
        change = treatments.comparison.differences[best, "macro_f1"].signed
        words += (
            f" Highest in macro-F1, which the chart does not show: {line_title(best)}, {change}."
        )
    return words


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
    """Whether the mean over seeds is above the paper's figure by more than chance (a t-test)."""
    accuracies, paper = values(of_row, "eval_accuracy"), PAPER_ACCURACY[row]
    mean, seeds = statistics.mean(accuracies), len(accuracies)
    start = f"- {title(row)}: {mean:.3f} against the paper's {paper:.3f}, {mean - paper:+.3f}"
    if seeds == 1:
        return f"{start}; one seed."
    half = student.ppf(0.975, seeds - 1) * statistics.stdev(accuracies) / seeds**0.5
    p = ttest_1samp(accuracies, paper).pvalue
    where = "above" if mean > paper else "below"
    verdict = where if p < 0.05 else f"level with it, in the mean {where}"
    return (
        f"{start} [{mean - paper - half:+.3f}, {mean - paper + half:+.3f}] over seeds: {verdict}."
    )


def _listed(seeds: Sequence[int]) -> str:
    """ "0 to 3", or "0, 2"."""
    whole = list(seeds) == list(range(seeds[0], seeds[-1] + 1))
    return f"{seeds[0]} to {seeds[-1]}" if whole and len(seeds) > 2 else ", ".join(map(str, seeds))


def _capital(words: str) -> str:
    return words[0].upper() + words[1:]
