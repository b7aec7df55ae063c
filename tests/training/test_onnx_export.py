"""training/onnx_export.py: which faces are measured, and what becomes of the network."""

import json
import shutil

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from modeling import FerEfficientNetForImageClassification
from modeling import FerEfficientNetImageProcessor as Processor
from tests.networks import saved, tiny_network
from training import onnx_export
from training.data import FaceDataset, decode_splits, load_fer2013, with_validation
from training.data.splits import paper_split
from training.record import weights_sha256, write_json


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A network with a temperature and a prior, as train.py leaves it, and faces."""
    folder = tmp_path_factory.mktemp("saved")
    network = tiny_network(initializer_range=3.0)
    shares = [0.1, 0.05, 0.1, 0.35, 0.15, 0.1, 0.15]
    network.config.update_calibration(temperature=2.0, train_distribution=shares)
    network.config.prior = "uniform"
    saved(network, folder)
    write_json(folder / "data_report.json", {})
    return folder


@pytest.fixture(scope="module")
def faces():
    images = np.random.default_rng(0).integers(0, 256, (40, 1, 48, 48), dtype=np.uint8)
    return FaceDataset(torch.from_numpy(images), torch.arange(40) % 7)


@pytest.fixture(scope="module")
def written(folder, faces):
    return onnx_export.write_onnx(folder, faces, "validation")


def test_the_file_says_whose_it_is_and_the_record_how_close(folder, written):
    digest = weights_sha256(folder / "model.safetensors")
    (stored,) = onnx.load(folder / "model.onnx").metadata_props
    assert stored.value == written["weights_sha256"] == digest
    assert json.loads((folder / "onnx.json").read_text()) == written
    assert written["faces"] == sum(written["counts"]) == 40
    assert written["agreement"] >= 0.995 and written["largest_difference"] < 0.05
    assert "accuracy" in onnx_export.onnx_summary(written)


def test_any_number_of_faces_fits_and_logits_are_raw(folder, written):
    network = FerEfficientNetForImageClassification.from_pretrained(folder).eval()
    network.config.forget_calibration()
    session = onnxruntime.InferenceSession(str(folder / "model.onnx"))
    for number in (1, 5):
        pixels = torch.randn(number, 1, 32, 32, generator=torch.Generator().manual_seed(0))
        with torch.no_grad():
            expected = network(pixels).logits.numpy()
        (logits,) = session.run(["logits"], {"pixel_values": pixels.numpy()})
        np.testing.assert_allclose(logits, expected, atol=0.05 * np.ptp(expected))


def test_no_file_names_a_folder_of_this_machine(folder, written):
    assert b"/site-packages/" not in (folder / "model.onnx").read_bytes()


def test_a_folder_without_a_training_is_one_line(tmp_path, capsys):
    with pytest.raises(SystemExit):
        onnx_export.main([str(tmp_path / "none")])
    assert "none: expected the output folder of a training" in capsys.readouterr().err


def test_8_bits_keep_groups_of_weights_close():
    weights = np.random.default_rng(0).normal(size=(16, 8, 3, 4)).astype(np.float32)
    weights[0] = 0
    for shape in ((16, 96), (16, 91)):  # groups of 32, and a scale for each row
        rows = weights.reshape(16, 96)[:, : shape[1]]
        numbers, scales = onnx_export._in_8_bits(rows)
        assert numbers.dtype == np.int8 and scales.dtype == np.float16
        again = (numbers * scales.astype(np.float32)).reshape(shape)
        assert abs(again - rows).max() < 0.02 and len(scales) == (48 if shape[1] == 96 else 16)


def test_weights_that_8_bits_harm_are_stored_in_16(folder, faces, written, monkeypatch, tmp_path):
    copy = shutil.copytree(folder, tmp_path / "copy")
    monkeypatch.setattr(onnx_export, "_is_close", lambda measured: False)
    assert onnx_export.write_onnx(copy, faces, "validation")["weight_bits"] == 16


def test_what_is_too_far_from_pytorch():
    def measured(accuracy=0.7, recall=0.6, agreement=0.996):
        near = {"accuracy": 0.7, "recalls": {"sad": 0.6, "none": None}}
        onnx = {"accuracy": accuracy, "recalls": {"sad": recall, "none": None}}
        return {"onnx": onnx, "pytorch": near, "agreement": agreement}

    assert onnx_export._is_close(measured())
    for far in ({"accuracy": 0.697}, {"recall": 0.58}, {"agreement": 0.99}):
        assert not onnx_export._is_close(measured(**far))


@pytest.mark.parametrize("flags", [{}, {"split": "paper", "paper_samples_per_class": 4}])
def test_the_evaluation_split_of_the_run_is_measured(folder, monkeypatch, flags):
    flags = {"dataset": "synthetic", "synthetic_images": 100, "split_seed": 3} | flags
    monkeypatch.setattr(onnx_export, "read_run", lambda run: None)
    monkeypatch.setattr(onnx_export, "flags_of", lambda run: flags)
    name, faces = onnx_export.evaluation_faces(folder)
    decoded = decode_splits(load_fer2013("synthetic", synthetic_images=100), Processor(size=32))
    parts = paper_split(decoded, 4, seed=3) if "split" in flags else decoded
    assert name == ("test" if "split" in flags else "validation")
    assert [*faces.digests] == [*parts[name].digests]


def test_a_validation_split_that_was_made_is_measured_elsewhere(folder, monkeypatch, tmp_path):
    stored = load_fer2013("synthetic", synthetic_images=100)
    stored["train"].to_parquet(tmp_path / "train.parquet")
    flags = {"dataset": "gone.csv", "split_seed": 3, "validation_share": 0.2}
    monkeypatch.setattr(onnx_export, "read_run", lambda run: None)
    monkeypatch.setattr(onnx_export, "flags_of", lambda run: flags)
    name, faces = onnx_export.evaluation_faces(folder, str(tmp_path))
    decoded = decode_splits({"train": stored["train"]}, Processor(size=32))
    made = with_validation({"train": decoded["train"]}, 0.2, seed=3)
    assert name == "validation" and [*faces.digests] == [*made["validation"].digests]
