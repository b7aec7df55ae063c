"""A saved folder in a process that cannot import this repository."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import Trainer, TrainingArguments

from modeling import (
    FerEfficientNetConfig,
    FerEfficientNetForImageClassification,
    FerEfficientNetImageProcessor,
)
from training.record import predict_in_clean_process


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    folder = tmp_path_factory.mktemp("saved")
    torch.manual_seed(0)
    config = FerEfficientNetConfig(
        backbone="test_efficientnet", image_size=40, initializer_range=1.0
    )
    model = FerEfficientNetForImageClassification(config).eval()
    processor = FerEfficientNetImageProcessor(size=40)
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (60, 50, 3), dtype=np.uint8)).save(
        folder / "face.png"
    )
    with torch.no_grad():
        logits = model(**processor(Image.open(folder / "face.png"), return_tensors="pt")).logits[0]
    return folder, logits


SAVE_AND_LOAD = """
import json, sys
for name in ("modeling", "training", "fer_efficientnet"):
    sys.modules[name] = None
from pathlib import Path
from transformers import AutoConfig, AutoImageProcessor, AutoModel, AutoModelForImageClassification
from transformers import Trainer, TrainingArguments, pipeline
from PIL import Image
first, by_trainer, face, target = sys.argv[1:]
trust = {"trust_remote_code": True}

def answers(folder):
    find = pipeline("facial-emotion", model=folder, detector="none", **trust)
    scores = pipeline("image-classification", model=folder, **trust)(face, top_k=7)
    return find, [find(face)[0]["scores"], {entry["label"]: entry["score"] for entry in scores}]

model = AutoModelForImageClassification.from_pretrained(first, **trust)  # and no pipeline
processor = AutoImageProcessor.from_pretrained(first, **trust)
model.save_pretrained(target + "/model")
processor.save_pretrained(target + "/model")
arguments = TrainingArguments(target + "/trainer", use_cpu=True, report_to="none")
Trainer(model, arguments, processing_class=processor).save_model()
answers(first)[0].save_pretrained(target + "/pipeline")
answers(target + "/pipeline")[0].save_pretrained(target + "/again")
network = AutoModel.from_pretrained(target + "/again", **trust)
network.save_pretrained(target + "/features")
processor.save_pretrained(target + "/features")
folders = [first, by_trainer, *map(str, Path(target).iterdir())]
assert AutoConfig.from_pretrained(first, **trust).model_type == "fer_efficientnet"
logits = model(**processor(Image.open(face), return_tensors="pt")).logits[0].tolist()
inputs = processor(Image.open(face), return_tensors="pt")
last, pooled = network(**inputs, return_dict=False)
assert last.shape[:2] == pooled.shape and last.mean((2, 3)).allclose(pooled, atol=1e-5)
for folder in folders:
    features = pipeline("image-feature-extraction", model=folder, **trust)
    assert features(face, return_tensors=True).allclose(last, atol=1e-5)
    assert features(face, pool=True, return_tensors=True).allclose(pooled, atol=1e-5)
print(json.dumps([logits, [answers(folder)[1] for folder in folders]]))
"""


def test_what_any_stock_call_saves_every_stock_call_loads(saved, tmp_path):
    folder, logits = saved
    (tmp_path / "by_trainer").mkdir()
    model = FerEfficientNetForImageClassification.from_pretrained(folder)
    arguments = TrainingArguments(str(tmp_path / "by_trainer"), use_cpu=True, report_to="none")
    Trainer(model, arguments, processing_class=FerEfficientNetImageProcessor(size=40)).save_model()
    places = [str(folder), str(tmp_path / "by_trainer"), str(folder / "face.png")]
    (tmp_path / "target").mkdir()
    done = subprocess.run(
        [sys.executable, "-I", "-c", SAVE_AND_LOAD, *places, str(tmp_path / "target")],
        env=os.environ | {"HF_HOME": str(tmp_path / "home")},  # no code from another test
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    by_model, found = json.loads(done.stdout.splitlines()[-1])
    torch.testing.assert_close(torch.tensor(by_model), logits)
    assert len(found) == 7
    expected = dict(zip(FerEfficientNetConfig().id2label.values(), logits.softmax(0).tolist()))
    for answers in found:
        for answer in answers:
            assert answer == pytest.approx(expected, abs=1e-5)


def test_a_folder_that_does_not_load_says_why(saved, tmp_path):
    folder, _ = saved
    (tmp_path / "config.json").write_text((folder / "config.json").read_text())
    with pytest.raises(RuntimeError, match="does not load by trust_remote_code"):
        predict_in_clean_process(tmp_path, (folder / "face.png").read_bytes())


def test_weights_are_safetensors(saved):
    names = {path.name for path in saved[0].iterdir()}
    assert "model.safetensors" in names and not any(
        name.endswith((".bin", ".pt")) for name in names
    )
