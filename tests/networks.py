"""Networks small enough for tests."""

from collections.abc import Iterable
from pathlib import Path

import torch

from modeling import (
    EXPRESSIONS,
    FerEfficientNetConfig,
    FerEfficientNetForImageClassification,
    FerEfficientNetImageProcessor,
)


def tiny_network(
    names: Iterable[str] = EXPRESSIONS, *, seed: int = 0, **config
) -> FerEfficientNetForImageClassification:
    """Random weights by `seed`, in evaluation mode. config: of FerEfficientNetConfig."""
    torch.manual_seed(seed)
    labels = dict(enumerate(names))
    defaults = {"backbone": "test_efficientnet", "image_size": 32, "initializer_range": 0.5}
    defaults |= {"id2label": labels, "label2id": {name: i for i, name in labels.items()}}
    return FerEfficientNetForImageClassification(FerEfficientNetConfig(**defaults | config)).eval()


def saved(network: FerEfficientNetForImageClassification, folder: Path) -> Path:
    """`folder`, with the network and its image processor."""
    network.save_pretrained(folder)
    FerEfficientNetImageProcessor(size=network.config.image_size).save_pretrained(folder)
    return folder
