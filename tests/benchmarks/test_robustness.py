"""benchmarks/robustness.py: any saved model, any classes."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

from benchmarks.robustness import main, table
from benchmarks.shifts import PLAIN, SHIFTS
from modeling import FerEfficientNetForImageClassification, FerEfficientNetImageProcessor
from tests.networks import saved, tiny_network
from training.record import weights_sha256

COUNTS = {"calm": 12, "glad": 8, "tense": 4}


@pytest.fixture
def data(tmp_path):
    """Folders of images by class, whose brightness says a little about the class."""
    rng = np.random.default_rng(0)
    for label, (name, count) in enumerate(COUNTS.items()):
        for split in ("train", "validation"):
            folder = tmp_path / "data" / split / name
            folder.mkdir(parents=True)
            for i in range(count):
                pixels = rng.integers(0, 100, (32, 32)) + 70 * label
                Image.fromarray(pixels.astype(np.uint8)).save(folder / f"{i}.png")
    return tmp_path / "data"


@pytest.fixture
def model(tmp_path):
    return saved(tiny_network(COUNTS), tmp_path / "model")


def test_results_are_those_of_the_shifted_images(data, model, tmp_path, own_cache, capsys):
    flags = ["--dataset", str(data), "--classes", "any", "--output_dir", str(tmp_path / "out")]
    main([str(model), *flags, "--write_to_model"])
    written = json.loads((model / "robustness.json").read_text())
    assert json.loads((tmp_path / "out" / "robustness.json").read_text()) == {"model": written}
    assert (written["split"], written["images"], written["of"]) == ("validation", 24, 24)
    assert written["weights_sha256"] == weights_sha256(model / "model.safetensors")

    network = FerEfficientNetForImageClassification.from_pretrained(model).eval()
    processor = FerEfficientNetImageProcessor.from_pretrained(model)
    assert [*written["shifts"]] == [*SHIFTS]
    for shift, results in written["shifts"].items():
        if shift == "noise":  # depends on the place in the batch
            continue
        recall = {}
        for label, name in enumerate(COUNTS):
            files = sorted((data / "validation" / name).iterdir())
            images = torch.stack([processor.to_uint8(Image.open(file)) for file in files])
            pixel_values = processor(list(SHIFTS[shift](images)))["pixel_values"]
            right = network(pixel_values).logits.argmax(1) == label
            recall[name] = right.float().mean().item()
        assert results["recall"] == pytest.approx(recall), shift
        mean = np.average([*recall.values()], weights=[*COUNTS.values()])
        assert results["accuracy"] == pytest.approx(mean)
        assert results["balanced_accuracy"] == pytest.approx(np.mean([*recall.values()]))
    accuracies = [shift["accuracy"] for name, shift in written["shifts"].items() if name != PLAIN]
    assert written["mean"]["accuracy"] == pytest.approx(np.mean(accuracies))
    assert len(set(accuracies)) > 2  # the shifts do something to this network
    shown = (tmp_path / "out" / "robustness.md").read_text()
    assert shown.rstrip() in capsys.readouterr().out
    assert f"| plain | {written['shifts']['plain']['accuracy']:.3f} / " in shown
    assert (tmp_path / "out" / "robustness.png").read_bytes().startswith(b"\x89PNG")


def test_a_sample_is_stratified_and_the_same_each_time(data, model, tmp_path, own_cache):
    flags = ["--dataset", str(data), "--classes", "any", "--images", "12"]
    files = [tmp_path / out / "robustness.json" for out in ("first", "second")]
    for file in files:
        main([str(model), *flags, "--output_dir", str(file.parent)])
    first, second = (file.read_text() for file in files)
    assert first == second and not (model / "robustness.json").exists()
    written = json.loads(first)["model"]
    recalls = written["shifts"]["plain"]["recall"]
    assert all((count * recalls[name] / 2) % 1 == 0 for name, count in COUNTS.items())
    text = table({"model": written})
    assert "Over a sample of 12 (stratified by class, seed 0) of the 24 images" in text


def test_a_split_that_is_not_there_is_refused(data, model, tmp_path, own_cache):
    flags = ["--dataset", str(data), "--classes", "any", "--output_dir", str(tmp_path / "out")]
    with pytest.raises(SystemExit, match="expected a split test, found train, validation"):
        main([str(model), *flags, "--split", "test"])
