"""A split whose images are decoded once."""

import copy
import functools
import hashlib
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from .. import modeling
from ..wording import first_line
from .arguments import DataArguments
from .ferplus import join_votes, label_by_majority, read_votes
from .held import HeldImages, ImageRows
from .schema import LABELS, BadRow, DataError, note_bad_row

if TYPE_CHECKING:
    from datasets import Dataset


class FaceDataset(torch.utils.data.Dataset):
    """
    A split decoded once and held as uint8 (`HeldImages`): 83 MB for all of FER-2013.

    `__getitems__` gives a whole batch by one indexing, so no Python runs per image:
    {"pixel_values": uint8 (N, C, H, W), "labels": int64 (N,)}, and "voted" where it is set.
    Selections share the images that are held, as splits that were decoded together do.

    Args:
        images: uint8 (N, C, H, W), or rows of it. labels: int64 (N,).
        votes: float32 (N, 10), each image's FER+ votes; zeros where there are none. None: the
            source has no votes.
        voted: float32 (N, classes), what the votes say of the label
            (`training.targets.with_votes`). None: votes are not used.
        label_names: the class names by id.

    `pixels` are the images, to be read by row or by a slice of rows; `images` reads all.
    """

    def __init__(
        self,
        images: torch.Tensor | ImageRows,
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

    def __getitem__(self, row) -> dict[str, torch.Tensor]:
        item = {"pixel_values": self.pixels[row], "labels": self.labels[row]}
        return item if self.voted is None else item | {"voted": self.voted[row]}

    def __getitems__(self, rows: list[int]) -> dict[str, torch.Tensor]:
        return self[torch.as_tensor(rows)]

    @functools.cached_property
    def digests(self) -> np.ndarray:
        """(N,) of 32 hexadecimal digits, equal where all pixels are equal. Hashed once."""
        return np.array(
            [
                hashlib.blake2b(image.tobytes(), digest_size=16).hexdigest()
                for images in self.batches()
                for image in images.numpy()
            ]
        )

    def select(self, rows: np.ndarray) -> "FaceDataset":
        """These rows, in this order; of the images none is copied."""
        chosen = torch.as_tensor(rows)
        columns = (self.labels, self.votes, self.voted)
        columns = (None if column is None else column[chosen] for column in columns)
        faces = FaceDataset(_rows_of(self.pixels, chosen), *columns, self.label_names)
        if "digests" in vars(self):
            faces.digests = self.digests[chosen.numpy()]
        return faces

    def with_voted(self, voted: torch.Tensor) -> "FaceDataset":
        """The same images, with what their votes say: float32 (N, classes)."""
        faces = copy.copy(self)
        faces.voted = voted
        return faces

    @staticmethod
    def pool(parts: list["FaceDataset"]) -> "FaceDataset":
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


def _rows_of(pixels: torch.Tensor | ImageRows, chosen: torch.Tensor) -> ImageRows:
    if isinstance(pixels, ImageRows):
        return ImageRows(pixels.held, pixels.rows[chosen])
    return ImageRows(pixels, chosen)


def _joined(parts: list[torch.Tensor | ImageRows]) -> torch.Tensor | ImageRows:
    held = getattr(parts[0], "held", None)
    if held is not None and all(getattr(part, "held", None) is held for part in parts):
        return ImageRows(held, torch.cat([part.rows for part in parts]))
    return torch.cat([part[:] for part in parts])


def is_packed(arguments: DataArguments) -> bool:
    """Whether `--dataset` is a file of `training.data.packed`."""
    return arguments.dataset.endswith(".safetensors")


def load_splits(
    arguments: DataArguments, left_out: dict | None = None
) -> "Mapping[str, Dataset | FaceDataset]":
    """
    The splits of `--dataset` as they are stored, with the votes of `--ferplus_csv` and the labels
    of `--label_source`. A packed file holds them decoded.

    Args:
        left_out: what was left out on the way is noted here, for data_report.json; with
            `--skip_bad_rows`, what is wrong with each row under `skipped_rows`.
    """
    left_out = {} if left_out is None else left_out
    if is_packed(arguments):
        from .packed import read_packed  # it imports this file

        return read_packed(arguments, left_out)
    from .sources import load_fer2013  # it imports datasets, which not every machine has

    splits = load_fer2013(
        arguments.dataset,
        arguments.dataset_revision,
        classes=arguments.classes,
        label_names=arguments.label_names or None,
        synthetic_images=arguments.synthetic_images,
        synthetic_seed=arguments.synthetic_seed,
        skipped=left_out.setdefault("skipped_rows", []) if arguments.skip_bad_rows else None,
    )
    if arguments.ferplus_csv:
        splits = join_votes(splits, arguments.ferplus_csv)
    if arguments.label_source == "ferplus":
        splits = label_by_majority(splits, arguments.dataset, left_out)
    return splits


def class_names(splits: "Mapping[str, Dataset | FaceDataset]") -> tuple[str, ...]:
    """Of `load_splits`, by id; the same in every split."""
    first = next(iter(splits.values()))
    if isinstance(first, FaceDataset):
        return first.label_names
    return tuple(first.features["label"].names)


def decode_splits(
    splits: "Mapping[str, Dataset | FaceDataset]",
    processor,
    skipped: list[str] | None = None,
    *,
    side: int | None = None,
    as_is: bool = True,
    memory_gb: float = math.inf,
    folder: Path | None = None,
    record: dict | None = None,
) -> dict[str, FaceDataset]:
    """
    Decodes each image once by `processor.to_uint8`; what is decoded already, as packed data are,
    only gets its channels. Formats and limits are those of
    `modeling.photo_reading`; `HeldImages` says at which size and where the images are held.

    Args:
        skipped: as in `load_fer2013`.
        side, as_is, memory_gb, folder: of `HeldImages`.
        record: how the images are held is noted here under `held_images`.

    Raises:
        DataError: an image cannot be read (the message names the split, the row and its file), or
            there is no room for the images.
    """
    if all(isinstance(split, FaceDataset) for split in splits.values()):
        return {name: _with_channels(split, processor) for name, split in splits.items()}
    held = HeldImages(
        sum(map(len, splits.values())),
        processor,
        side=side,
        as_is=as_is,
        memory_gb=memory_gb,
        folder=folder,
    )
    rows, kept = {}, {}
    for name, split in splits.items():
        start = held.filled
        kept[name] = _decode_into(held, split, processor, name, skipped)
        rows[name] = torch.arange(start, held.filled)
    if record is not None:
        record["held_images"] = held.record()
    return {
        name: FaceDataset(
            ImageRows(held.images, rows[name]),
            torch.tensor(split["label"][:]),
            _votes(split, name),
            label_names=split.features["label"].names,
        )
        for name, split in kept.items()
    }


def _with_channels(faces: FaceDataset, processor) -> FaceDataset:
    if faces.images.shape[1] == processor.num_channels:
        return faces
    images = torch.stack([processor.to_uint8(image) for image in faces.images])
    return FaceDataset(images, faces.labels, faces.votes, label_names=faces.label_names)


def decode_split(
    split: "Dataset", processor, name: str, skipped: list[str] | None = None
) -> FaceDataset:
    """One split, called `name`, as `decode_splits` decodes it."""
    return decode_splits({name: split}, processor, skipped)[name]


def _decode_into(
    held: HeldImages, split: "Dataset", processor, name: str, skipped: list[str] | None
) -> "Dataset":
    """The rows of the split whose images could be read and are held now."""
    from datasets import Image
    from datasets.utils import tqdm

    encoded, rows = split.cast_column("image", Image(decode=False)), []
    for row, value in enumerate(tqdm(encoded["image"], desc=f"Decoding {name}", unit="image")):
        try:
            held.append(_decode(value, processor, f"{name}, row {row}"))
            rows.append(row)
        except BadRow as error:
            note_bad_row(error, skipped)
    if not rows:
        raise DataError(f"{name}: none of the {len(split)} images can be read: {skipped[-1]}")
    return split.select(rows) if len(rows) < len(split) else split


def _decode(value: dict | None, processor, where: str) -> torch.Tensor:
    try:
        if value is None:
            raise ValueError("there is none")
        path, content = value["path"], value["bytes"]
        if content is None and not Path(path).is_file():  # of a data set that is not local
            from .features import FEATURES

            return processor.to_uint8(FEATURES["image"].decode_example(value))
        with modeling.photo_reading.open_photo(content or path, "the file") as image:
            return processor.to_uint8(image)
    except Exception as error:  # Pillow raises many kinds for a broken file
        file = f" ({value['path']})" if value and value.get("path") else ""
        raise BadRow(f"{where}{file}: not a readable image ({first_line(error)}).") from error


def _votes(split: "Dataset", name: str) -> torch.Tensor | None:
    """FER+ votes, float32 (N, 10); zeros for an image without."""
    if "ferplus_votes" not in split.column_names:
        return None
    return torch.from_numpy(read_votes(split, name)).float()
