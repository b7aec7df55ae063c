"""model/: what a plain clone holds, loaded without network."""

import hashlib
import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from huggingface_hub import ModelCard
from PIL import Image
from safetensors import safe_open
from transformers import pipeline

from training.data import LABELS
from training.data.synthetic import encode_png
from training.recipes import read_recipe
from training.report import chain, predict_in_clean_process
from training.report.run_record import chain_totals

ROOT = Path(__file__).parents[1]
MODEL = ROOT / "model"
RESULTS, TEST = (
    json.loads((MODEL / f"{name}_results.json").read_text()) for name in ("all", "test")
)


def test_code_is_links_to_modeling():
    code = {path.name: path for path in MODEL.glob("*.py")}
    assert set(code) == {path.name for path in ROOT.glob("modeling/[!_]*.py")}
    for name, path in code.items():
        assert path.is_symlink() and path.resolve() == ROOT / "modeling" / name
    auto_map = json.loads((MODEL / "config.json").read_text())["auto_map"]
    assert {f"{target.split('.')[0]}.py" for target in auto_map.values()} <= set(code)


def test_it_is_small_and_holds_no_pickle():
    assert (MODEL / "model.safetensors").stat().st_size <= 20e6
    with safe_open(MODEL / "model.safetensors", "pt") as weights:
        shapes = {name: weights.get_slice(name).get_shape() for name in weights.keys()}
    learned = [
        np.prod(shape)
        for name, shape in shapes.items()
        if not re.search("running_|num_batches", name)
    ]
    assert sum(learned) <= 6e6
    assert json.loads((MODEL / "config.json").read_text())["image_size"] <= 112
    assert {path.suffix for path in MODEL.iterdir() if path.is_file()} == {
        *(".json", ".md", ".png", ".py", ".safetensors", ".yaml")
    }


def test_pipeline_gives_seven_shares():
    classify = pipeline("image-classification", model=str(MODEL), trust_remote_code=True)
    scores = classify(Image.new("L", (48, 48), 128), top_k=7)
    assert {entry["label"] for entry in scores} == set(LABELS)
    assert sum(entry["score"] for entry in scores) == pytest.approx(1)
    assert classify.model.dtype == torch.float32


def test_it_loads_without_this_repository_and_without_network(monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    scores = predict_in_clean_process(MODEL, encode_png(np.full((48, 48), 128, np.uint8)))
    assert set(scores) == set(LABELS)


def test_figures_are_at_least_those_promised():
    assert RESULTS["eval_split"] == "validation"
    assert RESULTS["eval_samples"] == 3589
    assert RESULTS["eval_accuracy"] >= 0.66
    assert RESULTS["eval_macro_f1"] >= 0.64


def test_results_of_the_test_split_are_of_these_weights():
    weights = (MODEL / "model.safetensors").read_bytes()
    assert TEST["weights_sha256"] == hashlib.sha256(weights).hexdigest()
    assert TEST["eval_split"] == "test" and TEST["eval_samples"] == 3589
    assert TEST["eval_samples_without_copies"] == 3589 - 314  # of training and validation images


def test_robustness_is_that_of_these_weights_on_the_whole_split():
    found = json.loads((MODEL / "robustness.json").read_text())
    weights = (MODEL / "model.safetensors").read_bytes()
    assert found["weights_sha256"] == hashlib.sha256(weights).hexdigest()
    assert (found["split"], found["images"], found["of"]) == ("validation", 3589, 3589)
    plain = found["shifts"]["plain"]
    assert plain["accuracy"] == pytest.approx(RESULTS["eval_accuracy"], abs=1e-3)
    assert found["mean"]["accuracy"] > 0.6
    assert "(`robustness.json`)" in (MODEL / "README.md").read_text()


def test_results_tell_the_whole_chain():
    assert {name: RESULTS[name] for name in chain_totals(MODEL)} == chain_totals(MODEL)
    assert RESULTS["epoch"] or not [name for name in RESULTS if name.startswith("train_")]


def test_card_is_the_reports():
    card = ModelCard.load(MODEL / "README.md")
    found = [
        (one.dataset_split, one.metric_name, one.metric_value) for one in card.data.eval_results
    ]
    assert found == [
        (results["eval_split"], name, results[f"eval_{key}"])
        for results in (TEST, RESULTS)
        for key, name in {
            "accuracy": "accuracy",
            "macro_f1": "macro-F1",
            "balanced_accuracy": "balanced accuracy",
            "ece": "expected calibration error",
        }.items()
    ]
    test, validation = card.text.split("On the test split (")[1].split("On the validation split (")
    for results, text in ((TEST, test), (RESULTS, validation)):
        for label in LABELS:
            assert f"{results[f'eval_recall_{label}']:.3f}" in text
    assert "/work" not in card.text and "/tmp" not in card.text and "/home" not in card.text


def test_recipes_are_those_of_configs():
    stages = chain(MODEL)
    record = yaml.safe_load((MODEL / "run.yaml").read_text())
    resolved = {k: value for group in record["arguments"].values() for k, value in group.items()}
    assert [stage["recipe"] for stage in stages.values()] == [
        f"configs/model/{name}.yaml" for name in stages
    ]
    for name, stage in stages.items():
        recipe = read_recipe(ROOT / stage["recipe"])
        assert recipe["seed"] == stage["seed"], name
        assert recipe.get("model_name_or_path") == (
            f"runs/{stage['started_from']}" if "started_from" in stage else None
        )
        assert recipe.get("teachers", []) == [f"runs/{one}" for one in stage.get("taught_by", ())]
    assert {key: resolved[key] for key in recipe} == recipe
