"""A saved folder in a process that cannot import this repository."""

import json
import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image

from modeling import (
    FerEfficientNetConfig,
    FerEfficientNetForImageClassification,
    FerEfficientNetImageProcessor,
)
from training.report import predict_in_clean_process

AUTO_CLASSES = """
import json, sys
for name in ("modeling", "training", "fer_efficientnet"):
    sys.modules[name] = None
from PIL import Image
from transformers import AutoConfig, AutoImageProcessor, AutoModelForImageClassification, pipeline
folder, face = sys.argv[1:]
config = AutoConfig.from_pretrained(folder, trust_remote_code=True)
processor = AutoImageProcessor.from_pretrained(folder, trust_remote_code=True)
model = AutoModelForImageClassification.from_pretrained(folder, trust_remote_code=True).eval()
logits = model(**processor(Image.open(face), return_tensors="pt")).logits[0].tolist()
scores = pipeline("image-classification", model=folder, trust_remote_code=True)(face, top_k=7)
print(json.dumps({"model_type": config.model_type, "logits": logits, "best": scores[0]}))
"""


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


def test_auto_classes_and_pipeline(saved, tmp_path):
    folder, logits = saved
    done = subprocess.run(
        [sys.executable, "-I", "-c", AUTO_CLASSES, str(folder), str(folder / "face.png")],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["model_type"] == "fer_efficientnet"
    torch.testing.assert_close(torch.tensor(found["logits"]), logits)
    best = int(logits.argmax())
    assert found["best"]["label"] == FerEfficientNetConfig().id2label[best]
    assert found["best"]["score"] == pytest.approx(logits.softmax(0)[best].item(), abs=1e-5)


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
