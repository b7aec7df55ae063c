"""model/: what a plain clone holds, loaded without network."""

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
from training.stages import stages
from training.synthetic import encode_png
from training.verify import predict_in_clean_process

ROOT = Path(__file__).parents[1]
MODEL = ROOT / "model"
RESULTS = json.loads((MODEL / "all_results.json").read_text())


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


def test_card_is_the_reports():
    card = ModelCard.load(MODEL / "README.md")
    found = {result.metric_name: result.metric_value for result in card.data.eval_results}
    assert found == {
        "accuracy": RESULTS["eval_accuracy"],
        "macro-F1": RESULTS["eval_macro_f1"],
        "balanced accuracy": RESULTS["eval_balanced_accuracy"],
        "expected calibration error": RESULTS["eval_ece"],
    }
    for label in LABELS:
        assert f"{RESULTS[f'eval_recall_{label}']:.3f}" in card.text
    assert "/work" not in card.text and "/tmp" not in card.text and "/home" not in card.text


def test_recipes_are_those_of_configs():
    runs = {run["command"].split()[2]: run for run in stages(MODEL)}
    assert list(runs)[0] == "configs/fer2013.yaml" and len(runs) == len(stages(MODEL))
    for recipe_file, run in runs.items():
        recipe = yaml.safe_load((ROOT / recipe_file).read_text())
        recipe.pop("pretrained", None)  # a local file of the same weights
        resolved = {
            name: value for group in run["arguments"].values() for name, value in group.items()
        }
        assert {name: resolved[name] for name in recipe} == recipe, recipe_file


def test_the_readme_has_its_figures():
    text = " ".join((ROOT / "README.md").read_text().split())
    figures = [
        f"{RESULTS[f'eval_{name}{suffix}']:.3f}"
        for suffix in ("", "_without_copies")
        for name in ("accuracy", "macro_f1")
    ]
    assert "accuracy of {} and a macro-F1 of {} ({} and {} without".format(*figures) in text
