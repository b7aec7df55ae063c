import math

import pytest
import torch
from torch.testing import assert_close

from training.augmentation import AugmentationArguments, BatchAugmentation
from training.targets import Batch, Mixing

OFF = dict.fromkeys(
    ["flip", "rotate", "translate", "scale", "brightness", "contrast", "erasing"], 0.0
)
SIZE = 48


def augment(images, seed=0, **settings):
    torch.manual_seed(seed)
    return BatchAugmentation(**(OFF | settings))(images)


def random_images(n=8, channels=1, dtype=torch.float32):
    generator = torch.Generator().manual_seed(0)
    return torch.randint(256, (n, channels, SIZE, SIZE), generator=generator).to(dtype)


def blobs(n, x, y):
    """A bright spot on black, centred `x` right of and `y` below the image's centre."""
    position = torch.arange(SIZE) - (SIZE - 1) / 2
    square = (position[None, :] - x) ** 2 + (position[:, None] - y) ** 2
    return (200 * torch.exp(-square / 8)).expand(n, 1, -1, -1)


def centres(images):
    """(N, 2): x and y of the centre of mass, from the image's centre."""
    position = torch.arange(SIZE) - (SIZE - 1) / 2
    mass = images.sum(dim=(1, 2, 3))
    x = (images.sum(dim=(1, 2)) * position).sum(dim=1) / mass
    y = (images.sum(dim=(1, 3)) * position).sum(dim=1) / mass
    return torch.stack([x, y], dim=1)


@pytest.mark.parametrize(
    "setting", ["rotate", "translate", "scale", "brightness", "contrast", "erasing"]
)
def test_each_image_of_a_batch_has_its_own_parameters(setting):
    out = augment(random_images(1).expand(8, -1, -1, -1), **{setting: 1.0})
    assert len(out.flatten(1).unique(dim=0)) == 8


def test_flip_mirrors_its_share_of_the_images():
    images = random_images(200)
    out = augment(images, flip=0.5)
    kept = (out - images).abs().amax(dim=(1, 2, 3)) < 0.1
    flipped = (out - images.flip(3)).abs().amax(dim=(1, 2, 3)) < 0.1
    assert (kept ^ flipped).all() and 70 < flipped.sum() < 130
    assert_close(augment(images, flip=1.0), images.flip(3), atol=0.01, rtol=0)


@pytest.mark.parametrize("channels, dtype", [(1, torch.uint8), (3, torch.float32)])
def test_shape_and_range_are_kept(channels, dtype):
    images = random_images(channels=channels, dtype=dtype)
    before = images.clone()
    out = augment(images, flip=0.5, rotate=30.0, translate=0.2, scale=0.3)
    assert out.min() >= 0 and out.max() <= 255.001
    out = augment(images, brightness=0.9, contrast=0.9, erasing=0.5)
    assert out.shape == images.shape and out.dtype == torch.float32
    assert out.min() == 0 and out.max() == 255
    assert torch.equal(images, before)
    assert torch.equal(augment(images), images.float())  # every setting 0


def test_parameters_come_from_the_seed_of_torch():
    images = random_images()
    settings = {"flip": 0.5, "rotate": 10.0, "contrast": 0.2, "erasing": 0.5}
    out = augment(images, seed=1, **settings)
    assert torch.equal(augment(images, seed=1, **settings), out)
    assert not torch.equal(augment(images, seed=2, **settings), out)


def test_translate_shifts_by_up_to_its_share_of_the_side():
    shifts = centres(augment(blobs(100, 0.0, 0.0), translate=0.125))
    assert shifts.abs().max() < 0.125 * SIZE + 0.1
    assert (shifts.amax(dim=0) > 5).all() and (shifts.amin(dim=0) < -5).all()


def test_rotate_and_scale_together_keep_angles_and_their_bounds():
    settings = {"rotate": 40.0, "scale": 0.4}
    right = centres(augment(blobs(200, 10.0, 0.0), **settings))
    below = centres(augment(blobs(200, 0.0, 10.0), **settings))
    turned = torch.stack([-right[:, 1], right[:, 0]], dim=1)  # a quarter turn further
    assert_close(below, turned, atol=0.3, rtol=0)
    degrees = torch.rad2deg(torch.atan2(right[:, 1], right[:, 0])).abs()
    sizes = right.norm(dim=1) / 10
    assert 35 < degrees.max() < 41
    assert 0.58 < sizes.min() < 0.65 and 1.35 < sizes.max() < 1.42


def test_brightness_shifts_all_pixels_of_an_image_alike():
    images = 100 + random_images() / 10
    shifts = (augment(images, brightness=0.2) - images).flatten(1)
    assert_close(shifts, shifts[:, :1].expand_as(shifts), atol=1e-3, rtol=0)
    assert 255 * 0.1 < shifts.abs().max() <= 255 * 0.2
    assert shifts.min() < 0 < shifts.max()


def test_contrast_scales_the_deviations_from_the_mean():
    images = 100 + random_images() / 10
    out = augment(images, contrast=0.2)
    mean = images.mean(dim=(1, 2, 3), keepdim=True)
    gains = (out - mean).std(dim=(1, 2, 3), keepdim=True) / images.std(dim=(1, 2, 3), keepdim=True)
    assert_close(out, (images - mean) * gains + mean, atol=1e-3, rtol=0)
    assert gains.min() >= 0.8 and gains.max() <= 1.2
    assert gains.min() < 1 < gains.max()


def test_erasing_fills_one_rectangle_with_the_mean():
    images = random_images(64) + 0.001 * torch.rand(64, 1, SIZE, SIZE)
    out = augment(images, erasing=1.0)
    changed = (out != images).squeeze(1)
    rows, columns = changed.any(dim=2), changed.any(dim=1)
    assert torch.equal(changed, rows[:, :, None] & columns[:, None, :])
    for edges in (rows, columns):
        assert (edges.int().diff(dim=1) == 1).sum(dim=1).max() <= 1
    for i in range(64):
        assert_close(out[i, 0][changed[i]].unique(), images[i].mean().view(1))
    share = changed.float().mean(dim=(1, 2))
    assert share.min() > 0.004  # a corner's quarter of the smallest
    assert 0.1 < share.max() < 0.2 + 0.03  # whole pixels


def test_erasing_takes_its_share_of_the_images():
    images = random_images(200)
    changed = (augment(images, erasing=0.25) != images).flatten(1).any(dim=1)
    assert 30 < changed.sum() < 70


def constant_images(values):
    return values.view(-1, 1, 1, 1).expand(-1, 1, SIZE, SIZE)


def mix(images, labels, num_classes=None, *, mixup=0.0, cutmix=0.0):
    mixing = Mixing(mixup, cutmix, num_classes or len(labels))
    batch = mixing.apply(Batch(images, labels))
    return batch.images, batch.targets


def mix_distinct(n=32, **settings):
    """Constant images, each its own class -> mixed images, targets, the values by class."""
    values = torch.arange(n) * 8.0
    torch.manual_seed(0)
    mixed, targets = mix(constant_images(values), torch.arange(n), **settings)
    assert targets.shape == (n, n)
    assert_close(targets.sum(dim=1), torch.ones(n))
    assert (targets >= 0).all()
    assert ((targets > 0).sum(dim=1) <= 2).all()
    assert (targets.amax(dim=1) < 1).sum() > n // 2
    return mixed, targets, values


def test_mixup_blends_pixels_as_it_blends_targets():
    mixed, targets, values = mix_distinct(mixup=0.4)
    assert_close(mixed, constant_images(targets @ values), atol=1e-3, rtol=1e-5)


def test_mixup_ratio_follows_its_beta_distribution():
    _, targets, _ = mix_distinct(n=1000, mixup=0.2)
    keep = targets.diagonal()
    assert keep.mean().item() == pytest.approx(0.5, abs=0.05)
    assert keep.std().item() == pytest.approx(math.sqrt(1 / (4 * 1.4)), abs=0.03)


def test_cutmix_targets_are_the_shares_of_the_pixels():
    mixed, targets, values = mix_distinct(cutmix=1.0)
    shares = (mixed == values.view(1, -1, 1, 1)).float().mean(dim=(2, 3))
    assert_close(shares, targets)


def test_cutmix_pastes_a_rectangle_of_the_partner_from_the_same_place():
    images = random_images(32) + torch.rand(32, 1, SIZE, SIZE)
    torch.manual_seed(0)
    mixed, targets = mix(images, torch.arange(32), cutmix=1.0)
    for i, target in enumerate(targets):
        partner = target.clone().index_fill_(0, torch.tensor(i), 0).argmax()
        pasted = (mixed[i] != images[i])[0]
        assert torch.equal(mixed[i, 0][pasted], images[partner, 0][pasted])
        assert torch.equal(pasted, pasted.any(dim=1)[:, None] & pasted.any(dim=0)[None, :])


def test_with_both_on_each_image_gets_one_of_the_two():
    mixed, targets, values = mix_distinct(n=64, mixup=1.0, cutmix=1.0)
    assert_close(mixed.mean(dim=(1, 2, 3)), targets @ values, atol=1e-2, rtol=1e-4)
    blended = (mixed == mixed[:, :, :1, :1]).all(dim=(1, 2, 3))
    assert 16 < blended.sum() < 48
    shares = (mixed[~blended] == values.view(1, -1, 1, 1)).float().mean(dim=(2, 3))
    assert_close(shares, targets[~blended])


@pytest.mark.parametrize("settings", [{"mixup": 0.4}, {"cutmix": 1.0}])
def test_batch_of_a_single_class_keeps_its_target(settings):
    _, targets = mix(random_images(), torch.full((8,), 2), 7, **settings)
    expected = torch.zeros(8, 7)
    expected[:, 2] = 1
    assert_close(targets, expected)


def test_flags_are_the_augmentations():
    assert AugmentationArguments().build() == BatchAugmentation()
    assert AugmentationArguments(augment_erasing=0.5).build().erasing == 0.5
