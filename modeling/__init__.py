"""What the Hub runs: config, model, image processor, pipeline; imports nothing else from here."""

from .calibration import checked_prior
from .configuration_fer_efficientnet import EXPRESSIONS, FerEfficientNetConfig
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
