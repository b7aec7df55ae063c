"""The whole way with three classes of one's own: train, publish, load back, photos, the Space."""

import csv
import json
from pathlib import Path

import pytest
import skimage.data
from PIL import Image

import push_to_hub
import train
from training.data import draw_faces

ROOT = Path(__file__).parents[2]
CLASSES = {"asleep": "sad", "calm": "neutral", "tense": "angry"}
BACK = """
import csv, json, sys
sys.path[:0] = [sys.argv[3], sys.argv[3] + "/space"]
from transformers import pipeline
import predict
from huggingface_hub import snapshot_download
photo, table = sys.argv[1:3]
find = pipeline("facial-emotion", "me/mine", trust_remote_code=True, detector="haar", device="cpu")
folder = snapshot_download("me/mine")
words = [photo, "--model", folder, "--csv", table, "--detector", "haar", "--device", "cpu"]
assert predict.main(words) == 0
from serving import load
served = load(folder)
(answer,) = served.faces([served.read(open(photo, "rb").read(), "photo.png")])
print(json.dumps([served.labels, find(photo), answer]))
"""


def test_three_classes_go_the_whole_way(client, script_at_hub, tmp_path, monkeypatch):
    monkeypatch.setattr("training.run.load_back", lambda *args: "")  # publishing does it
    for split, count in (("train", 12), ("validation", 4)):
        for seed, (name, expression) in enumerate(CLASSES.items()):
            (tmp_path / "faces" / split / name).mkdir(parents=True)
            for i, face in enumerate(draw_faces([0] * count, (expression,), seed=seed + count)):
                Image.fromarray(face).save(tmp_path / "faces" / split / name / f"{i}.png")
    train.main(
        ["--dataset", str(tmp_path / "faces"), "--classes", "any", "--num_train_epochs", "1"]
        + ["--backbone", "test_efficientnet", "--image_size", "32", "--disable_tqdm", "true"]
        + ["--use_cpu", "--output_dir", str(tmp_path / "run"), "--dataset_name", "Moods"]
        + ["--export_onnx", "false"]
    )
    push_to_hub.main(["model", str(tmp_path / "run"), "--repo_id", "me/mine", "--no_onnx"])
    Image.fromarray(skimage.data.astronaut()).save(tmp_path / "photo.png")
    table = tmp_path / "faces.csv"
    said = script_at_hub(BACK, tmp_path / "photo.png", table, ROOT)
    labels, faces, answer = json.loads(said.splitlines()[-1])
    assert labels == [*CLASSES]
    assert [[*face["scores"]] for face in (*faces, *answer)] == [[*CLASSES]] * 2
    assert answer[0]["scores"] == pytest.approx(faces[0]["scores"], abs=1e-5)
    (row,) = csv.DictReader(table.open())
    assert [*row][-3:] == [*CLASSES] and row["label"] == faces[0]["label"]
