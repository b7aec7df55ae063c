"""
How the model was trained, one screen each: a sentence, a chart, and its numbers as a folded table.

The charts are plotly.js's, which Gradio brings along, and made from the files that ship with model
and page; what the model's files lack is left out, and the screen says so. The comparison of
treatments, which is of another network, is shown beside models of its own classes only.
"""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.components.plot import PlotData
from panels import Report, read_json, read_text

from prediction.colors import COLORS as FER_2013  # by class

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
PERCENT = {"tickformat": ".1~%"}  # 62.5%, but 63%
COMPARED = "EfficientNet-Lite0 on FER-2013, another network than this model"


@dataclass
class Screen:
    """
    Attributes:
        text: Markdown. chart: data and layout of plotly.js, None without.
        alt: what the chart shows, for those who do not see it. table: its rows, header first.
    """

    title: str
    text: str
    chart: dict | None = None
    alt: str = ""
    table: list[Sequence[str]] = field(default_factory=list)


def story(report: Report, labels: Sequence[str], comparison: Path) -> list[Screen]:
    """
    Args:
        labels: of the model, in the order of ids. comparison: of benchmarks/imbalance.py.
    """
    compared = read_json(comparison) if is_of_compared_classes(labels) else {}
    return [
        what_the_data_are(read_json(report.folder / "data_report.json")),
        *([what_a_treatment_does(compared)] if compared else []),
        what_it_confuses(report.test_results or report.results, labels),
        how_sure_it_is(report),
        how_it_holds(read_json(report.folder / "robustness.json")),
    ]


def is_of_compared_classes(labels: Sequence[str]) -> bool:
    return set(labels) == set(FER_2013)


def show(report: Report, labels: Sequence[str], here: Path) -> None:
    """The screens and, folded, the model's card and the comparison of treatments, as Markdown."""
    for number, screen in enumerate(story(report, labels, here / "imbalance.json")):
        with gr.Column(elem_classes="story", elem_id=f"story-{number}"):
            gr.Markdown(f"## {screen.title}\n\n{screen.text}")
            if screen.chart:
                value = PlotData(type="plotly", plot=json.dumps(screen.chart))
                gr.Plot(value, label=screen.alt, show_label=False, container=False)
            if screen.table:
                with gr.Accordion("The same as a table", open=False):
                    gr.Markdown(wide(_markdown(screen.table)))
    folded = {
        "All results of this model": report.section("Results"),
        "How this model was trained, in full": report.section("Training"),
    }
    if is_of_compared_classes(labels):
        folded[f"All results of the comparison of treatments ({COMPARED})"] = read_text(
            here / "imbalance.md"
        )
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


def what_the_data_are(data: Mapping[str, Any]) -> Screen:
    title = "What it learned from"
    counts = data.get("splits", {}).get("train", {}).get("class_counts")
    if not counts:
        return Screen(title, "How many images of each class it learned from is not known.")
    total = sum(counts.values())
    ordered = dict(sorted(counts.items(), key=lambda item: -item[1]))
    (common, most), *_, (rare, least) = ordered.items()
    if least == most:
        text = f"{total:,} training images, {most:,} of each label. "
    else:
        text = f"{total:,} training images: {most:,} are labelled {common}, and {least:,} {rare}"
        text += f", one for every {most / least:.0f}. " if least else ". "
        text += "A network that is right on average may miss the rare ones. "
    text += _copies(data)
    bars = [_bars("training images", ordered, total, BLUE)]
    if data.get("sampling", "none") != "none":
        sampled = data.get("train_counts_after_sampling") or counts
        shown = {name: sampled.get(name, 0) for name in ordered}
        bars.append(_bars("shown after sampling", shown, sum(shown.values()), ORANGE))
    layout = {
        "height": max(300, 60 + 30 * len(counts) * len(bars)) if len(counts) < 20 else 560,
        "yaxis": {"autorange": "reversed"},
        "xaxis": {"title": {"text": "training images"}},
        "showlegend": len(bars) > 1,
    }
    alt = "Bars: " + ", ".join(f"{name} {count:,}" for name, count in ordered.items())
    rows = [[name, f"{n:,}", f"{n / max(total, 1):.1%}"] for name, n in ordered.items()]
    return Screen(title, text, _chart(bars, layout), alt, [["class", "images", "share"], *rows])


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


def _copies(data: Mapping[str, Any]) -> str:
    """Sentences on copies and labels, as far as the report knows of them."""
    sentences = []
    for name, split in data.get("splits", {}).items():
        if copies := split.get("copies_of_training_images"):
            sentences.append(
                f"{copies:,} of the {split['images']:,} {name} images are pixel for pixel in the "
                "training split as well, so results are also given without them."
            )
    if conflicts := data.get("images_with_conflicting_labels"):
        sentences.append(
            f"{conflicts:,} images have a twin with another label: people do not agree on "
            "expressions either."
        )
    return " ".join(sentences)


def what_a_treatment_does(comparison: Mapping[str, Any]) -> Screen:
    title = "Treatments of imbalance, on another network"
    rows, shift = comparison["treatments"], comparison["prior_shift"]
    line = _scatter(
        "prior shift of the baseline",
        [(point["balanced_accuracy"], point["accuracy"], point["tau"]) for point in shift],
        "Prior shift, tau %{customdata:.2f}<br>accuracy %{y:.3f}, balanced %{x:.3f}",
        mode="lines",
        line={"color": GREY, "width": 3},
    )
    layout = {
        "height": 530,
        "hovermode": "closest",
        "xaxis": {"title": {"text": "balanced accuracy"}} | PERCENT,
        "yaxis": {"title": {"text": "accuracy"}} | PERCENT,
        "legend": {"orientation": "h", "y": -0.2, "yanchor": "top", "font": {"size": 12}},
    }
    alt = "Points of accuracy and balanced accuracy: " + ", ".join(
        f"{row['treatment']} {row['accuracy']['value']:.1%} and "
        f"{row['balanced_accuracy']['value']:.1%}"
        for row in rows
    )
    table = [["treatment", "setting", "accuracy", "balanced accuracy"]]
    table += [
        [row["treatment"], f"`{row['setting']}`", _with_change(row["accuracy"]),
         _with_change(row["balanced_accuracy"])]
        for row in rows
    ]  # fmt: skip
    points = [_point(row, number) for number, row in enumerate(rows)]
    return Screen(title, comparison["text"], _chart([line, *points], layout), alt, table)


def _point(row: Mapping[str, Any], number: int) -> dict:
    lines = [
        f"<b>{row['treatment']}</b> {row['setting']}",
        f"accuracy {_with_change(row['accuracy'])}",
        f"balanced {_with_change(row['balanced_accuracy'])}",
    ]
    if row["to_curve"] is not None:
        lines.append(f"{row['to_curve']:+.3f} balanced to the line")
    marker = {
        "size": 12 if number else 16,  # the baseline's is larger
        "color": COLORS[number % len(COLORS)],
        "symbol": SYMBOLS[(number + number // len(COLORS)) % len(SYMBOLS)],
        "line": {"width": 1, "color": GREY},
    }
    place = row["balanced_accuracy"]["value"], row["accuracy"]["value"], None
    return _scatter(row["treatment"], [place], "<br>".join(lines), marker=marker)


def _with_change(measure: Mapping[str, Any]) -> str:
    if measure["change"]:
        return f"{measure['value']:.3f} ({measure['change']})"
    low, high = measure["ci95"]
    return f"{measure['value']:.3f} [{low:.3f}, {high:.3f}]"


def what_it_confuses(results: Mapping[str, Any], labels: Sequence[str]) -> Screen:
    title = "What it confuses"
    counts = results.get("eval_confusion_matrix")
    if not counts or len(counts) != len(labels):
        return Screen(title, "Which label it takes for which is not known.")
    totals = [max(1, sum(row)) for row in counts]
    shares = [[100 * count / total for count in row] for row, total in zip(counts, totals)]
    wrong = [(shares[t][p], t, p) for t in range(len(labels)) for p in range(len(labels)) if t != p]
    share, true, taken = max(wrong)
    text = (
        f"Each row holds the {results.get('eval_split', 'evaluation')} images of one label, and "
        "where the model puts them; the diagonal is right. "
    )
    if share:
        text += (
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
    heatmap = {
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
    return Screen(title, text, _chart([heatmap], layout), alt, table)


def how_sure_it_is(report: Report) -> Screen:
    title, sources = "How sure it is", (report.test_results, report.results)
    results = next((source for source in sources if source.get("eval_reliability")), None)
    results = results or report.test_results or report.results
    sentences = []
    if (error := results.get("eval_ece")) is not None:
        sentences.append(
            "A probability should be a promise: of the answers given with 70%, 70 in 100 should "
            f"be right. On the {results.get('eval_split', 'evaluation')} images the mean gap is "
            f"{100 * error:.1f} points."
        )
    sentences += [report.certainty()] * bool(report.certainty())
    bins = results.get("eval_reliability")
    if not bins:
        sentences.append("How far each probability holds is not known.")
        return Screen(title, " ".join(sentences))
    largest = max(each["count"] for each in bins)
    sizes = [6 + 22 * (each["count"] / largest) ** 0.5 for each in bins]
    diagonal = _scatter("as promised", [(0, 0, None), (1, 1, None)], "", mode="lines",
                        line={"color": GREY, "dash": "dash"}, hoverinfo="skip")  # fmt: skip
    points = _scatter(
        "this model (a larger dot: more images)",
        [(each["confidence"], each["accuracy"], each["count"]) for each in bins],
        "said %{x:.0%}, right %{y:.0%}<br>%{customdata:,} images",
        mode="lines+markers",
        line={"color": BLUE},
        marker={"size": sizes, "color": BLUE},
    )
    layout = {
        "height": 430,
        "xaxis": {"title": {"text": "probability that it gave"}, "range": [0, 1.03]} | PERCENT,
        "yaxis": {"title": {"text": "share that was right"}, "range": [0, 1.05]} | PERCENT,
        "legend": {"orientation": "h", "y": -0.2, "yanchor": "top"},
    }
    alt = "Reliability diagram: " + ", ".join(
        f"said {each['confidence']:.0%}, right {each['accuracy']:.0%}" for each in bins
    )
    table = [["mean probability", "right", "images"]]
    table += [
        [f"{each['confidence']:.1%}", f"{each['accuracy']:.1%}", f"{each['count']:,}"]
        for each in bins
    ]
    return Screen(title, " ".join(sentences), _chart([diagonal, points], layout), alt, table)


def how_it_holds(robustness: Mapping[str, Any]) -> Screen:
    title = "How it holds under other crops and light"
    shifts = robustness.get("shifts")
    if not shifts:
        return Screen(title, "It was not measured under other crops and light.")
    names = {name: _shift(name) for name in shifts}
    worst = min(shifts, key=lambda name: shifts[name]["accuracy"])
    text = (
        f"The same {robustness['images']:,} {robustness['split']} images, cut tighter or looser, "
        "turned, blurred or in other light: not every photo is cut as the training images were. "
    )
    if plain := shifts.get("plain"):
        text += f"As they are, {plain['accuracy']:.1%} are right; "
    text += f"worst ({names[worst]}) {shifts[worst]['accuracy']:.1%}"
    mean = robustness.get("mean", {}).get("accuracy")
    text += f", and {mean:.1%} on the average of all changes." if mean is not None else "."
    data = [
        _scatter(
            measure.replace("_", " "),
            [(shift[measure], names[name], shift.get("title", names[name]))
             for name, shift in shifts.items()],
            f"%{{customdata}}: {measure.replace('_', ' ')} %{{x:.1%}}",
            marker={"size": 12, "color": color, "symbol": symbol},
        )
        for measure, color, symbol in (
            ("accuracy", BLUE, "circle"), ("balanced_accuracy", ORANGE, "diamond"),
        )
    ]  # fmt: skip
    layout = {
        "height": max(320, 130 + 24 * len(shifts)),
        "hovermode": "closest",
        "xaxis": PERCENT,
        "yaxis": {"autorange": "reversed"},
        "legend": {"orientation": "h", "y": -0.12, "yanchor": "top"},
    }
    alt = "Accuracy: " + ", ".join(
        f"{names[name]} {shift['accuracy']:.1%}" for name, shift in shifts.items()
    )
    table = [["images", "accuracy", "balanced accuracy"]]
    table += [
        [names[name], f"{shift['accuracy']:.1%}", f"{shift['balanced_accuracy']:.1%}"]
        for name, shift in shifts.items()
    ]
    return Screen(title, text, _chart(data, layout), alt, table)


def _shift(name: str) -> str:
    """ "tighter_8" -> "crop 8% tighter", "lower_contrast" -> "lower contrast"."""
    kind, _, number = name.partition("_")
    if number.isdecimal() and kind in NUMBERED:
        return NUMBERED[kind].format(number)
    return name.replace("_", " ")


def _scatter(
    name: str, points: Iterable[tuple], hover: str, mode: str = "markers", **more: Any
) -> dict:
    """points: x, y and, for `hover`, a further value each."""
    x, y, customdata = map(list, zip(*points))
    hovertemplate = f"{hover}<extra></extra>"
    return {"type": "scatter", "mode": mode, "name": name, "x": x, "y": y,
            "customdata": customdata, "hovertemplate": hovertemplate} | more  # fmt: skip


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
