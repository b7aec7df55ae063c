"""What timm does slowly on GPUs."""

from .muon import stack_equal_matrices

__all__ = ["stack_equal_matrices"]
