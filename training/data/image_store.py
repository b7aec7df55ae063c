"""The store of decoded images: one array for all splits, in memory or in a nameless file."""

import math
import os
import tempfile
from pathlib import Path

import numpy as np
import torch

from .. import modeling
from .faces import digests_of
from .schema import DataError

FER2013_SIDE = 48  # px


class ImageStore:
    """
    Decoded images, one after another: uint8 (N, C, side, side).

    Images that all have one square size are stored as they are, if it is at most `side` or
    FER-2013's. Otherwise each is cropped to its centred square and resized to `side` as it comes,
    so that never more than one original is unpacked.

    Args:
        count: the most images that will come.
        processor: resizes them. side: in pixels; None: the processor's.
        as_is: False: every image is brought to `side`.
        memory_gb: of the images (GB: 10^9 bytes); more of them lie in a file that is mapped into
            memory and has no name, so that it is gone with the process, however that ends.
        folder: where there is room for that file; None: the system's for temporary files.
    """

    def __init__(
        self,
        count: int,
        processor: modeling.FerEfficientNetImageProcessor,
        *,
        side: int | None = None,
        as_is: bool = True,
        memory_gb: float = math.inf,
        folder: Path | None = None,
    ):
        self.count, self.processor = count, processor
        self.side = side or processor.size["height"]
        self.largest_as_is = max(self.side, FER2013_SIDE) if as_is else 0
        self.memory_gb, self.folder = memory_gb, folder
        self.filled = self.changed = 0
        self.images: torch.Tensor | None = None
        self.digests: list[str] = []  # of the images as they came

    def append(self, images: torch.Tensor) -> None:
        """images: uint8 (N, C, H, W)."""
        self.digests += digests_of(images)
        count, channels, height, width = images.shape
        if self.images is None:
            as_is = height == width <= self.largest_as_is
            self.images = self._room(channels, height if as_is else self.side)
        if images.shape[1:] != self.images.shape[1:]:
            self._bring_to_side()
        if images.shape[1:] != self.images.shape[1:]:
            self.changed += count
            images = self._resized(centred_squares(images))
        self.images[self.filled : self.filled + count] = images
        self.filled += count

    def record(self) -> dict:
        """For data_report.json."""
        _, channels, _, side = self.images.shape
        return {
            "images": self.filled,
            "side": side,
            "channels": channels,
            "cropped_or_resized": self.changed,
            "gigabytes": self.images[: self.filled].nbytes / 1e9,
            "in_file": self.in_file,
        }

    def _bring_to_side(self) -> None:
        """What was stored as it is, now that another size has come."""
        before = self.images
        if before.shape[-1] == self.side:
            return
        self.images = self._room(before.shape[1], self.side)
        for start in range(0, self.filled, 1024):
            rows = slice(start, min(start + 1024, self.filled))
            self.images[rows] = self._resized(before[rows])
        self.changed = self.filled

    def _resized(self, images: torch.Tensor) -> torch.Tensor:
        images = self.processor.resize_batch(images, self.side)
        return images.round().clamp(0, 255).to(torch.uint8)

    def _room(self, channels: int, side: int) -> torch.Tensor:
        shape = (self.count, channels, side, side)
        size = math.prod(shape)
        self.in_file = size > 1e9 * self.memory_gb
        if self.in_file:
            return _mapped(shape, size, self.folder)
        return torch.empty(shape, dtype=torch.uint8)


def centred_squares(images: torch.Tensor) -> torch.Tensor:
    """(N, C, H, W) -> (N, C, S, S), S the shorter side."""
    side = min(images.shape[2:])
    top, left = ((length - side) // 2 for length in images.shape[2:])
    return images[..., top : top + side, left : left + side]


def _mapped(shape: tuple[int, ...], size: int, folder: Path | None) -> torch.Tensor:
    with tempfile.TemporaryFile(dir=folder) as file:
        try:
            # all of it now: a mapped file that finds no room later ends the process (SIGBUS)
            if hasattr(os, "posix_fallocate"):
                os.posix_fallocate(file.fileno(), 0, size)
            return torch.from_numpy(np.memmap(file, np.uint8, "r+", shape=shape))
        except OSError as error:
            raise DataError(
                f"{folder or tempfile.gettempdir()}: expected room for {size / 1e9:.1f} GB of "
                f"decoded images, but found too little ({error.strerror}). Make room, or keep them "
                "in memory: --memory_gb."
            ) from error


def storage_line(record: dict) -> str:
    """`ImageStore.record` in one line; "" where images are unchanged and in memory."""
    if not (record["cropped_or_resized"] or record["in_file"]):
        return ""
    side, colour = record["side"], "grey" if record["channels"] == 1 else "RGB"
    where = "in a file, which is gone when the run ends" if record["in_file"] else "in memory"
    line = f"Images are held at {side} x {side} px, {colour}: {record['gigabytes']:.2f} GB {where}"
    if record["cropped_or_resized"]:
        line += (
            f"; {record['cropped_or_resized']:,} were cropped to their centred square or resized"
        )
    return line
