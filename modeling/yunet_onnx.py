"""YuNet by ONNX Runtime, which takes a third of OpenCV's time."""

from pathlib import Path

import numpy as np

try:
    import cv2
except ImportError:  # face_detection.py says so
    cv2 = None

KINDS = ("cls", "obj", "bbox", "kps")  # of outputs
STRIDES = (8, 16, 32)  # pixels of the photo for a cell of each of the network's grids


class OnnxYuNet:
    """
    A replacement for `cv2.FaceDetectorYN` that gives the same rows (OpenCV 4.14, face_detect.cpp).
    It has as many threads as OpenCV (`cv2.setNumThreads`), and serves any number of callers.

    Args:
        path: of a YuNet file. threshold: least score of a face, in [0, 1].
        overlap: intersection over union above which the box of the lower score is dropped.
        most: candidates, several for each face, that are compared with each other.

    Attributes:
        any_size: whether the file's network takes pictures of any size; `detect` needs it.

    Raises:
        ImportError: ONNX Runtime is missing.
        ValueError: the file cannot be read, or is not YuNet.
    """

    def __init__(self, path: str | Path, threshold: float, overlap: float = 0.3, most: int = 5000):
        try:
            import onnxruntime
        except ImportError:
            raise ImportError("onnxruntime is not installed") from None
        # as prediction/onnx_file.py, which a model on the Hub does not have
        settings = onnxruntime.SessionOptions()
        settings.intra_op_num_threads = cv2.getNumThreads()
        # threads that wait for the next photo would use a core each
        settings.add_session_config_entry("session.intra_op.allow_spinning", "0")
        try:
            self.session = onnxruntime.InferenceSession(
                str(path), settings, ["CPUExecutionProvider"]
            )
        except Exception as error:  # of its own kinds
            raise ValueError(f"{path}: cannot be read as YuNet ({error}).") from None
        self.input, self.outputs = self.session.get_inputs()[0], self.session.get_outputs()
        wanted = {f"{kind}_{stride}" for kind in KINDS for stride in STRIDES}
        if not wanted <= {output.name for output in self.outputs} or len(self.input.shape) != 4:
            raise ValueError(f"{path}: is not YuNet, which has outputs cls_8, obj_8, bbox_8, ...")
        self.any_size = not any(isinstance(side, int) for side in self.input.shape[2:])
        self.threshold, self.overlap, self.most = threshold, overlap, most

    def setInputSize(self, size: tuple[int, int]) -> None:  # noqa: N802 (OpenCV's name)
        """Any size is taken."""

    def detect(self, photo: np.ndarray) -> tuple[int, np.ndarray]:
        """
        photo: uint8 (H, W, 3) BGR -> 1, float32 (N, 15): left, top, width, height, x and y of five
        points, score; by falling score.

        Raises:
            RuntimeError: ONNX Runtime fails on it.
        """
        below, right = (-length % STRIDES[-1] for length in photo.shape[:2])
        photo = cv2.copyMakeBorder(photo, 0, below, 0, right, cv2.BORDER_CONSTANT)
        pixels = cv2.dnn.blobFromImage(photo)
        try:
            outputs = self.session.run(None, {self.input.name: pixels})
        except Exception as error:  # of its own kinds
            raise RuntimeError(str(error)) from None
        named = {output.name: array[0] for output, array in zip(self.outputs, outputs)}
        rows = [self._rows(named, stride, photo.shape[1] // stride) for stride in STRIDES]
        rows = np.concatenate(rows)
        kept = cv2.dnn.NMSBoxes(
            rows[:, :4].astype(int), rows[:, 14], self.threshold, self.overlap, top_k=self.most
        )
        return 1, rows[np.asarray(kept, int)]

    def _rows(self, outputs: dict[str, np.ndarray], stride: int, columns: int) -> np.ndarray:
        """Of one grid; outputs: (cells, ...)."""
        face, seen, box, points = (outputs[f"{kind}_{stride}"] for kind in KINDS)
        scores = np.sqrt(np.clip(face, 0, 1) * np.clip(seen, 0, 1))[:, 0]
        found = np.flatnonzero(scores >= self.threshold)
        cell = np.stack([found % columns, found // columns], axis=1)  # (N, 2)
        size = np.exp(box[found, 2:])
        corner = box[found, :2] + cell - size / 2
        points = points[found].reshape(-1, 5, 2) + cell[:, None]
        places = np.concatenate([corner, size, points.reshape(-1, 10)], axis=1) * stride
        return np.concatenate([places, scores[found, None]], axis=1).astype(np.float32)
