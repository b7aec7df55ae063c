"""
What happens to faces between a camera and a network, as pure functions of uint8 batches.

Every function takes uint8 (N, C, H, W) and returns the same shape and type. Lengths are given as
shares of the side, so that a shift means the same at any resolution.
"""

import functools
import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torchvision.transforms.v2.functional import gaussian_blur

from training.degradation import through_jpeg


def crop(
    images: torch.Tensor, side: float = 1.0, offset: float = 0.0, degrees: float = 0.0
) -> torch.Tensor:
    """
    Another square of the same photo. Beyond the image, its edge is repeated, as in
    `modeling.face_cropping.crop_face`.

    Args:
        side: of the new crop, in sides of the image: 1.16 adds 16 % of margin.
        offset: how far the crop lies right of and below the image, in sides.
        degrees: how far the face is turned clockwise.
    """
    cos, sin = (side * value(math.radians(degrees)) for value in (math.cos, math.sin))
    # affine_grid's units: the image spans [-1, 1], so a shift of t sides is 2 t
    matrix = torch.tensor([[cos, sin, 2 * offset], [-sin, cos, 2 * offset]])
    grid = F.affine_grid(matrix.expand(len(images), 2, 3), list(images.shape), align_corners=False)
    return _uint8(
        F.grid_sample(
            images.float(), grid, mode="bilinear", padding_mode="border", align_corners=False
        )
    )


def half_resolution(images: torch.Tensor) -> torch.Tensor:
    """Reduced to half the side by area averaging, and enlarged again (bilinear)."""
    height, width = images.shape[-2:]
    small = F.interpolate(images.float(), (height // 2, width // 2), mode="area")
    return _uint8(F.interpolate(small, (height, width), mode="bilinear"))


def jpeg(images: torch.Tensor, quality: int) -> torch.Tensor:
    """Compressed and decoded by Pillow. quality: 1 to 95."""
    return torch.stack([through_jpeg(image, quality) for image in images])


def blur(images: torch.Tensor, sigma: float) -> torch.Tensor:
    """Blurred by a Gaussian of standard deviation `sigma`, in sides."""
    pixels = sigma * images.shape[-1]
    return gaussian_blur(images, 2 * math.ceil(3 * pixels) + 1, pixels)


def noise(images: torch.Tensor, sigma: float) -> torch.Tensor:
    """Gaussian noise of standard deviation `sigma` of the range; the same for the same shape."""
    normal = torch.randn(images.shape, generator=torch.Generator().manual_seed(0))
    return _uint8(images + 255 * sigma * normal)


def darker(images: torch.Tensor, gain: float) -> torch.Tensor:
    """Every value times `gain`."""
    return _uint8(images * gain)


def lower_contrast(images: torch.Tensor, gain: float) -> torch.Tensor:
    """Differences to the image's mean times `gain`."""
    mean = images.float().mean(dim=(1, 2, 3), keepdim=True)
    return _uint8(mean + gain * (images - mean))


def _uint8(images: torch.Tensor) -> torch.Tensor:
    return images.round().clamp(0, 255).to(torch.uint8)


PLAIN = "plain"
_SHIFTS: dict[str, tuple[str, Callable[[torch.Tensor], torch.Tensor]]] = {
    PLAIN: ("plain", lambda images: images),
    **{
        f"{name}_{n}": (f"crop {n} % {name}", functools.partial(crop, side=1 + sign * n / 100))
        for name, sign in (("tighter", -1), ("looser", 1))
        for n in (8, 16, 30)
    },
    "off_centre": ("off centre by 10 % both ways", functools.partial(crop, offset=0.1)),
    **{
        f"turned_{n}": (f"turned by {n} degrees", functools.partial(crop, degrees=n))
        for n in (10, 20)
    },
    "half_resolution": ("half the resolution", half_resolution),
    "jpeg_20": ("JPEG, quality 20", functools.partial(jpeg, quality=20)),
    "blur": ("blur, sigma 1/48 of the side", functools.partial(blur, sigma=1 / 48)),
    "noise": ("noise, sigma 5 % of the range", functools.partial(noise, sigma=0.05)),
    "darker": ("half as bright", functools.partial(darker, gain=0.5)),
    "lower_contrast": ("contrast times 0.4", functools.partial(lower_contrast, gain=0.4)),
}
TITLES = {name: title for name, (title, _) in _SHIFTS.items()}
SHIFTS = {name: shift for name, (_, shift) in _SHIFTS.items()}
