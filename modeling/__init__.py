"""What the Hub runs: config, model, image processor, pipeline; imports nothing else from here."""

from .configuration_fer_efficientnet import EXPRESSIONS, FerEfficientNetConfig, checked_prior
from .image_processing_fer_efficientnet import FerEfficientNetImageProcessor
from .modeling_fer_efficientnet import FerEfficientNetForImageClassification
from .pipeline_facial_emotion import FacialEmotionPipeline

__all__ = [
    "EXPRESSIONS",
    "FacialEmotionPipeline",
    "FerEfficientNetConfig",
    "FerEfficientNetForImageClassification",
    "FerEfficientNetImageProcessor",
    "checked_prior",
]
