"""The one definition of grey, resize, rescale, normalise for training, evaluation and inference."""

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from transformers.image_processing_utils import BaseImageProcessor, BatchFeature
from transformers.utils import TensorType

CHANNELS = (1, 3, 4)  # grey, RGB, RGBA
ROUNDING = 0.01  # of the range, by which floats may lie outside it
LEAST_OF_255 = 8  # fractions whose largest is below this are no photo in [0, 255]: it were black


class FerEfficientNetImageProcessor(BaseImageProcessor):
    r"""
    Turns images into the `pixel_values` of [`FerEfficientNetForImageClassification`].

    The work has two halves, which training calls one by one and inference calls together:
    [`~FerEfficientNetImageProcessor.to_uint8`] reads anything that is an image into uint8
    (C, H, W), and [`~FerEfficientNetImageProcessor.normalize_batch`] resizes, rescales and
    normalises a batch on its device.

    Args:
        size (`dict`, defaults to `{"height": 48, "width": 48}`): Height and width of the output in
            pixels.
        num_channels (`int`, defaults to 1): 1 makes images grey (ITU-R 601 luma, as Pillow's "L"),
            3 makes them RGB.
        image_mean (`list[float]`, *optional*, defaults to 0.5 per channel): Mean of pixels in
            [0, 1], per channel.
        image_std (`list[float]`, *optional*, defaults to 0.25 per channel): Standard deviation,
            likewise.

    Example:

    ```python
    >>> import numpy as np
    >>> from modeling import FerEfficientNetImageProcessor

    >>> processor = FerEfficientNetImageProcessor()
    >>> face = np.zeros((48, 48), dtype=np.uint8)
    >>> processor(face, return_tensors="pt")["pixel_values"].shape
    torch.Size([1, 1, 48, 48])

    ```"""

    model_input_names = ["pixel_values"]

    def __init__(
        self,
        size: dict[str, int] | int | None = None,
        num_channels: int = 1,
        image_mean: Sequence[float] | None = None,
        image_std: Sequence[float] | None = None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        size = 48 if size is None else size
        self.size = {"height": size, "width": size} if isinstance(size, int) else dict(size)
        self.num_channels = num_channels
        self.image_mean = [0.5] * num_channels if image_mean is None else list(image_mean)
        self.image_std = [0.25] * num_channels if image_std is None else list(image_std)
        if num_channels not in (1, 3):
            raise ValueError(
                f"`num_channels` must be 1 (grey) or 3 (RGB), but it is {num_channels!r}."
            )
        if not len(self.image_mean) == len(self.image_std) == num_channels:
            raise ValueError(
                f"`image_mean` and `image_std` need {num_channels} number(s), "
                "one for each channel, but they are "
                f"{self.image_mean} and {self.image_std}."
            )

    def preprocess(
        self,
        images,
        return_tensors: str | TensorType | None = None,
        input_data_format: str | None = None,
    ) -> BatchFeature:
        """
        Args:
            images: One image or a list of them: PIL of any mode; numpy or torch (H, W), (H, W, C)
                or (C, H, W) with C 1, 3 or 4; or a batch (N, H, W, C) or (N, C, H, W). uint8 and
                uint16 span their type's range; floats are in [0, 1], or in [0, 255] if the image's
                largest value exceeds 1. Up to 1% outside the range is taken as rounding. A largest
                value between 1.01 and 8 is refused, as it may mean either, unless all values are
                whole numbers, which are in [0, 255].
            return_tensors (`str`, *optional*): `"pt"` or `"np"`; None is `"pt"`.
            input_data_format (`str`, *optional*): `"channels_first"` or `"channels_last"` for
                arrays whose layout is ambiguous, such as (3, 48, 3); otherwise it is inferred, with
                channels first if both fit.

        Returns:
            [`BatchFeature`] with `pixel_values` of shape (N, num_channels, height, width), float32.

        Raises:
            ValueError: an image is empty, has no image's shape, or holds NaN, values outside
                [0, 255], or values of which it is not clear what they mean.
            TypeError: something is not an image.
        """
        arrays = [self.to_uint8(image, input_data_format) for image in flatten_images(images)]
        if len({array.shape for array in arrays}) == 1:
            pixel_values = self.normalize_batch(torch.stack(arrays))
        else:
            pixel_values = torch.cat([self.normalize_batch(array[None]) for array in arrays])
        return BatchFeature({"pixel_values": pixel_values}, tensor_type=return_tensors or "pt")

    def to_uint8(self, image, input_data_format: str | None = None) -> torch.Tensor:
        """An image of any kind `preprocess` takes -> uint8 (num_channels, H, W) in [0, 255]."""
        if isinstance(image, Image.Image):
            image = _pil_to_numpy(image, "L" if self.num_channels == 1 else "RGB")
            input_data_format = "channels_last"
        if isinstance(image, torch.Tensor) and image.dtype in (torch.bool, torch.uint16):
            image = image.cpu().numpy()
        if isinstance(image, np.ndarray):
            image = _numpy_to_torch(image)
        if not isinstance(image, torch.Tensor):
            raise TypeError(
                f"Expected a PIL image, a numpy array or a torch tensor, but found {_name(image)}."
            )
        image = _range_to_uint8(_channels_first(image, input_data_format))
        return _set_channels(image, self.num_channels)

    def resize_batch(self, images: torch.Tensor, side: int | None = None) -> torch.Tensor:
        """(N, C, H, W), any number type -> float32 (N, C, height, width), bilinear, antialiased."""
        images = images.float()
        target = (side, side) if side else (self.size["height"], self.size["width"])
        if tuple(images.shape[-2:]) == target:
            return images
        return F.interpolate(images, size=target, mode="bilinear", antialias=True)

    def normalize_batch(self, images: torch.Tensor, side: int | None = None) -> torch.Tensor:
        """
        Resize (bilinear, antialiased), rescale to [0, 1], normalise.

        Args:
            images: (N, num_channels, H, W) with values in [0, 255], uint8 or float, on any device.
            side: height and width in pixels, in place of the processor's `size`.

        Returns:
            float32 tensor of shape (N, num_channels, height, width) on the same device.
        """
        images = self.resize_batch(images, side)
        # ((x / 255) - mean) / std as one multiplication and one addition per pixel
        scale = torch.tensor(
            [1 / (255 * std) for std in self.image_std], device=images.device
        ).view(1, -1, 1, 1)
        shift = torch.tensor(
            [m / s for m, s in zip(self.image_mean, self.image_std)], device=images.device
        )
        return images * scale - shift.view(1, -1, 1, 1)


def flatten_images(images) -> list:
    """One image, a batch or a list of them -> a list of single images; rejects what holds none."""
    if isinstance(images, (list, tuple)):
        if not images:
            raise ValueError("Expected at least one image, but found an empty list.")
        return [single for image in images for single in flatten_images(image)]
    if isinstance(images, (np.ndarray, torch.Tensor)) and images.ndim == 4:
        if len(images) == 0:
            raise ValueError(
                "Expected at least one image, but found an empty batch of shape "
                f"{tuple(images.shape)}."
            )
        return list(images)
    return [images]


def _name(value) -> str:
    shown = repr(value)
    return f"{type(value).__name__} {shown if len(shown) <= 60 else shown[:57] + '...'}"


def _pil_to_numpy(image: Image.Image, mode: str) -> np.ndarray:
    if 0 in image.size:
        raise ValueError(
            f"Expected an image with pixels, but found an empty one of size {image.size}."
        )
    if image.mode.startswith("I"):  # 16-bit grey; Pillow opens some of it as 32-bit "I"
        return np.clip(np.asarray(image), 0, 65535).astype(np.uint16)
    if image.mode == "F":
        return np.asarray(image)
    if image.mode not in ("L", "RGB", "1", "LA"):
        image = image.convert("RGB")  # palettes, CMYK, YCbCr, alpha
    return np.asarray(image if image.mode == mode else image.convert(mode))


def _numpy_to_torch(image: np.ndarray) -> torch.Tensor:
    if image.dtype == bool:
        image = image.astype(np.uint8) * 255
    if image.dtype.kind not in "uif":
        raise TypeError(f"Expected an array of numbers, but found one of dtype {image.dtype}.")
    image = image.astype(image.dtype.newbyteorder("="), copy=False)
    if image.dtype == np.uint16:
        image = image.astype(np.int32) // 257  # 65535 -> 255
    return torch.from_numpy(np.array(image))  # a copy: Pillow's arrays are read-only


def _channels_first(image: torch.Tensor, data_format: str | None) -> torch.Tensor:
    """(H, W), (H, W, C) or (C, H, W) -> (C, H, W)."""
    shape = tuple(image.shape)
    if 0 in shape:
        raise ValueError(
            f"Expected an image with pixels, but found an empty array of shape {shape}."
        )
    if image.ndim == 2:
        return image[None]
    if data_format not in (None, "channels_first", "channels_last"):
        raise ValueError(
            "input_data_format must be 'channels_first' or 'channels_last', but it is "
            f"{data_format!r}."
        )
    if image.ndim == 3 and shape[0] in CHANNELS and data_format != "channels_last":
        return image
    if image.ndim == 3 and shape[2] in CHANNELS and data_format != "channels_first":
        return image.permute(2, 0, 1)
    raise ValueError(
        f"Expected an image of shape (H, W), (H, W, C) or (C, H, W) with C in {CHANNELS}, "
        "or a batch of 4 dimensions, "
        f"but found shape {shape}. "
        "A batch of grey images (N, H, W) becomes (N, 1, H, W) by images[:, None]."
    )


def _range_to_uint8(image: torch.Tensor) -> torch.Tensor:
    if image.dtype == torch.uint8:
        return image
    low, high, scale, rounding = image.min().item(), image.max().item(), 1, 0
    if image.is_floating_point():
        if 1 + ROUNDING < high < LEAST_OF_255 and not torch.equal(image, image.round()):
            raise ValueError(
                f"Expected pixel values in [0, 255] or [0, 1], but the largest is {high}, which "
                "may mean either. Clip them to [0, 1], or convert them to uint8."
            )
        scale, rounding = 255 if high <= 1 + ROUNDING else 1, 255 * ROUNDING
    if not (-rounding <= low * scale and high * scale <= 255 + rounding):  # also catches NaN
        raise ValueError(
            f"Expected pixel values in [0, 255] or [0, 1], but found values from {low} to {high}."
        )
    if image.is_floating_point():
        image = (image * scale).round().clamp(0, 255)
    return image.to(torch.uint8)


def _set_channels(image: torch.Tensor, num_channels: int) -> torch.Tensor:
    """uint8 (1, 3 or 4, H, W) -> (num_channels, H, W); alpha is dropped."""
    image = image[:3]
    if image.shape[0] == num_channels:
        return image
    if num_channels == 3:
        return image.expand(3, -1, -1)
    red, green, blue = image.to(torch.int32)
    grey = (
        19595 * red + 38470 * green + 7471 * blue + 32768
    ) >> 16  # Pillow's own integers for "L"
    return grey.to(torch.uint8)[None]


FerEfficientNetImageProcessor.register_for_auto_class("AutoImageProcessor")

__all__ = ["FerEfficientNetImageProcessor"]
