"""The facial-emotion pipeline, on a small network and on model/ as it ships."""

import copy
import functools
import io
import json
import pickle
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import pandas as pd
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

DISTRIBUTION = [0.1, 0.05, 0.1, 0.35, 0.15, 0.1, 0.15]


@pytest.fixture(scope="module")
def find():
    torch.manual_seed(0)
    config = FerEfficientNetConfig(
        backbone="test_efficientnet", initializer_range=3.0, head_hidden_sizes=[]
    )
    config.update_calibration(train_distribution=DISTRIBUTION)
    model = FerEfficientNetForImageClassification(config).eval()
    processor = FerEfficientNetImageProcessor()
    return FacialEmotionPipeline(model=model, image_processor=processor, detector="haar")


@pytest.fixture(scope="module")
def astronaut():
    return skimage.data.astronaut()


@pytest.fixture(scope="module")
def face(astronaut):
    """A tight face."""
    return astronaut[67:160, 177:270]


@pytest.fixture(scope="module")
def photos(astronaut):
    """With 1, 0, 3, 1 and 2 faces."""
    face = astronaut[:220, 130:330]
    nothing = astronaut[300:, :200]
    dim = (face * 0.7).astype(np.uint8)
    return [face, nothing, np.concatenate([face, dim, face], 1), dim,
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
    for batch_size in (1, 2, 32):
        assert_same_faces(find(photos, batch_size=batch_size), alone)


def test_single_photos_of_every_kind(find, face, tmp_path):
    expected, path = find(face, detector="none"), tmp_path / "a.png"
    Image.fromarray(face).save(path)
    content = path.read_bytes()
    row = {"bytes": content, "path": None}
    kinds = [path, str(path), content, bytearray(content), memoryview(content), row]
    kinds += [io.BytesIO(content), Image.fromarray(face), torch.from_numpy(face.copy())]
    for kind in kinds:
        assert_same_faces([find(kind, detector="none")], [expected])
    with path.open("rb") as file:
        assert_same_faces([find(file, detector="none")], [expected])


def test_iterables_of_photos(find, face, tmp_path):
    paths = [tmp_path / f"{number}.png" for number in range(3)]
    for number, path in enumerate(paths):
        Image.fromarray(np.rot90(face, number)).save(path)
    expected = find(paths, detector="none")
    names = [str(path) for path in paths]
    column = Dataset.from_dict({"image": names}, Features({"image": ImageFeature()}))["image"]
    for photos in (np.array(names), column, (path for path in paths)):
        stream = find(photos, detector="none")
        assert not isinstance(stream, list)
        assert_same_faces(list(stream), expected)
    assert find([]) == []


def test_a_photo_is_read_as_a_call_reads_it(find, astronaut):
    limited = copy.copy(find)
    limited._preprocess_params = {"max_pixels": astronaut.shape[0] ** 2 - 1}
    np.testing.assert_array_equal(find.read(Image.fromarray(astronaut)), astronaut)
    for call in (lambda: limited.read(astronaut, "a.png"), lambda: find(astronaut, max_pixels=9)):
        with pytest.raises(FacialEmotionPipeline.PhotoError, match="more than .* pixels"):
            call()


def test_photo_and_faces_are_a_pair_if_asked_for(find, face):
    photo, faces = find(Image.fromarray(face), photo=True, detector="none")
    np.testing.assert_array_equal(photo, face)
    assert_same_faces([faces], [find(face, detector="none")])
    pairs = find([face, None, face[:, ::-1]], photo=True, detector="none", on_error="skip")
    assert pairs[1] == (None, None) and len(pairs) == 3
    np.testing.assert_array_equal(pairs[2][0], face[:, ::-1])


def test_what_is_missing_is_a_photo_that_cannot_be_read(find, face):
    missing = [None, float("nan"), np.float32("nan"), pd.NaT]
    found = find([face, *missing, face], on_error="skip", detector="none")
    assert [faces and len(faces) for faces in found] == [1, *[None] * 4, 1]
    assert [find(each, on_error="skip") for each in missing] == [None] * 4
    with pytest.raises(PhotoError, match="photo 1: missing"):
        find([face, None], detector="none")
    with pytest.raises(TypeError, match="photo 0: expected a path, .* but found int"):
        find(3)


def test_a_generator_is_read_a_batch_at_a_time(find, photos):
    asked = 0

    def endless():
        nonlocal asked
        while True:
            asked += 1
            yield photos[1] if asked % 3 else photos[0]

    results = find(endless(), batch_size=4)
    assert [len(next(results)) for _ in range(9)] == [0, 0, 1] * 3
    assert asked <= 12


def test_without_a_detector_an_image_is_one_tight_face(find, face):
    (answer,) = find(face, detector="none")
    assert answer["box"] == {"xmin": 0, "ymin": 0, "xmax": 93, "ymax": 93}
    parts = {"model": find.model, "image_processor": find.image_processor}
    entries = pipeline("image-classification", **parts)(Image.fromarray(face), top_k=7)
    expected = {entry["label"]: entry["score"] for entry in entries}
    assert answer["scores"] == pytest.approx(expected, abs=1e-5)


def test_uncertain_is_below_the_configs_threshold(find, face):
    ask, config = functools.partial(find, face, detector="none"), find.model.config
    (score,) = (answer["score"] for answer in ask())
    for threshold, uncertain in ((score + 0.01, True), (score - 0.01, False), (None, False)):
        config.update_calibration(uncertain_below=threshold)
        assert ask()[0]["uncertain"] is uncertain


def test_a_small_face_is_held_to_what_was_fitted_for_its_size(find, face):
    ask, config = functools.partial(find, detector="none"), find.model.config
    before, small = config.calibration, cv2.resize(face, (28, 28))
    (plain,) = ask(small)
    sizes = [(16, 4.0, 1.0), (24, 3.0, 0.0), (32, 1.0, 1.0)]
    names = ("side", "temperature", "uncertain_below")
    try:
        config.update_calibration(
            uncertain_below=0.0, smaller_faces=[dict(zip(names, size)) for size in sizes]
        )
        (answer,), (large,) = ask(small), ask(face)
        assert config.fitted_at(28) == (2.0, 0.5) and config.fitted_at(9) == (4.0, 1.0)
        assert answer["uncertain"] == (answer["score"] < 0.5) and not large["uncertain"]
        assert ask(cv2.resize(face, (32, 32)))[0]["uncertain"]
    finally:
        config.calibration = before
    expected = np.sqrt(list(plain["scores"].values()))  # softmax(z / 2), from softmax(z)
    found = list(answer["scores"].values())
    np.testing.assert_allclose(found, expected / expected.sum(), rtol=1e-4)
    assert ask(face)[0]["scores"] == large["scores"]


def test_a_face_below_min_face_size_is_given_and_uncertain(find, face, astronaut):
    for photo, options in ((face, {"detector": "none"}), (astronaut, {})):
        (certain,), (uncertain,) = (
            find(photo, min_face_size=side, **options) for side in (90, 120)
        )
        assert not certain["uncertain"] and uncertain["uncertain"]
        assert certain | {"uncertain": True} == uncertain
    box = {"xmin": 5, "ymin": 0, "xmax": 28, "ymax": 20}
    assert find.certain_from(box) == np.inf > find.certain_from(box | {"ymax": 24})


def test_a_prior_moves_the_probabilities_by_bayes(find, face):
    ask = functools.partial(find, face, detector="none")
    (trained,), (uniform,) = ask(prior="train"), ask(prior="uniform")
    posterior = np.array(list(trained["scores"].values())) / DISTRIBUTION
    expected = posterior / posterior.sum()
    np.testing.assert_allclose(list(uniform["scores"].values()), expected, rtol=1e-4)
    (same,) = ask(prior=DISTRIBUTION)
    assert same["scores"] == pytest.approx(trained["scores"], rel=1e-4)
    (only,) = ask(prior=[0, 0, 0, 0, 0, 0, 5])
    assert only["label"] == "neutral" and only["score"] == pytest.approx(1)


def test_a_prior_of_the_config_is_not_applied_twice(find, face):
    ask = functools.partial(find, face, detector="none")
    expected = ask(prior="uniform")
    find.model.config.prior = "uniform"
    try:
        assert_same_faces([ask(), ask(prior="uniform")], [expected, expected])
        trained = ask(prior="train")
    finally:
        find.model.config.prior = "train"
    assert_same_faces([trained], [ask()])


@pytest.mark.parametrize("agree", [False, True])
def test_several_priors_cost_a_single_pass(find, photos, monkeypatch, agree):
    """Detector and network are asked once a photo; Grad-CAM goes back once where labels agree."""
    priors = ["train", "learned"] if agree else ["train", "uniform"]
    alone = [find(photos[2], prior=prior, explain=True) for prior in priors]
    assert agree == all(a["label"] == b["label"] for a, b in zip(*alone))
    calls = Counter()

    def counted(name, call):
        return lambda *args, **options: (calls.update([name]), call(*args, **options))[1]

    monkeypatch.setattr(Haar, "__call__", counted("searches", Haar.__call__))
    monkeypatch.setattr(torch.autograd, "grad", counted("backward", torch.autograd.grad))
    hook = find.model.register_forward_hook(lambda *_: calls.update(["forward"]))
    try:
        faces = find(photos[2], prior=priors, explain=True)
    finally:
        hook.remove()
    assert calls == {"searches": 1, "forward": 1, "backward": 1 if agree else 2}
    for prior, expected in zip(priors, alone):
        assert len(faces) == len(expected) == 3
        for face, other in zip(faces, expected):
            np.testing.assert_array_equal(face["by_prior"][prior]["heatmap"], other["heatmap"])
            assert bare(face["by_prior"][prior]).items() < bare(other).items()


@pytest.mark.parametrize("fields", [{"num_labels": 1}, {"problem_type": "regression"}])
def test_a_model_without_one_label_out_of_several_is_refused(fields):
    config = FerEfficientNetConfig(backbone="test_efficientnet", **fields)
    model = FerEfficientNetForImageClassification(config)
    with pytest.raises(ValueError, match="expects one label out of several, but .*problem_type"):
        FacialEmotionPipeline(model=model, image_processor=FerEfficientNetImageProcessor())


def test_tta_averages_the_mirrored_face(find, face):
    ask = functools.partial(find, detector="none")
    (plain,), (mirrored,), (both,) = ask(face), ask(face[:, ::-1]), ask(face, tta=True)
    mean = {name: (share + mirrored["scores"][name]) / 2 for name, share in plain["scores"].items()}
    assert both["scores"] == pytest.approx(mean, abs=1e-5)
    assert plain["scores"] != pytest.approx(mean, abs=1e-3)


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
        ({"max_pixels": 0}, "max_pixels must be 1 to "),
        ({"tiles": "no"}, "tiles must be True or False"),
        ({"batch_size": 0}, "batch_size must be a whole number above 0, but it is 0"),
        ({"batch_size": 1.5}, "batch_size must be a whole number above 0"),
        ({"explain": "x"}, "explain must be True or False"),
        ({"tta": 1}, "tta must be True or False"),
        ({"photo": None}, "photo must be True or False"),
        ({"detection_threshold": None}, "detection_threshold must be"),
        ({"min_face_size": "a"}, "min_face_size must be"),
        ({"top_k": 3}, "Unknown option top_k; known are detector"),
    ],
)
def test_wrong_options_are_refused(find, face, options, words):
    with pytest.raises(ValueError, match=words):
        find(face, **options)


def test_a_bad_photo_is_named_or_left_out(find, face, tmp_path, caplog):
    (tmp_path / "text.jpg").write_text("no picture")
    photos = [face, str(tmp_path / "text.jpg"), np.full((4, 4), np.nan), face]
    with pytest.raises(PhotoError, match="text.jpg: not an image"):
        find(photos)
    found = find(photos, on_error="skip")
    assert [faces and len(faces) for faces in found] == [1, None, None, 1]
    bad, worse = caplog.messages
    assert bad.startswith("Skipped: ") and "text.jpg" in bad and "photo 2" in worse


def test_tiles_are_an_option(find, astronaut):
    large = np.zeros((1000, 3000, 3), np.uint8)
    large[500:756, 700:956] = astronaut[::2, ::2]  # her face: 47 px
    assert find(large) == []
    (face,) = find(large, tiles=True)
    assert face["box"]["xmin"] == pytest.approx(700 + 177 / 2, abs=5)


def test_a_detector_that_fails_costs_one_photo(find, photos, monkeypatch):
    real = Haar.__call__

    def failing(self, photo):
        if photo.max() < 10:
            raise cv2.error("Insufficient memory")
        return real(self, photo)

    monkeypatch.setattr(Haar, "__call__", failing)
    face, black = photos[0], np.zeros((300, 400, 3), np.uint8)
    photos = [face, black, face]
    found = find(photos, on_error="skip")
    assert [faces and len(faces) for faces in found] == [1, None, 1]
    with pytest.raises(PhotoError, match="photo 1: the face detector Haar fails on it"):
        find(photos)


def test_private_urls_can_be_refused(find):
    words = "127.0.0.1, which is no public address"
    for inputs in ("http://127.0.0.1:1/a.png", ["http://127.0.0.1:1/a.png"]):
        with pytest.raises(PhotoError, match=words):
            find(inputs, allow_private_urls=False)


def test_a_heat_map_shows_what_spoke_for_the_class(find, photos):
    faces = [face for faces in find(photos, explain=True) for face in faces]
    plain = [face for faces in find(photos) for face in faces]
    for face, other in zip(faces, plain):
        assert bare(face)["scores"] == pytest.approx(other["scores"], abs=1e-5)
        heatmap = face["heatmap"]
        assert heatmap.shape == face["crop"].shape[:2] and heatmap.dtype == "float32"
        assert 0 <= face["heatmap"].min() and face["heatmap"].max() <= 1
    assert all(parameter.grad is None for parameter in find.model.parameters())


def test_hiding_what_the_heat_map_marks_costs_more_than_hiding_the_rest(shipped, astronaut):
    """Deletion test: blank the most marked or the least marked third, or half, of the crop."""
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
        found = list(threads.map(lambda photo: find(photo, **options), photos * 2))
    assert_same_faces(found, expected * 2)
    for faces, others in zip(found, expected * 2):
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
    expected = find(photos[2])
    for again in (copy.copy(find), copy.deepcopy(find), pickle.loads(pickle.dumps(find))):
        assert_same_faces([again(photos[2])], [expected])
        assert again.detector == find.detector == "Haar"
        assert again._detectors is not find._detectors  # OpenCV's serve a single thread


@pytest.mark.parametrize(
    "state", [torch.inference_mode, torch.no_grad, lambda: torch.autocast("cpu")]
)
def test_the_callers_mode_of_autograd_does_not_matter(find, face, state):
    ask = functools.partial(find, face, detector="none", explain=True, tta=True, prior="uniform")
    (expected,) = ask()
    with state():
        (found,) = ask()
    assert found["scores"] == pytest.approx(expected["scores"], abs=0.05)
    assert found["heatmap"].max() == pytest.approx(expected["heatmap"].max(), abs=0.05)
