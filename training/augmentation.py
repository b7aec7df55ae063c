"""Augmentation of whole batches on their device, with random parameters (N,), one per image."""

import dataclasses
import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F

from .flags import arg


@dataclass
class BatchAugmentation:
    """
    Flip, affine, blur, brightness, contrast, erasing, noise, in this order, each image with
    parameters of its own from torch's global RNG.

    torchvision takes one set of parameters for a whole batch, so this is written out here; the
    geometry is one `grid_sample`.

    The largest rotation, shift and change are meant either way, and fractions of the range are of
    255; contrast changes about the image's mean, which also fills what is erased, 2 to 20 % of the
    area. Each field is the flag `--augment_<field>` of train.py.
    """

    flip: float = arg(0.5, "Probability of a horizontal flip.")
    rotate: float = arg(10.0, "Largest rotation, degrees.")
    translate: float = arg(0.08, "Largest shift, fraction of the side.")
    scale: float = arg(0.1, "Largest change of size, fraction.")
    brightness: float = arg(0.15, "Largest change of brightness, fraction of the range.")
    contrast: float = arg(0.2, "Largest change of contrast, fraction.")
    erasing: float = arg(0.0, "Probability that a rectangle is erased.")
    blur: float = arg(0.0, "Largest blur: standard deviation in pixels. Half the images get none.")
    noise: float = arg(
        0.0, "Largest noise: standard deviation, fraction of the range. Half the images get none."
    )

    def __call__(self, images: torch.Tensor) -> torch.Tensor:
        """(N, C, H, W) in [0, 255], uint8 or float -> float32 of the same shape and range."""
        images = images.float()
        if self.flip or self.rotate or self.translate or self.scale:
            images = self._affine(images)
        if self.blur:
            images = self._blur(images)
        if self.brightness or self.contrast:
            images = self._light(images)
        if self.erasing:
            images = self._erase(images)
        if self.noise:
            images = self._add_noise(images)
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

    def _blur(self, images: torch.Tensor) -> torch.Tensor:
        n, channels = images.shape[:2]
        sigma = (self.blur * _symmetric(n, images.device)).clamp(min=1e-3)
        radius = math.ceil(3 * self.blur)
        x = torch.arange(-radius, radius + 1, device=images.device)
        kernel = torch.softmax(-0.5 * (x / sigma.view(n, 1)) ** 2, dim=1)  # (N, K)
        kernel = kernel.repeat_interleave(channels, dim=0)
        # every image has its own kernel: one group per image and channel
        images = images.flatten(0, 1)[None]  # (1, N C, H, W)
        for side, shape in (((radius, radius, 0, 0), (1, -1)), ((0, 0, radius, radius), (-1, 1))):
            weight = kernel.view(n * channels, 1, *shape)
            images = F.conv2d(F.pad(images, side, mode="replicate"), weight, groups=n * channels)
        return images.view(n, channels, *images.shape[2:])

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

    def _add_noise(self, images: torch.Tensor) -> torch.Tensor:
        n, device = len(images), images.device
        sigma = 255 * (self.noise * _symmetric(n, device)).clamp(min=0).view(n, 1, 1, 1)
        return (images + sigma * torch.randn_like(images)).clamp(0, 255)


class _Flags:
    """How training images are augmented, as flags of train.py."""

    _argument_group_name = "augmentation"

    def build(self) -> BatchAugmentation:
        flags = {name.removeprefix("augment_"): value for name, value in vars(self).items()}
        return BatchAugmentation(**flags)


AugmentationArguments = dataclasses.make_dataclass(
    "AugmentationArguments",
    [
        (f"augment_{field.name}", float, arg(field.default, field.metadata["help"]))
        for field in dataclasses.fields(BatchAugmentation)
    ],
    bases=(_Flags,),
)


def _symmetric(n: int, device: torch.device) -> torch.Tensor:
    """(n,) uniform in [-1, 1)."""
    return 2 * torch.rand(n, device=device) - 1


def random_boxes(images: torch.Tensor, area: torch.Tensor, aspect: torch.Tensor) -> torch.Tensor:
    """
    Args:
        images: (N, C, H, W). area: (N,), the share of the image that its box covers.
        aspect: (N,), width / height of the box.

    Returns:
        bool (N, 1, H, W), True inside the box. Boxes are cut off at the edges.
    """
    n, _, height, width = images.shape
    # (N, 1, 1, 1) each, in pixels
    half_h = (area / aspect).sqrt().clamp(max=1).view(n, 1, 1, 1) * height / 2
    half_w = (area * aspect).sqrt().clamp(max=1).view(n, 1, 1, 1) * width / 2
    center_y = torch.rand(n, 1, 1, 1, device=images.device) * height
    center_x = torch.rand(n, 1, 1, 1, device=images.device) * width
    y = torch.arange(height, device=images.device).view(1, 1, height, 1) + 0.5
    x = torch.arange(width, device=images.device).view(1, 1, 1, width) + 0.5
    return ((y - center_y).abs() < half_h) & ((x - center_x).abs() < half_w)
