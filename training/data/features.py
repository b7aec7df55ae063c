"""FER-2013's columns, as `datasets` describes them."""

from datasets import ClassLabel, Features, Image

from .schema import LABELS

FEATURES = Features({"image": Image(), "label": ClassLabel(names=list(LABELS))})
