"""One picture in every kind and layout, and what is none."""

import ast
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from modeling import pixels
from modeling.pixels import to_uint8

RNG = np.random.default_rng(0)
RGB = RNG.integers(0, 256, (40, 30, 3), dtype=np.uint8)
GREY = np.asarray(Image.fromarray(RGB).convert("L"))[..., None]


class ArrayOfAnotherLibrary:
    def __array__(self, dtype=None, copy=None):
        return RGB


@pytest.mark.parametrize("channels, expected", [(1, GREY), (3, RGB)])
def test_every_kind_and_layout_of_a_picture_gives_the_same_pixels(channels, expected):
    tensor = torch.from_numpy(RGB)
    for same in (
        *(RGB, RGB.transpose(2, 0, 1), tensor, tensor.permute(2, 0, 1), ArrayOfAnotherLibrary()),
        *(Image.fromarray(RGB), Image.fromarray(RGB).convert("RGBA")),
        *(RGB.astype(kind) for kind in (np.float32, np.float64, np.int64)),
        *(RGB.astype(np.float32) / 255, tensor / 255, RGB.astype(np.uint16) * 257),
    ):
        np.testing.assert_array_equal(to_uint8(same, channels), expected)


@pytest.mark.parametrize(
    "mode", ["1", "L", "LA", "RGB", "RGBA", "P", "CMYK", "YCbCr", "I;16", "I", "F"]
)
@pytest.mark.parametrize("channels", [1, 3])
def test_modes_of_pillow(mode, channels):
    grey = Image.new("L", (7, 3), 255)
    image = grey.convert("RGB").convert(mode) if mode in ("CMYK", "YCbCr") else grey.convert(mode)
    if mode in ("I;16", "I"):
        image = Image.fromarray(np.full((3, 7), 65535, np.uint16)).convert(mode)
    array = to_uint8(image, channels)
    assert image.mode == mode and array.shape == (3, 7, channels) and (array >= 254).all()


@pytest.mark.parametrize("kind", [np.bool_, np.uint16, np.dtype(">u2")])
def test_types_span_their_range_as_arrays_and_tensors(kind):
    grey = np.array([[0, 1, 1]]).astype(kind) * (257 * 100 if kind is not np.bool_ else True)
    grey = grey.astype(kind)
    expected = [[[0], [100], [100]]] if kind is not np.bool_ else [[[0], [255], [255]]]
    assert to_uint8(grey, 1).tolist() == expected
    native = np.ascontiguousarray(grey).astype(np.dtype(kind).newbyteorder("="))
    assert to_uint8(torch.from_numpy(native), 1).tolist() == expected


@pytest.mark.parametrize("top", [255, 4095, 65535])
def test_fewer_bits_in_a_wider_type_are_not_black(top):
    ramp = np.array([[0, top // 2, top]])
    wide = ramp.astype(np.uint16)
    for image in (wide, torch.from_numpy(wide), Image.fromarray(wide),
                  Image.fromarray(ramp.astype(np.int32))):  # fmt: skip
        assert to_uint8(image, 1)[..., 0].tolist() == [[0, 127, 255]]


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_floats_just_outside_their_range_are_rounded(kind):
    unit = torch.tensor([[-0.005, 0, 100 / 255, 1, 1.008]], dtype=kind)
    assert to_uint8(unit, 1)[..., 0].tolist() == [[0, 0, 100, 255, 255]]
    full = torch.tensor([[-1, 0, 100.4, 255, 256.5]], dtype=kind)
    assert to_uint8(full, 1)[..., 0].tolist() == [[0, 0, 100, 255, 255]]
    whole = torch.tensor([[0, 1, 2]], dtype=kind)  # of a black video frame, say
    assert to_uint8(whole, 1)[..., 0].tolist() == [[0, 1, 2]]


@pytest.mark.parametrize("high", [1.02, 1.5, 4.3, 7.9])
def test_floats_of_which_it_is_not_clear_what_they_mean_are_refused(high):
    with pytest.raises(ValueError, match=f"largest is {high}, which may mean either"):
        to_uint8(np.array([[0, 0.5, high]]), 1)


def test_an_ambiguous_layout_is_as_it_is_said():
    image = RNG.integers(0, 256, (3, 48, 3), dtype=np.uint8)
    assert to_uint8(image, 3, "channels_first").shape == to_uint8(image, 3).shape == (48, 3, 3)
    assert to_uint8(image, 3, "channels_last").shape == (3, 48, 3)
    with pytest.raises(ValueError, match="input_data_format must be .* but it is 'last'"):
        to_uint8(image, 3, "last")


@pytest.mark.parametrize(
    "image, error, message",
    [
        (np.zeros((0, 48), np.uint8), ValueError, "empty array of shape"),
        (np.full((48, 48), np.nan, np.float32), ValueError, "found values from nan"),
        (np.full((48, 48), -1.0), ValueError, r"\[0, 255\]"),
        (np.full((48, 48), 256), ValueError, r"\[0, 255\]"),
        (np.zeros((10, 48, 48), np.uint8), ValueError, r"found shape \(10, 48, 48\)"),
        (np.zeros(48, np.uint8), ValueError, r"found shape \(48,\)"),
        ("face.png", TypeError, "found str 'face.png'"),
        (None, TypeError, "found NoneType"),
        (np.array([["a"]]), TypeError, "array of numbers"),
        (Image.new("L", (0, 4)), ValueError, "empty one of size"),
        (Image.new("I", (2, 2), 70000), ValueError, "found values from 70000 to 70000"),
        (Image.new("I", (2, 2), -1), ValueError, r"\[0, 65535\], but found values from -1"),
    ],
)
def test_what_is_no_image_is_refused_by_name(image, error, message):
    with pytest.raises(error, match=message):
        to_uint8(image, 1)


@pytest.mark.parametrize("height, width", [(48, 48), (20, 90), (90, 20), (61, 77)])
def test_an_image_shrinks_by_area_averages_and_grows_by_interpolation(height, width):
    image = np.random.default_rng(0).uniform(0, 255, (61, 77)).astype(np.float32)
    expected = image
    for size in ((77, height), (width, height)):
        shrinks = size < expected.shape[::-1]
        method = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
        expected = cv2.resize(expected, size, interpolation=method)
    found = pixels.resize(np.stack([image, image]), height, width)
    np.testing.assert_allclose(found, np.stack([expected, expected]), atol=0.01)


TORCHLESS = (
    *("calibration", "face_cropping", "face_detection", "labelling", "names", "photo_reading"),
    *("pixels", "warn_once", "yunet_onnx"),
)


@pytest.mark.parametrize("name", TORCHLESS)
def test_what_needs_no_torch_does_not_import_it(name):
    folder = Path(pixels.__file__).parent
    for node in ast.walk(ast.parse((folder / f"{name}.py").read_text())):
        names = [alias.name for alias in getattr(node, "names", []) if type(node) is ast.Import]
        names += [node.module] if isinstance(node, ast.ImportFrom) else []
        assert not any(name.split(".")[0] in ("torch", "timm", "transformers") for name in names)
        assert all(name in TORCHLESS for name in names if (folder / f"{name}.py").exists())
