"""train.py from the command line to the folder it leaves, on a few drawn faces."""

import csv
import hashlib
import itertools
import json
import re
import shutil
from types import SimpleNamespace

import huggingface_hub
import matplotlib.image
import numpy as np
import pytest
import torch
import torch.nn.functional as F
import yaml
from huggingface_hub import ModelCard
from PIL import Image
from safetensors.torch import load_file, save_file

import train
from modeling import FerEfficientNetConfig, FerEfficientNetForImageClassification
from training.data import LABELS, DataError, FaceDataset
from training.data.synthetic import draw_faces
from training.evaluation import results as results_module
from training.network import ModelArguments, build_network, load_saved_model
from training.report.card import write_model_card

FLAGS = [
    *["--dataset", "synthetic", "--synthetic_images", "60", "--backbone", "test_efficientnet"],
    *["--image_size", "32", "--head_hidden_sizes", "16", "--per_device_train_batch_size", "16"],
    *["--save_strategy", "no", "--disable_tqdm", "true", "--learning_rate", "1e-3"],
]


def run(output_dir, *flags):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(train, "load_back", lambda *_: "")  # slow, and done for `finished`
        return run_whole(output_dir, *flags)


def run_whole(output_dir, *flags):
    train.main([*FLAGS, "--output_dir", str(output_dir), "--num_train_epochs", "1", *flags])
    return json.loads((output_dir / "all_results.json").read_text())


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    results = run_whole(
        *(folder, "--num_train_epochs", "2", "--sampling", "weighted", "--loss", "focal"),
        *("--ema_decay", "0.9", "--weights_dtype", "float16"),
    )
    return folder, results


def test_the_folder_is_complete_and_holds_no_pickle(finished):
    folder, _ = finished
    names = {path.name for path in folder.iterdir()}
    assert names >= {
        "config.json",
        "model.safetensors",
        "preprocessor_config.json",
        "configuration_fer_efficientnet.py",
        "modeling_fer_efficientnet.py",
        "image_processing_fer_efficientnet.py",
        "README.md",
        "all_results.json",
        "data_report.json",
        "run.yaml",
        "confusion_matrix.png",
        "class_distribution.png",
        "training_curves.png",
        "confusion_matrix.svg",
        "class_distribution.svg",
        "training_curves.svg",
        "runs",
    }
    assert not [
        path for path in folder.rglob("*") if path.suffix in (".bin", ".pt", ".pth", ".pkl")
    ]
    assert list((folder / "runs").rglob("events.out.tfevents.*"))


def test_matrices_are_stored_as_float16_and_load_as_float32(finished):
    folder, _ = finished
    stored = load_file(folder / "model.safetensors")
    assert {value.dtype for value in stored.values() if value.ndim > 1} == {torch.float16}
    assert {value.dtype for value in stored.values() if value.ndim == 1} == {torch.float32}
    network = FerEfficientNetForImageClassification.from_pretrained(folder)
    assert {value.dtype for value in network.parameters()} == {torch.float32}


def test_results_have_every_figure_twice(finished):
    _, results = finished
    figures = [
        "accuracy",
        "macro_f1",
        "balanced_accuracy",
        "ece",
        *(f"recall_{name}" for name in LABELS),
    ]
    for name in figures:
        assert 0 <= results[f"eval_{name}"] <= 1
        assert 0 <= results[f"eval_{name}_without_copies"] <= 1
    assert results["eval_samples_without_copies"] < results["eval_samples"]
    assert results["train_samples_per_second"] > 0
    low, high = results["eval_accuracy_ci95"]
    assert low <= results["eval_accuracy"] <= high
    assert np.sum(results["eval_confusion_matrix"]) == results["eval_samples"]


def test_run_yaml_holds_what_is_needed_to_run_it_again(finished):
    folder, _ = finished
    content = yaml.safe_load((folder / "run.yaml").read_text())
    assert content["command"].startswith("python train.py --dataset synthetic --synthetic_im")
    assert content["recipe"] is None and content["stages"] == {}
    assert content["device"].startswith("cpu (") or " x " in content["device"]
    assert content["arguments"]["treatment"]["loss"] == "focal"
    assert content["arguments"]["training"]["num_train_epochs"] == 2
    assert content["versions"]["torch"] == torch.__version__.split("+")[0]
    assert content["seed"] == 42
    report = json.loads((folder / "data_report.json").read_text())
    assert content["data_fingerprint"] == report["fingerprint"]
    assert report["sampling"] == "weighted"


def test_card_has_the_runs_figures_and_valid_metadata(finished):
    folder, results = finished
    card = ModelCard.load(folder / "README.md")
    evaluations = {result.metric_name: result for result in card.data.eval_results}
    assert evaluations["accuracy"].metric_value == results["eval_accuracy"]
    assert evaluations["macro-F1"].metric_value == results["eval_macro_f1"]
    assert (
        card.data.pipeline_tag == "image-classification"
        and card.data.library_name == "transformers"
    )
    assert f"{results['eval_accuracy']:.4f}" in card.text
    assert f"{results['eval_macro_f1_without_copies']:.4f}" in card.text
    for phrase in (
        "not what a person feels",
        "What it must not be used for",
        "What it is bad at",
        "focal_gamma 2.0",
    ):
        assert phrase in card.text
    for name in LABELS:
        assert re.search(rf"\| {name} \| \d+ \| \d+ \|", card.text)
    assert "{{" not in card.text and "{%" not in card.text
    tables = [line for line in card.text.splitlines() if line.startswith("|")]
    assert {line.count("|") for line in tables} == {4, 6, 8}
    results = json.loads((folder / "all_results.json").read_text())
    assert f"temperature of {results['temperature']:.3f}" in card.text
    certainty = f"so are {results['eval_certain_share']:.1%}"
    if results["eval_certain_accuracy"] is None:
        certainty = "No prediction counts as certain"
    assert certainty in " ".join(card.text.split())
    for prior in ("", "train_prior_", "uniform_prior_"):
        assert f"| {results[f'eval_{prior}balanced_accuracy']:.3f} |" in card.text
    for start in ("eval_", "eval_train_prior_"):
        score, right = (results[f"{start}{name}_disgust"] for name in ("mean_score", "precision"))
        said = f"{right:.0%} are right, at a mean score of {score:.2f}"
        assert (said if score else "none are right, as none were made") in card.text
        assert f"{results[f'{start}ece']:.4f}" in card.text


def test_a_treated_network_has_learned_other_shares_than_the_training_sets(finished):
    folder, results = finished
    config = json.loads((folder / "config.json").read_text())
    counts = json.loads((folder / "data_report.json").read_text())["train_counts_before_sampling"]
    shares = np.array([counts[name] for name in LABELS]) / sum(counts.values())
    assert config["train_distribution"] == pytest.approx(shares)
    assert config["learned_distribution"] == pytest.approx([1 / 7] * 7)
    assert config["prior"] == "learned"
    # it was taught that all classes are equally frequent: a uniform prior changes nothing
    assert results["eval_uniform_prior_accuracy"] == results["eval_accuracy"]


def test_pictures_are_of_card_width(finished):
    folder, _ = finished
    for name in ("confusion_matrix", "class_distribution", "training_curves"):
        picture = matplotlib.image.imread(folder / f"{name}.png")
        assert 1400 <= picture.shape[1] <= 1800  # 200 dpi
        assert picture[..., :3].std() > 0.05


def test_without_bars_there_is_none(finished, tmp_path, capfd):
    for flags in ([], ["--evaluate_only", "--model_name_or_path", str(finished[0])]):
        run(tmp_path / str(len(flags)), *flags)
        assert "%|" not in capfd.readouterr().err


def test_evaluate_only_gives_the_same_figures_to_the_last_digit(finished, tmp_path):
    folder, results = finished
    again = run(tmp_path, "--evaluate_only", "--model_name_or_path", str(folder))
    weights = (folder / "model.safetensors").read_bytes()
    assert again.pop("weights_sha256") == hashlib.sha256(weights).hexdigest()
    for key, value in again.items():
        assert results[key] == value, key
    assert "eval_recall_disgust_without_copies" in again
    assert (tmp_path / "confusion_matrix.png").exists() and not (
        tmp_path / "model.safetensors"
    ).exists()


def test_evaluate_only_reads_the_split_that_is_asked_for(finished, tmp_path, capsys):
    folder, results = finished
    flags = ["--evaluate_only", "--model_name_or_path", str(folder), "--eval_split", "test"]
    recipe = ["--teachers", "runs/not_there", "--average_with", "runs/neither"]  # to train alone
    other = run(tmp_path, *flags, *recipe)
    assert other["eval_split"] == "test"
    assert other["eval_loss"] != results["eval_loss"]
    assert (results["eval_copies_of"], other["eval_copies_of"]) == (
        ["train"],
        ["train", "validation"],
    )
    assert "; without copies of training and validation images: accuracy" in capsys.readouterr().out

    model = tmp_path / "model"  # what docs/training.md says of the card
    shutil.copytree(folder, model, ignore=shutil.ignore_patterns("runs"))
    shutil.copyfile(tmp_path / "all_results.json", model / "test_results.json")
    card = ModelCard.load(write_model_card(model))
    assert card.data.eval_results[0].dataset_split == "test"
    assert card.data.eval_results[0].metric_value == other["eval_accuracy"]
    test, validation = card.text.split("On the test split (")[1].split("On the validation split (")
    for text, copied in ((test, "training and validation"), (validation, "training")):
        assert f"copies of {copied} images |" in text and "| mean score |" in text
        assert "Of the predictions of `disgust`, " in text
    for split in ("test", "validation"):
        assert f'| {split} | `"learned"` |' in card.text


def test_the_card_says_that_the_calibration_was_on_the_development_split(tmp_path):
    results = run(tmp_path, "--development_share", "0.3", "--max_steps", "1")
    assert results["calibrated_on"] == "development" and results["eval_split"] == "validation"
    assert "fitted on the development split by" in (tmp_path / "README.md").read_text()


def test_an_evaluation_under_other_conditions_counts_for_no_weights(finished, tmp_path):
    model = ["--model_name_or_path", str(finished[0]), "--eval_split", "test"]
    flags = ["--evaluate_only", *model, "--image_size", "40"]
    assert "weights_sha256" not in run(tmp_path, *flags)


def test_an_evaluation_does_not_replace_the_record_of_a_training(finished):
    folder = str(finished[0])
    with pytest.raises(SystemExit, match="holds a trained model, whose report"):
        run(finished[0], "--evaluate_only", "--model_name_or_path", folder, "--overwrite")


@pytest.mark.parametrize(
    "flags, message",
    [
        (["--image_size", "16"], "`image_size` must be at least 32"),
        (["--backbone", "efficientnet_b00"], "the nearest are"),
    ],
)
def test_a_network_that_cannot_be_built_is_told_in_one_message(tmp_path, flags, message):
    with pytest.raises(SystemExit, match=message):
        run(tmp_path, *flags)


def test_loading_back_compares_in_float32_whatever_wraps_the_network(finished, monkeypatch):
    network, processor = load_saved_model(str(finished[0]))
    face = torch.from_numpy(draw_faces(np.array([3]), LABELS, seed=0))[:, None]
    data = SimpleNamespace(eval=FaceDataset(face, torch.tensor([3])), label_names=LABELS)
    trainer = SimpleNamespace(model=network, processing_class=processor)
    monkeypatch.setattr(network, "forward", lambda *_: pytest.fail("the network's own was asked"))
    assert train.load_back(finished[0], data, trainer).startswith("Loaded back")
    with torch.no_grad():
        network.head[-1].bias[0] += 5
    with pytest.raises(RuntimeError, match="differ from the run's"):
        train.load_back(finished[0], data, trainer)


def test_a_folder_that_holds_a_run_is_refused_and_left_as_it_is(finished):
    folder, _ = finished
    before = (folder / "model.safetensors").read_bytes()
    with pytest.raises(SystemExit, match="holds another run .*--overwrite"):
        run(folder)
    assert (folder / "model.safetensors").read_bytes() == before


def test_a_folder_with_other_files_is_refused_even_with_overwrite(tmp_path):
    (tmp_path / "README.md").write_text("mine")
    with pytest.raises(SystemExit, match="holds files that do not belong to a run"):
        run(tmp_path, "--overwrite")
    assert (tmp_path / "README.md").read_text() == "mine"
    (tmp_path / "runs").mkdir()  # as a clone of this repository has it
    with pytest.raises(SystemExit, match="holds files that do not belong to a run"):
        run(tmp_path, "--overwrite")
    assert (tmp_path / "runs").exists()


def test_a_saved_model_that_does_not_fit_the_loss_is_refused(finished, tmp_path):
    with pytest.raises(SystemExit, match="needs a model with a cosine classifier of scale 30"):
        run(tmp_path, "--model_name_or_path", str(finished[0]), "--loss", "ldam")


def test_a_soup_is_in_weights_record_and_card(finished, tmp_path):
    run(tmp_path / "other", "--model_name_or_path", str(finished[0]))
    soup = ["--average_with", str(tmp_path / "other"), "--average_weight", "0.25"]
    flags = ["--num_train_epochs", "0", "--precise_bn", "40", "--overwrite", *soup]
    shutil.copytree(tmp_path / "other", tmp_path / "soup")  # a run with curves, to be replaced
    run(tmp_path / "soup", "--model_name_or_path", str(finished[0]), *flags)
    folders = (finished[0], tmp_path / "other", tmp_path / "soup")
    one, other, mean = (load_file(folder / "model.safetensors") for folder in folders)
    for name in ("backbone.conv_stem.weight", "head.0.weight"):
        assert not torch.equal(one[name], other[name])
        torch.testing.assert_close(mean[name], 0.75 * one[name].float() + 0.25 * other[name])
    record = yaml.safe_load((tmp_path / "soup" / "run.yaml").read_text())
    origin = finished[0].name
    assert record["started_from"] == origin and record["averaged_with"] == ["other"]
    assert [*record["stages"]] == [origin, "other"]  # each once
    assert record["stages"]["other"]["started_from"] == origin
    card = (tmp_path / "soup" / "README.md").read_text()
    start = "on from stage 1, averaged with stage 2 (share 0.25)"
    assert f"# stage 3, {start}: 0 epochs" in card
    assert f"- not trained further: {start}\n" in card
    assert "curves" not in card and not (tmp_path / "soup" / "training_curves.png").exists()


def test_a_soup_of_other_networks_is_refused(finished, tmp_path):
    flags = ["--model_name_or_path", str(finished[0]), "--average_with", "model"]
    with pytest.raises(SystemExit, match="--average_with model: expected the network of"):
        run(tmp_path, *flags)


@pytest.mark.parametrize("flag", ["--model_name_or_path", "--teachers"])
def test_a_stage_whose_start_is_not_there_says_what_comes_first(tmp_path, monkeypatch, flag):
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(SystemExit, match="no saved model runs/first: .*recipe of that name"):
        run(tmp_path, flag, "runs/first")


def test_a_saved_model_keeps_its_image_size_or_takes_another(finished):
    face = Image.new("L", (48, 48), 128)
    for image_size, expected in ((None, 32), (40, 40)):
        saved = ModelArguments(model_name_or_path=str(finished[0]), image_size=image_size)
        network, processor = build_network(saved, LABELS, cosine_scale=None, training=True)
        assert network.config.image_size == expected
        assert processor(face, return_tensors="pt").pixel_values.shape == (1, 1, expected, expected)
    saved = ModelArguments(model_name_or_path=str(finished[0]), image_size=8)
    with pytest.raises(SystemExit, match="`image_size` must be at least 32"):
        build_network(saved, LABELS, cosine_scale=None, training=True)


def test_an_alpha_for_other_classes_is_told_in_one_message(tmp_path):
    with pytest.raises(SystemExit, match="train.py: --focal_alpha needs 7 numbers"):
        run(tmp_path, "--loss", "focal", "--focal_alpha", "1", "2")
    assert not list(tmp_path.iterdir())


def test_too_large_an_undersample_names_the_classes(tmp_path):
    with pytest.raises(DataError, match="--undersample 500: .*'disgust': 4"):
        run(tmp_path, "--undersample", "500")
    assert not list(tmp_path.iterdir())


def test_overwrite_and_fine_tuning_replace_it(finished, tmp_path):
    run(tmp_path / "run")
    (tmp_path / "run" / "checkpoint-7").mkdir()
    (tmp_path / "run" / "notes.txt").touch()
    (tmp_path / "run" / "test_results.json").touch()
    first = load_file(tmp_path / "run" / "model.safetensors")
    run(tmp_path / "run", "--overwrite", "--model_name_or_path", str(finished[0]))
    second = load_file(tmp_path / "run" / "model.safetensors")
    assert not (tmp_path / "run" / "checkpoint-7").exists()
    assert not (tmp_path / "run" / "test_results.json").exists()
    assert (tmp_path / "run" / "notes.txt").exists()
    assert not torch.equal(first["head.0.weight"], second["head.0.weight"])
    content = yaml.safe_load((tmp_path / "run" / "run.yaml").read_text())
    assert content["arguments"]["model"]["head_hidden_sizes"] == [16]
    assert content["started_from"] == finished[0].name
    stage = content["stages"][finished[0].name]
    assert stage["train_runtime"] == finished[1]["train_runtime"]
    assert "--loss focal" in stage["flags"] and str(finished[0]) not in stage["flags"]


def test_precise_bn_changes_the_statistics_of_a_saved_model_alone(finished, tmp_path):
    flags = ["--num_train_epochs", "0", "--precise_bn", "40", "--weights_dtype", "float16"]
    run(tmp_path, "--model_name_or_path", str(finished[0]), *flags)
    before, after = (load_file(path / "model.safetensors") for path in (finished[0], tmp_path))
    changed = {name for name, value in before.items() if not torch.equal(value, after[name])}
    assert changed and all("running_" in name or "num_batches" in name for name in changed)
    results = json.loads((tmp_path / "all_results.json").read_text())
    assert not [name for name in results if name.startswith("train_")]  # of no step
    assert results["epoch"] == 0 and results["chain_stages"] == 2
    assert results["chain_train_runtime"] == finished[1]["train_runtime"]
    card = (tmp_path / "README.md").read_text()
    assert f"{finished[1]['train_runtime'] / 60:.1f} minutes of training in all stages" in card
    assert "recomputed after training on 40 training images without augmentation" in card


def test_card_tells_every_stage_of_a_chain(finished, tmp_path):
    folders = [finished[0], tmp_path / "second", tmp_path / "third"]
    for source, folder in itertools.pairwise(folders):
        run(folder, "--model_name_or_path", str(source))
    card = (folders[-1] / "README.md").read_text()
    minutes = []
    for number, folder in enumerate(folders, 1):
        results = json.loads((folder / "all_results.json").read_text())
        minutes.append(results["train_runtime"] / 60)
        line = rf"# stage {number}, .*: {results['epoch']:g} epochs?, {minutes[-1]:.1f} minutes\n"
        assert re.search(line + "python ", card)
    assert results["chain_stages"] == 3
    assert results["chain_train_runtime"] == pytest.approx(60 * sum(minutes))
    assert "The last of 3 stages" in card and f"({sum(minutes):.1f} in all stages)" in card
    assert "# stage 1, from random weights: " in card and "# stage 3, on from stage 2: " in card
    assert str(tmp_path) not in card.split("## Training")[1]


def test_teachers_are_in_weights_prior_record_and_card(finished, tmp_path):
    teacher = shutil.copytree(finished[0], tmp_path / "teacher")  # said to be from ImageNet
    words = (teacher / "run.yaml").read_text()
    words = words.replace("pretrained: null", "pretrained: tf_efficientnet_b0")
    (teacher / "run.yaml").write_text(words)
    results = run(tmp_path / "taught", "--teachers", str(teacher), "--distillation_weight", "1")
    alone = run(tmp_path / "alone")
    assert results["eval_loss"] != alone["eval_loss"]
    shares = [
        json.loads((folder / "config.json").read_text())["learned_distribution"]
        for folder in (finished[0], tmp_path / "taught", tmp_path / "alone")
    ]
    untreated = json.loads((tmp_path / "alone" / "config.json").read_text())
    assert untreated["train_distribution"] == shares[2] and "eval_train_prior_ece" not in alone
    assert shares[1] == pytest.approx(shares[0]) and shares[2] != pytest.approx(shares[0], abs=0.01)
    record = yaml.safe_load((tmp_path / "taught" / "run.yaml").read_text())
    taught_by = [record["stages"][name] for name in record["taught_by"]]
    assert [stage["train_runtime"] for stage in taught_by] == [finished[1]["train_runtime"]]
    card = (tmp_path / "taught" / "README.md").read_text()
    assert "# stage 2, from random weights, taught by stage 1: " in card
    assert "distillation_weight 1" in card
    assert "# stage 1, from ImageNet weights of timm: " in card
    assert ModelCard.load(tmp_path / "taught" / "README.md").data.base_model is None  # the pupil's


def test_a_teacher_of_other_channels_is_refused(finished, tmp_path):
    with pytest.raises(SystemExit, match="takes images of 1 channels; expected 3"):
        run(tmp_path, "--teachers", str(finished[0]), "--num_channels", "3")


def test_pretrained_from_a_local_file(tmp_path, capsys):
    source = FerEfficientNetForImageClassification(
        FerEfficientNetConfig(backbone="test_efficientnet", num_channels=3, image_size=32)
    )
    save_file(source.backbone.state_dict(), tmp_path / "timm.safetensors")
    run(
        tmp_path / "run",
        *["--pretrained", str(tmp_path / "timm.safetensors"), "--freeze_backbone_epochs", "1"],
    )
    trained = FerEfficientNetForImageClassification.from_pretrained(tmp_path / "run").backbone
    expected = source.backbone.conv_stem.weight.sum(dim=1, keepdim=True)
    torch.testing.assert_close(trained.conv_stem.weight, expected)
    processor = json.loads((tmp_path / "run" / "preprocessor_config.json").read_text())
    assert processor["image_mean"] == pytest.approx([0.449], abs=0.06)
    card = (tmp_path / "run" / "README.md").read_text()
    assert "from the ImageNet weights in timm.safetensors" in card
    assert "`timm.safetensors` holds timm's ImageNet weights" in card


def test_pretrained_without_network_names_both_ways_on(tmp_path, monkeypatch):
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(
        SystemExit, match="(?s)could not be loaded.*local timm weights file.*--no_pretrained"
    ):
        run(tmp_path, "--pretrained")
    assert not list(tmp_path.iterdir())


def test_paper_split_reports_on_its_test_part(tmp_path, capsys):
    results = run(
        tmp_path, *["--split", "paper", "--paper_samples_per_class", "10", "--undersample", "min"]
    )
    assert results["eval_split"] == "test"
    report = json.loads((tmp_path / "data_report.json").read_text())
    assert len(set(report["train_counts_after_sampling"].values())) == 1
    assert len(report["chosen_rows"]) == sum(report["train_counts_after_sampling"].values())
    assert "disgust" in capsys.readouterr().out


def test_what_is_chosen_comes_from_the_development_split(tmp_path, monkeypatch):
    """The temperature, also of a run that is evaluated on its test part; and predictions.csv."""
    fitted, calibrate = [], results_module.calibrate

    def spy(config, logits, labels, shift):
        fitted.append(len(labels))
        return calibrate(config, 4 * logits, labels, shift)  # a temperature that is not 1

    monkeypatch.setattr(results_module, "calibrate", spy)
    flags = ["--split", "paper", "--paper_samples_per_class", "10", "--development_share", "0.2"]
    results = run(tmp_path, *flags, "--save_predictions")
    assert results["eval_split"] == "test" and results["calibrated_on"] == "development"
    assert fitted[0] < results["eval_samples"] and abs(results["temperature"] - 1) > 0.1
    with (tmp_path / "predictions.csv").open(newline="") as lines:
        rows = list(csv.DictReader(lines))
    assert len(rows) == results["eval_samples"]
    assert {len(row["image"]) for row in rows} == {32} and len({row["image"] for row in rows}) > 20
    right = [row["label"] == row["predicted"] for row in rows]
    assert np.mean(right) == pytest.approx(results["eval_accuracy"])
    logits = [[float(row[f"logit_{label}"]) for label in LABELS] for row in rows]
    labels = [LABELS.index(row["label"]) for row in rows]
    loss = F.cross_entropy(torch.tensor(logits), torch.tensor(labels)).item()
    assert loss == pytest.approx(results["eval_loss"], abs=1e-3)  # with the temperature


def test_unusable_data_is_refused_before_anything_is_written(tmp_path):
    with pytest.raises(DataError, match="no such file or folder"):
        train.main(["--dataset", "no/such/place", "--output_dir", str(tmp_path / "run")])
    assert not (tmp_path / "run").exists()
