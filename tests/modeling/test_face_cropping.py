import cv2
import numpy as np
import pytest

from modeling.face_cropping import FRAME, crop_face, face_pixels
from modeling.face_detection import Face


def scene(side=200):
    """Each pixel tells its column and its row."""
    rows, columns = np.mgrid[:side, :side]
    return np.stack([columns, rows, 0 * rows], axis=-1).astype(np.uint8)


def test_an_upright_crop_is_a_slice():
    factor, above = FRAME["haar"]
    side = round(factor * 60)
    crop = crop_face(scene(), Face((70, 70, 130, 130), 1.0, "haar")).astype(int)
    assert crop.shape == (side, side, 3)
    first = 100 - side / 2
    np.testing.assert_allclose(crop[0, :, 0], first + np.arange(side), atol=1)
    np.testing.assert_allclose(crop[:, 0, 1], first - above * side + np.arange(side), atol=1)


def test_a_turned_face_is_turned_upright():
    """Eyes that fall to the right by 30 degrees come to lie level."""
    crop = crop_face(scene(), Face((60, 60, 140, 140), 1.0, "yunet", angle=30)).astype(float)
    centre = (len(crop) - 1) / 2
    across = crop[round(centre), -10] - crop[round(centre), 10]  # along the eyes, in the photo
    assert np.degrees(np.arctan2(across[1], across[0])) == pytest.approx(30, abs=2)
    assert np.hypot(across[0], across[1]) == pytest.approx(len(crop) - 20, abs=2)


def test_beyond_the_border_the_edge_is_repeated():
    crop = crop_face(scene(), Face((-30, 50, 30, 110), 1.0, "haar"))
    assert len(crop) == 61
    assert (crop[:, :28, 0] == 0).all()
    assert (np.diff(crop[30, 32:, 0].astype(int)) == 1).all()


@pytest.mark.parametrize("angle", [0, 20])
def test_what_is_finer_than_a_pixel_is_averaged(angle):
    checks = 255 * (np.indices((500, 500)).sum(axis=0) % 2).astype(np.uint8)
    face = Face((30, 30, 470, 470), 1.0, "yunet", angle=angle)
    crop = crop_face(checks[..., None].repeat(3, axis=2), face, 48).astype(float)
    assert crop.mean() == pytest.approx(127.5, abs=1) and crop.std() < 8


def test_an_edge_stays_as_sharp_as_pixels_are():
    photo = np.zeros((500, 500, 3), np.uint8)
    photo[:, 250:] = 255
    crop = crop_face(photo, Face((30, 30, 470, 470), 1.0, "yunet"), 48)
    assert ((crop > 2) & (crop < 253)).sum(axis=1).max() <= 1


def test_a_face_of_the_networks_size_is_left_as_it_is():
    grey = np.random.default_rng(0).integers(0, 256, (48, 48, 1), dtype=np.uint8)
    (found,) = face_pixels(grey.repeat(3, axis=2), None, 48)
    np.testing.assert_array_equal(found, grey[..., 0])


@pytest.mark.parametrize("angle", [0, 20])
def test_a_crop_of_the_networks_size_shows_what_the_large_one_shows(angle):
    face = Face((40, 40, 160, 160), 1.0, "yunet", angle=angle)
    large = cv2.resize(crop_face(scene(), face), (48, 48), interpolation=cv2.INTER_AREA)
    assert np.abs(crop_face(scene(), face, 48).astype(int) - large).max() <= 1
