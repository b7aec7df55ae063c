"""What the Hub runs: config, model and image processor, importing nothing else of this repo."""

from .configuration_fer_efficientnet import FerEfficientNetConfig
from .image_processing_fer_efficientnet import FerEfficientNetImageProcessor
from .modeling_fer_efficientnet import FerEfficientNetForImageClassification

__all__ = [
    "FerEfficientNetConfig",
    "FerEfficientNetForImageClassification",
    "FerEfficientNetImageProcessor",
]
