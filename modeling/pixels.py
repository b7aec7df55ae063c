"""An image of any kind -> uint8 pixels -> their size, for training and inference. No torch."""

import sys
from typing import Any

import numpy as np
from PIL import Image

CHANNELS = (1, 3, 4)  # grey, RGB, RGBA
ROUNDING = 0.01  # of the range, by which floats may lie outside it
DEPTHS = (255, 4095, 65535)  # cameras and scanners write 8 or 12 bits into 16 as well
LEAST_OF_255 = 8  # fractions whose largest is below this are no photo in [0, 255]: it were black


def to_uint8(image: Any, channels: int, data_format: str | None = None) -> np.ndarray:
    """
    Args:
        image: PIL of any mode; numpy, torch or any other array (H, W), (H, W, C) or (C, H, W) with
            C 1, 3 or 4. uint8 spans [0, 255]; uint16, and Pillow's 16- and 32-bit grey, the least
            of 8, 12 and 16 bits that holds the largest; floats are in [0, 1], or in [0, 255] if the
            largest exceeds 1.
        channels: 1 for grey (ITU-R 601 luma, as Pillow's "L"), 3 for RGB. Alpha is dropped.
        data_format: `"channels_first"` or `"channels_last"` for arrays that may be either, such as
            (3, 48, 3); otherwise it is inferred, with channels first if both fit.

    Returns:
        uint8 (H, W, channels) in [0, 255], which may share memory with the image.

    Raises:
        ValueError: it is empty, has no image's shape, or holds NaN, values outside [0, 255], or
            values of which it is not clear what they mean.
        TypeError: it is no image.
    """
    if isinstance(image, Image.Image):
        image, data_format = _of_pillow(image, "L" if channels == 1 else "RGB"), "channels_last"
    elif is_tensor(image):
        image = image.detach().cpu()
        # numpy has no bfloat16
        image = (image.float() if str(image.dtype) == "torch.bfloat16" else image).numpy()
    elif not isinstance(image, np.ndarray) and hasattr(image, "__array__"):
        image = np.asarray(image)
    if not isinstance(image, np.ndarray):
        raise TypeError(
            f"Expected a PIL image, a numpy array or a torch tensor, but found {_named(image)}."
        )
    if image.dtype.kind not in "buif":
        raise TypeError(f"Expected an array of numbers, but found one of dtype {image.dtype}.")
    return _with_channels(_in_range(_channels_last(image, data_format)), channels)


def resize(pixels: np.ndarray, height: int, width: int) -> np.ndarray:
    """(..., H, W) -> float32 (..., height, width), by `resize_weights`."""
    rows, columns = map(resize_weights, pixels.shape[-2:], (height, width))
    return rows @ pixels.astype(np.float32) @ columns.T


def resize_weights(length: int, target: int) -> np.ndarray:
    """
    float32 (target, length): what each pixel of a line counts in each pixel of the resized line. A
    line that shrinks is averaged over the area of each new pixel; one that grows is interpolated.
    """
    pixels = np.arange(length)
    if target > length:
        places = ((np.arange(target) + 0.5) * length / target - 0.5).clip(0, length - 1)
        weights = (1 - abs(places[:, None] - pixels)).clip(0)
    else:
        edges = np.arange(target + 1)[:, None] * length / target
        weights = (np.minimum(edges[1:], pixels + 1) - np.maximum(edges[:-1], pixels)).clip(0)
        weights *= target / length
    return weights.astype(np.float32)


def is_tensor(value: Any) -> bool:
    """Whether it is a tensor of torch, which need not be imported for the answer."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(value, torch.Tensor)


def _named(value: Any) -> str:
    shown = repr(value)
    return f"{type(value).__name__} {shown if len(shown) <= 60 else shown[:57] + '...'}"


def _of_pillow(image: Image.Image, mode: str) -> np.ndarray:
    if 0 in image.size:
        raise ValueError(
            f"Expected an image with pixels, but found an empty one of size {image.size}."
        )
    if image.mode.startswith("I"):  # 16-bit grey; Pillow opens some of it as 32-bit "I"
        grey = np.asarray(image)
        low, high = grey.min(), grey.max()
        if low < 0 or high > 65535:
            raise ValueError(
                f"Expected pixel values in [0, 65535], but found values from {low} to {high}."
            )
        return grey.astype(np.uint16)
    if image.mode == "F":
        return np.asarray(image)
    if image.mode not in ("L", "RGB", "1", "LA"):
        image = image.convert("RGB")  # palettes, CMYK, YCbCr, alpha
    return np.asarray(image if image.mode == mode else image.convert(mode))


def _channels_last(image: np.ndarray, data_format: str | None) -> np.ndarray:
    """(H, W), (H, W, C) or (C, H, W) -> (H, W, C)."""
    shape = image.shape
    if 0 in shape:
        raise ValueError(
            f"Expected an image with pixels, but found an empty array of shape {shape}."
        )
    if image.ndim == 2:
        return image[..., None]
    if data_format not in (None, "channels_first", "channels_last"):
        raise ValueError(
            "input_data_format must be 'channels_first' or 'channels_last', but it is "
            f"{data_format!r}."
        )
    if image.ndim == 3 and shape[0] in CHANNELS and data_format != "channels_last":
        return image.transpose(1, 2, 0)
    if image.ndim == 3 and shape[2] in CHANNELS and data_format != "channels_first":
        return image
    raise ValueError(
        f"Expected an image of shape (H, W), (H, W, C) or (C, H, W) with C in {CHANNELS}, "
        f"or a batch of 4 dimensions, but found shape {shape}. "
        "A batch of grey images (N, H, W) becomes (N, 1, H, W) by images[:, None]."
    )


def _in_range(image: np.ndarray) -> np.ndarray:
    """Any numbers -> uint8 in [0, 255]."""
    if image.dtype == np.uint8:
        return image
    if image.dtype == bool:
        return image.astype(np.uint8) * 255
    if image.dtype.kind == "u" and image.dtype.itemsize == 2:
        largest = image.max()
        top = next(top for top in DEPTHS if largest <= top)
        return (image.astype(np.uint32) * 255 // top).astype(np.uint8)
    is_float = image.dtype.kind == "f"
    low, high, scale, rounding = image.min().item(), image.max().item(), 1, 0
    if is_float:
        if 1 + ROUNDING < high < LEAST_OF_255 and (image != image.round()).any():
            raise ValueError(
                f"Expected pixel values in [0, 255] or [0, 1], but the largest is {high}, which "
                "may mean either. Clip them to [0, 1], or convert them to uint8."
            )
        scale, rounding = 255 if high <= 1 + ROUNDING else 1, 255 * ROUNDING
    if not (-rounding <= low * scale and high * scale <= 255 + rounding):  # also catches NaN
        raise ValueError(
            f"Expected pixel values in [0, 255] or [0, 1], but found values from {low} to {high}."
        )
    if is_float:
        image = (image * scale).round().clip(0, 255)
    return image.astype(np.uint8)


def _with_channels(image: np.ndarray, channels: int) -> np.ndarray:
    """uint8 (H, W, 1, 3 or 4) -> (H, W, channels)."""
    image = image[..., :3]  # without alpha
    if image.shape[2] == channels:
        return image
    if channels == 3:
        planes = image.transpose(2, 0, 1).repeat(3, axis=0)  # (3, H, W), in memory too
        return planes.transpose(1, 2, 0)
    rgb = Image.fromarray(np.ascontiguousarray(image))
    return np.asarray(rgb.convert("L"))[..., None]  # (H, W, 1)
