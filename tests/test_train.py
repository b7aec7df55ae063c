"""train.py from the command line to the folder it leaves, on a few drawn faces."""

import csv
import hashlib
import json
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import huggingface_hub
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
from training.card.card import card_facts, card_text
from training.data import LABELS, FaceDataset
from training.data.synthetic import draw_faces
from training.errors import DataError
from training.evaluation import results as results_module
from training.network import ModelArguments, build_network, load_saved_model
from training.record import load_back

ROOT = Path(__file__).parents[1]
FLAGS = [
    *["--dataset", "synthetic", "--synthetic_images", "60", "--backbone", "test_efficientnet"],
    *["--image_size", "32", "--head_hidden_sizes", "16", "--per_device_train_batch_size", "16"],
    *["--save_strategy", "no", "--disable_tqdm", "true", "--learning_rate", "1e-3"],
]


def run_whole(output_dir, *flags):
    train.main([*FLAGS, "--output_dir", str(output_dir), "--num_train_epochs", "1", *flags])
    return read_json(output_dir / "all_results.json")


def run(output_dir, *flags):
    return run_whole(output_dir, "--eval_strategy", "no", "--report_to", "none", *flags)


def read_json(file):
    return json.loads(file.read_text())


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    results = run_whole(
        *(folder, "--num_train_epochs", "2", "--sampling", "weighted", "--loss", "focal"),
        *("--ema_decay", "0.9", "--weights_dtype", "float16"),
    )
    return folder, results


@pytest.fixture(scope="module", autouse=True)
def quick(finished, quick_reports):
    """Every run but `finished`."""


# what a run leaves


def test_the_folder_is_complete_and_holds_no_pickle(finished):
    folder, _ = finished
    figures = ("confusion_matrix", "class_distribution", "training_curves")
    assert {path.name for path in folder.iterdir()} >= {
        *("config.json", "model.safetensors", "preprocessor_config.json", "README.md", "runs"),
        *("all_results.json", "data_report.json", "run.yaml"),
        *(f"{part}_fer_efficientnet.py" for part in ("configuration", "modeling")),
        *(f"{name}.{kind}" for name in figures for kind in ("png", "svg")),
    }
    pickles = (".bin", ".pt", ".pth", ".pkl")
    assert not [path for path in folder.rglob("*") if path.suffix in pickles]
    assert list((folder / "runs").rglob("events.out.tfevents.*"))


def test_matrices_are_stored_as_float16_and_load_as_float32(finished):
    folder, _ = finished
    stored = load_file(folder / "model.safetensors")
    assert {value.dtype for value in stored.values() if value.ndim > 1} == {torch.float16}
    assert {value.dtype for value in stored.values() if value.ndim == 1} == {torch.float32}
    network = FerEfficientNetForImageClassification.from_pretrained(folder)
    assert {value.dtype for value in network.parameters()} == {torch.float32}


def test_results_have_every_metric_with_and_without_copies(finished):
    _, results = finished
    recalls = (f"recall_{name}" for name in LABELS)
    for name in ("accuracy", "macro_f1", "balanced_accuracy", "ece", *recalls):
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
    report = read_json(folder / "data_report.json")
    assert content["data_fingerprint"] == report["fingerprint"]
    assert report["sampling"] == "weighted"


def test_the_card_holds_the_runs_results(finished):
    folder, results = finished
    card = ModelCard.load(folder / "README.md")
    evaluations = {result.metric_name: result for result in card.data.eval_results}
    assert evaluations["accuracy"].metric_value == results["eval_accuracy"]
    assert evaluations["macro-F1"].metric_value == results["eval_macro_f1"]
    assert f"{results['eval_macro_f1_without_copies']:.4f}" in card.text
    facts = card_facts(folder)
    assert facts.loss_options == {"focal_gamma": "2.0", "focal_alpha": "none"}
    assert [prior.prior for prior in facts.splits[0].priors] == ["learned", "train", "uniform"]
    assert card.content == card_text(facts)


def test_a_treated_network_can_assume_the_training_sets_shares(tmp_path):
    folder = tmp_path / "run"
    results = run(folder, "--sampling", "oversample", "--prior", "train")
    config = read_json(folder / "config.json")
    assert config["prior"] == "train" and "eval_train_prior_accuracy" not in results
    (prior, *_) = card_facts(folder).splits[0].priors
    assert (prior.prior, prior.accuracy) == ("train", results["eval_accuracy"])
    network = FerEfficientNetForImageClassification.from_pretrained(folder)
    shares = torch.tensor(config["calibration"]["train_distribution"])
    assert torch.allclose(network.prior_shift("train"), (7 * shares).log(), atol=1e-5)


def test_a_treated_network_has_learned_other_shares_than_the_training_sets(finished):
    folder, results = finished
    config = read_json(folder / "config.json")
    counts = read_json(folder / "data_report.json")["train_counts_before_sampling"]
    shares = np.array([counts[name] for name in LABELS]) / sum(counts.values())
    assert config["calibration"]["train_distribution"] == pytest.approx(shares)
    assert config["calibration"]["learned_distribution"] == pytest.approx([1 / 7] * 7)
    assert config["prior"] == "learned"
    # it was taught that all classes are equally frequent: a uniform prior changes nothing
    assert results["eval_uniform_prior_accuracy"] == results["eval_accuracy"]


def test_loading_back_another_model_fails_whatever_wraps_the_network(finished, monkeypatch):
    network, processor = load_saved_model(str(finished[0]))
    face = torch.from_numpy(draw_faces(np.array([3]), LABELS, seed=0))[:, None]
    data = SimpleNamespace(eval=FaceDataset(face, torch.tensor([3])), label_names=LABELS)
    trainer = SimpleNamespace(model=network, processing_class=processor)
    monkeypatch.setattr(network, "forward", lambda *_: pytest.fail("the network's own was asked"))
    with torch.no_grad():
        network.head[-1].bias[0] += 5
    with pytest.raises(RuntimeError, match="differ from the run's"):
        load_back(finished[0], data, trainer)


# evaluation alone


def test_evaluate_only_gives_the_same_results_to_the_last_digit(finished, tmp_path, capfd):
    folder, results = finished
    again = run(tmp_path, "--evaluate_only", "--model_name_or_path", str(folder))
    weights = (folder / "model.safetensors").read_bytes()
    assert again.pop("weights_sha256") == hashlib.sha256(weights).hexdigest()
    for key, value in again.items():
        assert results[key] == value, key
    assert "eval_recall_disgust_without_copies" in again
    left = {path.name for path in tmp_path.iterdir()}
    assert "confusion_matrix.png" in left and "model.safetensors" not in left
    assert "%|" not in capfd.readouterr().err  # no progress bar


def test_results_on_the_test_split_come_first_on_the_card(finished, tmp_path, capsys):
    folder, results = finished
    flags = ["--evaluate_only", "--model_name_or_path", str(folder), "--eval_split", "test"]
    recipe = ["--teachers", "runs/not_there", "--average_with", "runs/neither"]  # to train alone
    other = run(tmp_path, *flags, *recipe)
    assert other["eval_split"] == "test" and other["eval_loss"] != results["eval_loss"]
    assert results["eval_copies_of"] == ["train"]
    assert other["eval_copies_of"] == ["train", "validation"]
    assert "; without copies of training and validation images: accuracy" in capsys.readouterr().out

    model = tmp_path / "model"  # as docs/training.md has it
    shutil.copytree(folder, model, ignore=shutil.ignore_patterns("runs"))
    shutil.copyfile(tmp_path / "all_results.json", model / "test_results.json")
    test, validation = card_facts(model).splits
    assert (test.name, test.results) == ("test", other)
    assert test.copies == other["eval_samples"] - other["eval_samples_without_copies"] > 0
    assert [len(split.priors) for split in (test, validation)] == [3, 3]


def test_an_evaluation_at_another_size_counts_for_no_weights(finished, tmp_path):
    model = ["--model_name_or_path", str(finished[0]), "--eval_split", "test"]
    assert "weights_sha256" not in run(tmp_path, "--evaluate_only", *model, "--image_size", "40")


# what is refused, before anything is written


@pytest.mark.parametrize(
    "flags, message",
    [
        (["--image_size", "16"], "`image_size` must be at least 32"),
        (["--backbone", "efficientnet_b00"], "the nearest are"),
        (["--loss", "focal", "--focal_alpha", "1", "2"], "train.py: --focal_alpha needs 7 numbers"),
        (["--metric_for_best_model", "recall_sat"], "did you mean 'recall_sad'"),
        (["--model_name_or_path", "{run}", "--loss", "ldam"], "a cosine classifier of scale 30"),
        (
            ["--model_name_or_path", "{run}", "--average_with", "model"],
            "--average_with model: expected the network of",
        ),
        (["--teachers", "{run}", "--num_channels", "3"], "takes images of 1 channels; expected 3"),
        (["--model_name_or_path", "runs/1"], "no saved model runs/1: .*recipe of that name"),
        (["--teachers", "model", "./no"], "no saved model ./no: .*recipe of that name"),
        (["--teachers", "me/no"], "no saved model me/no: .*recipe of that name"),
        (["--pretrained"], "(?s)could not be loaded.*local timm weights file.*--no_pretrained"),
    ],
)
def test_what_does_not_fit_is_refused_in_one_message(
    finished, tmp_path, monkeypatch, flags, message
):
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(SystemExit, match=message):
        run(tmp_path, *(flag.format(run=finished[0]) for flag in flags))
    assert not list(tmp_path.iterdir())


def test_unusable_data_is_refused(tmp_path):
    with pytest.raises(DataError, match="no such file or folder"):
        run(tmp_path / "run", "--dataset", "no/such/place")
    with pytest.raises(DataError, match="--undersample 500: .*'disgust': 4"):
        run(tmp_path / "run", "--undersample", "500")
    assert not (tmp_path / "run").exists()


def test_a_folder_that_holds_a_run_or_anything_else_is_left_as_it_is(finished, tmp_path):
    folder = finished[0]
    before = (folder / "model.safetensors").read_bytes()
    with pytest.raises(SystemExit, match="holds another run .*--overwrite"):
        run(folder)
    with pytest.raises(SystemExit, match="holds a trained model, whose report"):
        run(folder, "--evaluate_only", "--model_name_or_path", str(folder), "--overwrite")
    assert (folder / "model.safetensors").read_bytes() == before
    (tmp_path / "README.md").write_text("mine")
    for name in ("mine", "runs"):  # the latter as a clone of this repository has it
        (tmp_path / name).mkdir()
        with pytest.raises(SystemExit, match="holds files that do not belong to a run"):
            run(tmp_path, "--overwrite")
    assert (tmp_path / "README.md").read_text() == "mine" and (tmp_path / "runs").exists()


LIGHT = """
import sys, train
try:
    train.main(sys.argv[1:])
except BaseException as error:
    heavy = {"torch", "transformers", "timm", "datasets", "numpy"} & {*sys.modules}
    print(type(error).__name__, error, sorted(heavy))
"""


@pytest.mark.parametrize(
    "argv, message",
    [
        (["none.yaml"], "SystemExit 2 []"),
        (["{base}", "--dataset", "./no.csv"], "DataError ./no.csv: no such file or folder, and"),
        (["--dataset", "me/no.parquet"], "DataError me/no.parquet: no such file or folder, and"),
        (["--dataset", "no.safetensors"], "DataError no.safetensors: no such file; `python -m"),
        (["{base}"], "SystemExit train.py: no saved model runs/base: expected its folder"),
    ],
)
def test_a_wrong_path_is_said_before_anything_heavy_is_imported(tmp_path, argv, message):
    base = tmp_path / "base.yaml"
    base.write_text("dataset: synthetic\nmodel_name_or_path: runs/base\n")
    words = [sys.executable, "-c", LIGHT, *(word.format(base=base) for word in argv)]
    done = subprocess.run(words, capture_output=True, text=True, cwd=ROOT)
    assert done.stdout.startswith(message) and done.stdout.endswith(" []\n"), done


# from other models


def test_a_saved_model_keeps_its_image_size_or_takes_another(finished):
    face = Image.new("L", (48, 48), 128)
    for image_size, expected in ((None, 32), (40, 40)):
        saved = ModelArguments(model_name_or_path=str(finished[0]), image_size=image_size)
        network, processor = build_network(saved, LABELS)
        assert network.config.image_size == expected
        assert processor(face, return_tensors="pt").pixel_values.shape == (1, 1, expected, expected)
    saved = ModelArguments(model_name_or_path=str(finished[0]), image_size=8)
    with pytest.raises(SystemExit, match="`image_size` must be at least 32"):
        build_network(saved, LABELS)


def test_overwrite_and_fine_tuning_replace_a_run(finished, tmp_path):
    folder = tmp_path / "run"
    run(folder)
    (folder / "checkpoint-7").mkdir()
    for name in ("notes.txt", "test_results.json"):
        (folder / name).touch()
    first = load_file(folder / "model.safetensors")
    run(folder, "--overwrite", "--model_name_or_path", str(finished[0]))
    left = {path.name for path in folder.iterdir()}
    assert "notes.txt" in left and not {"checkpoint-7", "test_results.json"} & left
    second = load_file(folder / "model.safetensors")
    assert not torch.equal(first["head.0.weight"], second["head.0.weight"])
    content = yaml.safe_load((folder / "run.yaml").read_text())
    assert content["arguments"]["model"]["head_hidden_sizes"] == [16]
    assert content["started_from"] == finished[0].name
    stage = content["stages"][finished[0].name]
    assert stage["train_runtime"] == finished[1]["train_runtime"]
    assert "--loss focal" in stage["flags"] and str(finished[0]) not in stage["flags"]


def test_a_chain_and_a_soup_are_in_weights_record_and_card(finished, tmp_path):
    folders = [finished[0], tmp_path / "other", tmp_path / "soup"]
    run(folders[1], "--model_name_or_path", str(finished[0]))
    soup = ["--average_with", str(folders[1]), "--average_weight", "0.25"]
    flags = ["--num_train_epochs", "0", "--precise_bn", "40", "--overwrite", *soup]
    shutil.copytree(folders[1], folders[2])  # a run with curves, to be replaced
    results = run(folders[2], "--model_name_or_path", str(finished[0]), *flags)
    first, second, mean = (load_file(folder / "model.safetensors") for folder in folders)
    for name in ("backbone.conv_stem.weight", "head.0.weight"):
        assert not torch.equal(first[name], second[name])
        torch.testing.assert_close(mean[name], 0.75 * first[name].float() + 0.25 * second[name])
    record = yaml.safe_load((folders[2] / "run.yaml").read_text())
    origin = finished[0].name
    assert record["started_from"] == origin and record["averaged_with"] == ["other"]
    assert [*record["stages"]] == [origin, "other"]  # each once
    assert record["stages"]["other"]["started_from"] == origin
    seconds = [read_json(path / "all_results.json")["train_runtime"] for path in folders[:2]]
    assert results["chain_stages"] == 3
    assert results["chain_train_runtime"] == pytest.approx(sum(seconds))
    facts = card_facts(folders[2])
    assert [stage.started_from for stage in facts.stages] == [None, 1, 1]
    stage = facts.stages[-1]
    assert (stage.epochs, stage.averaged_with, stage.average_weight) == (0, [2], 0.25)
    assert "training_curves" not in facts.pictures
    card = (folders[2] / "README.md").read_text()
    said = "none in the last stage; **weighted sampling** in stage 1; **focal loss** in stage 1."
    assert f"Treatment of class imbalance: {said}" in card
    assert str(tmp_path) not in card.split("## Training")[1]


def test_a_saved_model_is_calibrated_again(finished, tmp_path):
    model, names = tmp_path / "model", ("config.json", "all_results.json")
    shutil.copytree(finished[0], model)
    expected = {name: read_json(model / name) for name in names}
    fitted = expected["config.json"]["calibration"]
    assert [size["side"] for size in fitted["smaller_faces"]] == [16, 24]  # the input: 32
    changed = fitted | {"temperature": 9.0, "uncertain_below": 1.0, "smaller_faces": []}
    changed = json.dumps(expected["config.json"] | {"calibration": changed})
    (model / "config.json").write_text(changed)
    run(tmp_path / "run", "--evaluate_only", "--calibrate", "--model_name_or_path", str(model))
    again = {name: read_json(model / name) for name in names}
    assert again["config.json"] == expected["config.json"]
    for name in ("temperature", "eval_loss", "eval_certain_accuracy", "train_runtime"):
        assert again["all_results.json"][name] == expected["all_results.json"][name]


def test_few_images_are_not_calibrated_on(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(results_module, "LEAST_IMAGES", 100)
    results = run(tmp_path)
    assert "temperature" not in results and "eval_certain_share" not in results
    assert "takes at least 100 held-out images, but there are" in capsys.readouterr().out
    calibration = read_json(tmp_path / "config.json")["calibration"]
    assert {*calibration} == {"classes", "head", "train_distribution", "learned_distribution"}


def test_precise_bn_changes_the_statistics_of_a_saved_model_alone(finished, tmp_path):
    flags = ["--num_train_epochs", "0", "--precise_bn", "40", "--weights_dtype", "float16"]
    results = run(tmp_path, "--model_name_or_path", str(finished[0]), *flags)
    before, after = (load_file(path / "model.safetensors") for path in (finished[0], tmp_path))
    changed = {name for name, value in before.items() if not torch.equal(value, after[name])}
    assert changed and all("running_" in name or "num_batches" in name for name in changed)
    assert not [name for name in results if name.startswith("train_")]  # of no step
    assert results["epoch"] == 0 and results["chain_stages"] == 2


def test_teachers_are_in_weights_prior_record_and_card(finished, tmp_path):
    teacher = ["--teachers", str(finished[0]), "--distillation_weight", "1"]
    taught, alone = run(tmp_path / "taught", *teacher), run(tmp_path / "alone")
    assert taught["eval_loss"] != alone["eval_loss"]
    folders = (finished[0], tmp_path / "taught", tmp_path / "alone")
    fitted = [read_json(folder / "config.json")["calibration"] for folder in folders]
    shares = [calibration["learned_distribution"] for calibration in fitted]
    assert fitted[2]["train_distribution"] == shares[2] and "eval_train_prior_ece" not in alone
    assert shares[1] == pytest.approx(shares[0]) and shares[2] != pytest.approx(shares[0], abs=0.01)
    record = yaml.safe_load((tmp_path / "taught" / "run.yaml").read_text())
    taught_by = [record["stages"][name] for name in record["taught_by"]]
    assert [stage["train_runtime"] for stage in taught_by] == [finished[1]["train_runtime"]]
    facts = card_facts(tmp_path / "taught")
    assert facts.stages[1].taught_by == [1] and facts.loss_options["distillation_weight"] == "1.0"
    assert facts.base_model is None  # the pupil's


def test_pretrained_from_a_local_file(tmp_path):
    source = FerEfficientNetForImageClassification(
        FerEfficientNetConfig(backbone="test_efficientnet", num_channels=3, image_size=32)
    )
    file = tmp_path / "timm.safetensors"
    save_file(source.backbone.state_dict(), file)
    run(tmp_path / "run", "--pretrained", str(file), "--freeze_backbone_epochs", "1")
    trained = FerEfficientNetForImageClassification.from_pretrained(tmp_path / "run").backbone
    expected = source.backbone.conv_stem.weight.sum(dim=1, keepdim=True)
    torch.testing.assert_close(trained.conv_stem.weight, expected)
    processor = read_json(tmp_path / "run" / "preprocessor_config.json")
    assert processor["image_mean"] == pytest.approx([0.449], abs=0.06)
    assert card_facts(tmp_path / "run").weights_file == "timm.safetensors"


# splits


def test_paper_split_reports_on_its_test_part(tmp_path, capsys):
    flags = ["--split", "paper", "--paper_samples_per_class", "10", "--undersample", "min"]
    assert run(tmp_path, *flags)["eval_split"] == "test"
    report = read_json(tmp_path / "data_report.json")
    counts = [*report["train_counts_after_sampling"].values()]
    assert len({*counts}) == 1 and len(report["chosen_rows"]) == sum(counts)
    assert "disgust" in capsys.readouterr().out


def test_what_is_chosen_comes_from_the_development_split(tmp_path, monkeypatch):
    """The temperature, also of a run that is evaluated on its test part; and predictions.csv."""
    fitted, calibrate = [], results_module.calibrate

    def spy(config, logits, *others):
        fitted.append(len(logits))
        return calibrate(config, 4 * logits, *others)  # a temperature that is not 1

    monkeypatch.setattr(results_module, "calibrate", spy)
    flags = ["--split", "paper", "--paper_samples_per_class", "10", "--development_share", "0.2"]
    results = run(tmp_path, *flags, "--save_predictions")
    assert results["eval_split"] == "test" and results["calibrated_on"] == "development"
    assert "fitted on the development split by" in (tmp_path / "README.md").read_text()
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
