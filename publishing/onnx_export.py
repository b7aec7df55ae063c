"""The network as ONNX, in float32 and 8 bits, and how far each is from PyTorch."""

import contextlib
import dataclasses
import io
import json
import logging
from collections.abc import Iterator, Mapping, Sized
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
from onnxruntime.quantization import (
    CalibrationDataReader,
    CalibrationMethod,
    QuantFormat,
    QuantType,
    quant_pre_process,
    quantize_static,
)
from torch import nn

from modeling import FerEfficientNetForImageClassification, FerEfficientNetImageProcessor
from training.card.facts import Onnx, OnnxFile
from training.data import (
    DataArguments,
    FaceDataset,
    decode_splits,
    lacks_validation,
    load_splits,
    paper_split,
    with_validation,
)
from training.evaluation import classification_metrics

from . import PublishError

FILES = ("onnx/model.onnx", "onnx/model_int8.onnx")
CALIBRATION_IMAGES, CALIBRATION_BATCH = 512, 64


def make_onnx(run: Path, folder: Path, flags: Mapping, dataset: str | None) -> Onnx:
    """
    Writes onnx/model.onnx and onnx/model_int8.onnx to `folder`, and measures them.

    Args:
        folder: the staged model.
        flags: the run's, by name.
        dataset: faces, as `load_fer2013` takes them; None: the run's.

    Raises:
        PublishError: there are no faces.
    """
    split, faces, calibration = onnx_faces(run, flags, dataset)
    network = FerEfficientNetForImageClassification.from_pretrained(folder).eval()
    processor = FerEfficientNetImageProcessor.from_pretrained(folder)
    pixel_values, labels = processor.normalize_batch(faces.images), faces.labels.numpy()
    names = [network.config.id2label[i] for i in range(network.config.num_labels)]
    expected = _probabilities(network, pixel_values)
    files = [_parity(None, folder, expected, expected, labels, names)]
    full, small = (folder / name for name in FILES)
    export_onnx(network, full)
    quantize(full, small, processor.normalize_batch(calibration.images).numpy())
    for name in FILES:
        probabilities = onnx_probabilities(folder / name, pixel_values.numpy())
        files.append(_parity(name, folder, probabilities, expected, labels, names))
    return Onnx(
        split=split,
        faces=len(labels),
        counts=np.bincount(labels, minlength=len(names)).tolist(),
        calibration_faces=len(calibration),
        files=files,
        image_mean=processor.image_mean,
        image_std=processor.image_std,
    )


def onnx_faces(
    run: Path, flags: Mapping, dataset: str | None
) -> tuple[str, FaceDataset, FaceDataset]:
    """
    The name and the faces of the evaluation split that the run had, and up to `CALIBRATION_IMAGES`
    faces of its training split. Where there is none, they are taken out of the evaluation split,
    half of it at most.
    """
    processor = FerEfficientNetImageProcessor.from_pretrained(run)
    names = {field.name for field in dataclasses.fields(DataArguments)} & {*flags}
    if flags.get("label_source") != "ferplus":
        names -= {"ferplus_csv"}  # votes are for training alone
    data = DataArguments(**{name: flags[name] for name in names})
    if dataset is not None:
        data = dataclasses.replace(data, dataset=dataset, dataset_revision=None)
    try:
        left_out: dict = {}
        splits = load_splits(data, left_out)
        skipped, held = left_out.get("skipped_rows"), _held_in(run)
        if data.split == "paper" or lacks_validation(splits, data):
            decoded = decode_splits(splits, processor, skipped, **held)
            if data.split == "paper":  # its test part is of the pooled splits
                parts = paper_split(decoded, data.paper_samples_per_class, seed=data.split_seed)
            else:
                parts = with_validation(decoded, data.validation_share, seed=data.split_seed)
            name, train = "test" if data.split == "paper" else "validation", parts["train"]
            return name, parts[name], train.select(_shuffled(train)[:CALIBRATION_IMAGES])
        name = data.eval_split if data.eval_split in splits else [*splits][-1]
        chosen = {name: splits[name]}
        if name != "train" and "train" in splits:
            train = splits["train"]
            chosen["train"] = train.select(_shuffled(train)[:CALIBRATION_IMAGES])
        decoded = decode_splits(chosen, processor, skipped, **held)
        if len(decoded) == 2:
            return name, decoded[name], decoded["train"]
        faces, rows = decoded[name], _shuffled(decoded[name])
        taken = min(CALIBRATION_IMAGES, len(rows) // 2)
        return name, faces.select(rows[taken:]), faces.select(rows[:taken])
    except ValueError as error:
        raise PublishError(
            f"ONNX in 8 bits needs faces to set its ranges and to measure parity. {error}\n"
            "Give them by --dataset_for_onnx PATH, or publish without by --no_onnx."
        ) from error


def _held_in(run: Path) -> dict:
    """
    Arguments of `decode_splits`: the size at which the run held its images, and so measured them.
    """
    report = json.loads((run / "data_report.json").read_text())
    side = report.get("held_images", {}).get("side")  # packed data are held as they come
    return {"side": side, "as_is": False} if side else {}


def _shuffled(faces: Sized) -> np.ndarray:
    return np.random.default_rng(0).permutation(len(faces))


def _probabilities(network: nn.Module, pixel_values: torch.Tensor) -> np.ndarray:
    """(N, C, H, W) -> (N, classes)"""
    # channels_last is faster on CPUs; smaller batches would be slow where others use the cores
    pixel_values = pixel_values.contiguous(memory_format=torch.channels_last)
    with torch.inference_mode():
        logits = [network(pixel_values=batch).logits for batch in pixel_values.split(256)]
    return torch.cat(logits).softmax(1).numpy()


class _Logits(nn.Module):
    def __init__(self, network: nn.Module):
        super().__init__()
        self.network = network

    def forward(self, pixel_values: torch.Tensor) -> torch.Tensor:  # (N, C, H, W) -> (N, classes)
        return self.network(pixel_values=pixel_values).logits


def export_onnx(network: FerEfficientNetForImageClassification, file: Path) -> None:
    """`pixel_values` float32 (N, C, H, W), N free -> `logits` (N, classes)."""
    config = network.config
    example = torch.zeros(2, config.num_channels, config.image_size, config.image_size)
    file.parent.mkdir(parents=True, exist_ok=True)
    torch.onnx.export(
        _Logits(network).eval(),
        (example,),
        str(file),
        input_names=["pixel_values"],
        output_names=["logits"],
        dynamic_shapes=({0: torch.export.Dim("batch")},),
        dynamo=True,
        external_data=False,
        verbose=False,
    )
    _forget_the_machine(file)


def _forget_the_machine(file: Path) -> None:
    """Takes out what the exporter notes of each node: stack traces with this machine's folders."""
    model = onnx.load(file)
    for part in (*model.graph.node, *model.graph.value_info, model.graph):
        del part.metadata_props[:]
    onnx.save(model, file)


class _Batches(CalibrationDataReader):
    """One range at a time: activations of all faces together would take 7 GB."""

    def __init__(self, pixel_values: np.ndarray):
        self.pixel_values = pixel_values

    def __len__(self) -> int:
        """In whole ranges, as onnxruntime wants it; the last may hold fewer."""
        return -(-len(self.pixel_values) // CALIBRATION_BATCH) * CALIBRATION_BATCH

    def set_range(self, start_index: int, end_index: int) -> None:
        self.batches = iter([self.pixel_values[start_index:end_index]])

    def get_next(self) -> dict | None:
        batch = next(self.batches, None)
        return None if batch is None else {"pixel_values": batch}


def quantize(file: Path, target: Path, pixel_values: np.ndarray) -> None:
    """
    Weights and activations in 8 bits, weights with a scale for each channel. The first two
    convolutions and the classifier, which lose most, stay in float32: they are small.

    Args:
        pixel_values: float32 (N, C, H, W), faces whose activations set the ranges; the first
            `CALIBRATION_IMAGES` are taken.
    """
    prepared = target.with_suffix(".prepared")
    with _silence():
        quant_pre_process(str(file), str(prepared))
        nodes = onnx.load(prepared).graph.node
        layers = [node.name for node in nodes if node.op_type in ("Conv", "Gemm", "MatMul")]
        quantize_static(
            str(prepared),
            str(target),
            _Batches(pixel_values[:CALIBRATION_IMAGES]),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            calibrate_method=CalibrationMethod.Percentile,
            nodes_to_exclude=[*layers[:2], layers[-1]],
            extra_options={
                # despite its name it strides every method
                "CalibStridedMinMax": CALIBRATION_BATCH,
                # SiLU's outputs reach far above zero and hardly below
                "CalibTensorRangeSymmetric": False,
            },
        )
    prepared.unlink()


@contextlib.contextmanager
def _silence() -> Iterator[None]:
    """onnxruntime prints, and it logs by the root logger, which it would thereby set up."""
    root, nowhere = logging.getLogger(), logging.NullHandler()
    root.addHandler(nowhere)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        root.removeHandler(nowhere)


def onnx_probabilities(file: Path, pixel_values: np.ndarray, batch: int = 256) -> np.ndarray:
    """(N, C, H, W) -> (N, classes), on the CPU."""
    session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    logits = [
        session.run(["logits"], {"pixel_values": pixel_values[start : start + batch]})[0]
        for start in range(0, len(pixel_values), batch)
    ]
    return torch.from_numpy(np.concatenate(logits)).softmax(1).numpy()


def _parity(
    name: str | None,
    folder: Path,
    probabilities: np.ndarray,
    expected: np.ndarray,
    labels: np.ndarray,
    label_names: list[str],
) -> OnnxFile:
    """probabilities, expected: (N, classes), the file's and PyTorch's."""
    results = classification_metrics(probabilities.argmax(axis=1), labels, label_names, bootstrap=0)
    return OnnxFile(
        name=name,
        megabytes=(folder / name).stat().st_size / 1e6 if name else None,
        difference=float(np.abs(probabilities - expected).max()),
        accuracy=results["accuracy"],
        recalls={label: results[f"recall_{label}"] for label in label_names},
    )
