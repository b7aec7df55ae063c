"""A split decoded once and held in memory."""

import functools
import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from datasets import Dataset, DatasetDict, Image
from datasets.utils import tqdm

from .. import modeling
from .arguments import DataArguments
from .ferplus import join_votes, label_by_majority
from .schema import FEATURES, FERPLUS_VOTES, LABELS, BadRow, DataError, first_line, note_bad_row
from .sources import load_fer2013


class FaceDataset(torch.utils.data.Dataset):
    """
    A split decoded once and held as uint8: 83 MB for all of FER-2013.

    `__getitems__` gives a whole batch by one indexing, so no Python runs per image:
    {"pixel_values": uint8 (N, C, H, W), "labels": int64 (N,)}, and "voted" where it is set.

    Args:
        images: uint8 (N, C, H, W). labels: int64 (N,).
        votes: float32 (N, 10), each image's FER+ votes; zeros where there are none. None: the
            source has no votes.
        voted: float32 (N, classes), what the votes say of the label
            (`training.targets.with_votes`). None: votes are not used.
        label_names: the class names by id.
    """

    def __init__(
        self,
        images: torch.Tensor,
        labels: torch.Tensor,
        votes: torch.Tensor | None = None,
        voted: torch.Tensor | None = None,
        label_names: Sequence[str] = LABELS,
    ):
        self.images, self.labels, self.votes, self.voted = images, labels, votes, voted
        self.label_names = tuple(label_names)

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, row) -> dict[str, torch.Tensor]:
        item = {"pixel_values": self.images[row], "labels": self.labels[row]}
        return item if self.voted is None else item | {"voted": self.voted[row]}

    def __getitems__(self, rows: list[int]) -> dict[str, torch.Tensor]:
        return self[torch.as_tensor(rows)]

    @functools.cached_property
    def digests(self) -> np.ndarray:
        """(N,) of 32 hexadecimal digits, equal where all pixels are equal. Hashed once."""
        return np.array(
            [
                hashlib.blake2b(image.tobytes(), digest_size=16).hexdigest()
                for image in self.images.numpy()
            ]
        )

    def select(self, rows: np.ndarray) -> "FaceDataset":
        """These rows, in this order."""
        chosen = torch.as_tensor(rows)
        columns = (self.images, self.labels, self.votes, self.voted)
        columns = (None if column is None else column[chosen] for column in columns)
        faces = FaceDataset(*columns, self.label_names)
        if "digests" in vars(self):
            faces.digests = self.digests[chosen.numpy()]
        return faces

    @staticmethod
    def pool(parts: list["FaceDataset"]) -> "FaceDataset":
        """All rows of the parts, one part after another; votes if every part has them."""
        votes = [faces.votes for faces in parts]
        pooled = FaceDataset(
            torch.cat([faces.images for faces in parts]),
            torch.cat([faces.labels for faces in parts]),
            None if any(column is None for column in votes) else torch.cat(votes),
            label_names=parts[0].label_names,
        )
        pooled.digests = np.concatenate([faces.digests for faces in parts])
        return pooled


def load_splits(arguments: DataArguments, left_out: dict | None = None) -> DatasetDict:
    """
    The splits of `--dataset` as they are stored, with the votes of `--ferplus_csv` and the labels
    of `--label_source`.

    Args:
        left_out: what was left out on the way is noted here, for data_report.json; with
            `--skip_bad_rows`, what is wrong with each row under `skipped_rows`.
    """
    left_out = {} if left_out is None else left_out
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


def class_names(splits: Mapping[str, Dataset]) -> tuple[str, ...]:
    """Of `load_splits`, by id; the same in every split."""
    return tuple(next(iter(splits.values())).features["label"].names)


def decode_splits(
    splits: Mapping[str, Dataset], processor, skipped: list[str] | None = None
) -> dict[str, FaceDataset]:
    """Each of the splits through `decode_split`."""
    return {name: decode_split(split, processor, name, skipped) for name, split in splits.items()}


def decode_split(
    split: Dataset, processor, name: str, skipped: list[str] | None = None
) -> FaceDataset:
    """
    Decodes each image once by `processor.to_uint8`; images of another size than the first are
    resized to the processor's. Formats and limits are those of `modeling.photo_reading`.

    Args:
        skipped: as in `load_fer2013`.

    Raises:
        DataError: an image cannot be read; the message names the split, the row and its file.
    """
    encoded = split.cast_column("image", Image(decode=False))
    images, rows = [], []
    for row, value in enumerate(tqdm(encoded["image"], desc=f"Decoding {name}", unit="image")):
        try:
            images.append(_decode(value, processor, f"{name}, row {row}"))
            rows.append(row)
        except BadRow as error:
            note_bad_row(error, skipped)
    if not rows:
        raise DataError(f"{name}: none of the {len(split)} images can be read: {skipped[-1]}")
    if len(rows) < len(split):
        split = split.select(rows)
    if len({image.shape for image in images}) > 1:
        images = [
            processor.resize_batch(image[None])[0].round().clamp(0, 255).to(torch.uint8)
            for image in images
        ]
    labels, names = torch.tensor(split["label"][:]), split.features["label"].names
    return FaceDataset(torch.stack(images), labels, _votes(split, name), label_names=names)


def _decode(value: dict | None, processor, where: str) -> torch.Tensor:
    try:
        path, content = value["path"], value["bytes"]
        if content is None and not Path(path).is_file():  # of a data set that is not local
            return processor.to_uint8(FEATURES["image"].decode_example(value))
        with modeling.photo_reading.open_photo(content or path, "the file") as image:
            return processor.to_uint8(image)
    except Exception as error:  # Pillow raises many kinds for a broken file
        file = f" ({value['path']})" if value and value.get("path") else ""
        raise BadRow(f"{where}{file}: not a readable image ({first_line(error)}).") from error


def _votes(split: Dataset, name: str) -> torch.Tensor | None:
    """FER+ votes, float32 (N, 10); zeros for an image without."""
    if "ferplus_votes" not in split.column_names:
        return None
    votes = [row or [0] * FERPLUS_VOTES for row in split["ferplus_votes"][:]]
    if odd := [row for row, found in enumerate(votes) if len(found) != FERPLUS_VOTES]:
        raise DataError(
            f"{name}, row {odd[0]}: expected {FERPLUS_VOTES} numbers in ferplus_votes or none, "
            f"but found {len(votes[odd[0]])}."
        )
    return torch.tensor(votes, dtype=torch.float32)
