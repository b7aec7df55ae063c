"""FER-2013's columns, as `datasets` describes them."""

import numpy as np
import PIL.Image
from datasets import Array2D, ClassLabel, Dataset, Features, Image

from .schema import LABELS

LABEL = ClassLabel(names=list(LABELS))
FEATURES = Features({"image": Image(), "label": LABEL})
PIXELS = Array2D((48, 48), "uint8")
PIXEL_FEATURES = Features({"image": PIXELS, "label": LABEL})  # of sources that hold no files


def as_images(split: Dataset) -> Dataset:
    """The split with images as `datasets.Image`: pixels become PNG files."""
    if isinstance(split.features["image"], Image):
        return split
    encoded = split.with_format("numpy", dtype=np.uint8).map(
        lambda faces: {"image": [PIL.Image.fromarray(face) for face in faces]},
        input_columns="image",
        batched=True,
        features=Features({**split.features, "image": Image()}),
        desc="Encoding images",
    )
    return encoded.with_format(None)
