import numpy as np
import pytest
import torch
from PIL import Image

from modeling import FerEfficientNetImageProcessor

RNG = np.random.default_rng(0)
GREY = RNG.integers(0, 256, (40, 30), dtype=np.uint8)
RGB = RNG.integers(0, 256, (40, 30, 3), dtype=np.uint8)


def pixels(processor, image, **kwargs):
    return processor(image, return_tensors="pt", **kwargs)["pixel_values"]


@pytest.mark.parametrize("num_channels", [1, 3])
def test_every_layout_of_one_picture_gives_the_same_pixels(num_channels):
    processor = FerEfficientNetImageProcessor(num_channels=num_channels)
    expected = pixels(processor, Image.fromarray(RGB))
    assert expected.shape == (1, num_channels, 48, 48)
    for same in (
        RGB,
        RGB.transpose(2, 0, 1),
        torch.from_numpy(RGB),
        torch.from_numpy(RGB).permute(2, 0, 1),
        RGB[None],
        RGB.transpose(2, 0, 1)[None],
        RGB.astype(np.float32),
        RGB.astype(np.float32) / 255,
        RGB.astype(np.int64),
        [Image.fromarray(RGB)],
    ):
        torch.testing.assert_close(pixels(processor, same), expected)


@pytest.mark.parametrize(
    "mode", ["1", "L", "LA", "RGB", "RGBA", "P", "CMYK", "YCbCr", "I;16", "I", "F"]
)
@pytest.mark.parametrize("num_channels", [1, 3])
def test_pil_modes(mode, num_channels):
    flat = np.full((48, 48), 200, dtype=np.uint8)
    if mode in ("I;16", "I"):
        image = Image.fromarray(flat.astype(np.uint16) * 257)
        image = image.convert("I") if mode == "I" else image
    elif mode == "F":
        image = Image.fromarray(flat.astype(np.float32))
    elif mode == "1":
        image, flat = Image.new("1", (48, 48), 1), np.full((48, 48), 255)
    else:
        image = Image.fromarray(flat).convert("RGB" if mode in ("CMYK", "YCbCr") else mode)
        image = image.convert(mode)
    assert image.mode == mode
    processor = FerEfficientNetImageProcessor(num_channels=num_channels)
    tensor = processor.to_uint8(image)
    assert tensor.shape == (num_channels, 48, 48)
    assert (tensor.int() - int(flat[0, 0])).abs().max() <= 1


def test_grey_is_pillows_luma_for_arrays_too():
    processor = FerEfficientNetImageProcessor()
    expected = np.asarray(Image.fromarray(RGB).convert("L"))
    for image in (Image.fromarray(RGB), RGB, torch.from_numpy(RGB)):
        np.testing.assert_array_equal(processor.to_uint8(image)[0].numpy(), expected)


@pytest.mark.parametrize("kind", [np.float16, np.float32, np.float64])
def test_floats_just_outside_their_range_are_rounded(kind):
    processor = FerEfficientNetImageProcessor()
    unit = np.array([[-0.005, 0, 100 / 255, 1, 1.008]], dtype=kind)
    assert processor.to_uint8(unit).tolist() == [[[0, 0, 100, 255, 255]]]
    full = np.array([[-1, 0, 100.4, 255, 256.5]], dtype=kind)
    assert processor.to_uint8(full).tolist() == [[[0, 0, 100, 255, 255]]]
    whole = np.array([[0, 1, 2]], dtype=kind)  # of a black video frame, say
    assert processor.to_uint8(whole).tolist() == [[[0, 1, 2]]]


@pytest.mark.parametrize("high", [1.02, 1.5, 4.3, 7.9])
def test_floats_of_which_it_is_not_clear_what_they_mean_are_refused(high):
    with pytest.raises(ValueError, match=f"largest is {high}, which may mean either"):
        FerEfficientNetImageProcessor().to_uint8(np.array([[0, 0.5, high]]))


def test_values_are_rescaled_and_normalised():
    processor = FerEfficientNetImageProcessor(size=48, image_mean=[0.5], image_std=[0.25])
    for value in (0, 100, 255):
        flat = np.full((48, 48), value, dtype=np.uint8)
        expected = (value / 255 - 0.5) / 0.25
        torch.testing.assert_close(pixels(processor, flat), torch.full((1, 1, 48, 48), expected))


def test_both_halves_are_the_whole():
    processor = FerEfficientNetImageProcessor()
    halves = processor.normalize_batch(processor.to_uint8(Image.fromarray(RGB))[None])
    torch.testing.assert_close(halves, pixels(processor, Image.fromarray(RGB)))


def test_mixed_sizes_in_one_batch():
    processor = FerEfficientNetImageProcessor()
    batch = pixels(processor, [Image.fromarray(RGB), GREY, np.zeros((100, 7), np.uint8)])
    assert batch.shape == (3, 1, 48, 48)
    torch.testing.assert_close(batch[1:2], pixels(processor, GREY))


def test_ambiguous_layout_follows_input_data_format():
    image = RNG.integers(0, 256, (3, 48, 3), dtype=np.uint8)
    processor = FerEfficientNetImageProcessor(num_channels=3)
    first = processor.to_uint8(image, "channels_first")
    last = processor.to_uint8(image, "channels_last")
    assert first.shape == (3, 48, 3) and last.shape == (3, 3, 48)
    assert torch.equal(processor.to_uint8(image), first)


@pytest.mark.parametrize(
    "image, error, message",
    [
        (np.zeros((0, 48), np.uint8), ValueError, "empty array of shape"),
        ([], ValueError, "empty list"),
        (np.zeros((0, 48, 48, 1), np.uint8), ValueError, "empty batch"),
        (np.full((48, 48), np.nan, np.float32), ValueError, "found values from nan"),
        (np.full((48, 48), -1.0), ValueError, r"\[0, 255\]"),
        (np.full((48, 48), 256), ValueError, r"\[0, 255\]"),
        (np.zeros((10, 48, 48), np.uint8), ValueError, r"found shape \(10, 48, 48\)"),
        (np.zeros(48, np.uint8), ValueError, r"found shape \(48,\)"),
        ("face.png", TypeError, "found str 'face.png'"),
        (None, TypeError, "found NoneType"),
        (np.array([["a"]]), TypeError, "array of numbers"),
        (Image.new("L", (0, 4)), ValueError, "empty one of size"),
    ],
)
def test_what_is_no_image_is_refused_by_name(image, error, message):
    with pytest.raises(error, match=message):
        FerEfficientNetImageProcessor()(image, return_tensors="pt")


def test_wrong_settings_are_refused():
    with pytest.raises(ValueError, match="`num_channels` must be 1"):
        FerEfficientNetImageProcessor(num_channels=2)
    with pytest.raises(ValueError, match="need 1 number"):
        FerEfficientNetImageProcessor(image_mean=[0.1, 0.2, 0.3])


def test_saved_and_loaded_it_is_the_same(tmp_path):
    processor = FerEfficientNetImageProcessor(size={"height": 40, "width": 56}, num_channels=3)
    processor.save_pretrained(tmp_path)
    loaded = FerEfficientNetImageProcessor.from_pretrained(tmp_path)
    assert torch.equal(pixels(loaded, RGB), pixels(processor, RGB))
    assert pixels(loaded, RGB).shape == (1, 3, 40, 56)
