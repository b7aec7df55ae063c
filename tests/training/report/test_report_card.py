"""training/report/card.py: a card from the files of a folder alone."""

import json
import shutil
from pathlib import Path

import pytest
import yaml

from modeling import FerEfficientNetForImageClassification
from training.report.card import count_parameters, main, write_model_card
from training.report.markdown import markdown_table

ROOT = Path(__file__).parents[3]
MODEL = ROOT / "model"
MADE_FROM = ("config.json", "model.safetensors", "all_results.json", "data_report.json", "run.yaml")


@pytest.fixture
def folder(tmp_path):
    for name in MADE_FROM:
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


def test_parameters_are_counted_without_buffers():
    network = FerEfficientNetForImageClassification.from_pretrained(MODEL)
    assert count_parameters(MODEL / "model.safetensors") == network.num_parameters()


def test_evaluated_images_are_the_rows_of_the_confusion_matrix(folder):
    results = json.loads((folder / "all_results.json").read_text())
    results["eval_confusion_matrix"][1][0] += 1000
    (folder / "all_results.json").write_text(json.dumps(results))
    assert "| disgust | 414 | 1,056 |" in write_model_card(folder).read_text()


def test_without_a_treatment_the_card_says_so_plainly(folder):
    plain = "No treatment of class imbalance was used"
    assert plain in write_model_card(folder).read_text()
    for title, flags in {
        "focal loss (paper)": {"loss": "focal"},
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
