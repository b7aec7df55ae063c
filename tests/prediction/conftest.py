"""Photos, a clip, faces as the pipeline gives them, and predict.py as a user calls it."""

from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import skimage.data
from PIL import Image

import predict
from modeling import EXPRESSIONS


@pytest.fixture
def run():
    def call(*argv):
        return predict.main([*map(str, argv), "--detector", "haar"])

    return call


@pytest.fixture(scope="session")
def album(tmp_path_factory):
    """A photo with a face, one without, and a file that is neither."""
    folder = tmp_path_factory.mktemp("album")
    astronaut = skimage.data.astronaut()
    Image.fromarray(astronaut).save(folder / "a.png")
    (folder / "more").mkdir()
    Image.fromarray(astronaut[300:, :200]).save(folder / "more" / "b.jpg")
    (folder / "notes.txt").write_text("no photo")
    return folder


@pytest.fixture(scope="session")
def write_video():
    """path, codec, frames -> a video of 10 frames per second."""

    def write(path, codec, frames):
        height, width = frames[0].shape[:2]
        writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*codec), 10, (width, height))
        for frame in frames:
            writer.write(frame)
        writer.release()
        return path

    return write


@pytest.fixture(scope="session")
def clip(tmp_path_factory, write_video):
    """Two seconds; a face moves right and is gone after 15 frames."""
    frames = np.zeros((20, 240, 400, 3), np.uint8)
    face = cv2.cvtColor(skimage.data.astronaut()[:220, 130:330], cv2.COLOR_RGB2BGR)
    for number in range(15):
        frames[number, :220, 8 * number : 8 * number + 200] = face
    return write_video(tmp_path_factory.mktemp("clip") / "clip.avi", "MJPG", frames)


@pytest.fixture(scope="session")
def face():
    def make(left, label="happy", person=0):
        scores = {name: 0.88 if name == label else 0.02 for name in EXPRESSIONS}
        box = {"xmin": left, "ymin": 0, "xmax": left + 100, "ymax": 100}
        answer = {"label": label, "score": 0.88, "scores": scores, "uncertain": False}
        crop = np.random.default_rng(person).integers(0, 256, (16, 16, 3), np.uint8)
        return {"box": box, "face_score": 1.0, "crop": crop} | answer

    return make


@pytest.fixture
def fake_pipeline(monkeypatch, face):
    """predict.py without a network: a face in each photo; `event` is called in photo `number`."""

    def install(event=None, number=None):
        def find(sources, **options):
            for i, _ in enumerate(sources):
                if i == number:
                    event()
                yield [face(i)]

        find.config = SimpleNamespace(label_names=[*EXPRESSIONS])
        monkeypatch.setattr("prediction.engine.load", lambda args: (find, "a fake"))

    return install
