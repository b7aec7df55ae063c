"""benchmarks/robustness.py: any saved model, any classes."""

import hashlib
import json

import numpy as np
import pytest
import torch
from PIL import Image

from benchmarks.robustness import main, table
from benchmarks.shifts import PLAIN, SHIFTS
from modeling import (
    FerEfficientNetConfig,
    FerEfficientNetForImageClassification,
    FerEfficientNetImageProcessor,
)

NAMES = ("calm", "glad", "tense")
COUNTS = (12, 8, 4)


@pytest.fixture
def data(tmp_path):
    """Folders of images by class; the brightness says a little of the class."""
    rng = np.random.default_rng(0)
    for label, (name, count) in enumerate(zip(NAMES, COUNTS)):
        for split in ("train", "validation"):
            folder = tmp_path / "data" / split / name
            folder.mkdir(parents=True)
            for i in range(count):
                pixels = rng.integers(0, 100, (32, 32)) + 70 * label
                Image.fromarray(pixels.astype(np.uint8)).save(folder / f"{i}.png")
    return tmp_path / "data"


@pytest.fixture
def model(tmp_path):
    torch.manual_seed(0)
    config = FerEfficientNetConfig(
        backbone="test_efficientnet",
        image_size=32,
        id2label=dict(enumerate(NAMES)),
        label2id={name: i for i, name in enumerate(NAMES)},
    )
    network = FerEfficientNetForImageClassification(config)
    torch.nn.init.normal_(network.head[-1].weight, std=0.5)
    network.save_pretrained(tmp_path / "one")
    FerEfficientNetImageProcessor(size=32).save_pretrained(tmp_path / "one")
    return tmp_path / "one"


def test_figures_are_those_of_the_shifted_images(data, model, tmp_path, own_cache, capsys):
    flags = ["--dataset", str(data), "--classes", "any", "--output_dir", str(tmp_path / "out")]
    main([str(model), *flags, "--write_to_model"])
    found = json.loads((model / "robustness.json").read_text())
    assert json.loads((tmp_path / "out" / "robustness.json").read_text()) == {"one": found}
    assert (found["split"], found["images"], found["of"]) == ("validation", 24, 24)
    weights = (model / "model.safetensors").read_bytes()
    assert found["weights_sha256"] == hashlib.sha256(weights).hexdigest()

    network = FerEfficientNetForImageClassification.from_pretrained(model).eval()
    processor = FerEfficientNetImageProcessor.from_pretrained(model)
    assert [*found["shifts"]] == [*SHIFTS]
    for shift, figures in found["shifts"].items():
        recall = {}
        for label, name in enumerate(NAMES):
            files = sorted((data / "validation" / name).iterdir())
            images = torch.stack([processor.to_uint8(Image.open(file)) for file in files])
            if shift == "noise":  # depends on the place in the batch
                recall[name] = figures["recall"][name]
                continue
            pixel_values = processor(list(SHIFTS[shift](images)))["pixel_values"]
            right = network(pixel_values).logits.argmax(1) == label
            recall[name] = right.float().mean().item()
        assert figures["recall"] == pytest.approx(recall), shift
        mean = np.average([*figures["recall"].values()], weights=COUNTS)
        assert figures["accuracy"] == pytest.approx(mean)
        assert figures["balanced_accuracy"] == pytest.approx(np.mean([*recall.values()]))
    accuracies = [one["accuracy"] for name, one in found["shifts"].items() if name != PLAIN]
    assert found["mean"]["accuracy"] == pytest.approx(np.mean(accuracies))
    assert len(set(accuracies)) > 2  # the shifts do something to this network

    shown = (tmp_path / "out" / "robustness.md").read_text()
    assert shown.rstrip() in capsys.readouterr().out
    assert "Over the 24 images of the validation split." in shown
    assert f"| plain | {found['shifts']['plain']['accuracy']:.3f} / " in shown
    assert (tmp_path / "out" / "robustness.png").read_bytes().startswith(b"\x89PNG")


def test_a_sample_is_stratified_the_same_again_and_said(data, model, tmp_path, own_cache):
    flags = ["--dataset", str(data), "--classes", "any", "--images", "12"]
    for out in ("first", "second"):
        main([str(model), *flags, "--output_dir", str(tmp_path / out)])
    first, second = (
        (tmp_path / out / "robustness.json").read_text() for out in ("first", "second")
    )
    assert first == second and not (model / "robustness.json").exists()
    found = json.loads(first)["one"]
    assert (found["images"], found["of"]) == (12, 24)
    recalls = found["shifts"]["plain"]["recall"]
    assert all((count * recalls[name] / 2) % 1 == 0 for name, count in zip(NAMES, COUNTS))
    text = table({"one": found})
    assert "Over a sample of 12 (stratified by class, seed 0) of the 24 images" in text


def test_what_cannot_be_measured_is_said(data, model, tmp_path, own_cache):
    flags = ["--dataset", str(data), "--output_dir", str(tmp_path / "out")]
    with pytest.raises(SystemExit, match="expected a split test, found train, validation"):
        main([str(model), *flags, "--classes", "any", "--split", "test"])
    (data / "validation" / "calm").rename(data / "validation" / "cross")
    (data / "train" / "calm").rename(data / "train" / "cross")
    with pytest.raises(SystemExit, match="its classes are calm, glad, tense; expected those of"):
        main([str(model), *flags, "--classes", "any"])
