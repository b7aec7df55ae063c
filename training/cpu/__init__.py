"""What PyTorch or timm does slowly on CPUs, done faster."""

from .depthwise import use_fast_depthwise
from .muon import use_float32_iterations
