"""FacialEmotion, which needs no torch, beside the pipeline."""

import copy
import io
import pickle
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import skimage.data
from PIL import Image

from fer_efficientnet import FacialEmotion
from training.data import LABELS, draw_faces

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def find():
    return FacialEmotion()


@pytest.fixture(scope="module")
def drawn():
    """Faces of all classes, drawn, uint8 (48, 48)."""
    return [*draw_faces(np.arange(21) % 7, LABELS, seed=0)]


@pytest.fixture(scope="module")
def photo():
    """Her face twice, once turned."""
    image = Image.fromarray(skimage.data.astronaut()[:256, 100:356])
    return np.concatenate([np.asarray(image), np.asarray(image.rotate(15))], 1)


def assert_same(found, expected):
    """Boxes and labels equal, scores within 0.01; and what else there is."""
    assert [*found] == [*expected] and found["label"] == expected["label"]
    assert found["uncertain"] == expected["uncertain"]
    assert found["scores"] == pytest.approx(expected["scores"], abs=0.01)
    if "box" in found:
        assert found["box"] == expected["box"] and found["face_score"] == expected["face_score"]
    if "crop" in found:
        np.testing.assert_array_equal(found["crop"], expected["crop"])
    for name in expected.get("by_prior", {}):
        assert_same(found["by_prior"][name], expected["by_prior"][name])


OPTIONS = [
    {},
    {"detector": "haar", "prior": "uniform", "crop": True},
    {"detector": "yunet", "prior": ["train", "uniform"], "tta": True},
    {"detector": "none", "prior": [1, 1, 1, 5, 1, 1, 1]},
]


@pytest.mark.parametrize("options", OPTIONS)
def test_its_answers_are_the_pipelines(find, shipped, photo, options):
    options = {"detector": "auto"} | options  # the pipeline here was made with haar
    found, expected = find(photo, **options), shipped(photo, **options)
    assert len(found) == len(expected) > 0
    for face, other in zip(found, expected):
        assert_same(face, other)
    assert find.detector == "YuNet"


def test_drawn_faces_get_the_pipelines_labels(find, shipped, drawn):
    options = {"detector": "none", "batch_size": 8}
    for (face,), (other,) in zip(find(drawn, **options), shipped(drawn, **options)):
        assert_same(face, other)


def test_photos_of_every_kind_lists_and_generators(find, drawn, tmp_path):
    path = tmp_path / "a.png"
    Image.fromarray(drawn[0]).save(path)
    content = path.read_bytes()
    (expected,) = find(drawn[0], detector="none")
    kinds = [path, str(path), content, bytearray(content), io.BytesIO(content), drawn[0]]
    for (face,) in find(kinds, detector="none"):
        assert_same(face, expected)
    stream = find((path for _ in range(3)), detector="none", photo=True)
    assert not isinstance(stream, list)
    assert_same(next(stream)[1][0], expected)


def test_errors_are_the_pipelines(find, shipped, drawn, tmp_path, caplog):
    (tmp_path / "text.jpg").write_text("no picture")
    bad = str(tmp_path / "text.jpg")
    for inputs, options in (
        (bad, {}), ("none.jpg", {}), (None, {}), (3, {}), ([drawn[0], None], {"detector": "none"}),
        (drawn[0], {"detector": "mtcnn"}), (drawn[0], {"prior": [1, 2]}), (drawn[0], {"top_k": 3}),
        (drawn[0], {"detector_path": "none.onnx", "detector": "yunet"}),
        ("http://127.0.0.1:1/a.png", {"allow_private_urls": False}),
        (np.zeros((300, 300, 3)), {"max_pixels": 100}),
    ):  # fmt: skip
        errors = []
        for call in (find, shipped):
            with pytest.raises((ValueError, TypeError)) as raised:
                call(inputs, **options)
            errors.append((raised.type.__name__, str(raised.value)))
        assert errors[0] == errors[1]
    found = find([drawn[0], bad], detector="none", on_error="skip")
    assert len(found[0]) == 1 and found[1] is None and "text.jpg" in caplog.messages[-1]
    with pytest.raises(ValueError, match="explain needs torch: pip install"):
        find(drawn[0], explain=True)


def test_threads_copies_and_pickles_answer_alike(find, photo):
    expected = find(photo)
    with ThreadPoolExecutor(4) as threads:
        answers = [*threads.map(find, [photo] * 8)]
    again = [copy.copy(find), pickle.loads(pickle.dumps(find))]
    answers += [each(photo) for each in again]
    for found in answers:
        for face, other in zip(found, expected, strict=True):
            assert_same(face, other)
    assert all(each._detectors is not find._detectors for each in again)


@pytest.mark.parametrize(
    "files, message",
    [
        ({}, "no model.onnx and no config.json"),
        ({"config.json": '{"model_type": "vit"}'}, "expected a model of type fer_efficientnet"),
    ],
)
def test_a_folder_of_something_else_says_so(tmp_path, files, message):
    files = files and {"model.onnx": "", "preprocessor_config.json": "{}"} | files
    for name, content in files.items():
        (tmp_path / name).write_text(content)
    with pytest.raises((OSError, ValueError), match=message):
        FacialEmotion(tmp_path)


WITHOUT_TORCH = """
import sys
for name in "torch transformers timm safetensors huggingface_hub datasets matplotlib".split():
    sys.modules[name] = None  # importing it raises ImportError
import predict
from fer_efficientnet import FacialEmotion
print(FacialEmotion()(sys.argv[1])[0]["label"])
print(predict.main([sys.argv[1]]))
"""


def test_neither_class_nor_command_needs_torch(album):
    command = [sys.executable, "-c", WITHOUT_TORCH, str(album / "a.png")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    label, row, summary, status = done.stdout.splitlines()
    assert label == "happy" and " happy " in row and status == "0"
    assert summary.startswith("1 photo, 1 face, ") and summary.endswith("by ONNX Runtime")
