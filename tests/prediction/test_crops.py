"""predict.py --crops: from a folder of photos to a folder that train.py takes."""

import csv

import numpy as np
import pytest
import skimage.data
from PIL import Image

from modeling import FerEfficientNetImageProcessor
from prediction.facial_emotion import FacialEmotion
from training.data import load_fer2013

ASTRONAUT = skimage.data.astronaut()


@pytest.fixture
def photos(tmp_path):
    """photos/{calm,tense}: one face, two faces, and none."""
    for name, pixels in {
        "calm/x.png": ASTRONAUT,
        "calm/x.tif": np.hstack([ASTRONAUT[:256], ASTRONAUT[:256]]),
        "tense/y.png": ASTRONAUT[:300, ::-1],
        "tense/deep/z.png": ASTRONAUT[300:, :200],
    }.items():
        (tmp_path / "photos" / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.ascontiguousarray(pixels)).save(tmp_path / "photos" / name)
    return tmp_path / "photos"


def files(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_crops_keep_class_folder_name_and_number(photos, tmp_path, run, capsys):
    (photos / "tense" / "z.jpg").touch()  # unreadable: counted as that, not as without a face
    (photos / "clip.mp4").touch()
    table = tmp_path / "faces.csv"
    assert run(photos, "--crops", tmp_path / "crops", "--csv", table) == 1
    expected = ["calm/x.png_1.png", "calm/x.tif_1.png", "calm/x.tif_2.png", "tense/y_1.png"]
    assert files(tmp_path / "crops") == expected
    printed = capsys.readouterr()
    assert "1 photos gave no face; 1 gave several" in printed.err
    assert f"--crops is of photos; passed over: {photos / 'clip.mp4'}" in printed.err
    assert str(tmp_path / "crops") in printed.out.splitlines()[-1]
    faces = [(row["file"][-5:], row["face"]) for row in csv.DictReader(table.open())]
    assert faces[:3] == [("x.png", "1"), ("x.tif", "1"), ("x.tif", "2")]
    assert faces[3:] == [("z.png", "0"), ("y.png", "1"), ("z.jpg", "")]


def test_training_reads_what_the_model_was_given(photos, tmp_path, run, monkeypatch, own_cache):
    given, logits_of = [], FacialEmotion._raw_logits

    def noted(self, pixel_values, explain):
        given.append(pixel_values)
        return logits_of(self, pixel_values, explain)

    monkeypatch.setattr(FacialEmotion, "_raw_logits", noted)
    assert run(photos / "tense" / "y.png", "--crops", tmp_path / "crops" / "tense") == 0
    (path,) = (tmp_path / "crops").rglob("*.png")
    assert path.name == "y_1.png"
    with Image.open(path) as crop:
        assert crop.size[0] == crop.size[1] > 48 and not crop.getexif()  # in full resolution
    assert run(photos / "calm" / "*.png", "--crops", tmp_path / "crops" / "calm") == 0
    splits = load_fer2013(str(tmp_path / "crops"), classes="any")
    assert splits["train"].features["label"].names == ["calm", "tense"]
    (tense,) = splits["train"].filter(lambda row: row["label"] == 1)["image"]
    read = FerEfficientNetImageProcessor()(tense, return_tensors="np")["pixel_values"]
    assert abs(read - given[0]).mean() < 0.05  # of a standard deviation: resized twice, or at once
