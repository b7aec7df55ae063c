"""Faces found by OpenCV's own cascade, and crops of faces whose place is known."""

import sys
from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest
import skimage.data

from modeling import face_detection
from modeling.face_detection import (
    DetectionError,
    Face,
    Haar,
    YuNet,
    find_faces,
    make_detector,
)
from modeling.warn_once import warn_once
from modeling.yunet_onnx import OnnxYuNet

FILE = Path(face_detection.__file__).with_name("face_detection_yunet.onnx")
EILEEN_COLLINS = np.array([177, 67, 270, 160])  # her face in skimage.data.astronaut(), by Haar


@pytest.fixture(scope="module")
def astronaut():
    return skimage.data.astronaut()


@pytest.fixture(scope="module")
def haar():
    return Haar(0.7)


def test_a_face_is_found_where_it_is(astronaut, haar):
    (face,) = find_faces(astronaut, haar, 0)
    np.testing.assert_allclose(face.box, EILEEN_COLLINS, atol=6)
    assert 0.9 < face.score <= 1 and face.detector == "haar" and face.angle == 0


def test_a_large_photo_is_searched_in_a_smaller_copy(astronaut, haar):
    large = np.repeat(np.repeat(astronaut, 3, axis=0), 3, axis=1)  # 1536 px
    (face,) = find_faces(large, haar, 0)
    np.testing.assert_allclose(face.box, 3 * EILEEN_COLLINS, atol=30)


def test_a_tight_crop_is_found(astronaut, haar):
    left, top, right, bottom = EILEEN_COLLINS
    (face,) = find_faces(astronaut[top:bottom:2, left:right:2], haar, 0)  # 47 px, nothing around
    assert face.side == pytest.approx(46, abs=8)


def test_a_photo_without_a_face(astronaut, haar):
    assert find_faces(astronaut[300:, :200], haar, 0) == []
    for shape in ((1, 1, 3), (2, 3000, 3)):
        assert find_faces(np.zeros(shape, np.uint8), haar, 0) == []


def test_faces_come_from_left_to_right(astronaut, haar):
    row = np.concatenate([astronaut[:220, 130:330]] * 3, axis=1)
    faces = find_faces(row, haar, 0)
    assert len(faces) == 3
    assert [round(face.box[0] / 200) for face in faces] == [0, 1, 2]


def test_a_row_of_yunet():
    row = np.array([10, 20, 30, 40, 15, 30, 25, 40, 0, 0, 0, 0, 0, 0, 0.75], np.float32)
    face = YuNet._face(row)
    assert face.box == (10, 20, 40, 60) and face.score == 0.75
    assert face.angle == pytest.approx(45) and face.side == 40


class FakeNetwork:
    """Stands in for OpenCV's network; its rows are YuNet's."""

    def __init__(self, *rows):
        self.rows, self.sizes = np.array(rows, np.float32).reshape(-1, 15), []

    def setInputSize(self, size):
        self.sizes.append(size)

    def detect(self, photo):
        assert photo.shape[1::-1] == self.sizes[-1]
        return 1, self.rows


def yunet(*boxes):
    """A YuNet that finds a face in each of these boxes: x, y, width, height."""
    detector = object.__new__(YuNet)
    detector.network = FakeNetwork(*([*box] + [0] * 10 + [0.9] for box in boxes))
    return detector


@pytest.mark.parametrize("shape", [(20, 1200), (1200, 20), (1, 1), (32, 640), (300, 400)])
def test_yunet_is_never_run_on_a_grid_of_one_row_or_column(shape):
    """OpenCV then reads memory that it has not written."""
    detector = yunet()
    assert find_faces(np.full((*shape, 3), 127, np.uint8), detector, 0) == []
    assert all(min(size) >= 64 for size in detector.network.sizes)


def test_onnx_runtime_gives_opencvs_rows(astronaut):
    opencv = cv2.FaceDetectorYN.create(str(FILE), "", (320, 320), 0.6, 0.3, 500)
    ours = OnnxYuNet(FILE, 0.6)
    faces = [cv2.resize(astronaut[60:180, 150:290], (side, side)) for side in (40, 150, 90)]
    crowd = np.full((200, 333, 3), 127, np.uint8)
    for left, face in zip((3, 60, 230), faces):  # two of them overlap
        crowd[:150, left : left + 150][: len(face), : len(face)] = face
    turned = np.ascontiguousarray(np.rot90(astronaut))
    for photo in (astronaut, astronaut[:230, 100:350], turned, crowd, crowd[:97, :70]):
        photo = np.ascontiguousarray(photo[..., ::-1])
        opencv.setInputSize(photo.shape[1::-1])
        _, expected = opencv.detect(photo)
        _, rows = ours.detect(photo)
        expected = np.zeros((0, 15)) if expected is None else expected
        np.testing.assert_allclose(rows, expected, atol=0.01)


def test_each_face_of_a_large_crowd_is_found(astronaut):
    face = cv2.resize(astronaut[60:180, 150:290], (50, 50))
    assert len(find_faces(np.tile(face, (20, 20, 1)), make_detector("yunet", FILE, 0.7), 80)) == 400


def test_opencv_stands_in_and_says_why(astronaut, tmp_path, monkeypatch, caplog):
    warn_once.cache_clear()
    network = onnx.load(FILE)
    for side in network.graph.input[0].type.tensor_type.shape.dim[2:]:
        side.dim_value = 640  # as in the file of YuNet's authors
    onnx.save(network, tmp_path / "yunet.onnx")
    (expected,) = find_faces(astronaut, make_detector("yunet", FILE, 0.7), 80)
    found = [find_faces(astronaut, make_detector("yunet", tmp_path / "yunet.onnx", 0.7), 80)]
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    found.append(find_faces(astronaut, make_detector("yunet", FILE, 0.7), 80))
    for (face,) in found:
        assert face.box == pytest.approx(expected.box, abs=0.01)
    assert [warning.rpartition(": ")[2] for warning in caplog.messages] == [
        f"{tmp_path / 'yunet.onnx'} takes pictures of a single size.",
        "onnxruntime is not installed.",
    ]


def test_boxes_that_are_none_are_dropped():
    nan, inf = float("nan"), float("inf")
    photo = np.zeros((300, 400, 3), np.uint8)
    wrong = [(nan, 0, 50, 50), (0, 0, inf, 50), (-inf, -inf, inf, inf), (410, 0, 50, 50),
             (0, -90, 50, 60), (50, 50, 0, 0), (-1e6, -1e6, 2e6, 2e6)]  # fmt: skip
    (face,) = find_faces(photo, yunet(*wrong, (-10, 20, 60, 60)), 0)
    assert face.box == (-10, 20, 50, 80)
    over_the_border = find_faces(photo, yunet((-40, -40, 480, 380)), 0)
    assert len(over_the_border) == 1


class Spots:
    """A detector that finds white rectangles, if at least `least_face` pixels high and wide."""

    largest_side, least_face = 400, 16

    def __call__(self, photo):
        count, _, boxes, _ = cv2.connectedComponentsWithStats(photo[..., 0] // 128)
        boxes = [(x, y, x + w, y + h) for x, y, w, h, _ in boxes[1:] if min(w, h) >= 16]
        return [Face(tuple(map(float, box)), 0.9, "yunet") for box in boxes]


SPOTS = [(5, 700, 35, 730), (380, 380, 410, 410), (700, 100, 1400, 800), (1960, 960, 1990, 990)]


@pytest.fixture
def large_photo():
    """2000 x 1000, with three small faces, of 30 pixels, and one that is larger than a tile."""
    photo = np.zeros((1000, 2000, 3), np.uint8)
    for left, top, right, bottom in SPOTS:
        photo[top:bottom, left:right] = 255
    return photo


def test_small_faces_in_large_photos_are_found_in_tiles(large_photo):
    found = find_faces(large_photo, Spots(), 16, tiles=True)
    np.testing.assert_allclose([face.box for face in found], SPOTS, atol=6)  # in a copy of 400
    assert len(find_faces(large_photo, Spots(), 40, tiles=True)) == len(SPOTS)  # all are given


@pytest.mark.parametrize("length, tile, overlap", [(2000, 400, 120), (401, 400, 10), (90, 400, 9)])
def test_tiles_cover_everything_with_overlap(length, tile, overlap):
    starts = face_detection._starts(length, tile, overlap)
    assert starts[0] == 0 and starts[-1] == max(0, length - tile)
    assert all(after - before <= tile - overlap for before, after in zip(starts, starts[1:]))


def test_a_warning_says_once_what_a_search_without_tiles_misses(large_photo, caplog):
    warn_once.cache_clear()
    find_faces(large_photo, Spots(), 40)
    find_faces(large_photo, Spots(), 16, tiles=True)
    find_faces(large_photo[:400, :800], Spots(), 16)
    assert caplog.messages == []
    for _ in range(2):
        assert len(find_faces(large_photo, Spots(), 16)) == 1
    (warning,) = caplog.messages
    assert "larger than 400 px, faces below 1/25 of the longer side (240 px of 6000)" in warning
    assert "min_face_size=16" in warning and "tiles=True" in warning


def test_a_detector_that_fails_names_itself():
    def failing(photo):
        raise face_detection.cv2.error("Insufficient memory")

    failing.largest_side = 1280
    with pytest.raises(DetectionError, match="face detector function fails .*Insufficient memory"):
        find_faces(np.zeros((300, 400, 3), np.uint8), failing, 0)


def test_auto_without_yunets_file_is_haar_with_a_warning(caplog):
    assert isinstance(make_detector("auto", None, 0.7), Haar)
    (warning,) = caplog.messages
    assert "Haar cascade" in warning and "detector_path" in warning
    with pytest.raises(ValueError, match="There is no face_detection_yunet.onnx beside"):
        make_detector("yunet", None, 0.7)


def test_a_file_that_is_no_yunet_is_refused(tmp_path):
    (tmp_path / "yunet.onnx").write_bytes(b"something else")
    with pytest.raises(ValueError, match="yunet.onnx: cannot be read as YuNet"):
        make_detector("yunet", tmp_path / "yunet.onnx", 0.7)
    with pytest.raises(ValueError, match="model.onnx: is not YuNet"):
        make_detector("yunet", FILE.parents[1] / "model" / "model.onnx", 0.7)
    with pytest.raises(ValueError, match="detector_path none.onnx: no such file"):
        make_detector("auto", "none.onnx", 0.7)


def test_without_opencv(monkeypatch):
    monkeypatch.setattr(face_detection, "cv2", None)
    assert make_detector("none", None, 0.7) is None
    with pytest.raises(ImportError, match="pip install 'opencv-python-headless<5'"):
        make_detector("auto", None, 0.7)
