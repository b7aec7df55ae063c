"""model/: what a plain clone holds, loaded without network."""

import hashlib
import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
import yaml
from huggingface_hub import ModelCard
from safetensors import safe_open

from training.data import LABELS
from training.recipes import read_recipe
from training.record import stages_of
from training.record.run_yaml import chain_totals

ROOT = Path(__file__).parents[1]
MODEL = ROOT / "model"
RESULTS = json.loads((MODEL / "all_results.json").read_text())
TEST = {}  # until the test split has been measured with these weights
if (MODEL / "test_results.json").is_file():
    TEST = json.loads((MODEL / "test_results.json").read_text())


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
        *(".json", ".md", ".onnx", ".png", ".py", ".safetensors", ".txt", ".yaml")
    }


CLEAN_PROCESS = """
import json, sys
for name in ("modeling", "training", "fer_efficientnet"):
    sys.modules[name] = None  # importing it raises ImportError
import skimage.data, torch
from PIL import Image
from transformers import pipeline
find, classify = (
    pipeline(task, model=sys.argv[1], trust_remote_code=True, device="cpu", **options)
    for task, options in {
        "facial-emotion": {}, "image-classification": {"model_kwargs": {"prior": "uniform"}}
    }.items()
)
assert classify.model.config.prior == "uniform" and classify.model.dtype == torch.float32
(face,) = find(skimage.data.astronaut())
assert find.detector == "YuNet"
crop = Image.fromarray(skimage.data.astronaut()[67:160, 177:270])
print(json.dumps([face, classify(crop, top_k=7)]))
"""


def test_it_loads_in_a_clean_process_without_network_and_without_a_warning(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", CLEAN_PROCESS, str(MODEL)],
        cwd=tmp_path,
        env={"HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    face, classes = json.loads(done.stdout.splitlines()[-1])
    assert face["label"] == "happy" and face["score"] > 0.7 and not face["uncertain"]
    assert {entry["label"] for entry in classes} == set(LABELS) == set(face["scores"])
    assert sum(entry["score"] for entry in classes) == pytest.approx(1)
    messages = [line for line in done.stderr.split("\n") if line.strip() and "Loading" not in line]
    assert not messages


def test_figures_are_at_least_those_promised():
    assert RESULTS["eval_split"] == "validation"
    assert RESULTS["eval_samples"] == 3589
    assert RESULTS["eval_accuracy"] >= 0.66
    assert RESULTS["eval_macro_f1"] >= 0.64


def test_results_of_the_test_split_are_of_these_weights():
    if not TEST:
        pytest.skip("the test split has not been measured with these weights")
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


def test_the_onnx_file_is_of_these_weights_and_loses_nothing():
    found = json.loads((MODEL / "onnx.json").read_text())
    weights = (MODEL / "model.safetensors").read_bytes()
    assert found["weights_sha256"] == hashlib.sha256(weights).hexdigest()
    (stored,) = onnx.load(MODEL / "model.onnx").metadata_props
    assert stored.value == found["weights_sha256"]
    assert (found["split"], found["faces"]) == ("validation", 3589)
    ours, pytorch = found["onnx"], found["pytorch"]
    assert ours["accuracy"] > pytorch["accuracy"] - 0.002 and found["agreement"] >= 0.995
    assert all(recall - ours["recalls"][name] < 0.01 for name, recall in pytorch["recalls"].items())
    files = ("model.onnx", "face_detection_yunet.onnx")
    assert sum((MODEL / name).stat().st_size for name in files) < 12e6
    assert "Apache-2.0" in (MODEL / "face_detection_yunet.txt").read_text()


def test_results_tell_the_whole_chain():
    assert {name: RESULTS[name] for name in chain_totals(MODEL)} == chain_totals(MODEL)
    assert RESULTS["epoch"] or not [name for name in RESULTS if name.startswith("train_")]


def test_card_is_the_reports():
    card = ModelCard.load(MODEL / "README.md")
    found = [
        (one.dataset_split, one.metric_name, one.metric_value) for one in card.data.eval_results
    ]
    measured = [TEST, RESULTS] if TEST else [RESULTS]
    assert found == [
        (results["eval_split"], name, results[f"eval_{key}"])
        for results in measured
        for key, name in {
            "accuracy": "accuracy",
            "macro_f1": "macro-F1",
            "balanced_accuracy": "balanced accuracy",
            "ece": "expected calibration error",
        }.items()
    ]
    for results in measured:
        text = card.text.split(f"On the {results['eval_split']} split (")[1]
        for label in LABELS:
            assert f"{results[f'eval_recall_{label}']:.3f}" in text
    assert "/work" not in card.text and "/tmp" not in card.text and "/home" not in card.text


def test_recipes_are_those_of_configs():
    stages = stages_of(MODEL)
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
