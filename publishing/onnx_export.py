"""The network as ONNX, in float32 and 8 bits, and how far each is from PyTorch."""

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

from training.evaluation.metrics import FerMetrics

CALIBRATION_IMAGES = 512


class _Logits(nn.Module):
    def __init__(self, network):
        super().__init__()
        self.network = network

    def forward(self, pixel_values):  # (N, C, H, W) -> (N, classes)
        return self.network(pixel_values=pixel_values).logits


def export_onnx(network, file: Path) -> None:
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
    def __init__(self, pixel_values: np.ndarray):
        self.batches = iter(np.array_split(pixel_values, -(-len(pixel_values) // 64)))

    def get_next(self) -> dict | None:
        batch = next(self.batches, None)
        return None if batch is None else {"pixel_values": batch}


def quantize(file: Path, target: Path, pixel_values: np.ndarray) -> None:
    """
    Weights and activations in 8 bits, weights with a scale for each channel.

    Args:
        pixel_values: float32 (N, C, H, W), faces whose activations set the ranges; the first
            `CALIBRATION_IMAGES` are taken.
    """
    prepared = target.with_suffix(".prepared")
    quant_pre_process(str(file), str(prepared))
    quantize_static(
        str(prepared),
        str(target),
        _Batches(pixel_values[:CALIBRATION_IMAGES]),
        quant_format=QuantFormat.QDQ,
        per_channel=True,
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
        calibrate_method=CalibrationMethod.Percentile,
    )
    prepared.unlink()


def onnx_probabilities(file: Path, pixel_values: np.ndarray, batch: int = 256) -> np.ndarray:
    """(N, C, H, W) -> (N, classes), on the CPU."""
    session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    logits = [
        session.run(["logits"], {"pixel_values": pixel_values[start : start + batch]})[0]
        for start in range(0, len(pixel_values), batch)
    ]
    return torch.from_numpy(np.concatenate(logits)).softmax(1).numpy()


def parity_table(
    probabilities: dict[str, np.ndarray], labels: np.ndarray, label_names: list[str]
) -> str:
    """
    Markdown: largest difference in probability, accuracy, recall of each class.

    Args:
        probabilities: by name, (N, classes); the first is what the others are held to.
    """
    reference = next(iter(probabilities.values()))
    header = ["", "largest difference", "accuracy", *label_names]
    rows = []
    for name, found in probabilities.items():
        figures = FerMetrics(label_names, bootstrap=0).compute(
            predictions=np.log(np.maximum(found, 1e-30)), references=labels
        )
        rows.append(
            [name, f"{np.abs(found - reference).max():.2g}", f"{figures['accuracy']:.4f}"]
            + [f"{figures[f'recall_{label}']:.3f}" for label in label_names]
        )
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
