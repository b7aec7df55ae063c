"""Augmentation of whole batches on their device, with random parameters (N,), one per image."""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F

from .degradation import PhotoDegradation
from .flags import arg, check_range
from .random_boxes import random_boxes


@dataclass
class AugmentationArguments:
    """How training images are augmented; see `BatchAugmentation`."""

    _argument_group_name = "augmentation"

    augment_flip: float = arg(0.5, "Probability of a horizontal flip.")
    augment_rotate: float = arg(10.0, "Largest rotation, degrees.")
    augment_translate: float = arg(0.08, "Largest shift, fraction of the side.")
    augment_scale: float = arg(0.1, "Largest change of size, fraction.")
    augment_brightness: float = arg(0.15, "Largest change of brightness, fraction of the range.")
    augment_contrast: float = arg(0.2, "Largest change of contrast, fraction.")
    augment_erasing: float = arg(0.0, "Probability that a rectangle is erased.")
    augment_degrade: float = arg(
        0.0,
        "Share of the images that lose resolution, sharpness or more, as in photos; see "
        "`PhotoDegradation`. The --teachers see them undamaged.",
    )

    def __post_init__(self):
        for name in vars(self):
            check_range(self, name, 0, 180 if name == "augment_rotate" else 1, closed=True)

    def build(self) -> "BatchAugmentation":
        flags = {name.removeprefix("augment_"): value for name, value in vars(self).items()}
        del flags["degrade"]
        return BatchAugmentation(**flags)

    def build_degradation(self) -> PhotoDegradation | None:
        return PhotoDegradation(self.augment_degrade) if self.augment_degrade else None


@dataclass
class BatchAugmentation:
    """
    Flip, affine, brightness, contrast, erasing, in this order, each image with
    parameters of its own from torch's global RNG.

    torchvision takes one set of parameters for a whole batch, so this is written out here; the
    geometry is one `grid_sample`.

    Args:
        flip: probability of a horizontal mirror.
        rotate: largest rotation in degrees, either way.
        translate: largest shift as a fraction of the side, either way.
        scale: largest change of size as a fraction (0.1: 0.9 to 1.1).
        brightness: largest change as a fraction of the range of 255.
        contrast: largest change of contrast about the image's mean, as a fraction.
        erasing: probability that one rectangle (2 to 20 % of the area) is replaced by the image's
            mean.
    """

    flip: float = 0.5
    rotate: float = 10.0
    translate: float = 0.08
    scale: float = 0.1
    brightness: float = 0.15
    contrast: float = 0.2
    erasing: float = 0.0

    def __call__(self, images: torch.Tensor) -> torch.Tensor:
        """(N, C, H, W) in [0, 255], uint8 or float -> float32 of the same shape and range."""
        images = images.float()
        if self.flip or self.rotate or self.translate or self.scale:
            images = self._affine(images)
        if self.brightness or self.contrast:
            images = self._light(images)
        if self.erasing:
            images = self._erase(images)
        return images

    def _affine(self, images: torch.Tensor) -> torch.Tensor:
        n, device = len(images), images.device
        angle = math.radians(self.rotate) * _symmetric(n, device)
        size = 1 + self.scale * _symmetric(n, device)
        mirror = 1 - 2 * (torch.rand(n, device=device) < self.flip).float()
        cos, sin = torch.cos(angle) / size, torch.sin(angle) / size
        # affine_grid's units: the image spans [-1, 1], so a shift of t sides is 2 t
        shift_x, shift_y = (2 * self.translate * _symmetric(n, device) for _ in range(2))
        rows = [mirror * cos, -mirror * sin, shift_x, sin, cos, shift_y]
        matrix = torch.stack(rows, dim=1).view(n, 2, 3)
        grid = F.affine_grid(matrix, list(images.shape), align_corners=False)
        return F.grid_sample(
            images, grid, mode="bilinear", padding_mode="border", align_corners=False
        )

    def _light(self, images: torch.Tensor) -> torch.Tensor:
        n, device = len(images), images.device
        gain = 1 + self.contrast * _symmetric(n, device).view(n, 1, 1, 1)
        offset = 255 * self.brightness * _symmetric(n, device).view(n, 1, 1, 1)
        mean = images.mean(dim=(1, 2, 3), keepdim=True)
        return ((images - mean) * gain + mean + offset).clamp(0, 255)

    def _erase(self, images: torch.Tensor) -> torch.Tensor:
        n, device = len(images), images.device
        area = 0.02 + 0.18 * torch.rand(n, device=device)
        area = area * (torch.rand(n, device=device) < self.erasing)
        inside = random_boxes(images, area, aspect=torch.exp(_symmetric(n, device)))
        return torch.where(inside, images.mean(dim=(1, 2, 3), keepdim=True), images)


def _symmetric(n: int, device: torch.device) -> torch.Tensor:
    """(n,) uniform in [-1, 1)."""
    return 2 * torch.rand(n, device=device) - 1
