"""
How the model was trained, one screen each: a sentence, a chart, and its numbers as a folded table.

The charts are plotly.js's, which Gradio brings along, and made from the files that ship with model
and page; what a file lacks is left out, and the screen says so.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import gradio as gr
from gradio.components.plot import PlotData
from panels import Report

BLUE, ORANGE, GREY = "#3B82F6", "#D9730D", "#8A8A8A"  # a contrast of 3 on white and on black
COLORS = (BLUE, ORANGE, "#0D9488", "#DB2777", "#8B5CF6", "#6B8E23", "#C2410C", "#0284C7")
SYMBOLS = ("circle", "square", "diamond", "triangle-up", "cross", "star", "triangle-down", "x")
NUMBERED = {
    "tighter": "crop {}% tighter",
    "looser": "crop {}% looser",
    "turned": "turned by {}°",
    "jpeg": "JPEG, quality {}",
}
NAMED_CELLS = 12  # classes up to which the cells of a confusion matrix have numbers
SHARES = [[0, "#14213D"], [0.25, "#1F4E8C"], [1, "#0A7EA4"]]  # white can be read on each

# plotly.js writes colours into the elements; the page's own follow light and dark.
STYLE = """<style>
.story {max-width: 960px; margin-bottom: 28px}
.story .js-plotly-plot .main-svg {background: transparent !important}
.story g:is(.xtick, .ytick, .legend, .infolayer, .annotation) text
    {fill: var(--body-text-color) !important}
.wide {overflow-x: auto}
.wide td, .wide th {min-width: 5em; overflow-wrap: normal; word-break: normal}
.prose code .token {color: inherit !important}
.prose pre, .prose pre code {white-space: pre-wrap !important; overflow-wrap: anywhere}
</style>"""


@dataclass
class Screen:
    """
    Attributes:
        words: Markdown. chart: data and layout of plotly.js, None without.
        alt: what the chart shows, for those who do not see it. table: its rows, header first.
    """

    title: str
    words: str
    chart: dict | None = None
    alt: str = ""
    table: list[Sequence[str]] = field(default_factory=list)


def story(report: Report, labels: Sequence[str], comparison: Path) -> list[Screen]:
    """
    Args:
        labels: of the model, in the order of ids. comparison: of benchmarks/imbalance.py.
    """
    return [
        what_the_data_are(_read(report.folder / "data_report.json")),
        what_a_treatment_does(_read(comparison)),
        what_it_confuses(report.test_figures or report.figures, labels),
        how_sure_it_is(report),
        how_it_holds(_read(report.folder / "robustness.json")),
    ]


def show(report: Report, labels: Sequence[str], here: Path) -> None:
    """The screens and, folded, the model's card and the comparison of treatments, as Markdown."""
    for number, screen in enumerate(story(report, labels, here / "imbalance.json")):
        with gr.Column(elem_classes="story", elem_id=f"story-{number}"):
            gr.Markdown(f"## {screen.title}\n\n{screen.words}")
            if screen.chart:
                value = PlotData(type="plotly", plot=json.dumps(screen.chart))
                gr.Plot(value, label=screen.alt, show_label=False, container=False)
            if screen.table:
                with gr.Accordion("The same as a table", open=False):
                    gr.Markdown(wide(_markdown(screen.table)))
    folded = {
        "All results of this model": report.section("Results"),
        "How this model was trained, in full": report.section("Training"),
        "All figures of the comparison of treatments": _text(here / "imbalance.md"),
    }
    with gr.Column(elem_classes="story"):
        for title, text in folded.items():
            if text:
                with gr.Accordion(title, open=False):
                    gr.Markdown(wide(text))
        curves = report.folder / "training_curves.png"
        if curves.is_file():
            gr.set_static_paths([str(curves)])
            with gr.Accordion("Training curves", open=False):
                gr.Image(str(curves), show_label=False, alt_text="Loss and metrics by epoch",
                         interactive=False, elem_classes="report")  # fmt: skip


def what_the_data_are(found: Mapping) -> Screen:
    title = "What it learned from"
    counts = found.get("splits", {}).get("train", {}).get("class_counts")
    if not counts:
        return Screen(title, _missing("data_report.json", "how many images each class has"))
    total = sum(counts.values())
    ordered = dict(sorted(counts.items(), key=lambda item: -item[1]))
    (common, most), *_, (rare, least) = ordered.items()
    words = f"{total:,} training images: {most:,} are labelled {common}, and {least:,} {rare}"
    words += f", one for every {most / least:.0f}. " if least else ". "
    words += "A network that is right on average may miss the rare ones. " + _copies(found)
    shown = found.get("train_counts_after_sampling") or counts
    sampled = found.get("sampling", "none") != "none"
    bars = [_bars("training images", ordered, total, BLUE)]
    if sampled:
        shown = {name: shown.get(name, 0) for name in ordered}
        bars.append(_bars("shown after sampling", shown, sum(shown.values()), ORANGE))
    layout = {
        "height": max(300, 60 + 30 * len(counts) * len(bars)) if len(counts) < 20 else 560,
        "yaxis": {"autorange": "reversed"},
        "xaxis": {"title": {"text": "training images"}},
        "showlegend": sampled,
    }
    alt = "Bars: " + ", ".join(f"{name} {count:,}" for name, count in ordered.items())
    rows = [[name, f"{n:,}", f"{n / max(total, 1):.1%}"] for name, n in ordered.items()]
    return Screen(title, words, _chart(bars, layout), alt, [["class", "images", "share"], *rows])


def _bars(name: str, counts: Mapping[str, int], total: int, color: str) -> dict:
    return {
        "type": "bar",
        "orientation": "h",
        "name": name,
        "x": list(counts.values()),
        "y": list(counts),
        "customdata": [count / max(total, 1) for count in counts.values()],
        "marker": {"color": color},
        "hovertemplate": "%{y}: %{x:,} images, %{customdata:.1%}<extra></extra>",
    }


def _copies(found: Mapping) -> str:
    """Sentences on copies and labels, as far as the report knows of them."""
    sentences = []
    for name, split in found.get("splits", {}).items():
        if copies := split.get("copies_of_training_images"):
            sentences.append(
                f"{copies:,} of the {split['images']:,} {name} images are pixel for pixel in the "
                "training split as well, so results are also given without them."
            )
    if conflicts := found.get("images_with_conflicting_labels"):
        sentences.append(
            f"{conflicts:,} images have a twin with another label: people do not agree on "
            "expressions either."
        )
    return " ".join(sentences)


def what_a_treatment_does(found: Mapping) -> Screen:
    title = "What a treatment of the imbalance does"
    rows, shift = found.get("treatments"), found.get("prior_shift")
    if not rows or not shift:
        return Screen(title, _missing("imbalance.json", "the comparison of treatments"))
    line = {
        "type": "scatter",
        "mode": "lines",
        "name": "prior shift of the baseline",
        "x": [point["balanced_accuracy"] for point in shift],
        "y": [point["accuracy"] for point in shift],
        "customdata": [point["tau"] for point in shift],
        "line": {"color": GREY, "width": 3},
        "hovertemplate": "Prior shift, tau %{customdata:.2f}<br>accuracy %{y:.3f}, "
        "balanced %{x:.3f}<extra></extra>",
    }
    points = [_point(row, number) for number, row in enumerate(rows)]
    layout = {
        "height": 540,
        "hovermode": "closest",
        "xaxis": {"title": {"text": "balanced accuracy"}, "tickformat": ".0%"},
        "yaxis": {"title": {"text": "accuracy"}, "tickformat": ".0%"},
        "legend": {"orientation": "h", "y": -0.2, "yanchor": "top", "font": {"size": 12}},
    }
    alt = "Points of accuracy and balanced accuracy: " + ", ".join(
        f"{row['treatment']} {row['accuracy']['value']:.1%} and "
        f"{row['balanced_accuracy']['value']:.1%}"
        for row in rows
    )
    measures = ("accuracy", "balanced_accuracy")
    table = [["treatment", "setting", "accuracy", "balanced accuracy"]]
    table += [
        [row["treatment"], f"`{row['setting']}`", *(_with_change(row[one]) for one in measures)]
        for row in rows
    ]
    return Screen(title, found["text"], _chart([line, *points], layout), alt, table)


def _point(row: Mapping, number: int) -> dict:
    baseline = number == 0
    lines = [
        f"<b>{row['treatment']}</b> {row['setting']}",
        f"accuracy {_with_change(row['accuracy'])}",
        f"balanced {_with_change(row['balanced_accuracy'])}",
    ]
    if row["to_curve"] is not None:
        lines.append(f"{row['to_curve']:+.3f} balanced to the line")
    return {
        "type": "scatter",
        "mode": "markers",
        "name": row["treatment"],
        "x": [row["balanced_accuracy"]["value"]],
        "y": [row["accuracy"]["value"]],
        "marker": {
            "size": 16 if baseline else 12,
            "color": COLORS[number % len(COLORS)],
            "symbol": SYMBOLS[(number + number // len(COLORS)) % len(SYMBOLS)],
            "line": {"width": 1, "color": GREY},
        },
        "hovertemplate": "<br>".join(lines) + "<extra></extra>",
    }


def _with_change(one: Mapping) -> str:
    low, high = one["ci95"]
    return f"{one['value']:.3f} [{low:.3f}, {high:.3f}]" if not one["change"] else (
        f"{one['value']:.3f} ({one['change']})"
    )  # fmt: skip


def what_it_confuses(figures: Mapping, labels: Sequence[str]) -> Screen:
    title = "What it confuses"
    counts = figures.get("eval_confusion_matrix")
    if not counts or len(counts) != len(labels):
        return Screen(title, _missing("all_results.json", "which label is taken for which"))
    totals = [max(1, sum(row)) for row in counts]
    shares = [[100 * count / total for count in row] for row, total in zip(counts, totals)]
    wrong = [(shares[t][p], t, p) for t in range(len(labels)) for p in range(len(labels)) if t != p]
    share, true, taken = max(wrong)
    split = figures.get("eval_split", "evaluation")
    words = (
        f"Each row holds the {split} images of one label, and where the model puts them; the "
        "diagonal is right. "
    )
    if share:
        words += (
            f"The most frequent mistake: of {totals[true]:,} images labelled {labels[true]}, "
            f"{counts[true][taken]:,} ({share:.0f}%) are taken for {labels[taken]}."
        )
    hover = [
        [
            f"labelled {name}, taken for {other}: {count:,} of {total:,}"
            for other, count in zip(labels, row)
        ]
        for name, row, total in zip(labels, counts, totals)
    ]
    few = len(labels) <= NAMED_CELLS
    data = {
        "type": "heatmap",
        "z": shares,
        "x": list(labels),
        "y": list(labels),
        "zmin": 0,
        "zmax": 100,
        "colorscale": SHARES,
        "showscale": not few,
        "colorbar": {"ticksuffix": "%", "thickness": 12},
        "text": hover,
        "texttemplate": "%{z:.0f}" if few else "",
        "textfont": {"color": "#FFFFFF"},
        "hovertemplate": "%{text} (%{z:.1f}%)<extra></extra>",
        "xgap": 1,
        "ygap": 1,
    }
    layout = {
        "height": 460 if few else 560,
        "xaxis": {"title": {"text": "taken for, in % of the row"}, "showgrid": False},
        "yaxis": {"title": {"text": "labelled"}, "autorange": "reversed", "showgrid": False},
    }
    alt = "Matrix; right are " + ", ".join(
        f"{name} {row[i]:.0f}%" for i, (name, row) in enumerate(zip(labels, shares))
    )
    table = [["labelled \\ taken for", *labels]]
    table += [[name, *(f"{count:,}" for count in row)] for name, row in zip(labels, counts)]
    return Screen(title, words, _chart([data], layout), alt, table)


def how_sure_it_is(report: Report) -> Screen:
    title = "How sure it is"
    figures = next(
        (one for one in (report.test_figures, report.figures) if one.get("eval_reliability")),
        report.test_figures or report.figures,
    )
    split, words = figures.get("eval_split", "evaluation"), []
    if (error := figures.get("eval_ece")) is not None:
        words.append(
            "A probability should be a promise: of the answers given with 70%, 70 in 100 should "
            f"be right. On the {split} images the mean gap is {100 * error:.1f} points."
        )
    words.append(report.certainty())
    bins = figures.get("eval_reliability")
    if not bins:
        words.append(_missing("all_results.json", "the gap at each probability"))
        return Screen(title, " ".join(filter(None, words)))
    largest = max(one["count"] for one in bins)
    diagonal = {
        "type": "scatter",
        "mode": "lines",
        "name": "as promised",
        "x": [0, 1],
        "y": [0, 1],
        "line": {"color": GREY, "dash": "dash"},
        "hoverinfo": "skip",
    }
    points = {
        "type": "scatter",
        "mode": "lines+markers",
        "name": "this model (a larger dot: more images)",
        "x": [one["confidence"] for one in bins],
        "y": [one["accuracy"] for one in bins],
        "customdata": [one["count"] for one in bins],
        "line": {"color": BLUE},
        "marker": {"size": [6 + 22 * (one["count"] / largest) ** 0.5 for one in bins],
                   "color": BLUE},
        "hovertemplate": "said %{x:.0%}, right %{y:.0%}<br>%{customdata:,} images<extra></extra>",
    }  # fmt: skip
    layout = {
        "height": 430,
        "xaxis": {"title": {"text": "probability that it gave"}, "tickformat": ".0%",
                  "range": [0, 1.03]},
        "yaxis": {"title": {"text": "share that was right"}, "tickformat": ".0%",
                  "range": [0, 1.05]},
        "legend": {"orientation": "h", "y": -0.2, "yanchor": "top"},
    }  # fmt: skip
    alt = "Reliability diagram: " + ", ".join(
        f"said {one['confidence']:.0%}, right {one['accuracy']:.0%}" for one in bins
    )
    table = [["mean probability", "right", "images"]]
    table += [
        [f"{one['confidence']:.1%}", f"{one['accuracy']:.1%}", f"{one['count']:,}"] for one in bins
    ]
    return Screen(title, " ".join(filter(None, words)), _chart([diagonal, points], layout), alt,
                  table)  # fmt: skip


def how_it_holds(found: Mapping) -> Screen:
    title = "How it holds under other crops and light"
    shifts = found.get("shifts")
    if not shifts:
        return Screen(title, _missing("robustness.json", "results under other crops and light"))
    names = {name: _shift(name) for name in shifts}
    worst = min(shifts, key=lambda name: shifts[name]["accuracy"])
    words = (
        f"The same {found['images']:,} {found['split']} images, cut tighter or looser, turned, "
        "blurred or in other light: not every photo is cut as the training images were. "
    )
    if plain := shifts.get("plain"):
        words += f"As they are, {plain['accuracy']:.1%} are right; "
    words += f"worst ({names[worst]}) {shifts[worst]['accuracy']:.1%}"
    mean = found.get("mean", {}).get("accuracy")
    words += f", and {mean:.1%} on the average of all changes." if mean is not None else "."
    data = [
        {
            "type": "scatter",
            "mode": "markers",
            "name": words_of,
            "x": [one[measure] for one in shifts.values()],
            "y": list(names.values()),
            "marker": {"size": 12, "color": color, "symbol": symbol},
            "customdata": [one.get("title", names[name]) for name, one in shifts.items()],
            "hovertemplate": f"%{{customdata}}: {words_of} %{{x:.1%}}<extra></extra>",
        }
        for measure, words_of, color, symbol in (
            ("accuracy", "accuracy", BLUE, "circle"),
            ("balanced_accuracy", "balanced accuracy", ORANGE, "diamond"),
        )
    ]
    layout = {
        "height": max(320, 130 + 24 * len(shifts)),
        "hovermode": "closest",
        "xaxis": {"tickformat": ".0%"},
        "yaxis": {"autorange": "reversed"},
        "legend": {"orientation": "h", "y": -0.12, "yanchor": "top"},
    }
    alt = "Accuracy: " + ", ".join(
        f"{names[name]} {one['accuracy']:.1%}" for name, one in shifts.items()
    )
    table = [["images", "accuracy", "balanced accuracy"]]
    table += [
        [names[name], f"{one['accuracy']:.1%}", f"{one['balanced_accuracy']:.1%}"]
        for name, one in shifts.items()
    ]
    return Screen(title, words, _chart(data, layout), alt, table)


def _shift(name: str) -> str:
    """ "tighter_8" -> "crop 8% tighter", "lower_contrast" -> "lower contrast"."""
    kind, _, number = name.partition("_")
    if number.isdecimal() and kind in NUMBERED:
        return NUMBERED[kind].format(number)
    return name.replace("_", " ")


def _chart(data: list[dict], layout: dict) -> dict:
    """Nothing to drag or zoom, so that a finger scrolls the page."""
    grid = {"gridcolor": "rgba(128,128,128,.3)", "zeroline": False, "automargin": True,
            "fixedrange": True}  # fmt: skip
    axes = {name: grid | layout.get(name, {}) for name in ("xaxis", "yaxis")}
    for axis in axes.values():
        if "title" in axis:
            axis["title"] |= {"font": {"size": 13}, "standoff": 8}
    shared = {
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "font": {"family": "system-ui", "size": 13, "color": GREY},
        "margin": {"l": 10, "r": 10, "t": 10, "b": 10},
        "dragmode": False,
        "hoverlabel": {"bgcolor": "#111827", "font": {"color": "#FFFFFF", "size": 13}},
    }
    return {"data": data, "layout": shared | layout | axes, "config": {"displayModeBar": False}}


def _missing(file: str, what: str) -> str:
    return f"{what[0].upper()}{what[1:]} cannot be shown: {file} of this model does not say it."


def _markdown(rows: list[Sequence[str]]) -> str:
    header, *rest = rows
    lines = [header, ["---"] * len(header), *rest]
    cells = [[cell.replace("|", r"\|") for cell in line] for line in lines]  # a class's name
    return "\n".join("| " + " | ".join(line) + " |" for line in cells)


def wide(markdown: str) -> str:
    """Its tables scroll sideways by themselves, by keyboard too."""
    table = r"(?m)((?:^\|.*\n?)+)"
    frame = r'<div class="wide" tabindex="0">\n\n\1\n\n</div>\n'
    return re.sub(table, frame, markdown)


def _read(file: Path) -> dict:
    return json.loads(file.read_text()) if file.is_file() else {}


def _text(file: Path) -> str:
    return file.read_text() if file.is_file() else ""
