"""Who is answered together, who waits, and what one visitor's photo costs the others."""

import json
import shutil
import sys
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from space_client import astronaut

MODEL = Path(__file__).parents[2] / "model"


class Pipeline:
    """Answers each photo by a face of its value; keeps its batches; waits while it is held."""

    detector, PhotoError = "Haar", KeyError
    model = SimpleNamespace(config=SimpleNamespace(num_labels=1, id2label={0: "happy"}))

    def __init__(self):
        self.batches, self.started, self.free = [], threading.Event(), threading.Event()
        self.free.set()

    def __call__(self, photos, on_error="raise", **options):
        values = [int(photo.flat[0]) for photo in photos]
        self.batches.append((values, options))
        self.started.set()
        self.free.wait(60)
        if 13 in values:
            raise RuntimeError("unlucky")
        if 0 in values and on_error == "raise":
            raise KeyError("photo 0: the face detector fails on it.")
        faces = [{"value": value, "box": {"xmin": 0, "xmax": value}} for value in values]
        return [[face] if face["value"] else None for face in faces]


@pytest.fixture
def find():
    return Pipeline()


@pytest.fixture
def served(modules, find, tmp_path):
    return modules("serving").Served(find, tmp_path, workers=1)


def ask(served, value, **options):
    return served.faces([np.full((1, 1, 3), value, np.uint8)], **options)[0]


@pytest.fixture
def while_held(served, find):
    """(value, options) of each visitor -> their answers, after all had to wait for the first."""

    def asked(*visitors):
        find.free.clear()
        find.started.clear()
        with ThreadPoolExecutor(len(visitors)) as threads:
            answers = []
            for waiting, (value, options) in enumerate(visitors):
                answers.append(threads.submit(ask, served, value, **options))
                find.started.wait(60)
                while served.waiting() < waiting:
                    time.sleep(0.001)
            find.free.set()
        return answers

    return asked


def test_photos_that_wait_with_the_same_options_are_done_together(while_held, find):
    train, uniform = {"prior": "train"}, {"prior": "uniform"}
    answers = while_held((1, train), (2, train), (3, uniform), (4, train))
    assert [answer.result()[0]["value"] for answer in answers] == [1, 2, 3, 4]
    assert find.batches == [([1], train), ([2, 4], train), ([3], uniform)]


def test_a_photo_that_breaks_the_model_spoils_no_other(while_held):
    answers = while_held((1, {}), (3, {}), (13, {}), (5, {}))
    with pytest.raises(RuntimeError, match="unlucky"):
        answers.pop(2).result()
    assert [answer.result()[0]["value"] for answer in answers] == [1, 3, 5]


def test_a_detector_that_fails_is_a_sentence_for_the_visitor(modules, served):
    with pytest.raises(modules("serving").InputRefused, match="detector fails"):
        ask(served, 0)
    assert ask(served, 0, on_error="skip") is None


def test_the_largest_faces_are_kept_in_order(modules, served, monkeypatch):
    faces = [{"box": {"xmin": 0, "xmax": width}} for width in (3, 1, 2)]
    monkeypatch.setattr(modules("serving"), "MAX_FACES", 2)
    monkeypatch.setattr(Pipeline, "__call__", lambda self, photos: [faces])
    assert ask(served, 1) == [faces[0], faces[2]]


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_the_model_is_alive_while_its_workers_are(served, find, monkeypatch):
    assert served.alive() and served.detector == "Haar" and served.labels == ["happy"]
    monkeypatch.setattr(served, "_take", sys.exit)  # after the next answer
    ask(served, 1)
    served._threads[0].join(60)
    assert not served.alive()


def test_a_photo_is_sent_through_the_model_once_for_all_priors(modules, shipped, tmp_path):
    """Detector and network see it once, and both priors' answers and heat maps are in the page."""
    searches, forwards = Counter(), []
    served = modules("serving").Served(shipped, tmp_path, workers=1)
    page = modules("page").Page(served, modules("panels").Report(tmp_path), tmp_path)
    hook = shipped.model.register_forward_hook(lambda *_: forwards.append(1))
    search = shipped._find
    shipped._find = lambda *args: (searches.update(["photo"]), search(*args))[1]
    try:
        shown = page.answered(str(modules("page").EXAMPLES / "4_drawn_group.jpg"))
    finally:
        hook.remove()
        del shipped._find
    assert searches == {"photo": 1} and len(forwards) == 1
    for prior in ("train", "uniform"):
        assert f'class="faces prior-{prior}"' in shown
    assert shown.count('class="heat"') == 2 * 5  # priors, faces
    assert shown.count("what the model looked at") == 1


def test_a_file_of_other_weights_is_not_what_answers(
    modules, shipped, shipped_onnx, tmp_path, caplog
):
    folder = shutil.copytree(MODEL, tmp_path / "model")
    load, photo = modules("serving").load, astronaut()[::4, ::4]  # where 8 bits show
    answers = {"onnx": load(str(folder)).faces([photo])[0]}
    record = json.loads((folder / "onnx.json").read_text()) | {"weights_sha256": "0" * 64}
    (folder / "onnx.json").write_text(json.dumps(record))
    answers["torch"] = load(str(folder)).faces([photo])[0]
    for name, find in (("onnx", shipped_onnx), ("torch", shipped)):
        assert answers[name][0]["scores"] == pytest.approx(find(photo)[0]["scores"], abs=1e-5)
    assert answers["onnx"][0]["scores"] != pytest.approx(answers["torch"][0]["scores"], abs=2e-5)
    assert "model.onnx is of other weights" in caplog.text


@pytest.mark.parametrize("uncertain, mark", [(True, "happy 40% ?<"), (False, "happy 40%<")])
def test_a_box_says_what_is_uncertain(modules, uncertain, mark):
    box = dict(xmin=2, ymin=2, xmax=9, ymax=9)
    face = {"box": box, "label": "happy", "score": 0.4, "scores": {"happy": 0.4, "sad": 0.6}}
    photo = np.zeros((12, 12, 3), np.uint8)
    assert mark in modules("panels").figure("a", photo, [face | {"uncertain": uncertain}])
