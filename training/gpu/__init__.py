"""What a GPU alone needs: images in its memory, and an optimizer of few kernels."""

from .images import hold_images
from .muon import stack_equal_matrices
