"""What PyTorch or timm does slowly on CPUs, done faster."""

from .depthwise import use_small_map_gradient
from .muon import use_float32_iterations

__all__ = ["use_float32_iterations", "use_small_map_gradient"]
