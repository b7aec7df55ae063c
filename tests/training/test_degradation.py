import pytest
import torch
from torch.testing import assert_close

from training.augmentation import AugmentationArguments
from training.degradation import (
    PhotoDegradation,
    add_noise,
    blur,
    compress,
    gaussian_blur,
    lose_resolution,
    sharpen,
)

SIZE = 48


def random_images(n=8, channels=1):
    generator = torch.Generator().manual_seed(0)
    return torch.randint(256, (n, channels, SIZE, SIZE), generator=generator).float()


def detail(images):
    """(N,): how much neighbouring pixels differ."""
    return images.diff(dim=-1).abs().mean(dim=(1, 2, 3))


@pytest.mark.parametrize("channels", [1, 3])
def test_share_of_the_images_is_degraded_and_the_input_left_alone(channels):
    images = random_images(200, channels)
    before = images.clone()
    torch.manual_seed(0)
    out = PhotoDegradation(0.5)(images)
    assert torch.equal(images, before)
    assert out.shape == images.shape and out.min() >= 0 and out.max() <= 255
    changed = (out != images).flatten(1).any(dim=1)
    # of those that are chosen, 1 - 0.5 * 0.7 * 0.8 * 0.7 * 0.6 lose something
    assert 70 < changed.sum() < 110
    torch.manual_seed(0)
    assert torch.equal(PhotoDegradation(0.5)(images), out)
    assert torch.equal(PhotoDegradation(0.0)(images), images)


@pytest.mark.parametrize("loss, more", [(lose_resolution, 0), (blur, 0), (sharpen, 1)])
def test_detail_is_lost_or_gained(loss, more):
    images = random_images()
    torch.manual_seed(0)
    gained = detail(loss(images)) > detail(images)
    assert gained.all() if more else not gained.any()


def test_losses_have_parameters_of_their_own_for_each_image():
    images = random_images(1).expand(32, -1, -1, -1)
    for loss, at_least in ((lose_resolution, 3), (blur, 32), (sharpen, 32), (compress, 8)):
        torch.manual_seed(0)
        assert len(loss(images).flatten(1).unique(dim=0)) >= at_least


def test_noise_has_its_strength():
    sigma = (add_noise(torch.full((200, 1, SIZE, SIZE), 128.0)) - 128).std(dim=(1, 2, 3))
    assert 1.9 < sigma.min() < 4 and 18 < sigma.max() < 20.5


def test_jpeg_stays_near_a_smooth_image():
    ramp = torch.linspace(0, 255, SIZE).expand(4, 1, SIZE, SIZE)
    out = compress(ramp)
    assert not torch.equal(out, ramp) and (out - ramp).abs().mean() < 12


def test_gaussian_blur_is_torchvisions_with_one_sigma():
    from torchvision.transforms.v2.functional import gaussian_blur as reference

    images = random_images(3, 3)
    out = gaussian_blur(images, torch.full((3,), 1.3))
    # the edges differ: repeated here, reflected there
    assert_close(out[..., 5:-5, 5:-5], reference(images, 9, 1.3)[..., 5:-5, 5:-5])


def test_flag():
    assert AugmentationArguments().build_degradation() is None
    assert AugmentationArguments(augment_degrade=0.6).build_degradation() == PhotoDegradation(0.6)
    with pytest.raises(ValueError, match="augment_degrade"):
        AugmentationArguments(augment_degrade=1.5)
