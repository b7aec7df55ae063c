"""The facial-emotion pipeline, on a small network and on model/ as it ships."""

import copy
import io
import json
import pickle
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import pytest
import skimage.data
import torch
from datasets import Dataset, Features
from datasets import Image as ImageFeature
from PIL import Image
from transformers import pipeline

from modeling import (
    FacialEmotionPipeline,
    FerEfficientNetConfig,
    FerEfficientNetForImageClassification,
    FerEfficientNetImageProcessor,
    face_detection,
)
from modeling.face_detection import Haar
from modeling.photo_reading import PhotoError

MODEL = Path(__file__).parents[2] / "model"
DISTRIBUTION = [0.1, 0.05, 0.1, 0.35, 0.15, 0.1, 0.15]


@pytest.fixture(scope="module")
def find():
    torch.manual_seed(0)
    config = FerEfficientNetConfig(
        backbone="test_efficientnet",
        initializer_range=3.0,
        train_distribution=DISTRIBUTION,
        uncertain_below=0.5,
        head_hidden_sizes=[],
    )
    model = FerEfficientNetForImageClassification(config).eval()
    processor = FerEfficientNetImageProcessor()
    return FacialEmotionPipeline(model=model, image_processor=processor, detector="haar")


@pytest.fixture(scope="module")
def astronaut():
    return skimage.data.astronaut()


@pytest.fixture(scope="module")
def photos(astronaut):
    """With 1, 0, 3, 1 and 2 faces."""
    face = astronaut[:220, 130:330]
    nothing = astronaut[300:, :200]
    dim = (face * 0.7).astype(np.uint8)
    return [astronaut, nothing, np.concatenate([face, dim, face], 1), dim,
            np.concatenate([face[:, ::-1], dim], 1)]  # fmt: skip


def bare(face):
    return {name: value for name, value in face.items() if not isinstance(value, np.ndarray)}


def assert_same_faces(found, expected):
    assert [len(faces) for faces in found] == [len(faces) for faces in expected]
    for faces, others in zip(found, expected):
        for face, other in zip(faces, others):
            assert face["box"] == other["box"] and face["label"] == other["label"]
            assert face["scores"] == pytest.approx(other["scores"], abs=1e-5)


def test_a_face_is_described(find, astronaut):
    (face,) = find(astronaut)
    assert set(face) == {"box", "face_score", "label", "score", "scores", "uncertain"}
    assert set(face["box"]) == {"xmin", "ymin", "xmax", "ymax"}
    assert 150 < face["box"]["xmin"] < face["box"]["xmax"] < 300
    assert list(face["scores"]) == list(find.model.config.id2label.values())
    assert sum(face["scores"].values()) == pytest.approx(1, abs=1e-5)
    assert face["score"] == max(face["scores"].values()) == face["scores"][face["label"]]
    json.dumps(face)


def test_many_photos_in_order_whatever_the_batch(find, photos):
    alone = [find(photo) for photo in photos]
    assert [len(faces) for faces in alone] == [1, 0, 3, 1, 2]
    for batch_size in (1, 2, 4, 32):
        assert_same_faces(find(photos, batch_size=batch_size), alone)


def test_every_kind_of_input(find, photos, tmp_path):
    expected = [find(photo) for photo in photos]
    images = [Image.fromarray(photo) for photo in photos]
    paths = [tmp_path / f"{number}.png" for number in range(len(photos))]
    for image, path in zip(images, paths):
        image.save(path)
    assert_same_faces(find(images), expected)
    assert_same_faces(find(paths), expected)
    assert_same_faces([find(str(paths[0]))], expected[:1])
    stream = find(photo for photo in photos)
    assert not isinstance(stream, list)
    assert_same_faces(list(stream), expected)
    column = Dataset.from_dict(
        {"image": [str(path) for path in paths]}, Features({"image": ImageFeature()})
    )["image"]
    assert_same_faces(list(find(column)), expected)
    assert find([]) == []
    assert_same_faces(list(find(np.array([str(path) for path in paths]))), expected)


@pytest.mark.parametrize(
    "kind",
    [bytes, bytearray, memoryview, io.BytesIO, lambda content: {"bytes": content, "path": None}],
)
def test_one_file_or_buffer_is_one_photo(find, astronaut, kind):
    file, expected = io.BytesIO(), find(astronaut)
    Image.fromarray(astronaut).save(file, "PNG")
    assert_same_faces([find(kind(file.getvalue()))], [expected])
    assert_same_faces(find([kind(file.getvalue()) for _ in range(2)]), [expected] * 2)


def test_an_open_file_is_one_photo(find, astronaut, tmp_path):
    Image.fromarray(astronaut).save(tmp_path / "a.png")
    with open(tmp_path / "a.png", "rb") as file:
        assert_same_faces([find(file)], [find(astronaut)])


def test_what_is_missing_is_a_photo_that_cannot_be_read(find, astronaut):
    found = find([astronaut, None, float("nan"), astronaut], on_error="skip")
    assert [faces and len(faces) for faces in found] == [1, None, None, 1]
    assert find(None, on_error="skip") is None
    with pytest.raises(PhotoError, match="photo 1: missing"):
        find([astronaut, None])
    with pytest.raises(TypeError, match="photo 0: expected a path, .* but found int"):
        find(3)


def test_rounding_beyond_the_range_finds_the_same_face(find, astronaut):
    for scale in (1 / 255, 1.002 / 255, 1.002):
        (face,) = find((astronaut * scale).astype(np.float32))
        assert face["box"] == pytest.approx(find(astronaut)[0]["box"], abs=3)
    with pytest.raises(PhotoError, match="photo 0: .*largest is 1.5.* may mean either"):
        find(astronaut / 255 * 1.5)


def test_a_generator_is_read_a_batch_at_a_time(find, astronaut):
    asked = 0

    def endless():
        nonlocal asked
        while True:
            asked += 1
            yield astronaut[300:, :200] if asked % 3 else astronaut

    results = find(endless(), batch_size=4)
    counts = [len(next(results)) for _ in range(9)]
    assert counts == [0, 0, 1] * 3
    assert asked <= 12


def test_without_a_detector_an_image_is_one_tight_face(find, astronaut):
    crop = astronaut[67:160, 177:270]
    (face,) = find(crop, detector="none")
    assert face["box"] == {"xmin": 0, "ymin": 0, "xmax": 93, "ymax": 93}
    classify = pipeline(
        "image-classification", model=find.model, image_processor=find.image_processor
    )
    expected = {
        entry["label"]: entry["score"] for entry in classify(Image.fromarray(crop), top_k=7)
    }
    assert face["scores"] == pytest.approx(expected, abs=1e-5)


def test_uncertain_is_below_the_configs_threshold(find, photos):
    faces = [face for faces in find(photos) for face in faces]
    assert all(face["uncertain"] == (face["score"] < 0.5) for face in faces)
    middle = sorted(face["score"] for face in faces)[len(faces) // 2]
    find.model.config.uncertain_below = middle
    try:
        again = [face["uncertain"] for faces in find(photos) for face in faces]
        assert True in again and False in again
    finally:
        find.model.config.uncertain_below = 0.5


def test_a_prior_moves_the_probabilities_by_bayes(find, astronaut):
    (trained,), (uniform,) = find(astronaut, prior="train"), find(astronaut, prior="uniform")
    posterior = np.array(list(trained["scores"].values())) / DISTRIBUTION
    expected = posterior / posterior.sum()
    np.testing.assert_allclose(list(uniform["scores"].values()), expected, rtol=1e-4)
    (same,) = find(astronaut, prior=DISTRIBUTION)
    assert same["scores"] == pytest.approx(trained["scores"], rel=1e-4)
    (only,) = find(astronaut, prior=[0, 0, 0, 0, 0, 0, 5])
    assert only["label"] == "neutral" and only["score"] == pytest.approx(1)


def test_a_prior_of_the_config_is_not_applied_twice(find, astronaut):
    expected = find(astronaut, prior="uniform")
    find.model.config.prior = "uniform"
    try:
        assert_same_faces([find(astronaut)], [expected])
        assert_same_faces([find(astronaut, prior="uniform")], [expected])
        trained = find(astronaut, prior="train")
    finally:
        find.model.config.prior = "train"
    assert_same_faces([trained], [find(astronaut)])


def test_fields_of_the_config_that_every_model_has(find, photos):
    expected, config = find(photos, explain=True), find.model.config
    config.return_dict, config.output_hidden_states = False, True
    try:
        assert_same_faces(find(photos, explain=True), expected)
    finally:
        config.return_dict, config.output_hidden_states = True, False


@pytest.mark.parametrize(
    "fields",
    [
        {"num_labels": 1},
        {"problem_type": "regression"},
        {"problem_type": "multi_label_classification"},
    ],
)
def test_a_model_without_one_label_out_of_several_is_refused(fields):
    config = FerEfficientNetConfig(backbone="test_efficientnet", **fields)
    model = FerEfficientNetForImageClassification(config)
    with pytest.raises(ValueError, match="expects one label out of several, but .*problem_type"):
        FacialEmotionPipeline(model=model, image_processor=FerEfficientNetImageProcessor())


def test_tta_averages_the_mirrored_face(find, astronaut):
    crop = astronaut[67:160, 177:270]
    options = {"detector": "none"}
    (one,), (other,) = find(crop, **options), find(crop[:, ::-1], **options)
    (both,) = find(crop, tta=True, **options)
    mean = {name: (one["scores"][name] + other["scores"][name]) / 2 for name in one["scores"]}
    assert both["scores"] == pytest.approx(mean, abs=1e-5)
    assert one["scores"] != pytest.approx(mean, abs=1e-3)


@pytest.mark.parametrize(
    "options, words",
    [
        ({"detector": "mtcnn"}, "detector must be one of auto, yunet, haar, none"),
        ({"detection_threshold": 2}, r"detection_threshold must be in \[0, 1\]"),
        ({"min_face_size": -1}, "min_face_size must be at least 0"),
        ({"on_error": "ignore"}, "on_error must be raise or skip"),
        ({"allow_private_urls": "no"}, "allow_private_urls must be True or False"),
        ({"prior": "balanced"}, "prior must be 'learned', 'train', 'uniform', or 7 numbers"),
        ({"prior": [1, 2]}, "prior must be"),
        ({"top_k": 3}, "Unknown option top_k; known are detector"),
    ],
)
def test_wrong_options_are_refused(find, astronaut, options, words):
    with pytest.raises(ValueError, match=words):
        find(astronaut, **options)


def test_a_bad_photo_is_named_or_left_out(find, astronaut, tmp_path, monkeypatch):
    (tmp_path / "text.jpg").write_text("no picture")
    photos = [astronaut, str(tmp_path / "text.jpg"), np.full((4, 4), np.nan), astronaut]
    with pytest.raises(PhotoError, match="text.jpg: not an image"):
        find(photos)
    said = []
    module = sys.modules[FacialEmotionPipeline.__module__]
    monkeypatch.setattr(module.logger, "warning", said.append)
    found = find(photos, on_error="skip")
    assert [faces and len(faces) for faces in found] == [1, None, None, 1]
    assert len(said) == 2 and "text.jpg" in said[0] and "photo 2" in said[1]


def test_tiles_are_an_option(find, astronaut):
    large = np.zeros((1000, 3000, 3), np.uint8)
    large[500:756, 700:956] = astronaut[::2, ::2]  # her face: 47 px
    assert find(large) == []
    (face,) = find(large, tiles=True)
    assert face["box"]["xmin"] == pytest.approx(700 + 177 / 2, abs=5)


def test_a_detector_that_fails_costs_one_photo(find, astronaut, monkeypatch):
    real = Haar.__call__

    def failing(self, photo):
        if photo.max() < 10:
            raise cv2.error("Insufficient memory")
        return real(self, photo)

    monkeypatch.setattr(Haar, "__call__", failing)
    photos = [astronaut, np.zeros((300, 400, 3), np.uint8), astronaut]
    found = find(photos, on_error="skip")
    assert [faces and len(faces) for faces in found] == [1, None, 1]
    with pytest.raises(PhotoError, match="photo 1: the face detector Haar fails on it"):
        find(photos)


def test_private_urls_can_be_refused(find):
    words = "127.0.0.1, which is no public address"
    for one in ("http://127.0.0.1:1/a.png", ["http://127.0.0.1:1/a.png"]):
        with pytest.raises(PhotoError, match=words):
            find(one, allow_private_urls=False)


def test_fifty_faces(find, astronaut):
    face = astronaut[60:170, 170:280]
    crowd = np.concatenate([np.concatenate([face] * 10, 1)] * 5, 0)
    assert len(find(crowd, batch_size=8)) == 50


def test_a_face_at_the_border(find, astronaut):
    (face,) = find(astronaut[75:200, 175:300])
    assert min(face["box"].values()) >= 0


def test_a_heat_map_shows_what_spoke_for_the_class(find, photos):
    faces = [face for faces in find(photos, explain=True) for face in faces]
    plain = [face for faces in find(photos) for face in faces]
    for face, other in zip(faces, plain):
        assert bare(face)["scores"] == pytest.approx(other["scores"], abs=1e-5)
        assert (
            face["heatmap"].shape == face["crop"].shape[:2] and face["heatmap"].dtype == "float32"
        )
        assert 0 <= face["heatmap"].min() and face["heatmap"].max() <= 1
    assert all(parameter.grad is None for parameter in find.model.parameters())


SHIPPED = """
import json, sys
for name in ("modeling", "training", "fer_efficientnet"):
    sys.modules[name] = None  # importing it raises ImportError
from transformers import pipeline
import skimage.data
find = pipeline("facial-emotion", model=sys.argv[1], trust_remote_code=True, device="cpu")
classify = pipeline("image-classification", model=sys.argv[1], trust_remote_code=True,
                    device="cpu", model_kwargs={"prior": "uniform"})
print(json.dumps([find(skimage.data.astronaut(), detector="haar"), classify.model.config.prior]))
"""


def test_model_in_a_clean_process_without_network_and_without_a_warning(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", SHIPPED, str(MODEL)],
        cwd=tmp_path,
        env={"HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    (face,), prior = json.loads(done.stdout.splitlines()[-1])
    assert face["label"] == "happy" and face["score"] > 0.7 and not face["uncertain"]
    assert prior == "uniform"
    said = [line for line in done.stderr.split("\n") if line.strip() and "Loading" not in line]
    assert not said, said


def test_hiding_what_the_heat_map_marks_costs_more_than_hiding_the_rest(astronaut):
    """Deletion test: blank the most marked or the least marked third, or half, of the crop."""
    shipped = pipeline("facial-emotion", str(MODEL), trust_remote_code=True, detector="haar")
    (face,) = shipped(astronaut, explain=True)
    order = np.argsort(face["heatmap"], axis=None)
    for hidden, less in ((order.size // 3, 0.0), (order.size // 2, 0.3)):
        scores = []
        for pixels in (order[-hidden:], order[:hidden]):
            crop = face["crop"].copy().reshape(-1, 3)
            crop[pixels] = crop.mean(axis=0).astype(np.uint8)
            (left,) = shipped(crop.reshape(face["crop"].shape), detector="none")
            scores.append(left["scores"][face["label"]])
        assert scores[0] < scores[1] - less


@pytest.mark.parametrize("options", [{}, {"explain": True}, {"detector": "none", "explain": True}])
def test_threads_get_the_answers_of_serial_calls(find, photos, options):
    expected = [find(photo, **options) for photo in photos]
    with ThreadPoolExecutor(8) as threads:
        found = list(threads.map(lambda photo: find(photo, **options), photos * 4))
    assert_same_faces(found, expected * 4)
    for faces, others in zip(found, expected * 4):
        for face, other in zip(faces, others):
            for name in set(face) - set(bare(face)):
                np.testing.assert_allclose(face[name], other[name], atol=1e-5)


def test_threads_search_at_the_same_time_and_no_two_with_one_detector(find, astronaut, monkeypatch):
    """Each search waits until all threads are in one; then none may have another's detector."""
    meeting, made = threading.Barrier(4), []

    class Detector(Haar):
        def __init__(self, threshold):
            super().__init__(threshold)
            made.append(self)
            self.photo = None

        def __reduce__(self):
            return Detector, (self.threshold,)

        def __call__(self, photo):
            assert self.photo is None, "used by two threads"
            self.photo = photo
            meeting.wait(60)
            self.photo = None
            return []

    monkeypatch.setattr(face_detection, "Haar", Detector)
    fresh, small = copy.copy(find), astronaut[:200, :200]
    with ThreadPoolExecutor(4) as threads:
        for _ in range(3):
            assert list(threads.map(fresh, [small] * 4)) == [[]] * 4
    assert len(made) == 4


def test_copied_and_pickled_after_a_call_it_is_the_same(find, photos):
    expected = find(photos)
    for again in (copy.copy(find), copy.deepcopy(find), pickle.loads(pickle.dumps(find))):
        assert_same_faces(again(photos), expected)
        assert again._detectors is not find._detectors


@pytest.mark.parametrize(
    "state", [torch.inference_mode, torch.no_grad, lambda: torch.autocast("cpu")]
)
def test_the_callers_mode_of_autograd_does_not_matter(find, photos, state):
    expected = find(photos, explain=True, tta=True, prior="uniform")
    with state():
        found = find(photos, explain=True, tta=True, prior="uniform")
    assert [len(faces) for faces in found] == [len(faces) for faces in expected]
    for faces, others in zip(found, expected):
        for face, other in zip(faces, others):
            assert face["scores"] == pytest.approx(other["scores"], abs=0.05)
            assert face["heatmap"].max() == pytest.approx(other["heatmap"].max(), abs=0.05)


@pytest.mark.parametrize(
    "option, value",
    [("tiles", "no"), ("explain", "x"), ("tta", 1), ("detection_threshold", None),
     ("min_face_size", "a")],
)  # fmt: skip
def test_an_option_of_another_kind_is_named(find, astronaut, option, value):
    with pytest.raises(ValueError, match=f"{option} must be "):
        find(astronaut, **{option: value})
