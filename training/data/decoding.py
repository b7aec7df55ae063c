"""Stored images -> uint8 arrays, each decoded once."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from .. import modeling
from ..wording import first_line
from .faces import FaceDataset, ImageRows
from .ferplus import read_votes
from .image_store import ImageStore
from .schema import BadRow, DataError, note_bad_row

if TYPE_CHECKING:
    from datasets import Dataset


def decode_splits(
    splits: "Mapping[str, Dataset | FaceDataset]",
    processor: modeling.FerEfficientNetImageProcessor,
    skipped: list[str] | None = None,
    *,
    side: int | None = None,
    as_is: bool = True,
    memory_gb: float = math.inf,
    folder: Path | None = None,
    record: dict | None = None,
) -> dict[str, FaceDataset]:
    """
    Decodes each image once by `processor.to_uint8`. Images that are pixels already, such as those
    of Kaggle's CSV and of packed files, only get the processor's channels. Formats and limits are
    those of `modeling.photo_reading`; size and place of the decoded images are `ImageStore`'s.

    Args:
        skipped: as in `load_fer2013`.
        side, as_is, memory_gb, folder: of `ImageStore`.
        record: size and place of the images are noted here under `held_images`.

    Raises:
        DataError: an image cannot be read (the message names the split, the row and its file), or
            there is no room for the images.
    """
    if all(isinstance(split, FaceDataset) for split in splits.values()):
        return {name: _with_channels(split, processor) for name, split in splits.items()}
    store = ImageStore(
        sum(map(len, splits.values())),
        processor,
        side=side,
        as_is=as_is,
        memory_gb=memory_gb,
        folder=folder,
    )
    rows, decoded = {}, {}
    for name, split in splits.items():
        start = store.filled
        decoded[name] = _decode_into(store, split, name, skipped)
        rows[name] = slice(start, store.filled)
    if record is not None:
        record["held_images"] = store.record()
    return {name: _faces(store, rows[name], split, name) for name, split in decoded.items()}


def decode_split(
    split: "Dataset",
    processor: modeling.FerEfficientNetImageProcessor,
    name: str,
    skipped: list[str] | None = None,
) -> FaceDataset:
    """One split, called `name`, as `decode_splits` decodes it."""
    return decode_splits({name: split}, processor, skipped)[name]


def _with_channels(
    faces: FaceDataset, processor: modeling.FerEfficientNetImageProcessor
) -> FaceDataset:
    if faces.images.shape[1] == processor.num_channels:
        return faces
    images = torch.stack([processor.to_uint8(image) for image in faces.images])
    return FaceDataset(images, faces.labels, faces.votes, label_names=faces.label_names)


def _decode_into(
    store: ImageStore, split: "Dataset", name: str, skipped: list[str] | None
) -> "Dataset":
    """Decodes the images into the store; returns the rows that could be decoded."""
    from datasets import Image
    from datasets.utils import tqdm

    if not isinstance(split.features["image"], Image):  # `features.PIXELS`
        for batch in split.with_format("numpy", ["image"], dtype=np.uint8).iter(1024):
            images = torch.tensor(batch["image"])[:, None]  # (N, 1, 48, 48)
            store.append(images.expand(-1, store.processor.num_channels, -1, -1))
        return split
    encoded, rows = split.cast_column("image", Image(decode=False)), []
    for row, value in enumerate(tqdm(encoded["image"], desc=f"Decoding {name}", unit="image")):
        try:
            store.append(_decode(value, store.processor, f"{name}, row {row}")[None])
            rows.append(row)
        except BadRow as error:
            note_bad_row(error, skipped)
    if not rows:
        raise DataError(f"{name}: none of the {len(split)} images can be read: {skipped[-1]}")
    return split.select(rows) if len(rows) < len(split) else split


def _decode(
    value: dict | None, processor: modeling.FerEfficientNetImageProcessor, where: str
) -> torch.Tensor:
    try:
        if value is None:
            raise ValueError("there is none")
        path, content = value["path"], value["bytes"]
        if content is None and not Path(path).is_file():  # of a data set that is not local
            from .features import FEATURES

            return processor.to_uint8(FEATURES["image"].decode_example(value))
        name = Path(path).name if path else where
        with modeling.photo_reading.open_photo(content or path, name) as image:
            return processor.to_uint8(image)
    except Exception as error:  # Pillow raises many kinds for a broken file
        file = f" ({value['path']})" if value and value.get("path") else ""
        raise BadRow(f"{where}{file}: not a readable image ({first_line(error)}).") from error


def _faces(store: ImageStore, rows: slice, split: "Dataset", name: str) -> FaceDataset:
    votes = None
    if "ferplus_votes" in split.column_names:
        votes = torch.from_numpy(read_votes(split, name)).float()
    faces = FaceDataset(
        ImageRows(store.images, torch.arange(rows.start, rows.stop)),
        torch.tensor(split["label"][:]),
        votes,
        label_names=split.features["label"].names,
    )
    faces.digests = np.array(store.digests[rows])
    return faces
