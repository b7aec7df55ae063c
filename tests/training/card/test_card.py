"""training/card/card.py: what any card must hold to, and that its numbers are those of the data."""

import ast
import dataclasses
import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from huggingface_hub import ModelCard

from modeling import FerEfficientNetForImageClassification
from tests.measured import with_test_results
from training.card import __main__, write_card
from training.card.card import TEMPLATE, card_text, count_parameters
from training.card.facts import METRICS
from training.data import LABELS
from training.markdown import markdown_table, rounded

ROOT = Path(__file__).parents[3]
MODEL = ROOT / "model"
NUMBER = re.compile(r"(?<![\w.=])\d+(?:,\d{3})*(?:\.\d+)?(?:e-?\d+)?%?(?![\w.]\w)")
MADE_FROM = (
    *("config.json", "model.safetensors", "all_results.json", "test_results.json"),
    *("data_report.json", "run.yaml", "robustness.json", "onnx.json"),
    *("confusion_matrix.png", "class_distribution.png"),
)
# What is learned beside the training set's prior, as a treated network's results have it.
TREATED = {
    "eval_classwise_ece": 0.0612,
    "eval_train_prior_classwise_ece": 0.0213,
    "eval_train_prior_accuracy": 0.7017,
    "eval_train_prior_balanced_accuracy": 0.6871,
    "eval_train_prior_ece": 0.0316,
    "eval_train_prior_recall_disgust": 0.5432,
    "eval_train_prior_precision_disgust": 0.7654,
    "eval_train_prior_mean_score_disgust": 0.21,
    **{f"eval_mean_score_{name}": 0.5137 for name in LABELS},
}
ODD_NAMES = ["<b>calm", "[tense](x)", "as*leep*", *(f"class {i} | long" for i in range(20))]


@pytest.fixture
def cards(shipped, change, on_other_data, ferplus):
    """Facts of runs of every kind."""
    never_calm = [[0.0, 1.0], [0.0, 1.0]]
    stage = {"recipe": None, "flags": "", "data_fingerprint": "a", "epoch": 0.03125}
    stage |= {"backbone": "tf_efficientnet_lite2"}
    chain = {
        "first": stage | {"train_runtime": 61.0, "pretrained": "imagenet"},
        "second": stage | {"train_runtime": 300, "pretrained": "lite.pth"},
        "last": stage
        | {"train_runtime": 90.0, "started_from": "first", "taught_by": ["second", "me/x"]}
        | {"averaged_with": ["second", "./alone"], "average_weight": 0.25, "epoch": 12.3456},
    }
    trained = {"train_samples_per_second": 187.6}
    return {
        "shipped": shipped,
        "validation only": change(quoted={"all_results.json": shipped.results}),
        "treated": change(
            flags={"sampling": "weighted", "loss": "focal", "ema_decay": 0.99, "teachers": ["x"]},
            results=TREATED,
            test=TREATED,
        ),
        "development": change(
            flags={"development_share": 0.1}, results={"calibrated_on": "development"}
        ),
        "not calibrated": change(
            results={"temperature": 19.99, "uncertain_below": 0.0}, robustness=None
        ),
        "nothing certain": change(results={"eval_certain_accuracy": None}),
        "chain": change(chain=chain, results=trained, flags={"progressive_sizes": [32, 48]}),
        "copies known": change(test={"eval_copies_of": ["train", "validation"]}),
        "validation made": change(
            audit=shipped.audit | {"validation_made": {"share": 0.1, "seed": 3}}
        ),
        "FER+": ferplus,
        "synthetic": on_other_data(LABELS, range(7), dataset="synthetic"),
        "named": on_other_data(["calm", "tense"], [0, 1], dataset_name="<i>Moods"),
        "class without images": on_other_data(["calm", "tense", "asleep"], [1, 1, 2]),
        "never predicted": on_other_data(["calm", "tense"], [0, 1], never_calm),
        "all right": on_other_data(["calm", "tense"], [0, 1], np.eye(2)),
        "odd names": on_other_data(ODD_NAMES, range(23), dataset="me/moods"),
    }


def tables(text):
    """Each table as rows of cells."""
    blocks = re.findall(r"(?m)(?:^\|.*\n)+", text)
    return [
        [
            [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
            for line in block.splitlines()
        ]
        for block in blocks
    ]


def with_title(text, start):
    return next(table for table in tables(text) if table[0][: len(start)] == start)


def written(value):
    """Every way in which a card may write a number."""
    if isinstance(value, float):
        yield from (f"{value:.{digits}f}" for digits in range(5))
        yield from (f"{value:.0%}", f"{value:.1%}", f"{value:.2g}", f"{value:g}", f"{value:.1g}")
        yield f"{round(value, 1):g}"
    yield from (f"{value:,}", str(value), f"{value / 1e6:.1f}")


def numbers_in(data):
    """Of everything that a card is made from, what follows from it included."""
    if isinstance(data, bool) or data is None:
        return
    if isinstance(data, (int, float)):
        yield from written(data)
    elif isinstance(data, str):
        yield from NUMBER.findall(data)
    elif isinstance(data, dict):
        for item in data.items():
            yield from numbers_in(item)
    elif isinstance(data, (list, tuple, set, frozenset)):
        yield from numbers_in(len(data))
        for item in data:
            yield from numbers_in(item)
    elif dataclasses.is_dataclass(data):
        names = [name for name in dir(data) if name[0] != "_" and name != "temperature_is_limit"]
        for name in names:
            yield from numbers_in(getattr(data, name))


def test_every_card_is_whole(cards):
    for kind, facts in cards.items():
        for more in ({}, {"model_id": "me/faces", "revision": "v1"}):
            text = card_text(facts, **more)
            card = ModelCard(text)
            assert card.data.license and card.data.pipeline_tag == "image-classification", kind
            for table in tables(text):
                assert len({len(row) for row in table}) == 1 and len(table) > 2, (kind, table)
                assert all(cell for row in table for cell in row), (kind, table)
            blocks = re.findall(r"(?s)```(\w+)\n(.*?)```\n", text)
            assert text.count("```") == 2 * len(blocks)
            for code in (code for language, code in blocks if language == "python"):
                ast.parse(code)
            prose = re.sub(r"(?s)\A---.*?\n---\n|```.*?```", "", text)
            odd = r"[{}]|%\}|\bNone\b|undefined|\bnan\b|[^|] [,.;]|\(\)|\w  |(?<!al)[.,;:]{2}"
            assert "\n\n\n" not in text and not re.search(r"[^\n]\n(#+ |- .*\n\w)", prose)
            assert not re.search(odd, prose), (kind, re.search(odd, prose))
            assert "<b>" not in re.sub(r"`[^`]*`|\\<b>", "", prose)


def test_a_card_of_few_images_says_what_they_cannot_show(shipped, on_other_data):
    words = "All results rest on 2 images: on others", "It is not calibrated", "evaluation image."
    few, many = card_text(on_other_data(["calm", "tense"], [0, 1])), card_text(shipped)
    assert all(text in few and text not in many for text in words)


def test_every_number_on_a_card_is_in_its_data_or_its_template(cards):
    templates = "".join(file.read_text() for file in TEMPLATE.parent.glob("*.md"))
    for kind, facts in cards.items():
        known = {*NUMBER.findall(templates), *numbers_in(facts)}
        shown = re.sub(r"(?s)\A---.*?\n---\n|```.*?```", "", card_text(facts))
        unknown = {*NUMBER.findall(shown)} - known
        assert not unknown, kind


def test_tables_hold_the_results(cards):
    for kind in ("shipped", "treated", "class without images", "never predicted"):
        facts = cards[kind]
        text = card_text(facts).split("## Training")[0]
        for split in facts.splits:
            part = text.split(f"(`{split.file}`)")[1]
            rows = with_title(part, ["metric"])[2:]
            assert [row[1].split(" ")[0] for row in rows] == [
                f"{split.results[f'eval_{key}']:.4f}" for key in METRICS
            ]
            header, _, *rows = with_title(part, ["class", "training images"])
            keys = ["name", "training_images", "images", *header[3:]]
            for row, of_class in zip(rows, split.classes):
                values = [getattr(of_class, key.lower().replace(" ", "_")) for key in keys]
                numbers = [f"{number:,}" for number in values[1:3]]
                assert row == [values[0], *numbers, *map(rounded, values[3:])]
        if any(len(split.priors) > 1 for split in facts.splits):
            rows = with_title(text, ["split", "`prior`"])[2:]
            priors = [(split.name, *prior) for split in facts.splits for prior in split.priors]
            assert [row[:4] for row in rows] == [
                [name, f'`"{prior}"`', rounded(accuracy), rounded(balanced)]
                for name, prior, accuracy, balanced, *_ in priors
            ]


def test_metadata_are_the_results_and_say_where_they_stand(cards):
    for kind in ("shipped", "named", "FER+"):
        facts = cards[kind]
        for model_id, place in ((None, ""), ("me/x", "https://huggingface.co/me/x/blob/v%2F1/")):
            results = ModelCard(card_text(facts, model_id, "v/1")).data.eval_results
            assert [(one.dataset_split, one.metric_value, one.source_url) for one in results] == [
                (split.name, split.results[f"eval_{key}"], place + split.file)
                for split in facts.splits
                for key in METRICS
            ]
    assert ModelCard(card_text(cards["shipped"], "me/faces")).data.model_name == "faces"
    assert ModelCard(card_text(cards["odd names"])).data.datasets == ["me/moods"]
    assert ModelCard(card_text(cards["all right"])).data.eval_results is None  # data with no name
    assert ModelCard(card_text(cards["FER+"])).data.tags[2:4] == ["fer2013", "ferplus"]


def test_pictures_that_are_there_are_shown(shipped, change):
    for pictures in (set(), {"training_curves"}, {"confusion_matrix", "class_distribution"}):
        shown = re.findall(r"!\[.*\]\((\w+)\.png\)", card_text(change(pictures=pictures)))
        assert {*shown} == pictures


def test_a_card_of_other_data_has_no_word_of_fer_2013(cards):
    of_fer2013 = ("FER-2013", "fer2013", "65 times", "48x48", "Goodfellow", "Kaggle", "web")
    for kind in ("named", "odd names", "all right"):
        text = card_text(cards[kind]).replace("fer-efficientnet", "")
        assert not [word for word in of_fer2013 if word in text], kind
        assert "not what a person feels" in text and "## What it must not be used for" in text


def test_commands_of_a_card_name_each_stage_and_what_it_started_from(cards):
    commands = card_text(cards["chain"]).split("```bash\n")[1].split("```")[0]
    assert re.findall(r"# (.*): (.*), (.*) minutes\npython", commands) == [
        ("stage 1, from ImageNet weights of timm", "0.03 epochs", "1.0"),
        ("stage 2, from the ImageNet weights in lite.pth", "0.03 epochs", "5.0"),
        (
            "stage 3, on from stage 1, averaged with stage 2 and alone (share 0.25), taught by "
            "stage 2",
            *("12.3 epochs", "1.5"),
        ),
    ]
    alone = card_text(cards["named"]).split("```bash\n")[1]
    assert alone.startswith("# from random weights: 2 epochs, 1.0 minutes\n")


def test_the_shipped_card_is_made_from_these_files_alone(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in MADE_FROM:
        if (MODEL / name).is_file():  # the test split's results, once it has been measured
            shutil.copyfile(MODEL / name, tmp_path / name)
    (tmp_path / "fer2013").touch()  # what lies about changes nothing
    for _ in range(2):
        assert write_card(tmp_path).read_text() == (MODEL / "README.md").read_text()


def test_parameters_are_counted_without_buffers():
    network = FerEfficientNetForImageClassification.from_pretrained(MODEL)
    assert count_parameters(MODEL / "model.safetensors") == network.num_parameters()


@pytest.fixture
def folder(tmp_path):
    return with_test_results(tmp_path)


def test_from_the_command_line_it_prints_the_path_and_keeps_the_datas_name(folder, capsys):
    report = json.loads((folder / "data_report.json").read_text())
    report["splits"]["train"]["class_counts"]["sad"] = 9  # not FER-2013
    (folder / "data_report.json").write_text(json.dumps(report))
    __main__.main([str(folder), "--model_id", "me/faces", "--dataset_name", "Faces of drivers"])
    assert capsys.readouterr().out == f"{folder / 'README.md'}\n"
    card = ModelCard.load(folder / "README.md")
    assert 'model="me/faces"' in card.text
    assert card.data.eval_results[0].dataset_type == "faces-of-drivers"
    assert "Faces of drivers" in write_card(folder).read_text()  # kept in the record


def test_a_folder_without_a_measured_training_is_refused(folder, capsys):
    with pytest.raises(SystemExit):
        __main__.main([str(folder / "nothing")])
    assert "expected a folder that a training left, with run.yaml" in capsys.readouterr().err
    (folder / "all_results.json").write_text('{"epoch": 1}')
    with pytest.raises(ValueError, match="expected results of an evaluation in all_results.json"):
        write_card(folder)


def test_markdown_table():
    assert markdown_table(["class", "recall"], [["sad", 0.5], ["a|b", 1]]) == (
        "| class | recall |\n| --- | --- |\n| sad | 0.5 |\n| a\\|b | 1 |"
    )


def test_card_and_docs_name_the_least_version_that_is_declared():
    declared = re.search(r'"(transformers>=[\d.]+),', (ROOT / "setup.py").read_text())[1]
    for page in ("model/README.md", "docs/photos.md"):
        assert f"pip install '{declared}' torch timm" in (ROOT / page).read_text(), page
