"""The model behind the page: loaded once, warm, shared by all who wait."""

import copy
import math
import re
import threading
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from huggingface_hub import snapshot_download
from transformers import Pipeline, pipeline

from prediction.onnx_file import ONNX, has_onnx, open_onnx

MAX_PHOTO_BYTES = 20 * 2**20
MAX_PHOTO_PIXELS = 51_000_000  # phones' 50 megapixels, as the pipeline's own limit
MAX_PHOTOS = 50  # at a time
MAX_FACES = 50  # of a photo; the largest are kept
MAX_BATCH = 16  # waiting photos that share a pass through the network
REPORT_FILES = [  # and those of the page of browser/
    "README.md", "*.json", "*.png", "model.onnx", "face_detection_yunet.onnx",
]  # fmt: skip


class InputRefused(ValueError):
    """
    Something a visitor sent that is not used.

    Args:
        message: for the visitor. reason: a word for the log.
    """

    def __init__(self, message: str, reason: str = "unreadable"):
        super().__init__(message)
        self.reason = reason


@dataclass(eq=False)  # jobs are told apart by identity: photos have no ==
class _Job:
    photo: np.ndarray
    options: dict
    answer: Future = field(default_factory=Future)


class Served:
    """
    One pipeline and some workers. Photos that wait with the same options are done
    together, shared out evenly among the workers: a pass of eight faces costs half as much
    for each.

    Args:
        find: the pipeline. report: folder with the model's card, results and pictures.
        name: the Hub id, or the folder's name. revision: "" for a folder.
        workers: threads that run the pipeline.

    Attributes:
        labels: in the order of ids. detector: "YuNet" or "Haar".
    """

    def __init__(
        self, find: Pipeline, report: Path, name: str = "", revision: str = "", workers: int = 2
    ):
        self.find, self.report, self.name, self.revision = find, report, name, revision
        self.workers, self.detector, self.config = workers, find.detector, find.model.config
        self.labels = [self.config.id2label[i] for i in range(self.config.num_labels)]
        self._readers = ThreadPoolExecutor(workers)  # unpacking takes memory
        self._jobs: deque[_Job] = deque()
        self._changed = threading.Condition()
        self._threads = [threading.Thread(target=self._work, daemon=True) for _ in range(workers)]
        for thread in self._threads:
            thread.start()

    def alive(self) -> bool:
        """Whether all workers run."""
        return all(thread.is_alive() for thread in self._threads)

    def waiting(self) -> int:
        """Photos that no worker has taken."""
        return len(self._jobs)

    def read(self, content: bytes, name: str) -> np.ndarray:
        """
        An image file -> uint8 (H, W, 3), upright.

        Raises:
            InputRefused: too large, or not an image that can be read.
        """
        if len(content) > MAX_PHOTO_BYTES:
            raise InputRefused(
                f"{name}: larger than {MAX_PHOTO_BYTES >> 20} MB. Make it smaller, send it again.",
                "too_large",
            )
        try:
            return self._readers.submit(self.find.read, content, name).result()
        except self.find.PhotoError as error:
            raise InputRefused(str(error)) from None

    def faces(self, photos: list[np.ndarray], **options: Any) -> list[list[dict]]:
        """
        The pipeline's answers, each of at most `MAX_FACES` faces: the largest.

        Raises:
            InputRefused: the detector fails on a photo. With on_error="skip", its answer is None.
        """
        jobs = [_Job(photo, options) for photo in photos]
        with self._changed:
            self._jobs.extend(jobs)
            self._changed.notify(len(jobs))
        try:
            return [_largest(job.answer.result()) for job in jobs]
        except self.find.PhotoError as error:
            raise InputRefused(str(error)) from None

    def _work(self) -> None:
        while True:
            _answer(self.find, self._take())

    def _take(self) -> list[_Job]:
        """A worker's share of those who wait with the same options."""
        with self._changed:
            self._changed.wait_for(lambda: self._jobs)
            share = min(MAX_BATCH, math.ceil(len(self._jobs) / self.workers))
            first = self._jobs[0]
            taken = [job for job in self._jobs if job.options == first.options][:share]
            for job in taken:
                self._jobs.remove(job)
            return taken


def load(
    source: str,
    revision: str = "",
    detector_path: str | None = None,
    *,
    workers: int = 2,
    threads: int = 1,
) -> Served:
    """
    Args:
        source: a local folder, or a Hub id. revision: the commit of a Hub id, 40 hex digits.
        detector_path: a local YuNet file; default: the model's own.
        workers: threads that run the pipeline. threads: PyTorch's, of each.

    Raises:
        SystemExit: the code of a Hub model is not pinned to a commit.
    """
    report, pinned = Path(source), {}
    name = report.resolve().name
    if not report.is_dir():
        if not re.fullmatch(r"[0-9a-f]{40}", revision):
            raise SystemExit(
                f"{source} is no folder here; for a Hub id, MODEL_REVISION must be a commit of "
                f"{source} (40 hex digits), since the model's code is run; found {revision!r}. "
                "`push_to_hub.py space` sets it."
            )
        name, pinned = source, {"revision": revision}
        report = Path(snapshot_download(source, allow_patterns=REPORT_FILES, **pinned))
    torch.set_num_threads(threads)
    cv2.setNumThreads(1)
    find = pipeline(
        "facial-emotion",
        model=source,
        trust_remote_code=True,
        detector_path=detector_path,
        max_pixels=MAX_PHOTO_PIXELS,
        **pinned,
    )
    if has_onnx(report):
        find = by_onnx(find, report / ONNX, threads)
    for options in ({}, {"detector": "none", "explain": True}):  # warm
        find(np.zeros((96, 96, 3), np.uint8), **options)
    return Served(find, report, name, pinned.get("revision", ""), workers)


def by_onnx(find: Pipeline, file: Path, threads: int) -> Pipeline:
    """The pipeline with ONNX Runtime in torch's place; heat maps stay torch's."""
    session = open_onnx(file, threads)

    class ByOnnx(type(find)):
        def _raw_logits(self, pixel_values: np.ndarray, explain: bool) -> tuple[np.ndarray, Any]:
            if explain:
                return super()._raw_logits(pixel_values, explain)
            return session.run(["logits"], {"pixel_values": pixel_values})[0], None

    same = copy.copy(find)
    same.__class__ = ByOnnx
    return same


def _answer(find: Pipeline, jobs: list[_Job]) -> None:
    try:
        answers = find([job.photo for job in jobs], **jobs[0].options)
    except Exception as error:  # whatever it is, it belongs to the one who sent that photo
        if len(jobs) == 1:
            return jobs[0].answer.set_exception(error)
        for job in jobs:
            _answer(find, [job])
    else:
        for job, answer in zip(jobs, answers):
            job.answer.set_result(answer)


def _largest(faces: list[dict] | None) -> list[dict] | None:
    """At most `MAX_FACES`, still from left to right."""
    if faces is None:
        return None
    widths = [face["box"]["xmax"] - face["box"]["xmin"] for face in faces]
    kept = sorted(range(len(faces)), key=lambda i: -widths[i])[:MAX_FACES]
    return [faces[i] for i in sorted(kept)]
