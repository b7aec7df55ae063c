"""Fine-tuning from model/ by transformers alone, as docs/own_data.md and its example do it."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from training.data import draw_faces

ROOT = Path(__file__).parents[1]
CLASSES = {"asleep": "sad", "calm": "neutral", "tense": "angry"}
SHORT = ("num_train_epochs=10", "max_steps=2, use_cpu=True, disable_tqdm=True, report_to='none'")
BEFORE = """
import sys
for name in ("modeling", "training", "fer_efficientnet"):
    sys.modules[name] = None
"""
# What transformers' run_image_classification.py does with data set, config and images.
EXAMPLE = """
from torchvision.transforms import (
    CenterCrop, Compose, Normalize, RandomHorizontalFlip, RandomResizedCrop, Resize, ToTensor,
)
from transformers import AutoConfig
trust = {"trust_remote_code": True}
label2id = {name: str(i) for i, name in enumerate(names)}
config = AutoConfig.from_pretrained(
    "model", num_labels=3, label2id=label2id, id2label={i: name for name, i in label2id.items()},
    finetuning_task="image-classification", **trust,
)
model = AutoModelForImageClassification.from_pretrained(
    "model", config=config, ignore_mismatched_sizes=True, **trust
)
size = (processor.size["height"], processor.size["width"])
normalize = Normalize(mean=processor.image_mean, std=processor.image_std)
train = Compose([RandomResizedCrop(size), RandomHorizontalFlip(), ToTensor(), normalize])
val = Compose([Resize(size), CenterCrop(size), ToTensor(), normalize])

def transformed(transforms):
    def of(rows):
        images = [transforms(image.convert("RGB")) for image in rows["image"]]
        return {"pixel_values": images, "labels": rows["label"]}
    return of

arguments = TrainingArguments(
    "runs/example", max_steps=2, use_cpu=True, disable_tqdm=True, report_to="none",
    remove_unused_columns=False,
)
trainer = Trainer(
    model, arguments, train_dataset=faces["train"].with_transform(transformed(train)),
    eval_dataset=faces["test"].with_transform(transformed(val)), processing_class=processor,
)
trainer.train()
assert trainer.evaluate()["eval_loss"] > 0
trainer.save_model()
"""
AFTER = """
import json
from transformers import pipeline
found = {}
for folder in ("runs/stock", "runs/example"):
    find = pipeline("facial-emotion", model=folder, detector="none", trust_remote_code=True)
    classify = pipeline("image-classification", model=folder, trust_remote_code=True)
    loaded = AutoModelForImageClassification.from_pretrained(folder, trust_remote_code=True)
    face = "crops/calm/0.png"
    config = loaded.config
    calibration = [config.fitted_temperature, config.uncertain_below, config.prior,
                   config.learned_distribution, config.train_distribution]
    again = {entry["label"]: entry["score"] for entry in classify(face)}
    found[folder] = [find(face)[0]["scores"], again, calibration, config.label2id]
print(json.dumps(found))
"""


def test_transformers_own_trainer_fine_tunes_the_shipped_model(tmp_path):
    for seed, (name, expression) in enumerate(CLASSES.items()):
        (tmp_path / "crops" / name).mkdir(parents=True)
        for i, face in enumerate(draw_faces([0] * 10, (expression,), seed=seed)):
            Image.fromarray(face).save(tmp_path / "crops" / name / f"{i}.png")
    (tmp_path / "model").symlink_to(ROOT / "model")
    (snippet,) = re.findall(
        r"(?s)```python\n(from datasets .*?)```", (ROOT / "docs" / "own_data.md").read_text()
    )
    assert SHORT[0] in snippet
    script = BEFORE + snippet.replace(*SHORT) + EXAMPLE + AFTER
    done = subprocess.run(
        [sys.executable, "-I", "-c", script],
        env=os.environ | {"HF_HOME": str(tmp_path / "home"), "HF_HUB_OFFLINE": "1"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads(done.stdout.splitlines()[-1])
    for scores, again, calibration, label2id in found.values():
        assert [*scores] == [*CLASSES] and sum(scores.values()) == pytest.approx(1, abs=1e-5)
        assert scores == pytest.approx(again, abs=1e-5)
        assert calibration == [1.0, None, "learned", None, None]
        assert {name: int(i) for name, i in label2id.items()} == {
            name: i for i, name in enumerate(CLASSES)
        }
