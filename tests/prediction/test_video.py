"""Videos and webcams: their frames and times, what is wrong with them, and timelines of people."""

import csv
import functools
import http.server
import threading
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from PIL import Image

from modeling import EXPRESSIONS
from prediction import video
from prediction.container import is_cut
from prediction.timeline import Timeline
from prediction.video import Video, VideoError, VideoFile

BLACK = np.zeros((48, 64, 3), np.uint8)
TIMES = [0.0, 0.033, 0.066, 0.1, 0.5, 1.485, 1.5]  # seconds, at a variable frame rate


@pytest.mark.parametrize("suffix", [".mkv", ".mp4"])
def test_times_are_those_of_the_file(tmp_path, suffix):
    path = str(tmp_path / f"clip{suffix}")
    writer = cv2.VideoWriter(
        path, cv2.CAP_FFMPEG, cv2.VideoWriter.fourcc(*"MJPG"), 1000, (64, 48),
        [cv2.VIDEOWRITER_PROP_RAW_VIDEO, 1],
    )  # fmt: skip
    for seconds in TIMES:
        writer.set(cv2.VIDEOWRITER_PROP_PTS, round(1000 * seconds))
        writer.write(cv2.imencode(".jpg", BLACK)[1].reshape(1, -1))
    writer.release()
    assert [frame.time for frame in Video(path, 1)] == pytest.approx(TIMES)
    assert [frame.time for frame in Video(path, 2)] == pytest.approx(TIMES[::2])


@pytest.fixture
def fake(monkeypatch):
    """Captures of so many black frames, one count each time that one is opened."""

    def install(*counts, rate=0.0, frames=0.0):
        left = iter(counts)
        properties = {cv2.CAP_PROP_FPS: rate, cv2.CAP_PROP_FRAME_COUNT: frames}

        def open_capture(source):
            grabs = iter([True] * next(left, 0))
            return SimpleNamespace(
                isOpened=lambda: True, grab=lambda: next(grabs, False), release=lambda: None,
                retrieve=lambda: (True, BLACK), get=lambda key: properties.get(key, 0.0),
            )  # fmt: skip

        monkeypatch.setattr(cv2, "VideoCapture", open_capture)
        monkeypatch.setattr(video.time, "sleep", lambda seconds: None)

    return install


@pytest.mark.parametrize("rate, expected", [(1000.0, 30.0), (0.0, 30.0), (200.0, 200.0)])
def test_an_unbelievable_rate_is_not_believed(fake, rate, expected):
    fake(3, rate=rate, frames=3.0)
    frames = Video("clip.h264", 1)  # without timestamps: they follow the rate
    assert frames.rate == expected
    times = [0.0, 1 / expected, 2 / expected]
    assert [frame.time for frame in frames] == pytest.approx(times)


def test_a_stream_that_drops_is_tried_again(fake, caplog):
    fake(2, 0, 3)
    stream = Video("rtsp://me:secret@camera/door?token=1", 1)
    assert [frame.number for frame in stream] == [0, 1, 2, 3, 4]
    assert stream.live and stream.stem == "door" and stream.name == "rtsp://camera/door"
    again = [f"{stream.name}: dropped after 2 frames; trying again, {n} of 5." for n in (1, 2)]
    assert caplog.messages[:2] == again and len(caplog.messages) == 2 + video.RETRIES
    assert "Dropped after 5 frames; 5 tries" in stream.problem


@pytest.mark.parametrize("frames", [3.0, 0.0])  # a browser's recording does not say how many
def test_a_recording_on_the_web_ends(fake, caplog, frames):
    fake(3, 3, rate=10.0, frames=frames)
    recording = Video("https://host/clip.webm?token=1", 1)
    assert recording.name == "https://host/clip.webm" and recording.stem == "clip"
    assert [frame.time for frame in recording] == pytest.approx([0.0, 0.1, 0.2])
    assert not recording.live and recording.problem is None and not caplog.messages
    assert Video("http://host/live.mjpg", 1).live == (not frames)


def test_a_stream_that_is_lost_is_a_failed_input(fake, tmp_path, run, capsys):
    fake(2)
    assert run("rtsp://camera/door", "--timeline", tmp_path, "--every", "1") == 1
    printed = capsys.readouterr()
    assert "Incomplete: rtsp://camera/door: Dropped after 2 frames" in printed.err
    assert "door_timeline.csv" in printed.out


def test_a_cut_file_says_how_much_was_read(clip, tmp_path):
    whole = clip.read_bytes()
    (tmp_path / "cut.avi").write_bytes(whole[: len(whole) // 2])
    cut = Video(str(tmp_path / "cut.avi"), 1)
    frames = len(list(cut))
    assert 3 < frames < 20
    assert cut.problem == f"The file is cut short: {frames} of 20 frames could be read."


@pytest.mark.parametrize("damaged", [[8, 9], [0, 1], [0, 5, 18]])
def test_what_follows_a_damaged_frame_is_read(clip, tmp_path, damaged):
    content = bytearray(clip.read_bytes())
    _, *starts = [i for i in range(len(content)) if content[i : i + 4] == b"00dc"]
    for number in damaged:
        start, end = starts[number] + 8, starts[number + 1]
        content[start:end] = bytes(end - start)
    (tmp_path / "damaged.avi").write_bytes(content)
    video = Video(str(tmp_path / "damaged.avi"), 1)
    numbers = [number for number in range(20) if number not in damaged]
    frames = list(video)
    assert [frame.number for frame in frames] == numbers
    assert [frame.time for frame in frames] == pytest.approx([number / 10 for number in numbers])
    assert video.problem == f"The file is damaged: {len(numbers)} of 20 frames could be read."


def test_a_server_that_only_sends_whole_files_is_no_hindrance(tmp_path, write_video, monkeypatch):
    noise = np.random.default_rng(0).integers(0, 255, (20, 240, 320, 3), np.uint8)
    write_video(tmp_path / "clip.mp4", "mp4v", noise)  # what describes the frames is at its end
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=tmp_path)
    monkeypatch.setattr(http.server.SimpleHTTPRequestHandler, "log_message", lambda *_: None)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}/clip.mp4?token=1"
        video = Video(url, 1)
        assert len(list(video)) == 20 and video.problem is None
        monkeypatch.setattr("modeling.photo_reading.MAX_BYTES", 2**19)
        with pytest.raises(VideoError, match="/clip.mp4: larger than"):
            list(Video(url, 1))
        server.shutdown()


@pytest.mark.parametrize("suffix, codec", [(".avi", "MJPG"), (".mp4", "mp4v"), (".webm", "VP80")])
def test_a_file_is_cut_where_its_container_is_longer(tmp_path, write_video, suffix, codec):
    path = write_video(tmp_path / f"clip{suffix}", codec, [BLACK] * 5)
    whole = path.read_bytes()
    assert not is_cut(str(path))
    path.write_bytes(whole + b"more of a camera's own")
    assert not is_cut(str(path))
    path.write_bytes(whole[:-9])
    assert is_cut(str(path))


def test_a_damaged_video_is_read_without_the_messages_of_its_codec(tmp_path, write_video, capfd):
    noise = np.random.default_rng(0).integers(0, 255, (10, 64, 64, 3), np.uint8)
    path = write_video(tmp_path / "damaged.mp4", "mp4v", noise)
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 500] = b"\xff" * 500
    path.write_bytes(content)
    assert len(list(Video(str(path), 1))) > 5
    assert capfd.readouterr().err == ""


def test_what_is_no_video_is_skipped_in_one_line(tmp_path, run, capfd):
    (tmp_path / "a.mp4").write_text("no video")
    assert run(tmp_path / "a.mp4", "--webcam", "99", "--timeline", tmp_path / "lines") == 1
    said = [line for line in capfd.readouterr().err.splitlines() if "Loading" not in line]
    cannot = "OpenCV cannot open it as a video."
    assert said == [f"Skipped: {tmp_path / 'a.mp4'}: {cannot}", f"Skipped: webcam 99: {cannot}"]
    assert not (tmp_path / "lines").exists()
    with pytest.raises(VideoError, match="whose name is not UTF-8; rename it"):
        Video("a\udcff.mp4", 1)


def test_a_drawn_video_shows_each_picture_when_it_was_taken(tmp_path):
    file = VideoFile(tmp_path / "live.avi", rate=10.0)
    file.CODECS = {".avi": "MJPG"}
    for seconds, grey in ((0.0, 50), (0.5, 100), (0.51, 150), (2.0, 200)):  # on a slow machine
        file.add(BLACK + np.uint8(grey), seconds)
    file.end()
    shown = [round(frame.photo.mean(), -1) for frame in Video(str(tmp_path / "live.avi"), 1)]
    assert shown == [50] * 5 + [100] + [150] * 14 + [200]
    with pytest.raises(VideoError, match="none/a.webm: OpenCV cannot write"):
        VideoFile(tmp_path / "none" / "a.webm", 10.0).add(BLACK, 0.0)


def test_a_timeline_sums_up_each_person_and_has_no_plot_without_one(tmp_path, face):
    timeline = Timeline(tmp_path / "a.csv", EXPRESSIONS)
    assert timeline.end("a") == [tmp_path / "a.csv"] and timeline.summary() == [
        "No face was found."
    ]
    timeline = Timeline(tmp_path / "b.csv", EXPRESSIONS)
    for number, label in enumerate(["sad", "happy", "happy", "happy"]):
        seen = face(0, label)
        frame = SimpleNamespace(time=number / 2, number=number)
        timeline.add(frame, [seen | {"person": 2, "raw_scores": seen["scores"]}])
    timeline.end("b")
    assert timeline.summary() == ["Person 2, 2.0 seconds: happy 75%, sad 25%"]
    plot = np.asarray(Image.open(tmp_path / "b.png").convert("RGBA"))
    ink = plot[plot[..., 3] > 200][:, :3].max(axis=1)
    assert plot[0, 0, 3] == 0 and ink.min() > 80  # reads on white and in the dark


def test_a_video_gives_a_timeline_and_one_person(clip, tmp_path, run, capfd):
    assert run(clip, "--every", "2", "--timeline", tmp_path, "--annotate", tmp_path / "drawn") == 0
    rows = list(csv.DictReader((tmp_path / "clip_timeline.csv").open()))
    assert {row["person"] for row in rows} == {"1"}
    assert [int(row["frame"]) for row in rows] == list(range(0, 15, 2))
    assert float(rows[1]["time"]) == pytest.approx(0.2)
    assert (tmp_path / "clip_timeline.png").stat().st_size > 10_000
    raw = tuple(f"raw_{name}" for name in EXPRESSIONS)
    assert tuple(rows[0])[-14:] == EXPRESSIONS + raw
    assert rows[0]["raw_happy"] == rows[0]["happy"] and rows[1]["raw_happy"] != rows[1]["happy"]
    printed = capfd.readouterr()
    assert str(tmp_path / "clip_timeline.csv") in printed.out
    assert f"{clip}: Person 1, 1.6 seconds: happy 100%" in printed.out
    assert "OpenCV" not in printed.err and "VP80" not in printed.err
    # all frames, at their own rate, in a format that browsers play
    drawn = Video(str(tmp_path / "drawn" / "clip.webm"), 1)
    assert drawn.rate == 10
    assert drawn.capture.get(cv2.CAP_PROP_FOURCC) == cv2.VideoWriter.fourcc(*"VP80")
    frames = [frame.photo.astype(int) for frame in drawn]
    assert len(frames) == 20
    edges = [int(rows[number]["xmin"]) for number in (0, 1, 1)]
    for number, edge in zip((0, 2, 3), edges):  # the third, passed over, has the second's box
        column = frames[number][60:160, edge]
        assert column[:, 0].mean() - column[:, 2].mean() > 60, number  # happy is yellow
