"""The one definition of grey, resize, rescale, normalise for training, evaluation and inference."""

import copy
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from transformers.image_processing_utils import BaseImageProcessor, BatchFeature
from transformers.utils import TensorType

from .pixels import to_uint8


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
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        self.size = _height_and_width(48 if size is None else size)
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
        images: Any,
        return_tensors: str | TensorType | None = None,
        input_data_format: str | None = None,
        *,
        size: dict[str, int] | int | None = None,
        do_resize: bool = True,
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
            size: in place of the processor's own, in this call.
            do_resize (`bool`): False leaves images as large as they are; they must be of one size.

        Returns:
            [`BatchFeature`] with `pixel_values` of shape (N, num_channels, height, width), float32.

        Raises:
            ValueError: an image is empty, has no image's shape, or holds NaN, values outside
                [0, 255], or values of which it is not clear what they mean.
            TypeError: something is not an image.
        """
        arrays = [self.to_uint8(image, input_data_format) for image in flatten_images(images)]
        shapes = {tuple(array.shape[1:]) for array in arrays}
        if not do_resize:
            if len(shapes) > 1:
                raise ValueError(f"do_resize=False needs images of one size, but found {shapes}.")
            size = dict(zip(("height", "width"), *shapes))
        sized = copy.copy(self)
        sized.size = self.size if size is None else _height_and_width(size)
        if len(shapes) == 1:
            pixel_values = sized.normalize_batch(torch.stack(arrays))
        else:
            pixel_values = torch.cat([sized.normalize_batch(array[None]) for array in arrays])
        return BatchFeature({"pixel_values": pixel_values}, tensor_type=return_tensors or "pt")

    def to_uint8(self, image: Any, input_data_format: str | None = None) -> torch.Tensor:
        """An image of any kind `preprocess` takes -> uint8 (num_channels, H, W) in [0, 255]."""
        # a copy: Pillow's arrays are read-only, and others belong to the caller
        pixels = np.array(to_uint8(image, self.num_channels, input_data_format))  # (H, W, C)
        tensor = torch.from_numpy(pixels)
        # (C, H, W); a plane alone has a plane's strides, by which kernels are chosen
        tensor = tensor[None, ..., 0] if self.num_channels == 1 else tensor.permute(2, 0, 1)
        return tensor.to(image.device) if isinstance(image, torch.Tensor) else tensor

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


def _height_and_width(size: dict[str, int] | int) -> dict[str, int]:
    return {"height": size, "width": size} if isinstance(size, int) else dict(size)


def flatten_images(images: Any) -> list:
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


FerEfficientNetImageProcessor.register_for_auto_class("AutoImageProcessor")

__all__ = ["FerEfficientNetImageProcessor"]
