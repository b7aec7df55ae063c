"""publishing/onnx_export.py: which faces are measured, and what becomes of the network."""

import json
import shutil

import numpy as np
import onnx
import onnxruntime
import pytest

from modeling import FerEfficientNetImageProcessor
from publishing.onnx_export import FILES, onnx_faces, quantize
from training.data import decode_splits, load_fer2013, with_validation
from training.data.splits import paper_split
from training.record import flags_of, read_run


@pytest.fixture(scope="module")
def flags(run):
    return flags_of(read_run(run))


@pytest.fixture(scope="module")
def stored():
    return load_fer2013("synthetic", synthetic_images=100)


@pytest.fixture(scope="module")
def decoded(stored):
    return decode_splits(stored, FerEfficientNetImageProcessor())


def test_ranges_come_from_training_faces_and_parity_from_the_evaluated(run, flags, decoded):
    name, faces, calibration = onnx_faces(run, flags, None)
    assert name == "validation" and [*faces.digests] == [*decoded["validation"].digests]
    assert {*calibration.digests} == {*decoded["train"].digests}


def test_the_papers_protocol_is_measured_on_its_test_part(run, flags, decoded):
    paper = {"split": "paper", "paper_samples_per_class": 4, "eval_split": "test"}
    name, faces, calibration = onnx_faces(run, flags | paper, None)
    parts = paper_split(decoded, 4, seed=flags["split_seed"])
    assert name == "test" and [*faces.digests] == [*parts["test"].digests]
    assert {*calibration.digests} == {*parts["train"].digests}


def test_a_validation_split_that_was_made_is_measured(run, flags, stored, decoded, tmp_path):
    stored["train"].to_parquet(tmp_path / "train.parquet")
    name, faces, calibration = onnx_faces(run, flags, str(tmp_path))
    share = flags["validation_share"]
    made = with_validation({"train": decoded["train"]}, share, seed=flags["split_seed"])
    assert name == "validation" and [*faces.digests] == [*made["validation"].digests]
    assert {*calibration.digests} == {*made["train"].digests}


def test_without_training_faces_those_that_set_the_ranges_are_not_measured(
    run, flags, stored, tmp_path
):
    stored["validation"].to_parquet(tmp_path / "validation.parquet")
    _, faces, calibration = onnx_faces(run, flags, str(tmp_path))
    assert len(calibration) == (len(faces) + len(calibration)) // 2 > 0
    assert not {*calibration.digests} & {*faces.digests}


def test_faces_have_the_size_at_which_the_run_held_them(run, flags, tmp_path):
    for name in ("preprocessor_config.json", "data_report.json"):
        shutil.copyfile(run / name, tmp_path / name)
    report = json.loads((run / "data_report.json").read_text()) | {"held_images": {"side": 40}}
    (tmp_path / "data_report.json").write_text(json.dumps(report))
    assert onnx_faces(tmp_path, flags, None)[1].images.shape[-1] == 40


def test_any_number_of_faces_fits(staged):
    for name in FILES:
        session = onnxruntime.InferenceSession(str(staged / name))
        for number in (1, 5):
            faces = np.zeros((number, 1, 32, 32), np.float32)
            assert session.run(["logits"], {"pixel_values": faces})[0].shape == (number, 7)


@pytest.mark.parametrize("faces", [7, 150])
def test_8_bit_ranges_come_from_all_faces_given(staged, tmp_path, faces):
    """However many: onnxruntime itself takes whole batches only."""

    def activation_scales(pixel_values) -> np.ndarray:
        quantize(staged / FILES[0], tmp_path / "small.onnx", pixel_values)
        tensors = onnx.load(tmp_path / "small.onnx").graph.initializer
        tensors = [tensor for tensor in tensors if tensor.name.endswith("_scale")]
        scales = [onnx.numpy_helper.to_array(tensor) for tensor in tensors]
        return np.array([scale for scale in scales if scale.ndim == 0])

    pixel_values = np.zeros((faces, 1, 32, 32), np.float32)
    plain = activation_scales(pixel_values)
    pixel_values[-1] = np.random.default_rng(0).normal(0, 9, (1, 32, 32))  # the widest ranges
    assert (activation_scales(pixel_values) > 1.5 * plain).mean() > 0.5


def test_what_8_bits_would_cost_most_stays_in_float(staged):
    graph = onnx.load(staged / FILES[1]).graph
    made_by = {name: node.op_type for node in graph.node for name in node.output}
    layers = [node for node in graph.node if node.op_type in ("Conv", "Gemm", "MatMul")]
    small = [made_by.get(node.input[1]) == "DequantizeLinear" for node in layers]
    assert small == [False, False, *[True] * (len(layers) - 3), False]


def test_the_files_hold_the_networks_probabilities(staged, run):
    kept = json.loads((run / "onnx" / "parity.json").read_text())["parity"]
    pytorch, full, small = kept["files"]
    assert pytorch["difference"] == 0 and full["difference"] < 1e-4
    assert full["accuracy"] == pytorch["accuracy"] and kept["faces"] == sum(kept["counts"])
    assert full["recalls"] == pytorch["recalls"] and small["megabytes"] < full["megabytes"]
