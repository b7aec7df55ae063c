"""
What a face loses between a camera and the network: resolution, sharpness, noise, JPEG.

FER-2013's faces are sharp at 48 px; those of photos and videos often are not.
"""

import io
import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from PIL import Image
from torchvision.transforms.v2.functional import pil_to_tensor, to_pil_image

REDUCING = ("area", "bilinear", "bicubic", "nearest-exact")
ENLARGING = ("bilinear", "bicubic")
GROUP = 8  # images that share a resolution: one call of a filter for each group


@dataclass
class PhotoDegradation:
    """
    Degrades a share of a batch; each of these images gets one or more of the losses below, each
    with its probability and with parameters of its own from torch's global RNG.

    | loss | probability | strength |
    |---|---|---|
    | resolution | 0.5 | reduced to 25 to 85 % of the side by one of four filters, and enlarged |
    | blur | 0.3 | standard deviation 0.3 to 1.3 px |
    | sharpening | 0.2 | adds 0.5 to 1.5 times the difference to the blurred image |
    | noise | 0.3 | standard deviation 2 to 20 of the range of 255 |
    | JPEG | 0.4 | quality 15 to 94 |

    Args:
        share: probability that an image is degraded, in [0, 1].
    """

    share: float

    def __call__(self, images: torch.Tensor) -> torch.Tensor:
        """float32 (N, C, H, W) in [0, 255] -> a new tensor of the same shape and range."""
        degraded = images.clone()
        chosen = torch.rand(len(images), device=images.device) < self.share  # (N,)
        for probability, loss in LOSSES:
            hit = chosen & (torch.rand(len(images), device=images.device) < probability)
            if hit.any():
                degraded[hit] = loss(degraded[hit]).clamp(0, 255)
        return degraded


def lose_resolution(images: torch.Tensor) -> torch.Tensor:
    """Groups of a few images: each has a resolution and filters of its own."""
    side = images.shape[-1]
    groups = []
    for group in images.split(GROUP):
        small = round(side * _between(0.25, 0.85, 1).item())
        groups.append(_resize(_resize(group, small, _one_of(REDUCING)), side, _one_of(ENLARGING)))
    return torch.cat(groups)


def blur(images: torch.Tensor) -> torch.Tensor:
    return gaussian_blur(images, _between(0.3, 1.3, len(images), images.device))


def sharpen(images: torch.Tensor) -> torch.Tensor:
    n, device = len(images), images.device
    blurred = gaussian_blur(images, torch.ones(n, device=device))
    return images + _between(0.5, 1.5, n, device).view(n, 1, 1, 1) * (images - blurred)


def add_noise(images: torch.Tensor) -> torch.Tensor:
    n, device = len(images), images.device
    return images + _between(2, 20, n, device).view(n, 1, 1, 1) * torch.randn_like(images)


def compress(images: torch.Tensor) -> torch.Tensor:
    qualities = _between(15, 95, len(images)).int().tolist()
    pixels = images.round().byte().cpu()
    return torch.stack([through_jpeg(*pair) for pair in zip(pixels, qualities)]).to(images)


def through_jpeg(image: torch.Tensor, quality: int) -> torch.Tensor:
    """uint8 (C, H, W) -> the same, compressed and decoded by Pillow."""
    content = io.BytesIO()
    to_pil_image(image).save(content, "JPEG", quality=quality)
    return pil_to_tensor(Image.open(content))


LOSSES: tuple[tuple[float, Callable[[torch.Tensor], torch.Tensor]], ...] = (
    (0.5, lose_resolution),
    (0.3, blur),
    (0.2, sharpen),
    (0.3, add_noise),
    (0.4, compress),
)


def gaussian_blur(images: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
    """
    torchvision's takes one standard deviation for a whole batch; here each image has its own.

    Args:
        images: (N, C, H, W). sigma: (N,), standard deviations in pixels.
    """
    n, channels = images.shape[:2]
    radius = math.ceil(3 * sigma.max().item())
    x = torch.arange(-radius, radius + 1, device=images.device)
    kernel = torch.softmax(-0.5 * (x / sigma.view(n, 1)) ** 2, dim=1)  # (N, K)
    kernel = kernel.repeat_interleave(channels, dim=0)
    # every image has its own kernel: one group per image and channel
    images = images.flatten(0, 1)[None]  # (1, N C, H, W)
    for side, shape in (((radius, radius, 0, 0), (1, -1)), ((0, 0, radius, radius), (-1, 1))):
        weight = kernel.view(n * channels, 1, *shape)
        images = F.conv2d(F.pad(images, side, mode="replicate"), weight, groups=n * channels)
    return images.view(n, channels, *images.shape[2:])


def _resize(images: torch.Tensor, side: int, mode: str) -> torch.Tensor:
    antialias = mode in ("bilinear", "bicubic")
    return F.interpolate(images, (side, side), mode=mode, antialias=antialias)


def _between(low: float, high: float, n: int, device: torch.device | None = None) -> torch.Tensor:
    """(n,) uniform in [low, high)."""
    return low + (high - low) * torch.rand(n, device=device)


def _one_of(names: tuple[str, ...]) -> str:
    return names[int(torch.randint(len(names), ()))]
