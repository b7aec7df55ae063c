"""What a card says of other data and other classes than FER-2013's."""

import json
import shutil
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest
import yaml
from huggingface_hub import ModelCard
from training.report.card import figures, main, write_model_card
from training.report.provenance import provenance

from training.data import LABELS, PUBLISHED_COUNTS
from training.evaluation import evaluation_results

MODEL = Path(__file__).parents[3] / "model"
OF_FER2013 = (
    *("FER-2013", "fer2013", "65 times in 100", "48x48", "disgust", "seven"),
    *("searching the web", "Goodfellow", "copies of training images, which", "Kaggle"),
)


def options(**flags):
    return defaultdict(lambda: None, {"dataset": "faces"} | flags)


def report(counts, names=LABELS, **more):
    """data_report.json of splits with these counts."""
    splits = {
        split: {"images": sum(of), "class_counts": dict(zip(names, of)), "blank_images": []}
        for split, of in counts.items()
    }
    more = {"groups_of_identical_images": 0, "groups_with_conflicting_labels": 0} | more
    return {"splits": splits} | more


def run_of(folder, names, *, evaluated, **flags):
    """A finished run on data with these classes; `evaluated`: (N,) ids of its evaluation images."""
    shutil.copyfile(MODEL / "model.safetensors", folder / "model.safetensors")
    config = json.loads((MODEL / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"id2label": dict(enumerate(names))}))
    record = yaml.safe_load((MODEL / "run.yaml").read_text())
    for group in record["arguments"].values():
        for name in flags:
            group.pop(name, None)
    record["arguments"]["data"] |= flags
    record |= {"stages": {}, "command": "python train.py --dataset faces"}
    del record["averaged_with"], record["started_from"]
    (folder / "run.yaml").write_text(yaml.safe_dump(record, sort_keys=False))
    labels = np.asarray(evaluated)
    logits = np.random.default_rng(0).normal(size=(len(labels), len(names)))
    results = evaluation_results(logits, labels, None, names)
    results |= {"eval_split": "validation", "epoch": 2.0, "train_runtime": 60.0}
    results |= {"train_samples_per_second": 9.0, "train_steps_per_second": 1.0}
    (folder / "all_results.json").write_text(json.dumps(results))
    counts = [100 + i for i in range(len(names))]
    data = report({"train": counts}, names)
    data |= {f"train_counts_{when}_sampling": dict(zip(names, counts)) for when in ("before",)}
    data["train_counts_after_sampling"] = data["train_counts_before_sampling"]
    (folder / "data_report.json").write_text(json.dumps(data))
    return folder


@pytest.mark.parametrize(
    "names", [LABELS, ("Anger", "disgust", "fear", "happiness", "sad", "surprise", "neutral")]
)
def test_data_with_the_published_counts_are_fer_2013_whatever_they_are_called(names):
    found = provenance(options(dataset_name="mine"), report(PUBLISHED_COUNTS, names))
    assert (found.name, found.type, found.fer2013) == ("FER-2013", "fer2013", True)
    order = [3, 0, 6, 1, 2, 5, 4]
    counts = {split: [of[i] for i in order] for split, of in PUBLISHED_COUNTS.items()}
    assert provenance(options(), report(counts, [names[i] for i in order])) == found
    assert not provenance(options(), report(counts, names)).fer2013  # labels in another order
    few = PUBLISHED_COUNTS | {"train": [9] * 7}
    assert not provenance(options(dataset="me/fer2013"), report(few)).fer2013


def test_ferplus_labels_are_of_fer_2013_if_no_image_is_missing():
    without = {"train": 4000, "validation": 500, "test": 600}
    counts = {
        split: [10] * 7 + [sum(of) - without[split] - 70] for split, of in PUBLISHED_COUNTS.items()
    }
    names = (*LABELS, "contempt")
    data = report(counts, names, images_without_ferplus_majority=without)
    found = provenance(options(label_source="ferplus"), data)
    assert (found.name, found.type) == ("FER-2013 with FER+ labels", "ferplus")
    data["images_without_ferplus_majority"]["test"] += 1
    found = provenance(options(label_source="ferplus"), data)
    assert not found.fer2013 and found.ferplus and found.type is None


@pytest.mark.parametrize(
    "flags, name, kind, ids",
    [
        ({}, "a data set of 10 images", None, ()),
        ({"dataset_name": "Faces of drivers"}, "Faces of drivers", "faces-of-drivers", ()),
        ({"dataset_name": "me/faces"}, "me/faces", "me/faces", ("me/faces",)),
        ({"dataset": "you/faces"}, "you/faces", "you/faces", ("you/faces",)),
        (
            {"dataset": "you/faces", "dataset_name": "Faces"},
            *("Faces", "you/faces", ("you/faces",)),
        ),
        ({"dataset": "./you/faces"}, "a data set of 10 images", None, ()),
        ({"dataset": "synthetic"}, "synthetic faces drawn by code", "synthetic", ()),
    ],
)
def test_other_data_are_called_what_is_known(flags, name, kind, ids):
    found = provenance(options(**flags), report({"train": [4, 6]}, ["calm", "tense"]))
    assert (found.name, found.type, found.hub_ids) == (name, kind, ids)


def test_a_card_of_other_data_says_nothing_of_fer_2013(tmp_path):
    flags = {"dataset": "./my/faces", "ferplus_weight": 0.0}
    run_of(tmp_path, ["calm", "tense", "asleep"], evaluated=[0, 1, 1, 2], **flags)
    card = ModelCard.load(write_model_card(tmp_path))
    text = card.content.replace("fer-efficientnet repository", "")
    assert not [word for word in OF_FER2013 if word in text]
    assert "trained on a data set of 303 images." in text and card.data.datasets is None
    assert card.data.eval_results is None and "fer2013" not in card.data.tags
    assert "one of three classes: calm, tense, asleep." in text
    assert "`calm` has the fewest training images, and its results rest on 1 eval" in text
    assert "`faces` stands for the file or folder of the data." in text
    for phrase in ("not what a person feels", "Not for deciding anything about a person"):
        assert phrase in text

    main([str(tmp_path), "--dataset_name", "Faces of drivers"])
    card = ModelCard.load(tmp_path / "README.md")
    assert "trained on Faces of drivers." in card.text
    found = card.data.eval_results[0]
    assert (found.dataset_type, found.dataset_name) == ("faces-of-drivers", "Faces of drivers")
    assert write_model_card(tmp_path).read_text() == card.content  # kept in the record


def test_a_card_of_ferplus_labels_names_its_protocol(tmp_path):
    names = (*LABELS, "contempt")
    run_of(tmp_path, names, evaluated=range(8), label_source="ferplus", dataset="fer2013.csv")
    without = {"train": 4000}
    counts = {"train": [10] * 7 + [sum(PUBLISHED_COUNTS["train"]) - 4070]}
    data = json.loads((tmp_path / "data_report.json").read_text())
    data |= report(counts, names, images_without_ferplus_majority=without)
    (tmp_path / "data_report.json").write_text(json.dumps(data))
    card = ModelCard.load(write_model_card(tmp_path))
    text = " ".join(card.text.split())
    assert "trained on FER-2013 with FER+ labels. " in text and "one of eight classes: " in text
    assert "(Barsoum et al., 2016, their majority with eight classes). 4,000 images without" in text
    assert "65 times in 100" not in text and "`sad` means" not in text
    assert card.data.tags[2:4] == ["fer2013", "ferplus"]


def test_a_class_without_evaluation_images_is_named_and_has_no_figures(tmp_path):
    run_of(tmp_path, ["calm", "tense", "asleep"], evaluated=[1, 1, 2])
    card = write_model_card(tmp_path).read_text()
    assert "| calm | 100 | 0 | – | – | – | – |" in card
    assert "No validation image is of `calm`: nothing is known" in card
    assert "Of the predictions of `calm`" not in card and "recall of calm" not in card
    assert "Balanced accuracy is the mean recall of the classes that the images have" in card
    results = json.loads((tmp_path / "all_results.json").read_text())
    quoted = {"all_results.json": results}
    assert all(words in card for words in figures(quoted, ["calm", "tense", "asleep"]))


def test_a_class_that_is_never_predicted_has_no_precision(tmp_path):
    run_of(tmp_path, ["calm", "tense"], evaluated=[0, 1])
    results = json.loads((tmp_path / "all_results.json").read_text())
    results |= {"eval_confusion_matrix": [[0, 1], [0, 1]], "eval_recall_calm": 0.0}
    results |= {"eval_mean_score_calm": 0.0, "eval_precision_calm": 0.0, "eval_f1_calm": 0.0}
    (tmp_path / "all_results.json").write_text(json.dumps(results))
    card = write_model_card(tmp_path).read_text()
    assert "| calm | 100 | 1 | – | – | 0.000 | 0.000 |" in card
    assert "Of the predictions of `calm`, none are right, as none were made." in card


def test_names_with_markup_are_shown_as_they_are(tmp_path):
    names = ["<b>calm", "[tense](x)", "as*leep*"]
    run_of(tmp_path, names, evaluated=[0, 1, 2], dataset_name="<i>Moods")
    text = ModelCard.load(write_model_card(tmp_path)).text
    assert r"trained on \<i>Moods." in text
    assert r"one of three classes: \<b>calm, \[tense\](x), as\*leep\*. " in text
    assert r"| \<b>calm | 100 | 1 |" in text and r"largest class as\*leep\* (102)" in text
    unescaped = text.replace("`<b>calm`", "").replace(r"\<", "")
    assert "<b>" not in unescaped and "<i>" not in unescaped


def test_a_card_of_many_classes_with_long_names_is_one_table(tmp_path):
    names = [f"class {i} | of many with long names" for i in range(64)]
    run_of(tmp_path, names, evaluated=range(64))
    card = write_model_card(tmp_path).read_text()
    assert "one of 64 classes: class 0 | of" in card
    rows = [line for line in card.splitlines() if line.startswith("| class ")]
    assert len(rows) == 65 and {row.replace(r"\|", "").count("|") for row in rows} == {8}


def test_a_card_without_an_error_or_a_picture_says_nothing_of_them(tmp_path):
    run_of(tmp_path, ["calm", "tense"], evaluated=[0, 1])
    results = json.loads((tmp_path / "all_results.json").read_text())
    results["eval_confusion_matrix"] = [[1, 0], [0, 1]]
    (tmp_path / "all_results.json").write_text(json.dumps(results))
    card = write_model_card(tmp_path).read_text()
    assert "most frequent errors" not in card and "![" not in card
    (tmp_path / "training_curves.png").touch()
    assert "![Training curves](training_curves.png)" in write_model_card(tmp_path).read_text()


def test_a_run_that_was_not_measured_has_no_card(tmp_path):
    run_of(tmp_path, ["calm", "tense"], evaluated=[0, 1])
    results = json.loads((tmp_path / "all_results.json").read_text())
    kept = {name: value for name, value in results.items() if not name.startswith("eval_")}
    (tmp_path / "all_results.json").write_text(json.dumps(kept))
    with pytest.raises(ValueError, match="expected results of an evaluation in all_results.json"):
        write_model_card(tmp_path)
