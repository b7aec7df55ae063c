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
def test_a_picture_a_batch_and_a_list_give_the_same_pixels(num_channels):
    processor = FerEfficientNetImageProcessor(num_channels=num_channels)
    expected = pixels(processor, Image.fromarray(RGB))
    assert expected.shape == (1, num_channels, 48, 48)
    for same in (RGB, RGB[None], torch.from_numpy(RGB).permute(2, 0, 1)[None], [[RGB]]):
        torch.testing.assert_close(pixels(processor, same), expected)


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


def test_size_and_resizing_may_be_another_in_a_call():
    processor = FerEfficientNetImageProcessor(size=48)
    image = np.full((60, 40), 255, np.uint8)
    for options, shape in (
        ({"size": 32}, (32, 32)),
        ({"size": {"height": 30, "width": 20}}, (30, 20)),
        ({"do_resize": False}, (60, 40)),
        ({"do_resize": True}, (48, 48)),
    ):
        for images in (image, [image, image], [image, image.T] if shape[0] == shape[1] else image):
            values = processor(images, return_tensors="pt", **options)["pixel_values"]
            assert values.shape[1:] == (1, *shape) and values.sub(2).abs().max() < 1e-4
    assert processor.size == {"height": 48, "width": 48}
    with pytest.raises(ValueError, match="do_resize=False needs images of one size, but found"):
        processor([image, image.T], do_resize=False)


def test_the_layout_that_is_said_is_taken():
    image = RNG.integers(0, 256, (3, 48, 3), dtype=np.uint8)
    processor = FerEfficientNetImageProcessor(num_channels=3)
    assert processor.to_uint8(image, "channels_last").shape == (3, 3, 48)
    first = pixels(processor, image, input_data_format="channels_first")
    torch.testing.assert_close(pixels(processor, image), first)


def test_pixels_are_the_processors_own():
    face = GREY.copy()
    FerEfficientNetImageProcessor().to_uint8(face)[:] = 0
    np.testing.assert_array_equal(face, GREY)


@pytest.mark.parametrize(
    "images, error, message",
    [
        ([], ValueError, "empty list"),
        (np.zeros((0, 48, 48, 1), np.uint8), ValueError, "empty batch"),
        (["face.png"], TypeError, "found str 'face.png'"),
    ],
)
def test_what_holds_no_image_is_refused(images, error, message):
    with pytest.raises(error, match=message):
        FerEfficientNetImageProcessor()(images, return_tensors="pt")


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
