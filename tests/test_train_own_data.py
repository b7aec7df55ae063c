"""train.py on somebody's own folder: other classes, no validation split, photos of any size."""

import csv
import json
import re
import shlex
from pathlib import Path

import numpy as np
import pytest
from huggingface_hub import ModelCard
from PIL import Image

import train
from modeling import FerEfficientNetImageProcessor
from training.arguments import parse_arguments
from training.data import DataArguments, DataError, decode_splits, load_splits
from training.data.synthetic import draw_faces

DOCS = Path(__file__).parents[1] / "docs" / "own_data.md"
CLASSES = {"asleep": "neutral", "calm": "happy", "half tense": "surprise"}
FLAGS = [
    *["--classes", "any", "--backbone", "test_efficientnet", "--image_size", "32", "--seed", "3"],
    *["--head_hidden_sizes", "8", "--save_strategy", "no", "--num_train_epochs", "1"],
    *["--disable_tqdm", "true", "--report_to", "none", "--per_device_train_batch_size", "8"],
]


@pytest.fixture(scope="module")
def faces(tmp_path_factory):
    """10 photos of two classes and a single one of the third, of several shapes, in colour."""
    root = tmp_path_factory.mktemp("own") / "faces"
    for c, (name, expression) in enumerate(CLASSES.items()):
        (root / name).mkdir(parents=True)
        drawn = draw_faces(np.zeros(10 if c else 1, int), [expression], seed=c)
        for number, face in enumerate(drawn):
            photo = Image.fromarray(face).convert("RGB").resize((60 + 4 * number, 80))
            photo.save(root / name / f"{number}.png")
    return root


@pytest.fixture(scope="module")
def trained(faces, tmp_path_factory):
    folder = tmp_path_factory.mktemp("run") / "own"
    flags = ["--dataset", str(faces), "--memory_gb", "1e-6", "--validation_share", "0.2"]
    flags += ["--save_predictions"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("training.run.load_back", lambda *_: "")  # slow, and tested elsewhere
        train.main([*FLAGS, *flags, "--output_dir", str(folder)])
    return folder


def test_report_and_card_say_where_the_validation_split_comes_from(trained):
    report = json.loads((trained / "data_report.json").read_text())
    assert report["validation_made"] == {"of": "train", "share": 0.2, "seed": 0}
    counts = {name: [*split["class_counts"].values()] for name, split in report["splits"].items()}
    assert counts == {"train": [1, 8, 8], "validation": [0, 2, 2]}
    held = report["held_images"]
    assert held["in_file"] and held["side"] == 32 and held["cropped_or_resized"] == 21
    text = ModelCard.load(trained / "README.md").text
    assert "- images: 17 training, 4 validation\n" in text
    assert "- the validation split was made: 20% of the training images of each class" in text


def test_a_class_that_the_evaluation_lacks_is_named_and_costs_nothing(trained):
    results = json.loads((trained / "all_results.json").read_text())
    assert results["eval_classes_without_images"] == ["asleep"]
    assert results["eval_samples"] == 4 and "temperature" in results
    config = json.loads((trained / "config.json").read_text())
    assert config["id2label"] == {"0": "asleep", "1": "calm", "2": "half tense"}


def go_on(faces, folder, trained, *flags):
    start = ["--dataset", str(faces), "--model_name_or_path", str(trained)]
    train.main([*FLAGS, *start, "--output_dir", str(folder), *flags])


def test_evaluating_it_again_makes_the_same_split(trained, faces, tmp_path, capsys):
    go_on(faces, tmp_path, trained, "--validation_share", "0.2", "--evaluate_only")
    again = json.loads((tmp_path / "all_results.json").read_text())
    results = json.loads((trained / "all_results.json").read_text())
    for key in ("eval_loss", "eval_accuracy", "eval_confusion_matrix"):
        assert again[key] == results[key]
    said = capsys.readouterr().out
    assert "the validation split was made" in said and "no image of asleep" in said


def test_no_stage_is_evaluated_on_what_an_earlier_one_was_trained_on(
    trained, faces, tmp_path, monkeypatch
):
    """Whatever their seeds and image sizes, by the digests of the photos."""
    monkeypatch.setattr("training.run.load_back", lambda *_: "")
    flags = ["--seed", "4", "--image_size", "40", "--validation_share", "0.2", "--save_predictions"]
    go_on(faces, tmp_path / "second", trained, *flags)
    first, second = (
        {row["image"] for row in csv.DictReader((folder / "predictions.csv").open())}
        for folder in (trained, tmp_path / "second")
    )
    splits = load_splits(DataArguments(dataset=str(faces), classes="any"))
    everything = decode_splits(splits, FerEfficientNetImageProcessor())["train"].digests
    assert len(second) == 4 and second < {*everything}
    assert not second & ({*everything} - first)


@pytest.mark.parametrize(
    "flags",
    [
        ["--split_seed", "1"],
        ["--validation_share", "0.3"],
        ["--development_share", "0.2"],
        ["--split", "paper"],
        ["--split_seed", "1", "--evaluate_only"],
    ],
)
def test_a_model_of_another_split_of_the_same_images_is_refused(trained, faces, tmp_path, flags):
    words = f"{trained} was trained on another split of the same images and may have seen those of"
    with pytest.raises(DataError, match=words):
        go_on(faces, tmp_path / "other", trained, "--validation_share", "0.2", *flags)


def test_the_command_of_the_docs_names_the_data_as_publishing_asks():
    (line,) = re.findall(r"(?m)^python train\.py .* runs/mine .*$", DOCS.read_text())
    args = parse_arguments("", shlex.split(line)[2:])
    assert args.data.dataset_name and args.data.classes == "any"
