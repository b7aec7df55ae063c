"""training/report/card.py: a card from the files of a folder alone."""

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import yaml
from huggingface_hub import ModelCard

from modeling import FerEfficientNetForImageClassification
from training.data import LABELS
from training.report.card import (
    count_parameters,
    main,
    optimism,
    robustness_text,
    write_model_card,
)
from training.report.markdown import markdown_table
from training.report.quoted import weights_sha256

ROOT = Path(__file__).parents[3]
MODEL = ROOT / "model"
RESULTS, TEST = (
    json.loads((MODEL / f"{name}_results.json").read_text()) for name in ("all", "test")
)
MADE_FROM = (
    *("config.json", "model.safetensors", "all_results.json", "test_results.json"),
    *("data_report.json", "run.yaml", "confusion_matrix.png", "class_distribution.png"),
)


@pytest.fixture
def folder(tmp_path):
    for name in (*MADE_FROM, "robustness.json"):
        if (MODEL / name).exists():
            shutil.copyfile(MODEL / name, tmp_path / name)
    return tmp_path


def change_run(folder, **flags):
    """Other flags in the record's first group, the ones they replace gone from all groups."""
    record = yaml.safe_load((folder / "run.yaml").read_text())
    for group in record["arguments"].values():
        for name in flags:
            group.pop(name, None)
    record["arguments"]["data"] |= flags
    (folder / "run.yaml").write_text(yaml.safe_dump(record, sort_keys=False))


def test_the_shipped_card_is_made_from_these_files_alone(folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for _ in range(2):
        assert write_model_card(folder).read_text() == (MODEL / "README.md").read_text()
    (tmp_path / "fer2013").touch()  # what lies about changes nothing
    assert write_model_card(folder).read_text() == (MODEL / "README.md").read_text()


def test_from_the_command_line_it_prints_the_path(folder, capsys):
    main([str(folder), "--model_id", "me/faces"])
    assert capsys.readouterr().out == f"{folder / 'README.md'}\n"
    assert 'model="me/faces"' in (folder / "README.md").read_text()


def test_a_folder_without_a_training_is_refused(tmp_path, capsys):
    with pytest.raises(SystemExit):
        main([str(tmp_path)])
    assert "expected a folder that a training left, with run.yaml" in capsys.readouterr().err


@pytest.mark.parametrize(
    "epoch, words",
    [(0.9032, "0.9 epochs"), (12.3456, "12.3 epochs"), (1.0, "1 epoch"), (0.0312, "0.03 epochs")],
)
def test_epochs_are_rounded(folder, epoch, words):
    change_json(
        folder, "all_results", epoch=epoch, train_samples_per_second=1.0, eval_loss_at_end=1.0
    )
    assert f"- {words}" in write_model_card(folder).read_text()


def test_parameters_are_counted_without_buffers():
    network = FerEfficientNetForImageClassification.from_pretrained(MODEL)
    assert count_parameters(MODEL / "model.safetensors") == network.num_parameters()


def change_json(folder, name, **values):
    file = folder / f"{name}.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | values))


def test_the_test_split_comes_first_and_names_its_file(folder):
    card = ModelCard.load(write_model_card(folder))
    found = [(one.dataset_split, one.source_name) for one in card.data.eval_results]
    test, validation = ("test", "test_results.json"), ("validation", "all_results.json")
    assert found == [test] * 4 + [validation] * 4
    places = [card.text.index(f"On the {split} split (`{file}`):") for split, file in found[::4]]
    assert places == sorted(places)
    assert "--model_name_or_path runs/8_soup --dataset fer2013 --eval_split test\n" in card.text


@pytest.mark.parametrize(
    "name, values, reason",
    [
        ("test_results", {"weights_sha256": "0" * 64}, "it does not name these weights"),
        ("test_results", {"weights_sha256": None}, "it does not name these weights"),
        ("test_results", {"eval_split": "train"}, "it is not of a test split"),
        ("config", {"calibration": {"uncertain_below": 0.6}}, "their calibration has changed"),
        ("all_results", {"eval_split": "test"}, "evaluated on a test split of its own"),
    ],
)
def test_results_of_another_model_or_split_are_left_out_with_a_line(
    folder, capsys, name, values, reason
):
    change_json(folder, name, **values)
    main([str(folder)])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith(f"{folder / 'test_results.json'} is left out: ")
    assert reason in lines[0] and lines[1:] == [f"{folder / 'README.md'}"]
    card = (folder / "README.md").read_text()
    assert "0.7127" not in card and "--evaluate_only" not in card
    (folder / "test_results.json").unlink()
    assert write_model_card(folder).read_text() == card


def test_robustness_is_quoted_if_it_is_of_these_weights(folder, capsys):
    (folder / "robustness.json").unlink(missing_ok=True)
    without = write_model_card(folder).read_text()
    assert "robustness.json" not in without
    accuracies = {"plain": 0.7, "noise": 0.5, "blur": 0.4, "mirrored": 0.69, "darker": 0.6}
    robustness = {
        "split": "validation",
        "images": 3589,
        "of": 3589,
        "weights_sha256": weights_sha256(folder / "model.safetensors"),
        "shifts": {
            name: {"title": f"by {name}", "accuracy": value, "balanced_accuracy": value - 0.1}
            for name, value in accuracies.items()
        },
        "mean": {"accuracy": 0.5475, "balanced_accuracy": 0.4475},
    }
    (folder / "robustness.json").write_text(json.dumps(robustness))
    text = robustness_text(robustness)
    assert text in write_model_card(folder).read_text()
    assert "each over 3,589 images of the validation split (`robustness.json`), " in text
    assert "accuracy is 0.547 on average and balanced accuracy 0.448; without a shift" in text
    assert "they are 0.700 and 0.600. The lowest accuracies: by blur (0.400), by " in text
    assert text.endswith("by noise (0.500) and by darker (0.600).")
    assert "each over 900 of the 3,589 images" in robustness_text(robustness | {"images": 900})

    change_json(folder, "robustness", weights_sha256="0" * 64)
    capsys.readouterr()
    assert write_model_card(folder).read_text() == without
    left_out = f"{folder / 'robustness.json'} is left out: it does not name these weights.\n"
    assert capsys.readouterr().out == left_out


def test_without_certain_predictions_on_the_test_split_nothing_is_said_of_them(folder):
    assert "75.7% are certain, and 80.8% of those" in write_model_card(folder).read_text()
    change_json(folder, "test_results", eval_certain_accuracy=None)
    assert "Of the test split, on which" not in write_model_card(folder).read_text()


def test_what_was_chosen_on_which_split_is_what_the_folder_says(folder):
    def line():
        lines = write_model_card(folder).read_text().splitlines()
        said = [one for one in lines if " chosen on the validation split, which" in one]
        return said[0].split(" chosen on ")[0] if said else None

    def write(record):
        (folder / "run.yaml").write_text(yaml.safe_dump(record, sort_keys=False))

    assert "which makes accuracy there about 0.5 points" in write_model_card(folder).read_text()
    soup = "oup (the mean of several models' weights)"
    assert line() == f"Epochs, stages and s{soup} were"
    record = yaml.safe_load((folder / "run.yaml").read_text())
    del record["averaged_with"], record["stages"]["7_labels"]
    write(record)
    assert line() == "Epochs and stages were"
    del record["started_from"]
    write(record | {"stages": {}, "averaged_with": ["me/faces"]})
    assert line() == f"S{soup} was"
    write(record | {"stages": {}})
    assert line() is None
    change_run(folder, load_best_model_at_end=True)
    assert line() == "Epochs were"


def test_earlier_stages_on_other_data_chose_nothing_on_these(folder):
    record = yaml.safe_load((folder / "run.yaml").read_text())
    del record["averaged_with"]
    record |= {"data_fingerprint": "0" * 64, "command": "python train.py --dataset crops"}
    (folder / "run.yaml").write_text(yaml.safe_dump(record, sort_keys=False))
    change_run(folder, dataset="crops")
    assert "chosen on the validation split, which" not in write_model_card(folder).read_text()
    change_run(folder, label_source="ferplus")  # the same images with other labels
    assert "Epochs and stages were" in write_model_card(folder).read_text()
    change_run(folder, label_source="dataset", load_best_model_at_end=True)
    assert "Epochs were chosen on the validation" in write_model_card(folder).read_text()


def test_the_card_says_that_the_training_used_votes(folder):
    votes = "The training used the votes of FER+"
    assert votes in write_model_card(folder).read_text()
    change_run(folder, ferplus_weight=0.0)
    assert votes not in write_model_card(folder).read_text()


def test_optimism_is_the_gain_of_the_best_of_ten():
    """Of networks that are right on the same 0.68 of the images or, on some others, by chance."""
    rng, samples, difference = np.random.default_rng(0), 1000, 0.08
    by_chance = rng.binomial(int(2 * difference * samples), 0.5, size=(20_000, 10)) / samples
    gain = by_chance.max(axis=1).mean() - difference
    assert optimism(samples, difference) == pytest.approx(gain, rel=0.03)


def test_evaluated_images_are_the_rows_of_the_confusion_matrix(folder):
    for name in ("all_results", "test_results"):
        matrix = json.loads((folder / f"{name}.json").read_text())["eval_confusion_matrix"]
        matrix[1][0] += 1000
        change_json(folder, name, eval_confusion_matrix=matrix)
    card = write_model_card(folder).read_text()
    assert "| disgust | 414 | 1,055 |" in card and "| disgust | 414 | 1,056 |" in card


def with_another_learned(results):
    """Figures as a treated network's have them, from those of one without a treatment."""
    new = {"eval_classwise_ece": 0.0612, "eval_train_prior_classwise_ece": 0.0213}
    for start, score in (("eval_", 0.53), ("eval_train_prior_", 0.21)):
        new |= {f"{start}mean_score_{name}": score for name in LABELS}
    copied = ("accuracy", "balanced_accuracy", "ece", "recall_disgust", "precision_disgust")
    return new | {f"eval_train_prior_{name}": results[f"eval_{name}"] for name in copied}


def test_priors_and_scores_are_said_of_each_split_whose_results_have_them(folder):
    (folder / "robustness.json").unlink()  # its figures would be taken for these
    card = write_model_card(folder).read_text()
    for words in ("mean score", "Mean score", "classwise ECE", '"learned"'):
        assert words not in card  # these results are older than the figures
    for split in ("test", "validation"):
        assert f'| {split} | `"train"` | ' in card and f'| {split} | `"uniform"` | ' in card

    change_json(folder, "test_results", **with_another_learned(TEST))
    card = write_model_card(folder).read_text()
    test, validation = card.split("On the test split (")[1].split("On the validation split (")
    assert "| disgust | 414 | 55 | 0.530 | 0.755 |" in test
    assert "76% are right, at a mean score of 0.53, and under" in test
    assert "0.53" not in validation and "classwise" not in validation
    assert '| test | `"learned"` | ' in card and '| validation | `"learned"` | ' in card
    assert '`"learned"`, the default, is what' in card

    change_json(folder, "all_results", **with_another_learned(RESULTS))
    validation = write_model_card(folder).read_text().split("On the validation split (")[1]
    assert "| disgust | 414 | 56 | 0.530 | 0.653 |" in validation
    assert "65% are right, at a mean score of 0.53, and under" in validation
    rows = [line for line in validation.splitlines() if line.startswith(("| test", "| valid"))]
    assert [re.findall(r"^\| (\w+) \| `\"(\w+)", row)[0] for row in rows] == [
        (split, prior)
        for split in ("test", "validation")
        for prior in ("learned", "train", "uniform")
    ]


def test_without_figures_of_other_priors_a_split_has_no_row(folder):
    for name, results in (("test_results", TEST), ("all_results", RESULTS)):
        kept = {key: value for key, value in results.items() if "_prior_" not in key}
        (folder / f"{name}.json").write_text(json.dumps(kept))
        card = write_model_card(folder).read_text()
        assert '| test | `"train"`' not in card
        assert ('| validation | `"train"`' in card) == (name == "test_results")
    assert "The prior is" not in card


def test_the_card_names_the_splits_whose_copies_are_left_out(folder):
    fairer = "Images of which the test split has a copy were not left out"
    card = write_model_card(folder).read_text()
    assert "| without 288 copies of training images |" in card and fairer in card
    change_json(folder, "test_results", eval_copies_of=["train", "validation"])
    card = write_model_card(folder).read_text()
    assert "| without 288 copies of training and validation images |" in card and fairer in card
    assert "| without 280 copies of training images |" in card
    change_json(folder, "data_report", dropped_as_copies_of=["validation", "test"])
    card = write_model_card(folder).read_text()
    assert "copies of validation and test images were left out" in card and fairer not in card


def test_calibration_and_choices_name_the_development_split_where_it_was_used(folder):
    before = f"was {RESULTS['eval_ece_before_temperature']:.4f} before and is"
    card = write_model_card(folder).read_text()
    assert "fitted on the validation split" in card and before in card
    change_json(folder, "all_results", calibrated_on="development")
    change_run(folder, development_share=0.1)
    card = write_model_card(folder).read_text()
    assert "fitted on the development split" in card and before not in card
    assert "were chosen on the development split, images held out" in card
    assert "chosen on the validation split" not in card


def test_a_calibration_that_says_nothing_is_called_so(folder):
    ends, certain = "at the end of the range that is searched", "Every prediction counts as certain"
    card = write_model_card(folder).read_text()
    assert ends not in card and certain not in card
    for temperature in (0.0501, 19.99):
        change_json(folder, "all_results", temperature=temperature, uncertain_below=0.0)
        card = write_model_card(folder).read_text()
        assert ends in card and certain in card and "at least 0.000" not in card


def test_earlier_stages_with_other_labels_are_said_where_only_the_recipe_names_them(folder):
    said = "Earlier stages were trained on other data or labels."
    assert said not in write_model_card(folder).read_text()
    record = yaml.safe_load((folder / "run.yaml").read_text()) | {"data_fingerprint": "0" * 64}
    (folder / "run.yaml").write_text(yaml.safe_dump(record, sort_keys=False))
    assert said not in write_model_card(folder).read_text()  # the same data, read in colour
    change_run(folder, label_source="ferplus")
    assert said in write_model_card(folder).read_text()


def test_without_a_treatment_the_card_says_so_plainly(folder):
    plain = "No treatment of class imbalance was used"
    assert plain in write_model_card(folder).read_text()
    for title, flags in {
        "focal loss": {"loss": "focal"},
        "weighted sampling": {"loss": "cross_entropy", "sampling": "weighted"},
        "oversampling and logit-adjusted loss": {
            "loss": "logit_adjusted",
            "sampling": "oversample",
        },
    }.items():
        change_run(folder, **flags)
        card = write_model_card(folder).read_text()
        assert plain not in card and f"Treatment of class imbalance: **{title}**.\n" in card


def test_only_the_flags_of_the_chosen_loss_are_shown(folder):
    record = yaml.safe_load((folder / "run.yaml").read_text())
    del record["arguments"]["treatment"]  # as older records are, with the flags of every loss
    flags = {"focal_gamma": 3.0, "focal_alpha": ["none"], "logit_adjustment_tau": 1.0}
    record["arguments"]["imbalance"] = {"sampling": "none", "loss": "focal"} | flags
    (folder / "run.yaml").write_text(yaml.safe_dump(record, sort_keys=False))
    card = write_model_card(folder).read_text()
    assert "loss: focal (focal_gamma 3.0, focal_alpha none, ferplus_weight 0.1)" in card
    treatment = {"sampling": "none", "undersample": None, "loss": "my_loss", "my_margin": 0.5}
    record |= {"loss_title": "my loss", "arguments": record["arguments"] | {"treatment": treatment}}
    (folder / "run.yaml").write_text(yaml.safe_dump(record, sort_keys=False))
    card = write_model_card(folder).read_text()
    assert "loss: my_loss (my_margin 0.5, ferplus_weight 0.1)" in card
    assert "**my loss**" in card


def test_a_hub_id_is_no_copy_of_ones_own(folder):
    assert "`fer2013` stands for a copy of FER-2013" in write_model_card(folder).read_text()
    change_run(folder, dataset="me/fer2013")
    card = write_model_card(folder).read_text()
    assert "stands for a copy" not in card and "datasets:\n- me/fer2013\n" in card


def test_a_gpu_needs_no_estimate(folder):
    assert "on one GPU about" in write_model_card(folder).read_text()
    record = (folder / "run.yaml").read_text()
    (folder / "run.yaml").write_text(record.replace("cpu (2 threads)", "2 x NVIDIA H100"))
    card = write_model_card(folder).read_text()
    assert "measured on 2 x NVIDIA H100\n" in card and "on one GPU about" not in card


def test_markdown_table():
    assert markdown_table(["class", "recall"], [["sad", 0.5]]) == (
        "| class | recall |\n| --- | --- |\n| sad | 0.5 |"
    )


def test_card_and_docs_name_the_least_version_that_is_declared():
    declared = re.search(r'"(transformers>=[\d.]+),', (ROOT / "setup.py").read_text())[1]
    for page in ("model/README.md", "docs/photos.md"):
        assert f"pip install '{declared}' torch timm" in (ROOT / page).read_text(), page
