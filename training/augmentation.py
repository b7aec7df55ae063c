"""Augmentation of whole batches on their device, with parameters (N,) drawn for each image."""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F

from .losses import one_hot


@dataclass
class BatchAugmentation:
    """
    Flip, affine, brightness, contrast, erasing; each image's own draw from torch's global RNG.

    torchvision draws one set of parameters for a whole batch, so this is written out here; the
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
        shift_x, shift_y = (
            2 * self.translate * _symmetric(n, device),
            2 * self.translate * _symmetric(n, device),
        )
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
        inside = _boxes(images, area, aspect=torch.exp(_symmetric(n, device)))
        return torch.where(inside, images.mean(dim=(1, 2, 3), keepdim=True), images)


@dataclass
class BatchMixing:
    """
    Mixup and cutmix with a partner from the same batch; a mixing ratio is drawn for each image.

    Args:
        mixup: alpha of Beta(alpha, alpha) (Zhang et al., ICLR 2018); 0 is off.
        cutmix: likewise (Yun et al., ICCV 2019). With both on, each image draws one of the two.
        num_classes: C.
    """

    mixup: float = 0.0
    cutmix: float = 0.0
    num_classes: int = 7

    def __call__(
        self, images: torch.Tensor, labels: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """(N, C, H, W) float, labels (N,) ids -> mixed images, (N, num_classes) probabilities."""
        if not (self.mixup or self.cutmix):
            return images, labels
        n, device = len(images), images.device
        order = torch.randperm(n, device=device)
        targets = one_hot(labels, self.num_classes)
        share = 0.5 if self.mixup and self.cutmix else float(self.cutmix > 0)
        cut = torch.rand(n, device=device) < share
        keep = torch.where(
            cut, _beta(self.cutmix, n, device), _beta(self.mixup, n, device)
        )  # (N,) of the own image
        inside = _boxes(images, torch.where(cut, 1 - keep, 0), aspect=torch.ones(n, device=device))
        keep = torch.where(
            cut, 1 - inside.float().mean(dim=(1, 2, 3)), keep
        )  # boxes are clipped to whole pixels

        partner = images[order]
        blend = torch.where(cut, 1, keep).view(n, 1, 1, 1)
        mixed = torch.where(inside, partner, blend * images + (1 - blend) * partner)
        return mixed, keep[:, None] * targets + (1 - keep[:, None]) * targets[order]


def _symmetric(n: int, device) -> torch.Tensor:
    return 2 * torch.rand(n, device=device) - 1


def _beta(alpha: float, n: int, device) -> torch.Tensor:
    if not alpha:
        return torch.ones(n, device=device)
    return torch.distributions.Beta(torch.full((n,), alpha, device=device), alpha).sample()


def _boxes(images: torch.Tensor, area: torch.Tensor, aspect: torch.Tensor) -> torch.Tensor:
    """
    One random box per image covering `area` (N,) of it -> bool (N, 1, H, W).

    `aspect` (N,) is its width / height.
    """
    n, _, height, width = images.shape
    half_h = (area / aspect).sqrt().clamp(max=1).view(n, 1, 1, 1) * height / 2
    half_w = (area * aspect).sqrt().clamp(max=1).view(n, 1, 1, 1) * width / 2
    center_y = torch.rand(n, 1, 1, 1, device=images.device) * height
    center_x = torch.rand(n, 1, 1, 1, device=images.device) * width
    y = torch.arange(height, device=images.device).view(1, 1, height, 1) + 0.5
    x = torch.arange(width, device=images.device).view(1, 1, 1, width) + 0.5
    return ((y - center_y).abs() < half_h) & ((x - center_x).abs() < half_w)
