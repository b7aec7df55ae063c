"""'How it was trained': its charts, from made-up and from shipped files, and in Chromium."""

import json
import re
from pathlib import Path

import pytest
from page_sizes import DESKTOP, PHONE
from playwright.sync_api import expect

ROOT = Path(__file__).parents[2]
SPACE, MODEL = ROOT / "space", ROOT / "model"
LABELS = ["angry", "disgust", "fear", "happy", "sad", "surprise", "neutral"]


@pytest.fixture
def made(modules, tmp_path):
    """labels, files of a model -> the screens of its story."""
    panels, story = modules("panels"), modules("story")

    def make(labels, comparison=None, **files):
        for name, content in files.items():
            (tmp_path / f"{name}.json").write_text(json.dumps(content))
        (tmp_path / "comparison.json").write_text(json.dumps(comparison or {}))
        return story.story(panels.Report(tmp_path), labels, tmp_path / "comparison.json")

    return make


def counts(labels, scale=10):
    return {name: scale * (number + 1) for number, name in enumerate(labels)}


def confusion(labels):
    """Of 10 images each; one of the first label is taken for the second."""
    found = [[10 * (t == p) for p in range(len(labels))] for t in range(len(labels))]
    found[0][:2] = [9, 1]
    return found


def test_a_model_without_files_is_told_so_on_each_screen(made):
    screens = made(["no", "yes"])
    assert [screen.chart for screen in screens] == [None] * 4
    for screen, words in zip(screens, ("is not known", "is not known", "is not known",
                                       "was not measured"), strict=True):  # fmt: skip
        assert words in screen.text and ".json" not in screen.text


@pytest.mark.parametrize("labels", [["calm", "glad", "tense"], LABELS])
def test_the_comparison_is_shown_beside_its_own_classes_and_says_whose_it_is(made, labels):
    found = json.loads((SPACE / "imbalance.json").read_text())
    screens = made(labels, comparison=found)
    foreign = [screen for screen in screens if "imbalance" in screen.title]
    assert len(foreign) == (labels == LABELS)
    for screen in foreign:
        assert screen.title.endswith("on another network")
        assert screen.text.startswith("EfficientNet-Lite0, another network than this model, on FER")
    if not foreign:
        said = " ".join(f"{screen.title} {screen.text} {screen.table}" for screen in screens)
        assert not re.search("FER-2013|Lite0|happy|surprise", said)


@pytest.mark.parametrize("number", [2, 64])
def test_any_number_of_classes(made, number):
    labels = [f"class {i}" for i in range(number)]
    data, confused, *_ = made(
        labels,
        data_report={"splits": {"train": {"class_counts": counts(labels)}}},
        all_results={"eval_confusion_matrix": confusion(labels), "eval_split": "validation"},
    )
    (bars,) = data.chart["data"]
    assert bars["y"] == labels[::-1] and bars["x"] == [10 * n for n in range(number, 0, -1)]
    assert f"one for every {number}" in data.text
    (matrix,) = confused.chart["data"]
    assert matrix["x"] == matrix["y"] == labels and matrix["z"][0][:2] == [90, 10]
    assert matrix["text"][0][1] == "labelled class 0, taken for class 1: 1 of 10"
    assert "of 10 images labelled class 0, 1 (10%) are taken for class 1" in confused.text
    assert all(screen.chart["layout"]["height"] <= 720 for screen in (data, confused))
    assert confused.table[1][:3] == ["class 0", "9", "1"]


def test_classes_of_one_size_are_said_to_be_so(made):
    classes = {"calm": 40, "tense": 40}
    data, *_ = made([*classes], data_report={"splits": {"train": {"class_counts": classes}}})
    assert data.text.startswith("80 training images, 40 of each label. ")


def test_a_name_with_a_bar_is_one_cell(modules):
    assert modules("story")._markdown([["class"], ["a|b"]]) == "| class |\n| --- |\n| a\\|b |"


def test_a_confusion_matrix_of_other_classes_is_left_out(made):
    matrix = confusion(["no", "yes"])
    assert made(LABELS, all_results={"eval_confusion_matrix": matrix})[1].chart is None


def test_copies_labels_and_sampling_are_said(made):
    report = {
        "splits": {
            "train": {"class_counts": {"no": 300, "yes": 100}},
            "validation": {"images": 50, "copies_of_training_images": 7},
        },
        "images_with_conflicting_labels": 12,
        "sampling": "undersampling",
        "train_counts_after_sampling": {"no": 100, "yes": 100},
    }
    data = made(["no", "yes"], data_report=report)[0]
    assert "7 of the 50 validation images are pixel for pixel in the training" in data.text
    assert "12 images have a twin with another label" in data.text
    before, after = data.chart["data"]
    assert before["x"] == [300, 100] and after["x"] == [100, 100]
    assert data.alt == "Bars: no 300, yes 100"
    assert data.table[1] == ["no", "300", "75.0%"]


def test_the_bins_of_the_training_are_shown_where_the_test_split_has_none(made):
    bins = [{"confidence": 0.4, "accuracy": 0.5, "count": 10},
            {"confidence": 0.9, "accuracy": 0.8, "count": 1000}]  # fmt: skip
    results = {"eval_reliability": bins, "eval_ece": 0.0987, "eval_split": "validation"}
    sure = made(["no", "yes"], all_results=results, test_results={"eval_split": "test"})[2]
    _, points = sure.chart["data"]
    assert points["x"] == [0.4, 0.9] and points["y"] == [0.5, 0.8]
    assert points["marker"]["size"][0] < points["marker"]["size"][1]
    assert "On the validation images the mean gap is 9.9 points" in sure.text
    assert sure.table[2] == ["90.0%", "80.0%", "1,000"]


def test_the_worst_of_other_crops_is_named(made):
    shifts = {"plain": 0.7, "tighter_8": 0.6, "lower_contrast": 0.65}
    found = {
        "split": "validation",
        "images": 3589,
        "shifts": {
            name: {"accuracy": one, "balanced_accuracy": one - 0.1} for name, one in shifts.items()
        },
        "mean": {"accuracy": 0.625, "balanced_accuracy": 0.525},
    }
    found["shifts"]["lower_contrast"]["title"] = "contrast times 0.4"
    holds = made(LABELS, robustness=found)[3]
    assert "As they are, 70.0% are right; worst (crop 8% tighter) 60.0%" in holds.text
    assert "62.5% on the average" in holds.text
    accuracy, balanced = holds.chart["data"]
    assert accuracy["y"] == ["plain", "crop 8% tighter", "lower contrast"]
    assert balanced["x"] == pytest.approx([0.6, 0.5, 0.55])
    assert balanced["customdata"] == ["plain", "crop 8% tighter", "contrast times 0.4"]


def test_the_comparison_that_ships_is_shown_with_its_line(made):
    found = json.loads((SPACE / "imbalance.json").read_text())
    does = made(LABELS, comparison=found)[1]
    line, *points = does.chart["data"]
    assert [point["name"] for point in points] == [row["treatment"] for row in found["treatments"]]
    baseline = points[0]
    assert [line["x"][0], line["y"][0]] == [baseline["x"][0], baseline["y"][0]]
    assert line["customdata"][0] == 0 and line["customdata"][-1] == 1
    looks = {(point["marker"]["color"], point["marker"]["symbol"]) for point in points}
    assert len(looks) == len(points)
    assert does.text == found["text"] and "another network than this model" in does.text


@pytest.fixture
def open_story(open_page):
    def open(*sizes):
        page = open_page(*sizes, tab="How it was trained")
        page.locator("#story-2 .main-svg").first.wait_for()
        return page

    return open


def test_hovering_says_the_numbers_and_tables_fold(open_story):
    page = open_story()
    results = json.loads((MODEL / "all_results.json").read_text())
    screen = page.locator("#story-2")
    cell = screen.locator(".heatmaplayer")
    cell.scroll_into_view_if_needed()
    box = cell.bounding_box()
    page.mouse.move(box["x"] + box["width"] / 14, box["y"] + box["height"] / 14)  # the first of 7
    right, of = results["eval_confusion_matrix"][0][0], sum(results["eval_confusion_matrix"][0])
    words = f"labelled angry, taken for angry: {right} of {of}"
    expect(screen.locator(".hoverlayer")).to_contain_text(words)
    row = screen.get_by_role("row").filter(has_text=re.compile(r"^\s*angry"))
    expect(row).to_be_hidden()
    screen.get_by_role("button", name="The same as a table").click()
    expect(row).to_contain_text(str(right))
    figure = f"{results['eval_accuracy']:.4f} ["
    expect(page.get_by_role("cell", name=figure)).to_be_hidden()
    page.get_by_role("button", name="All results of this model").click()
    expect(page.get_by_role("cell", name=figure)).to_be_visible()


@pytest.mark.parametrize(
    "size, scheme", [(DESKTOP, "light"), (PHONE, "dark")], ids=["desktop", "phone"]
)
def test_a_screen_each_that_can_be_read(open_story, size, scheme):
    page = open_story(size, scheme)
    width, height = size.values()
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    for number in range(5):
        assert page.locator(f"#story-{number}").bounding_box()["height"] <= height
    for kind in (".xtick text", ".ytick text", ".legendtext", ".g-xtitle text"):
        fill = page.locator(f"#story-1 {kind}").first.evaluate(
            "node => [getComputedStyle(node).fill, getComputedStyle(document.body).color]"
        )
        assert fill[0] == fill[1], kind
    chart = page.get_by_text("Bars: happy 7,215, neutral 4,965")  # for a screen reader
    expect(chart).to_be_attached()
