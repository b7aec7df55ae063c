"""
The network as ONNX for those without torch: model.onnx beside the weights, and in onnx.json how
close it is to them.

    python -m training.onnx_export RUN_DIR --dataset PATH

train.py does the same at the end of a run.
"""

import argparse
import dataclasses
import importlib.util
import json
import tempfile
from pathlib import Path

import numpy as np
import torch
from torch import nn
from transformers import BaseImageProcessor as Processor

from . import modeling
from .console import show_messages
from .data import (
    DataArguments,
    FaceDataset,
    decode_splits,
    lacks_validation,
    load_splits,
    paper_split,
    with_validation,
)
from .evaluation import classification_metrics
from .record import flags_of, read_run, weights_sha256, write_json
from .record.files import added

FILE, RECORD = "model.onnx", "onnx.json"
PACKAGES = ("onnx", "onnxruntime", "onnxscript")
GROUP = 32  # weights that share a scale in 8 bits
LEAST_WEIGHTS = 2**15  # of a tensor that is stored in 8 bits; smaller ones stay in 16
# How far the file may be from PyTorch: accuracy, the recall of a class, the share of equal labels.
ACCURACY_LOSS, RECALL_LOSS, AGREEMENT = 0.002, 0.01, 0.995


def missing_packages() -> list[str]:
    """What of `.[publish]` an export needs and is not installed."""
    return [name for name in PACKAGES if importlib.util.find_spec(name) is None]


def write_onnx(folder: Path, faces: FaceDataset, split: str) -> dict:
    """
    Writes model.onnx and onnx.json into a saved model's folder. Weights are stored in 8 bits where
    that loses next to nothing on `faces`, and otherwise in 16; the arithmetic is float32.

    Args:
        faces: uint8 images of the evaluation split, called `split`.

    Returns:
        The content of onnx.json.
    """
    network, processor = (
        getattr(modeling, name).from_pretrained(folder)
        for name in ("FerEfficientNetForImageClassification", "FerEfficientNetImageProcessor")
    )
    names = [network.config.id2label[i] for i in range(network.config.num_labels)]
    network.config.forget_calibration()  # the logits are raw: who reads them has config.json
    labels = faces.labels.numpy()
    expected = torch_logits(network.eval(), faces, processor)
    digest = weights_sha256(folder / "model.safetensors")
    with tempfile.TemporaryDirectory() as temporary, added(folder) as new:
        exact = Path(temporary) / FILE
        export_onnx(network, exact)
        for bits in (8, 16):
            shrink(exact, new / FILE, bits, digest)
            found = onnx_logits(new / FILE, faces, processor)
            measured = _measured(found, expected, labels, names)
            if _is_close(measured):
                break
        record = {
            "weights_sha256": digest,
            "weight_bits": bits,
            "megabytes": round((new / FILE).stat().st_size / 1e6, 2),
            "split": split,
            "faces": len(labels),
            "counts": np.bincount(labels, minlength=len(names)).tolist(),
            **measured,
        }
        write_json(new / RECORD, record)
    return record


def onnx_summary(record: dict) -> str:
    """One line on what `write_onnx` returns."""
    return (
        f"{FILE}: {record['megabytes']} MB, weights in {record['weight_bits']} bits; on the "
        f"{record['faces']} faces of the {record['split']} split an accuracy of "
        f"{record['onnx']['accuracy']:.4f} (PyTorch {record['pytorch']['accuracy']:.4f}), and "
        f"{record['agreement']:.2%} of the labels are PyTorch's"
    )


class _Logits(nn.Module):
    def __init__(self, network: nn.Module):
        super().__init__()
        self.network = network

    def forward(self, pixel_values: torch.Tensor) -> torch.Tensor:  # (N, C, H, W) -> (N, classes)
        return self.network(pixel_values=pixel_values).logits


def export_onnx(network: nn.Module, file: Path) -> None:
    """`pixel_values` float32 (N, C, H, W), N free -> `logits` (N, classes), in float32."""
    import onnx

    config = network.config
    example = torch.zeros(2, config.num_channels, config.image_size, config.image_size)
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
    model = onnx.load(file)
    for part in (*model.graph.node, *model.graph.value_info, model.graph):
        del part.metadata_props[:]  # stack traces with this machine's folders
    onnx.save(model, file)


def shrink(file: Path, target: Path, bits: int, weights_sha256: str) -> None:
    """
    Stores the weights of an ONNX file in fewer bits. Nodes at the beginning of the graph make them
    float32 again, which every runtime does once, as it loads the file.

    Args:
        bits: 16 is float16. 8 is int8 with a float16 scale for every `GROUP` weights, or for every
            output channel that this does not divide, in tensors of at least `LEAST_WEIGHTS`.
        weights_sha256: of model.safetensors; kept in the file, which thereby says whose it is.
    """
    import onnx
    from onnx import helper, numpy_helper

    model = onnx.load(file)
    stored, nodes = [], []
    for tensor in model.graph.initializer:
        weights, name = numpy_helper.to_array(tensor), tensor.name
        if weights.dtype != np.float32 or weights.size == 1:
            stored.append(tensor)
            continue
        parts = {"": weights.astype(np.float16)}
        if bits == 8 and weights.size >= LEAST_WEIGHTS:
            parts = dict(zip(("_int8", "_scale"), _in_8_bits(weights)))
        for suffix, part in parts.items():
            stored.append(numpy_helper.from_array(part, f"{name}{suffix}_stored"))
            made = f"{name}{suffix}"
            nodes.append(helper.make_node("Cast", [f"{name}{suffix}_stored"], [made], to=1))
        if len(parts) == 2:
            shape = np.array(weights.shape, np.int64)
            stored.append(numpy_helper.from_array(shape, f"{name}_shape"))
            groups = f"{name}_groups"
            nodes += [
                helper.make_node("Mul", [f"{name}_int8", f"{name}_scale"], [groups]),
                helper.make_node("Reshape", [groups, f"{name}_shape"], [name]),
            ]
    nodes += model.graph.node
    for field, content in ((model.graph.initializer, stored), (model.graph.node, nodes)):
        del field[:]
        field.extend(content)
    model.metadata_props.add(key="weights_sha256", value=weights_sha256)
    onnx.checker.check_model(model)
    onnx.save(model, target)


def _in_8_bits(weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """float32 (out, ...) -> int8 (groups, n) and float16 (groups, 1), whose product it is."""
    flat = weights.reshape(len(weights), -1)
    groups = flat.reshape(-1, GROUP) if flat.shape[1] % GROUP == 0 else flat
    # never 0, the smallest of float16
    scales = np.maximum(abs(groups).max(axis=1, keepdims=True) / 127, 2.0**-24).astype(np.float16)
    return (groups / scales.astype(np.float32)).round().clip(-127, 127).astype(np.int8), scales


def torch_logits(network: nn.Module, faces: FaceDataset, processor: Processor) -> np.ndarray:
    """(N, classes)"""
    with torch.inference_mode():
        logits = [network(processor.normalize_batch(batch)).logits for batch in faces.batches(256)]
    return torch.cat(logits).numpy()


def onnx_logits(file: Path, faces: FaceDataset, processor: Processor) -> np.ndarray:
    """(N, classes), on the CPU."""
    import onnxruntime

    session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    return np.concatenate([
        session.run(["logits"], {"pixel_values": processor.normalize_batch(batch).numpy()})[0]
        for batch in faces.batches(256)
    ])  # fmt: skip


def _measured(
    found: np.ndarray, expected: np.ndarray, labels: np.ndarray, names: list[str]
) -> dict:
    """found, expected: (N, classes), the logits of the file and of PyTorch."""
    probabilities = [torch.from_numpy(logits).softmax(1).numpy() for logits in (found, expected)]
    result = {
        "agreement": float((found.argmax(1) == expected.argmax(1)).mean()),
        "largest_difference": float(abs(probabilities[0] - probabilities[1]).max()),
    }
    for name, logits in (("onnx", found), ("pytorch", expected)):
        metrics = classification_metrics(logits.argmax(1), labels, names, bootstrap=0)
        recalls = {label: metrics[f"recall_{label}"] for label in names}
        result[name] = {"accuracy": metrics["accuracy"], "recalls": recalls}
    return result


def _is_close(measured: dict) -> bool:
    (accuracy, recalls), (torch_accuracy, torch_recalls) = (
        measured[name].values() for name in ("onnx", "pytorch")
    )
    lost = [torch_recalls[name] - recalls[name] for name in recalls if recalls[name] is not None]
    return (
        torch_accuracy - accuracy <= ACCURACY_LOSS
        and max(lost, default=0) <= RECALL_LOSS
        and measured["agreement"] >= AGREEMENT
    )


def evaluation_faces(run: Path, dataset: str | None = None) -> tuple[str, FaceDataset]:
    """
    The name and the faces of the evaluation split that a run had.

    Args:
        dataset: the same data in another place than the run's record says.

    Raises:
        DataError, ValueError: the data are not there, or have no such split.
    """
    flags = flags_of(read_run(run))
    processor = modeling.FerEfficientNetImageProcessor.from_pretrained(run)
    names = {field.name for field in dataclasses.fields(DataArguments)} & {*flags}
    if flags.get("label_source") != "ferplus":
        names -= {"ferplus_csv"}  # votes are for training alone
    data = DataArguments(**{name: flags[name] for name in names})
    if dataset is not None:
        data = dataclasses.replace(data, dataset=dataset, dataset_revision=None)
    left_out: dict = {}
    splits = load_splits(data, left_out)
    # measured at the size at which the run held its images; packed data are held as they come
    side = json.loads((run / "data_report.json").read_text()).get("held_images", {}).get("side")
    held = {"side": side, "as_is": False} if side else {}
    if data.split != "paper" and not lacks_validation(splits, data):
        name = data.eval_split if data.eval_split in splits else [*splits][-1]
        splits = {name: splits[name]}
        return name, decode_splits(splits, processor, left_out.get("skipped_rows"), **held)[name]
    decoded = decode_splits(splits, processor, left_out.get("skipped_rows"), **held)
    if data.split == "paper":  # its test part is of the pooled splits
        parts = paper_split(decoded, data.paper_samples_per_class, seed=data.split_seed)
        return "test", parts["test"]
    parts = with_validation(decoded, data.validation_share, seed=data.split_seed)
    return "validation", parts["validation"]


def main(argv: list[str] | None = None) -> None:
    layout = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=layout)
    parser.add_argument("run", type=Path, metavar="RUN_DIR", help="output folder of train.py")
    text = "the run's data, if they are not where they were"
    parser.add_argument("--dataset", metavar="SOURCE", help=text)
    args = parser.parse_args(argv)
    show_messages()
    if missing := missing_packages():
        parser.error(f"{', '.join(missing)} missing: pip install '.[publish]'")
    if read_run(args.run) is None:
        parser.error(f"{args.run}: expected the output folder of a training, with its run.yaml.")
    split, faces = evaluation_faces(args.run, args.dataset)
    print(onnx_summary(write_onnx(args.run, faces, split)))


if __name__ == "__main__":
    main()
