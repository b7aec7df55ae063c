"""
From data to weights, room by room: data, treatments, targets, evaluation, record, card.

What is used from Python is imported when it is asked for, so that a part that needs no torch stays
without it.
"""

import importlib
from typing import Any

_MODULES = {
    "arguments": ("FerTrainingArguments",),
    "augmentation": ("BatchAugmentation",),
    "console": ("show_messages",),
    "data": ("FaceDataset", "load_faces", "load_fer2013"),
    "evaluation": ("classification_metrics",),
    "evaluation.hub_metric": ("FerMetrics",),  # not every machine has `evaluate`
    "network": ("ModelArguments", "build_network", "load_saved_model"),
    "trainer": ("FerTrainer",),
    "treatments": (
        *("CrossEntropy", "WeightedBCE", "WeightedCrossEntropy", "Focal", "ClassBalanced"),
        *("LogitAdjusted", "LDAM", "Loss", "losses"),
        *("weighted_bce_loss", "weighted_cross_entropy_loss", "focal_loss"),
        *("class_balanced_loss", "logit_adjusted_loss", "ldam_loss", "class_weights"),
        *("undersample", "oversample"),
    ),
}
_MODULE_OF = {name: module for module, names in _MODULES.items() for name in names}
__all__ = [*_MODULE_OF]


def __getattr__(name: str) -> Any:
    if name == "modeling":  # beside this package, installed or not
        return importlib.import_module(__name__.removesuffix("training") + "modeling")
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f".{_MODULE_OF[name]}", __name__), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
