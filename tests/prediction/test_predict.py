"""predict.py as a user calls it, with model/ and OpenCV's own cascade."""

import csv
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from urllib.error import URLError

import cv2
import numpy as np
import pytest
import skimage.data
from PIL import Image

import predict
from modeling import FerEfficientNetConfig
from modeling.photo_reading import PhotoError
from prediction import video
from prediction.annotation import annotate
from prediction.inputs import InputError, collect
from prediction.output import CsvWriter
from prediction.video import Follower, Video, VideoError, VideoFile, overlap

LABELS = list(FerEfficientNetConfig().id2label.values())


def run(*words):
    return predict.main([*map(str, words), "--detector", "haar", "--device", "cpu"])


@pytest.fixture(scope="module")
def album(tmp_path_factory):
    folder = tmp_path_factory.mktemp("album")
    astronaut = skimage.data.astronaut()
    Image.fromarray(astronaut).save(folder / "a.png")
    (folder / "more").mkdir()
    Image.fromarray(astronaut[300:, :200]).save(folder / "more" / "b.jpg")
    (folder / "notes.txt").write_text("no photo")
    return folder


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    """Two seconds at 10 frames a second; the face moves right, then is gone."""
    path = tmp_path_factory.mktemp("clip") / "clip.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 10, (400, 240))
    face = cv2.cvtColor(skimage.data.astronaut()[:220, 130:330], cv2.COLOR_RGB2BGR)
    for number in range(20):
        frame = np.zeros((240, 400, 3), np.uint8)
        if number < 15:
            frame[:220, 8 * number : 8 * number + 200] = face
        writer.write(frame)
    writer.release()
    return path


def test_a_table_and_a_last_line(album, capsys):
    assert run(album) == 0
    lines = capsys.readouterr().out.splitlines()
    name = f"{album / 'a.png'}".ljust(len(f"{album / 'more' / 'b.jpg'}"))
    assert lines[0].startswith(f"{name}   1  happy")
    assert lines[1] == f"{album / 'more' / 'b.jpg'}   -  no face"  # aligned with the first
    assert lines[2].startswith("2 photos, 1 faces, ") and lines[2].endswith("photos/s")


def test_json_and_csv_and_pictures(album, tmp_path, capsys):
    done = run(album, "--json", tmp_path / "x" / "faces.json", "--csv", tmp_path / "faces.csv",
               "--annotate", tmp_path / "drawn")  # fmt: skip
    assert done == 0
    first, second = json.loads((tmp_path / "x" / "faces.json").read_text())
    assert first["file"].endswith("a.png") and second["faces"] == []
    row, without = csv.DictReader((tmp_path / "faces.csv").open())
    assert without.pop("file").endswith("b.jpg") and without.pop("face") == "0"
    assert set(without.values()) == {""}
    assert row["label"] == "happy" and int(row["xmin"]) == first["faces"][0]["box"]["xmin"]
    assert sum(float(row[label]) for label in LABELS) == pytest.approx(1, abs=1e-3)
    drawn = np.asarray(Image.open(tmp_path / "drawn" / "a.png")).astype(int)
    box = first["faces"][0]["box"]
    changed = np.abs(drawn - skimage.data.astronaut()).sum(-1) > 0
    assert changed[box["ymin"] : box["ymax"], box["xmin"]].all()
    assert not changed[
        box["ymin"] + 20 : box["ymax"] - 20, box["xmin"] + 20 : box["xmax"] - 20
    ].any()
    assert str(tmp_path / "drawn") in capsys.readouterr().out.splitlines()[-1]
    run(album / "a.png", "--annotate", tmp_path / "drawn")
    assert (tmp_path / "drawn" / "a-2.png").exists()


def test_json_on_the_screen_is_json(album, capsys):
    run(album / "a.png", "--json", "-")
    said = capsys.readouterr()
    assert json.loads(said.out)[0]["faces"][0]["label"] == "happy"
    assert "1 photos, 1 faces" in said.err


def test_a_broken_file_is_skipped_and_the_status_says_so(album, tmp_path, capsys):
    (tmp_path / "broken.jpg").write_text("no picture")
    assert run(tmp_path / "broken.jpg", album / "a.png") == 1
    said = capsys.readouterr()
    assert re.search(r"a\.png +1  happy", said.out) and "1 could not be read" in said.out
    assert any(line.startswith("Skipped: ") for line in said.err.replace("\r", "\n").splitlines())


@pytest.mark.parametrize(
    "words, said",
    [
        ([], "give a photo"),
        (["x.jpg", "--json", "-", "--csv", "-"], "only one of --json, --jsonl and --csv"),
        (["x.jpg", "--json", "a", "--csv", "./a"], "need a file each"),
        (["x.jpg", "--every", "0"], "must be at least 1"),
        (["--webcam", "0", "--every", "5"], "--every is of a video file"),
        (["x.jpg", "--prior", "1", "b"], "prior must be 'learned', 'train', 'uniform', or as many"),
        (["x.jpg", "--prior", "balanced"], "but it is 'balanced'."),
        (["x.jpg", "--prior", *["nan"] * 7], "prior must be"),
    ],
)
def test_wrong_commands(words, said, capsys):
    with pytest.raises(SystemExit) as ended:
        predict.main(words)
    assert ended.value.code == 2 and said in capsys.readouterr().err


def test_wrong_values_are_one_line(album, clip, broken_weights, tmp_path, capsys):
    other = tmp_path / "vit"
    other.mkdir()
    (other / "config.json").write_text('{"model_type": "vit"}')
    for words, said in (
        (["none.jpg"], "none.jpg: no such file"),
        ([album / "a.png", "--prior", "1", "2"], "prior must be"),
        ([album / "a.png", "--model", album], "config.json"),
        ([album / "a.png", "--model", other], "expected a model of type fer_efficientnet, but"),
        ([clip, "--csv", "faces.csv"], "--json, --jsonl and --csv are of photos"),
        ([clip, "--explain", tmp_path], "--explain is of photos"),
        ([album / "a.png", "--model", tmp_path / "no"], "no: no such folder, and no such model"),
        ([album / "a.png", "--model", broken_weights], "model.safetensors is broken"),
        ([album / "a.png", "--csv", album / "a.png" / "x.csv"], "cannot write there: "),
        ([album / "a.png", "--annotate", album / "notes.txt"], "cannot write there: "),
    ):
        assert run(*words) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert line.startswith("predict.py: ") and said in line


@pytest.fixture
def broken_weights(tmp_path):
    folder = shutil.copytree(predict.MODEL, tmp_path / "broken")
    (folder / "model.safetensors").write_bytes(b"no weights")
    return folder


def test_what_is_missing_of_a_detector_is_one_line(album, tmp_path, monkeypatch, capsys):
    def offline():
        raise URLError("no network")

    monkeypatch.setattr("modeling.face_detection.download_yunet", offline)
    for words, said in (
        (["--detector", "yunet"], "YuNet's weights cannot be had from the Hub (URLError). Connect"),
        (["--detector_path", tmp_path / "none.onnx"], "none.onnx: no such file."),
    ):
        csv_file = tmp_path / "faces.csv"
        assert predict.main([*map(str, [album / "a.png", *words, "--csv", csv_file])]) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert line.startswith("predict.py: ") and said in line
        assert not csv_file.exists()


def test_heat_maps(album, tmp_path, capsys):
    assert run(album, "--explain", tmp_path / "heat", "--json", tmp_path / "faces.json") == 0
    (picture,) = (tmp_path / "heat").iterdir()
    assert picture.name == "a_1_happy.png" and str(tmp_path / "heat") in capsys.readouterr().out
    pixels = np.asarray(Image.open(picture)).astype(int)
    assert np.ptp(pixels, axis=-1).max() > 50  # coloured by the heat
    assert {*json.loads((tmp_path / "faces.json").read_text())[0]["faces"][0]} >= {"label", "box"}


@pytest.mark.parametrize("words, bars", [([], True), (["--disable_tqdm", "true"], False)])
def test_bars(album, clip, tmp_path, capsys, words, bars):
    run(album, clip, "--timeline", tmp_path, *words)
    assert ("photo/s" in capsys.readouterr().err) == bars


def test_a_device_that_is_not_there_is_one_line(album, capsys):
    assert predict.main([str(album / "a.png"), "--device", "gpu"]) == 2
    assert capsys.readouterr().err.splitlines()[-1].startswith("predict.py: ")


def faces_until(ending, photos):
    """A pipeline in whose `photos`-th photo `ending` is called."""

    def find(sources, **options):
        for number, _ in enumerate(sources):
            if number == photos:
                ending()
            yield [face(number)]

    find.model = SimpleNamespace(config=SimpleNamespace(id2label=dict(enumerate(LABELS))))
    return find


@pytest.mark.parametrize("sent, status", [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_output_that_is_stopped_is_whole_up_to_there(tmp_path, monkeypatch, capsys, sent, status):
    for number in range(5):
        (tmp_path / f"{number}.png").touch()
    # a suite that a shell started with & ignores Ctrl-C
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    find = faces_until(lambda: os.kill(os.getpid(), sent), 3)
    monkeypatch.setattr(predict, "build_pipeline", lambda args: find)
    handler = signal.getsignal(signal.SIGTERM)
    words = [f"--{kind}={tmp_path / kind}" for kind in ("json", "jsonl", "csv")]
    try:
        done = run(tmp_path, *words)
    except SystemExit as ended:
        done = ended.code
    finally:
        signal.signal(signal.SIGINT, before)
    assert done == status and signal.getsignal(signal.SIGTERM) is handler
    names = [str(tmp_path / f"{number}.png") for number in range(3)]
    listed = json.loads((tmp_path / "json").read_text())
    assert listed == [json.loads(line) for line in (tmp_path / "jsonl").read_text().splitlines()]
    rows = csv.DictReader((tmp_path / "csv").open())
    assert [entry["file"] for entry in listed] == names == [row["file"] for row in rows]


@pytest.mark.parametrize("kind", ["json", "jsonl", "csv"])
def test_each_line_is_on_the_disk_once_it_is_written(tmp_path, monkeypatch, kind):
    for number in range(3):
        (tmp_path / f"{number}.png").touch()
    seen = []
    look = faces_until(lambda: seen.append((tmp_path / kind).read_text()), 2)
    monkeypatch.setattr(predict, "build_pipeline", lambda args: look)
    run(tmp_path, f"--{kind}={tmp_path / kind}")
    assert "0.png" in seen[0]


def test_a_reader_that_leaves_is_no_error(album):
    reader, writer = os.pipe()
    os.close(reader)
    command = [sys.executable, predict.__file__, album / "a.png", "--detector", "haar", "--csv=-"]
    done = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, text=True)
    os.close(writer)
    assert done.returncode == 141
    assert "Traceback" not in done.stderr and "BrokenPipe" not in done.stderr


def test_names_that_are_no_utf8_stand_in_every_output(tmp_path, monkeypatch, capsys):
    odd = os.fsencode(tmp_path) + b"/a\xff.png"
    try:
        Path(os.fsdecode(odd)).touch()
    except OSError:
        pytest.skip("this file system has no such names")
    monkeypatch.setattr(predict, "build_pipeline", lambda args: faces_until(None, None))
    words = [f"--{kind}={tmp_path / kind}" for kind in ("json", "jsonl", "csv")]
    assert run(tmp_path, *words) == 0
    expected = f"{tmp_path}/a\\udcff.png"
    assert json.loads((tmp_path / "json").read_text())[0]["file"] == expected
    assert json.loads((tmp_path / "jsonl").read_text())["file"] == expected
    assert next(csv.DictReader((tmp_path / "csv").open(encoding="utf-8")))["file"] == expected
    assert capsys.readouterr().out.startswith(expected)


def test_a_video_whose_name_is_no_utf8_is_refused():
    with pytest.raises(VideoError, match="whose name is not UTF-8; rename it"):
        Video("a\udcff.mp4", 1)


def test_a_file_that_cannot_be_written_is_one_line(album, tmp_path, capsys):
    for kind in ("json", "jsonl", "csv"):
        assert run(album / "a.png", f"--{kind}", tmp_path) == 2
        last = capsys.readouterr().err.splitlines()[-1]
        assert last.startswith("predict.py: ") and str(tmp_path) in last


@pytest.mark.parametrize("name", ["=1+1.png", "+a.png", "-a.png", "@a.png", "\ta.png", "a=b.png"])
def test_no_csv_cell_is_a_formula(tmp_path, name):
    with (tmp_path / "faces.csv").open("w", newline="") as file:
        CsvWriter(file, LABELS).write(name, [face(0)])
    (row,) = csv.DictReader((tmp_path / "faces.csv").open(newline=""))
    assert row["file"] == (name if name == "a=b.png" else f"'{name}")


def test_inputs(album, monkeypatch):
    monkeypatch.chdir(album)
    assert collect(["more", "https://a.b/c", "*.png"]) == (
        ["more/b.jpg", "https://a.b/c", "a.png"],
        [],
        [],
    )
    with pytest.raises(InputError, match=r"\*.gif: nothing matches"):
        collect(["*.gif"])


def test_of_a_folder_only_photos_and_videos_count(tmp_path):
    (tmp_path / ".trash").mkdir()
    for name in ("a.JPG", "b.webp", "c.pdf", "d.h5", "e.txt", "f.mpg", "g.HEIC", "h.txt", ".i.txt",
                 "._a.jpg", ".trash/j.png"):  # fmt: skip
        (tmp_path / name).touch()
    photos, videos, passed_over = collect([str(tmp_path)])
    assert [Path(photo).name for photo in photos] == ["a.JPG", "b.webp", "g.HEIC"]
    assert [Path(video).name for video in videos] == ["f.mpg"]
    assert [Path(other).name for other in passed_over] == ["c.pdf", "d.h5", "e.txt", "h.txt"]


def test_what_is_passed_over_is_counted_and_named(album, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(predict, "build_pipeline", lambda args: faces_until(None, None))
    run(album)
    assert (
        f"Passed over 1 file that is no photo and no video by name (1 .txt): {album / 'notes.txt'}"
        in capsys.readouterr().err
    )
    for name in ("a.cr2", "b.cr2", "c", "d.cr2"):
        (tmp_path / name).touch()
    assert run(tmp_path) == 2
    said = capsys.readouterr().err
    assert "no photo and no video in this folder. Passed over 4 files" in said
    assert "(3 .cr2, 1 without suffix)" in said and said.rstrip().endswith(", ...")


def test_a_photo_that_changes_before_it_is_drawn_is_told(album, tmp_path, monkeypatch, capsys):
    def gone(name):
        raise PhotoError(f"{name}: no such file.")

    monkeypatch.setattr(predict, "read_photo", gone)
    assert run(album / "a.png", "--annotate", tmp_path) == 1
    assert "Not drawn: " in capsys.readouterr().err


def test_a_drawn_video_shows_each_picture_when_it_was_taken(tmp_path):
    file = VideoFile(tmp_path / "live.avi", rate=10.0)
    file.CODECS = {".avi": "MJPG"}
    for seconds, grey in ((0.0, 50), (0.5, 100), (0.51, 150), (2.0, 200)):  # as a slow machine sees
        file.add(np.full((48, 64, 3), grey, np.uint8), seconds)
    file.end()
    shown = [round(frame.photo.mean(), -1) for frame in Video(str(tmp_path / "live.avi"), 1)]
    assert shown == [50] * 5 + [100] + [150] * 14 + [200]


def test_a_video_that_cannot_be_written_is_told(tmp_path):
    with pytest.raises(VideoError, match="none/a.webm: OpenCV cannot write"):
        VideoFile(tmp_path / "none" / "a.webm", 10.0).add(np.zeros((48, 64, 3), np.uint8), 0.0)


@pytest.mark.parametrize("rate, expected", [(1000.0, 30.0), (0.0, 30.0), (200.0, 200.0)])
def test_an_unbelievable_rate_is_not_believed(clip, monkeypatch, rate, expected):
    real = cv2.VideoCapture

    class Recorded:
        def __init__(self, source):
            self.real = real(source)

        def __getattr__(self, name):
            return getattr(self.real, name)

        def get(self, key):
            return rate if key == cv2.CAP_PROP_FPS else self.real.get(key)

    monkeypatch.setattr(cv2, "VideoCapture", Recorded)
    assert Video(str(clip), 1).rate == expected


TIMES = [0.0, 0.033, 0.066, 0.1, 0.5, 1.485, 1.5]  # seconds; of a variable frame rate


@pytest.mark.parametrize("suffix", [".mkv", ".mp4"])
def test_times_are_those_of_the_file(tmp_path, suffix):
    path = tmp_path / f"clip{suffix}"
    writer = cv2.VideoWriter(
        str(path), cv2.CAP_FFMPEG, cv2.VideoWriter.fourcc(*"MJPG"), 1000, (64, 48),
        [cv2.VIDEOWRITER_PROP_RAW_VIDEO, 1],
    )  # fmt: skip
    for seconds in TIMES:
        writer.set(cv2.VIDEOWRITER_PROP_PTS, round(1000 * seconds))
        writer.write(cv2.imencode(".jpg", np.zeros((48, 64, 3), np.uint8))[1].reshape(1, -1))
    writer.release()
    frames = list(Video(str(path), 1))
    assert [frame.time for frame in frames] == pytest.approx(TIMES)
    assert [frame.time for frame in Video(str(path), 2)] == pytest.approx(TIMES[::2])


def test_200_frames_a_second_are_200(tmp_path):
    path = str(tmp_path / "fast.avi")
    writer = cv2.VideoWriter(path, cv2.VideoWriter.fourcc(*"MJPG"), 200, (64, 48))
    for _ in range(10):
        writer.write(np.zeros((48, 64, 3), np.uint8))
    writer.release()
    assert [f.time for f in Video(path, 1)] == pytest.approx([i / 200 for i in range(10)])


class FakeCapture:
    """A capture that gives these counts of black frames, one count each time it is opened."""

    def __init__(self, *counts):
        self.counts, self.left, self.told = list(counts), 0, {}

    def open(self, source):
        self.left = self.counts.pop(0) if self.counts else 0
        return self

    def isOpened(self):
        return True

    def grab(self):
        self.left -= 1
        return self.left >= 0

    def retrieve(self):
        return True, np.zeros((48, 64, 3), np.uint8)

    def get(self, key):
        return self.told.get(key, 0.0)

    def release(self):
        pass


@pytest.fixture
def fake(monkeypatch):
    def make(*counts):
        capture = FakeCapture(*counts)
        monkeypatch.setattr(cv2, "VideoCapture", capture.open)
        monkeypatch.setattr(video.time, "sleep", lambda seconds: None)
        capture.said = []
        monkeypatch.setattr(video.logger, "warning", capture.said.append)
        return capture

    return make


def test_pictures_without_timestamps_follow_the_rate(fake):
    fake(3).told = {cv2.CAP_PROP_FPS: 10.0, cv2.CAP_PROP_FRAME_COUNT: 3.0}
    assert [frame.time for frame in Video("clip.h264", 1)] == pytest.approx([0.0, 0.1, 0.2])


def test_a_stream_that_drops_is_told_and_tried_again(fake):
    capture = fake(2, 0, 3)
    stream = Video("rtsp://me:secret@camera/door?token=1", 1)
    assert [frame.number for frame in stream] == [0, 1, 2, 3, 4]
    assert stream.live and stream.stem == "door" and stream.name == "rtsp://camera/door"
    again = [f"{stream.name}: dropped after 2 frames; trying again, {n} of 5." for n in (1, 2)]
    assert capture.said[:2] == again and len(capture.said) == 2 + video.RETRIES
    assert "Dropped after 5 frames; 5 tries" in stream.problem


def test_a_recording_on_the_web_ends_although_it_does_not_tell_its_frames(fake):
    fake(3, 3).told = {cv2.CAP_PROP_FPS: 10.0}
    recording = Video("http://host/clip.webm?token=1", 1)
    assert not recording.live
    assert [frame.time for frame in recording] == pytest.approx([0.0, 0.1, 0.2])
    assert Video("http://host/live.mjpg", 1).live


def test_a_file_that_ends_is_not_tried_again(fake):
    capture = fake(2)
    capture.told = {cv2.CAP_PROP_FRAME_COUNT: 2.0}
    clip = Video("https://host/clip.mp4?token=1", 1)
    assert len(list(clip)) == 2 and not clip.live and clip.problem is None and not capture.said
    assert clip.name == "https://host/clip.mp4" and clip.stem == "clip"


def test_a_stream_that_is_lost_is_a_failed_input(fake, tmp_path, capsys):
    fake(2)
    assert run("rtsp://camera/door", "--timeline", tmp_path, "--every", "1") == 1
    said = capsys.readouterr()
    assert "Incomplete: rtsp://camera/door: Dropped after 2 frames" in said.err
    assert "door_timeline.csv" in said.out


def test_sources_of_videos(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    videos = ["rtsp://camera/1", "http://host/clip.MP4?token=1", "https://host/live.m3u8",
              "/dev/null", str(tmp_path / "pipe")]  # fmt: skip
    photos = ["http://host/a.jpg?name=b.mp4", "https://host/photo"]
    assert collect([*videos, *photos, "-"]) == (photos, [*videos, "/dev/stdin"], [])
    assert predict.parse(["--webcam", "/dev/video0"]).webcam == "/dev/video0"
    assert predict.parse(["--webcam", "1"]).webcam == 1


def test_a_cut_file_says_how_much_was_read(clip, tmp_path, capsys):
    whole = clip.read_bytes()
    cut = tmp_path / "cut.avi"
    cut.write_bytes(whole[: len(whole) // 2])
    read = Video(str(cut), 1)
    frames = len(list(read))
    assert 3 < frames < 20
    assert read.problem == f"The file is cut short: {frames} of 20 frames could be read."
    assert run(cut, "--timeline", tmp_path, "--every", "5") == 1
    said = capsys.readouterr()
    assert f"Incomplete: {cut}: {read.problem}" in said.err and "cut_timeline.csv" in said.out


@pytest.mark.parametrize("suffix, codec", [(".avi", "MJPG"), (".mp4", "mp4v"), (".webm", "VP80")])
def test_a_file_is_cut_where_its_container_is_longer(tmp_path, suffix, codec):
    path = tmp_path / f"clip{suffix}"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*codec), 10, (64, 48))
    for _ in range(5):
        writer.write(np.zeros((48, 64, 3), np.uint8))
    writer.release()
    whole = path.read_bytes()
    assert not video.is_cut(str(path))
    path.write_bytes(whole + b"more of a camera's own")
    assert not video.is_cut(str(path))
    path.write_bytes(whole[:-9])
    assert video.is_cut(str(path))


def test_a_video_gives_a_timeline_and_one_person(clip, tmp_path, capfd):
    assert run(clip, "--every", "2", "--timeline", tmp_path, "--annotate", tmp_path / "drawn") == 0
    rows = list(csv.DictReader((tmp_path / "clip_timeline.csv").open()))
    assert {row["person"] for row in rows} == {"1"}
    assert [int(row["frame"]) for row in rows] == list(range(0, 15, 2))
    assert float(rows[1]["time"]) == pytest.approx(0.2)
    assert (tmp_path / "clip_timeline.png").stat().st_size > 10_000
    assert list(rows[0])[-7:] == LABELS
    said = capfd.readouterr()
    assert str(tmp_path / "clip_timeline.csv") in said.out
    assert "OpenCV" not in said.err and "VP80" not in said.err
    # all frames, as fast as they were, in a format that browsers play
    drawn = Video(str(tmp_path / "drawn" / "clip.webm"), 1)
    assert (drawn.rate, drawn.capture.get(cv2.CAP_PROP_FOURCC)) == (
        10,
        cv2.VideoWriter.fourcc(*"VP80"),
    )
    frames = [frame.photo.astype(int) for frame in drawn]
    assert len(frames) == 20
    edges = [int(rows[number]["xmin"]) for number in (0, 1, 1)]
    for number, edge in zip((0, 2, 3), edges):  # the third passed over, with the box of the second
        column = frames[number][60:160, edge]
        assert column[:, 0].mean() - column[:, 2].mean() > 60, number  # yellow, of happy


def test_a_video_that_is_none(tmp_path, capsys):
    (tmp_path / "a.mp4").write_text("no video")
    with pytest.raises(VideoError, match="a.mp4: OpenCV cannot open it as a video"):
        Video(str(tmp_path / "a.mp4"), 1)
    assert run(tmp_path / "a.mp4", "--timeline", tmp_path) == 1
    assert "Skipped: " in capsys.readouterr().err


def test_a_damaged_video_is_read_without_the_words_of_its_codec(tmp_path, capfd):
    path = tmp_path / "damaged.mp4"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), 10, (64, 64))
    noise = np.random.default_rng(0)
    for _ in range(10):
        writer.write(noise.integers(0, 255, (64, 64, 3), np.uint8))
    writer.release()
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 500] = b"\xff" * 500
    path.write_bytes(content)
    assert len(list(Video(str(path), 1))) > 5
    assert capfd.readouterr().err == ""


def test_a_webcam_that_is_not_there_is_one_line(tmp_path, capfd):
    assert run("--webcam", "99", "--timeline", tmp_path) == 1
    said = capfd.readouterr().err.splitlines()
    said = [line for line in said if line.strip() and "Loading" not in line]
    assert said == ["Skipped: webcam 99: OpenCV cannot open it as a video."]
    assert list(tmp_path.iterdir()) == []


def face(left, label="happy"):
    scores = {name: 0.88 if name == label else 0.02 for name in LABELS}
    box = {"xmin": left, "ymin": 0, "xmax": left + 100, "ymax": 100}
    answer = {"label": label, "score": 0.88, "scores": scores, "uncertain": False}
    return {"box": box, "face_score": 1.0} | answer


def test_people_keep_their_ids_and_are_smoothed():
    follower = Follower(uncertain_below=0.8)
    assert [f["person"] for f in follower.follow([face(0), face(200)], 0.0)] == [1, 2]
    second = follower.follow([face(210), face(10, "sad"), face(500)], 0.1)
    assert [f["person"] for f in second] == [2, 1, 3]
    assert second[1]["label"] == "happy" and 0.02 < second[1]["scores"]["sad"] < 0.5
    assert sum(second[1]["scores"].values()) == pytest.approx(1)
    assert second[1]["uncertain"] and not second[0]["uncertain"]  # of the smoothed scores
    assert follower.follow([face(10, "sad")], 3.0)[0]["person"] == 4  # too long out of sight
    assert overlap(face(0)["box"], face(50)["box"]) == pytest.approx(1 / 3)


def test_a_caption_stays_in_the_picture():
    black = np.zeros((60, 90, 3), np.uint8)
    drawn = annotate(black, [face(0) | {"box": dict(xmin=70, ymin=0, xmax=90, ymax=20)}])
    assert drawn.shape == black.shape and (drawn[:20, :60] > 200).any()
