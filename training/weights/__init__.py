"""What is done to weights outside of training: their mean, batch norm statistics, ImageNet."""

from .batch_norm import recompute_statistics
from .soup import average_weights
