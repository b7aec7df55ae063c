"""model.onnx: its session, and whether it is of the weights beside it. No torch."""

import hashlib
import json
import logging
from pathlib import Path

import onnxruntime

logger = logging.getLogger(__name__)
ONNX, WEIGHTS, RECORD = "model.onnx", "model.safetensors", "onnx.json"


def open_onnx(file: Path, threads: int) -> onnxruntime.InferenceSession:
    """
    Args:
        threads: of the network; 0: one for each core.

    Raises:
        ValueError: it cannot be read.
    """
    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = threads
    # threads that wait for more work would use a core each, on which the next face is found
    settings.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        return onnxruntime.InferenceSession(str(file), settings, ["CPUExecutionProvider"])
    except Exception as error:  # of onnxruntime's own kinds
        raise ValueError(
            f"{file}: ONNX Runtime cannot read it ({error}). Fetch or copy it again."
        ) from None


def has_onnx(folder: Path) -> bool:
    """Whether a model's folder has the file; not if it is of other weights, with a warning."""
    if not (folder / ONNX).is_file():
        return False
    weights, record = folder / WEIGHTS, folder / RECORD
    if not (weights.is_file() and record.is_file()):
        return True
    digest = hashlib.sha256(weights.read_bytes()).hexdigest()
    if json.loads(record.read_text()).get("weights_sha256") == digest:
        return True
    logger.warning(
        f"{folder / ONNX} is of other weights than {WEIGHTS}, which is taken instead. Make it "
        f"anew: python -m training.onnx_export {folder}"
    )
    return False
