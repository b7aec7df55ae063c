"""benchmarks/shifts.py: what each shift does to pixels."""

import pytest
import torch

from benchmarks import shifts
from benchmarks.shifts import PLAIN, SHIFTS, TITLES

SIDE = 48


def disc(x: float, y: float, radius: float = 0.12) -> torch.Tensor:
    """White on black, at (x, y) in sides from the image's centre: uint8 (1, 1, 48, 48)."""
    places = (torch.arange(SIDE) + 0.5) / SIDE - 0.5
    distance = ((places[None, :] - x) ** 2 + (places[:, None] - y) ** 2).sqrt()
    return (255 * (distance < radius)).to(torch.uint8)[None, None]


def centre(images: torch.Tensor) -> tuple[float, float]:
    """Of what is white, in sides from the image's centre: x, y."""
    weights = images[0, 0].double() / images.double().sum()
    places = (torch.arange(SIDE) + 0.5) / SIDE - 0.5
    return (weights.sum(0) @ places.double()).item(), (weights.sum(1) @ places.double()).item()


@pytest.mark.parametrize("channels, side", [(1, 48), (3, 64)])
@pytest.mark.parametrize("name", SHIFTS)
def test_shape_and_type_stay_and_a_shift_is_repeatable(name, channels, side):
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (3, channels, side, side), generator=generator).to(torch.uint8)
    before = images.clone()
    shifted = SHIFTS[name](images)
    assert shifted.shape == images.shape and shifted.dtype == torch.uint8
    assert torch.equal(shifted, SHIFTS[name](images)) and torch.equal(images, before)
    assert torch.equal(shifted, images) == (name == PLAIN)
    assert torch.equal(shifted[:1], SHIFTS[name](images[:1])) or name == "noise"
    assert name in TITLES


def test_a_crop_is_as_much_tighter_or_looser_as_it_says():
    for name, side in {"tighter_30": 0.7, "looser_30": 1.3, "looser_8": 1.08}.items():
        x, y = centre(SHIFTS[name](disc(0.2, -0.1)))
        assert (x, y) == pytest.approx((0.2 / side, -0.1 / side), abs=0.01), name


def test_beyond_the_border_the_edge_is_repeated():
    images = torch.full((1, 1, SIDE, SIDE), 90, dtype=torch.uint8)
    assert (SHIFTS["looser_30"](images) == 90).all()


def test_off_centre_the_crop_lies_right_of_and_below_the_face():
    assert centre(SHIFTS["off_centre"](disc(0, 0))) == pytest.approx((-0.1, -0.1), abs=0.01)


def test_faces_are_turned_clockwise():
    x, y = centre(shifts.crop(disc(0, -0.3), degrees=90))  # from above to the right
    assert (x, y) == pytest.approx((0.3, 0), abs=0.01)
    x, y = centre(SHIFTS["turned_20"](disc(0, -0.3)))
    assert (x, y) == pytest.approx((0.3 * 0.342, -0.3 * 0.940), abs=0.01)


def test_details_are_lost_and_means_stay():
    stripes = (255 * (torch.arange(SIDE) % 2)).to(torch.uint8).expand(1, 1, SIDE, SIDE)
    assert SHIFTS["half_resolution"](stripes).float().std() < 1
    assert SHIFTS["blur"](stripes).float().std() < 10
    grey = disc(0, 0) // 2 + 64
    poor, good = (shifts.jpeg(grey, quality).float() - grey for quality in (20, 90))
    assert poor.std() > 2 * good.std() > 0 and abs(poor.mean()) < 2


def test_a_blur_is_the_same_share_of_any_image():
    edge = torch.zeros(1, 1, 96, 96, dtype=torch.uint8)
    edge[..., 48:] = 255
    small, large = (SHIFTS["blur"](one)[0, 0, 0].float() for one in (edge[..., ::2, ::2], edge))
    assert torch.allclose(small, large.view(-1, 2).mean(1), atol=6)


def test_light_and_noise_are_of_the_size_that_they_say():
    images = torch.tensor([100, 200]).to(torch.uint8).repeat(SIDE // 2).expand(2, 1, SIDE, SIDE)
    assert SHIFTS["darker"](images).unique().tolist() == [50, 100]
    assert SHIFTS["lower_contrast"](images).unique().tolist() == [130, 170]
    difference = SHIFTS["noise"](images).float() - images.float()
    assert difference.std() == pytest.approx(0.05 * 255, rel=0.05)
    assert abs(difference.mean()) < 0.5
