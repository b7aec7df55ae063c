"""A split of decoded images with their labels."""

import copy
import functools
import hashlib
from collections.abc import Iterator, Sequence

import numpy as np
import torch

from .schema import LABELS


class FaceDataset(torch.utils.data.Dataset):
    """
    A split decoded once, as uint8: 83 MB for all of FER-2013.

    `__getitems__` gives a whole batch by one indexing, so no Python runs per image:
    {"pixel_values": uint8 (N, C, H, W), "labels": int64 (N,)}, and "voted" where it is set.
    Selections share one store of images, as do splits that were decoded together.

    Args:
        images: uint8 (N, C, H, W), or rows of it. labels: int64 (N,).
        votes: float32 (N, 10), each image's FER+ votes; zeros where there are none. None: the
            source has no votes.
        voted: float32 (N, classes), the label according to the votes
            (`training.targets.with_votes`). None: votes are not used.
        label_names: the class names by id.

    `pixels` are the images, read by row or by a slice of rows; `images` reads all.
    """

    def __init__(
        self,
        images: "torch.Tensor | ImageRows",
        labels: torch.Tensor,
        votes: torch.Tensor | None = None,
        voted: torch.Tensor | None = None,
        label_names: Sequence[str] = LABELS,
    ):
        self.pixels, self.labels = images, labels
        self.votes, self.voted = votes, voted
        self.label_names = tuple(label_names)

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def images(self) -> torch.Tensor:
        """uint8 (N, C, H, W), all in memory at once."""
        return self.pixels[:]

    def batches(self, size: int = 1024) -> Iterator[torch.Tensor]:
        """The images in order, uint8 (up to `size`, C, H, W) at a time."""
        for start in range(0, len(self), size):
            yield self.pixels[start : start + size]

    def __getitem__(self, row: int | slice | torch.Tensor) -> dict[str, torch.Tensor]:
        item = {"pixel_values": self.pixels[row], "labels": self.labels[row]}
        return item if self.voted is None else item | {"voted": self.voted[row]}

    def __getitems__(self, rows: list[int]) -> dict[str, torch.Tensor]:
        return self[torch.as_tensor(rows)]

    @functools.cached_property
    def digests(self) -> np.ndarray:
        """
        (N,) of 32 hexadecimal digits, equal where all pixels are equal. Of images that were
        resized when they were decoded, those of the originals: the same at every size.
        """
        return np.array([digest for images in self.batches() for digest in digests_of(images)])

    def select(self, rows: np.ndarray) -> "FaceDataset":
        """These rows, in this order; no image is copied."""
        chosen = torch.as_tensor(rows)
        columns = (self.labels, self.votes, self.voted)
        columns = (None if column is None else column[chosen] for column in columns)
        faces = FaceDataset(_rows_of(self.pixels, chosen), *columns, self.label_names)
        if "digests" in vars(self):
            faces.digests = self.digests[chosen.numpy()]
        return faces

    def with_voted(self, voted: torch.Tensor) -> "FaceDataset":
        """The same images, with the labels according to their votes: float32 (N, classes)."""
        faces = copy.copy(self)
        faces.voted = voted
        return faces

    @staticmethod
    def pool(parts: "Sequence[FaceDataset]") -> "FaceDataset":
        """All rows of the parts, one part after another; votes if every part has them."""
        votes = [faces.votes for faces in parts]
        pooled = FaceDataset(
            _joined([faces.pixels for faces in parts]),
            torch.cat([faces.labels for faces in parts]),
            None if any(column is None for column in votes) else torch.cat(votes),
            label_names=parts[0].label_names,
        )
        pooled.digests = np.concatenate([faces.digests for faces in parts])
        return pooled


class ImageRows:
    """
    Some of the images of a store, read when they are asked for: by a number, a slice or a tensor
    of numbers.

    Args:
        store: uint8 (N, C, H, W). rows: int64 (M,), which of them.
    """

    def __init__(self, store: torch.Tensor, rows: torch.Tensor):
        self.store, self.rows = store, rows

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, wanted: int | slice | torch.Tensor) -> torch.Tensor:
        return self.store[self.rows[wanted]]


def digests_of(images: torch.Tensor) -> list[str]:
    """uint8 (N, C, H, W) -> a digest of each image's pixels."""
    return [
        hashlib.blake2b(image.tobytes(), digest_size=16).hexdigest() for image in images.numpy()
    ]


def _rows_of(pixels: torch.Tensor | ImageRows, chosen: torch.Tensor) -> ImageRows:
    if isinstance(pixels, ImageRows):
        return ImageRows(pixels.store, pixels.rows[chosen])
    return ImageRows(pixels, chosen)


def _joined(parts: list[torch.Tensor | ImageRows]) -> torch.Tensor | ImageRows:
    store = getattr(parts[0], "store", None)
    if store is not None and all(getattr(part, "store", None) is store for part in parts):
        return ImageRows(store, torch.cat([part.rows for part in parts]))
    return torch.cat([part[:] for part in parts])
