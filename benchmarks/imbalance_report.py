"""Tables, pictures and conclusions from the runs of benchmarks/imbalance.py."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from benchmarks import imbalance_pictures as pictures
from benchmarks.imbalance_paper import paper_excerpt, paper_text
from benchmarks.imbalance_rows import (
    CHOSEN_BY,
    DEVELOPMENT,
    PAPER,
    ROWS,
    best_trial,
    title,
    trials_of,
)
from benchmarks.imbalance_sentences import (
    conclusions,
    curve_sentence,
    highest_sentence,
    seed_list,
    text_of_the_space,
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
from training.data import LABELS
from training.evaluation.bootstrap import RESAMPLES, Bootstrap, measure_title
from training.markdown import markdown_table
from training.record.lineage import join_flags, parse_flags
from training.treatments.register import BASELINE

IN_README = ("undersampling", "weighted_bce", "focal")  # the paper's, as learned
SHOWN = ("accuracy", "balanced_accuracy")  # on the Space's page
SHARED_FLAGS = ("pretrained", "no_pretrained", "development_share", "eval_split")
SHOWN_TAUS = (0, 0.25, 0.5, 0.75, 1)


def write_report(folder: Path, protocol: str, resamples: int = RESAMPLES) -> None:
    """Markdown, JSON and pictures of all runs in `folder`, beside them."""
    name = f"imbalance_{protocol}"
    runs = read_runs(folder / name, [*(PAPER if protocol == "paper" else ROWS)])
    trials = read_runs(folder / f"{name}_trials")
    texts = {f"{name}_trials": trials_text(trials, protocol)} if trials else {}
    if runs and protocol == "paper":
        texts |= {name: paper_text(runs), f"{name}_excerpt": paper_excerpt(runs)}
        pictures.plot_paper(folder / f"{name}.png", runs)
        pictures.plot_confusions(folder / f"{name}_confusion.png", runs)
    elif BASELINE in runs and common_seeds(runs):
        texts |= write_official(folder, runs, trials, resamples)
    for file, text in texts.items():
        (folder / f"{file}.md").write_text(f"{text}\n")


def write_official(folder: Path, runs: Runs, trials: Runs, resamples: int) -> dict[str, str]:
    """Picture and JSON; the texts, by the name of their file."""
    arrays = read_logits(folder / "imbalance_official")
    bootstrap = Bootstrap(arrays["labels"], LABELS, resamples=resamples)
    seeds = common_seeds(runs)
    compared = with_seeds(runs, seeds)
    treatments = Treatments(compared, arrays, bootstrap)
    later = later_seeds(runs, seeds)
    again = [
        Treatments(with_seeds(runs, chosen), arrays, bootstrap)
        for chosen in ((later, [*seeds, *later]) if later else ())
    ]
    sentences = conclusions(treatments, again)
    pictures.plot_treatments(folder / "imbalance_official.png", treatments)
    pictures.plot_confusions(folder / "imbalance_official_confusion.png", compared)
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
                *(
                    f"Seeds {seed_list(each.seeds)}:\n\n"
                    f"{treatments_table(each, each.lines, flags=False)}"
                    for each in again
                ),
            ]
        ),
        "imbalance_excerpt": "\n".join(
            [
                excerpt(treatments),
                "",
                highest_sentence(treatments, again),
                curve_sentence(treatments, again),
            ]
        ),
    }


def later_seeds(runs: Runs, seeds: Sequence[int]) -> list[int]:
    """The baseline's seeds beyond `seeds`, if another row has them all as well."""
    later = [run["seed"] for run in runs[BASELINE] if run["seed"] not in seeds]
    return later if later and len(with_seeds(runs, later)) > 1 else []


def shown_flags(of_row: Sequence[Mapping]) -> str:
    """What a row's runs are called with beside the recipe."""
    flags = parse_flags(of_row[0]["arguments"][1:])
    return join_flags({name: values for name, values in flags.items() if name not in SHARED_FLAGS})


def treatments_table(treatments: Treatments, lines: Sequence[Line], flags: bool = True) -> str:
    """Markdown: a row for each line, with its differences to the baseline."""
    header = ["treatment", *(["flags"] if flags else []), "prior", *map(measure_title, MEASURES)]
    rows = []
    for line in lines:
        flags_of_row = shown_flags(treatments.runs[line.treatment]) if line.own else ""
        shown = f"`{flags_of_row}`" if flags_of_row else ""
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
        f"seeds {seed_list(treatments.seeds)}, results of the last step; on {machines}. Every run: "
        f"`python train.py {' '.join(shared)} FLAGS --seed N --split_seed N`. {chosen}Prior: the "
        "class distribution that predictions assume: what training taught (`learned`), the "
        "training split's (`train`; where it stands alone, both are the same), `uniform`, or "
        "halfway between the last two (tau 0.5). Brackets: 95 % bootstrap intervals over images "
        f"and seeds ({treatments.bootstrap.resamples:,} resamples). In parentheses: the "
        "difference to cross-entropy with the same seeds, bold where Holm's correction over all "
        f"{len(treatments.comparison.differences)} differences of the table confirms it at 5 %."
    )


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
                "setting": shown_flags(treatments.runs[row]),
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


def trials_text(trials: Runs, protocol: str) -> str:
    """Markdown: every trial, on the development split of one seed."""
    measures = ("accuracy", "balanced_accuracy", "macro_f1")
    rows = []
    for row in dict.fromkeys([*ROWS, *(name.split(" ")[0] for name in trials)]):
        of_row = trials_of(row, trials)
        best = best_trial(row, trials, protocol)
        for name, run in of_row.items():
            results = [f"{run[f'eval_{measure}']:.3f}" for measure in measures]
            chosen = "yes" if name == best else ""
            rows.append([title(row), f"`{name.partition(' ')[2]}`", *results, chosen])
    run = next(iter(trials.values()))[0]
    header = ["treatment", "flags", *map(measure_title, measures), "chosen"]
    return (
        f"{markdown_table(header, rows)}\n\nOn the development split "
        f"({float(DEVELOPMENT[protocol]):.0%} of the training images), chosen by "
        f"{measure_title(CHOSEN_BY[protocol])}; seed {run['seed']}; on {run['machine']}."
    )
