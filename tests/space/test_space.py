"""space/: what its folder holds, and its API by gradio_client and by plain HTTP."""

import json
import shutil
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import cv2
import gradio_client
import numpy as np
import pytest
import skimage.data
import yaml
from space_client import astronaut, predict

from modeling import EXPRESSIONS
from tests.images import saved
from tests.measured import with_test_results
from training.card import write_card

ROOT = Path(__file__).parents[2]
RESULTS = json.loads((ROOT / "model" / "all_results.json").read_text())


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """With one face, three and none."""
    face = astronaut()[:220, 130:330]
    dim = (face * 0.7).astype(np.uint8)
    photos = {"one": face, "three": np.concatenate([face, dim, face[:, ::-1]], 1),
              "none": skimage.data.chelsea()}  # fmt: skip
    folder = tmp_path_factory.mktemp("photos")
    for name, photo in photos.items():
        (folder / f"{name}.png").write_bytes(saved(photo))
    return {name: str(folder / f"{name}.png") for name in photos}


@pytest.fixture(scope="module")
def client(space):
    return gradio_client.Client(space.url, verbose=False)


def assert_same(found, expected):
    assert [face["box"] for face in found] == [face["box"] for face in expected]
    for face, other in zip(found, expected):
        assert set(face) == set(other)
        assert (face["label"], face["uncertain"]) == (other["label"], other["uncertain"])
        assert face["scores"] == pytest.approx(other["scores"], abs=1e-5)
        for name in ("score", "face_score"):
            assert face[name] == pytest.approx(other[name], abs=1e-5)


def test_the_answers_are_the_pipelines_own(client, shipped_onnx, files):
    images = [gradio_client.handle_file(path) for path in files.values()]
    found, expected = (
        client.predict(images, api_name="/predict_batch"),
        shipped_onnx([*files.values()]),
    )
    assert [len(faces) for faces in expected] == [1, 3, 0]
    for faces, others in zip(found, expected, strict=True):
        assert_same(faces, others)
    found = client.predict(images[1], "uniform", api_name="/predict")
    assert_same(found, shipped_onnx(files["three"], prior="uniform"))


def test_a_name_in_the_place_of_a_file_is_answered_by_a_sentence(client, space, files):
    before = len(space.log.read_text())
    for name, data in (("predict", files["one"]), ("predict_batch", [files["one"]])):
        with pytest.raises(gradio_client.exceptions.AppError, match="handle_file"):
            client.predict(data, api_name=f"/{name}")
    assert "Traceback" not in space.log.read_text()[before:]


def test_a_video_by_program(client, tmp_path):
    path = tmp_path / "clip.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 5, (200, 220))
    for _ in range(5):
        writer.write(cv2.cvtColor(astronaut()[:220, 130:330], cv2.COLOR_RGB2BGR))
    writer.release()
    video = gradio_client.handle_file(str(path))
    table, clip, words = client.predict(video, api_name="/predict_video")
    assert Path(table).read_text().count("happy") >= 5 and "One face was followed." in words
    assert "- Person 1, 1.0 seconds: happy 100%" in words
    assert Path(clip).suffix == ".webm"
    (tmp_path / "no.mp4").write_bytes(b"no video at all")
    video = gradio_client.handle_file(str(tmp_path / "no.mp4"))
    with pytest.raises(gradio_client.exceptions.AppError, match="no.mp4: not a video"):
        client.predict(video, api_name="/predict_video")


def test_info_is_the_report(client):
    about = client.predict(api_name="/info")
    assert about["model_id"] == "model" and about["revision"] is None
    assert about["results"] == RESULTS
    assert about["detector"] == "YuNet" and about["limits"]["photos"] == 50


def test_certainty_is_that_of_the_test_split_if_the_card_quotes_it(modules, tmp_path):
    panels = modules("panels")
    write_card(with_test_results(tmp_path))
    assert "Of the test images with more, 80% were lab" in panels.Report(tmp_path).certainty()
    card = (tmp_path / "README.md").read_text()
    (tmp_path / "README.md").write_text(card.replace("`test_results.json`", ""))
    assert "Of the validation images with more, 80%" in panels.Report(tmp_path).certainty()
    results = RESULTS | {"uncertain_below": 0.0}
    (tmp_path / "all_results.json").write_text(json.dumps(results))
    (tmp_path / "config.json").unlink()
    words = panels.Report(tmp_path).certainty()
    assert words == "No large face is uncertain: of all validation images, 80% were labelled right."
    sizes = [{"side": 24, "uncertain_below": 0.61}, {"side": 32, "uncertain_below": None}]
    config = {"calibration": {"smaller_faces": sizes}}
    (tmp_path / "config.json").write_text(json.dumps(config))
    smaller = " Smaller faces need more: 61% at 24 pixels."
    assert panels.Report(tmp_path).certainty() == words + smaller


def test_the_api_is_documented_and_typed(client):
    endpoints = client.view_api(return_format="dict")["named_endpoints"]
    assert set(endpoints) == {"/predict", "/predict_batch", "/predict_video", "/info"}
    for endpoint in endpoints.values():
        assert len(endpoint["description"]) > 40
    image, prior = endpoints["/predict"]["parameters"]
    assert image["parameter_name"] == "image" and "filepath" in image["python_type"]["type"]
    assert prior["type"]["enum"] == ["train", "uniform"] and prior["parameter_default"] == "train"
    (faces,) = endpoints["/predict"]["returns"]
    assert set(faces["type"]["items"]["properties"]) >= {"box", "label", "scores", "uncertain"}


def test_every_client_gets_its_own_answer(space, shipped_onnx):
    """Many at once, so that batches are formed; each photo has its face elsewhere."""
    photos = [np.roll(astronaut()[:256], 16 * number, axis=1) for number in range(-6, 6)]
    contents = [saved(photo) for photo in photos]
    with ThreadPoolExecutor(len(contents)) as clients:
        found = list(clients.map(lambda content: predict(space.url, content), contents))
    for faces, expected in zip(found, shipped_onnx(contents)):
        assert_same(faces, expected)


def test_a_clip_plays_by_the_times_of_the_video_and_says_what_is_missing(modules, tmp_path):
    clips = modules("clips")
    path = tmp_path / "upload.mkv"
    writer = cv2.VideoWriter(
        str(path), cv2.CAP_FFMPEG, cv2.VideoWriter.fourcc(*"MJPG"), 1000, (64, 48),
        [cv2.VIDEOWRITER_PROP_RAW_VIDEO, 1],
    )  # fmt: skip
    for seconds in [*range(0, 40, 2)]:  # a frame every two seconds, "1000 frames a second"
        writer.set(cv2.VIDEOWRITER_PROP_PTS, round(1000 * seconds))
        writer.write(cv2.imencode(".jpg", np.zeros((48, 64, 3), np.uint8))[1].reshape(1, -1))
    writer.release()
    served = SimpleNamespace(
        labels=["happy"],
        find=SimpleNamespace(certain_from=lambda box: 0.0),
        faces=lambda photos, **options: [None] * len(photos),  # a detector that fails
    )

    def made(name):
        (tmp_path / name).mkdir()
        return clips.follow_faces(served, str(path), tmp_path / name, lambda share: None)

    clip, plot, _, words = made("whole")
    assert plot is None and words.startswith("No face was found.")
    video = cv2.VideoCapture(str(clip))
    seconds = video.get(cv2.CAP_PROP_FRAME_COUNT) / video.get(cv2.CAP_PROP_FPS)
    assert 20 < seconds < 30 and "Only the first 30 seconds" in words
    path.write_bytes(path.read_bytes()[:-8000])
    assert "The file is cut short: " in made("cut")[3]


def test_a_request_holds_few_photos_at_a_time(modules):
    page = SimpleNamespace(photo=lambda side: np.zeros((side, side, 3), np.uint8))
    sides = [10] * 20 + [4000] * 3
    held = [len(photos) for photos in modules("page").Page.a_few_at_a_time(page, sides)]
    assert held == [8, 8, 5, 1, 1]


def test_uploads_are_deleted_after_use_and_by_age(modules, tmp_path):
    folder, example = tmp_path / "uploads", tmp_path / "example.png"
    (folder / "a").mkdir(parents=True)
    used, unused = folder / "a" / "used.png", folder / "unused.png"
    for file in (used, unused, example):
        file.write_bytes(b"picture")
    uploads = modules("uploads").Uploads(folder, after_use=60, at_age=600)
    assert uploads.read(str(used), most=3) == b"pict"
    assert uploads.read(str(example), most=100) == b"picture"
    now = time.time()
    uploads.forget(now + 30)
    assert used.exists() and unused.exists()
    uploads.forget(now + 61)
    assert not used.exists() and unused.exists()
    uploads.forget(now + 700)
    assert list(folder.rglob("*")) == [] and example.exists()


def test_the_code_of_a_hub_model_is_run_at_a_commit_only(modules, monkeypatch, tmp_path):
    """Report and code are those of the commit, and of no other."""
    serving, asked = modules("serving"), []
    for revision in ("", "v1", "0123abc"):
        with pytest.raises(SystemExit, match="MODEL_REVISION must be a commit of me/faces"):
            serving.load("me/faces", revision)

    def download(source, **options):
        asked.append((source, options["revision"]))
        return str(tmp_path)

    def load(task, **options):
        asked.append((options["model"], options["revision"]))
        raise InterruptedError

    monkeypatch.setattr(serving, "snapshot_download", download)
    monkeypatch.setattr(serving, "pipeline", load)
    with pytest.raises(InterruptedError):
        serving.load("me/faces", "c" * 40)
    assert asked == [("me/faces", "c" * 40)] * 2


def test_a_clone_without_links_is_told_what_to_do(tmp_path):
    app = shutil.copyfile(ROOT / "space" / "app.py", tmp_path / "app.py")
    (tmp_path / "prediction").write_text("../prediction")
    done = subprocess.run([sys.executable, app], capture_output=True, text=True)
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert "prediction: expected a link" in line and "git config core.symlinks true" in line


def test_requirements_are_pinned_to_tested_versions():
    pins = (ROOT / "space" / "requirements.txt").read_text().split()
    tested = (ROOT / "constraints.txt").read_text().lower()
    for pin in pins:
        assert f"\n{pin.replace('_', '-')}" in tested, pin


def test_no_example_is_named_after_a_class():
    """The page may be that of other classes."""
    names = " ".join(path.stem for path in (ROOT / "space" / "examples").iterdir())
    assert not [label for label in EXPRESSIONS if label[:3] in names]


def test_the_header_is_a_spaces():
    header = yaml.safe_load((ROOT / "space" / "README.md").read_text().split("---\n")[1])
    assert header["sdk"] == "gradio" and header["app_file"] == "app.py"
    pins = dict(
        pin.split("==") for pin in (ROOT / "space" / "requirements.txt").read_text().split()
    )
    assert header["sdk_version"] == pins["gradio"]
    assert len(header["short_description"]) <= 60
    colors = {"red", "yellow", "green", "blue", "indigo", "purple", "pink", "gray"}
    assert {header["colorFrom"], header["colorTo"]} <= colors


def test_the_comparison_of_treatments_is_the_benchmarks():
    results = ROOT / "benchmarks" / "results"
    for suffix in (".md", ".json"):
        made = results / f"imbalance_official{suffix}"
        shown = ROOT / "space" / f"imbalance{suffix}"
        assert made.exists() == shown.exists(), "run python benchmarks/pages.py"
        assert not made.exists() or made.read_bytes() == shown.read_bytes()
