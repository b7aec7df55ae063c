"""What the inputs of the command line stand for."""

import os
from pathlib import Path

import pytest

from prediction.arguments import parse
from prediction.inputs import InputError, collect, fixed_part


def test_files_folders_globs_and_urls(album, monkeypatch):
    monkeypatch.chdir(album)
    expected = ["more/b.jpg", "https://a.b/c", "a.png"], [], []
    assert collect(["more", "https://a.b/c", "*.png"]) == expected
    with pytest.raises(InputError, match=r"\*.gif: nothing matches"):
        collect(["*.gif"])


def test_links_are_followed_and_brackets_may_be_names(tmp_path, monkeypatch):
    for name in ("elsewhere/a.jpg", "[2023] trip/b.jpg", "[2023] trip/deep/c.jpg", "2/d.jpg"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "holiday").mkdir()
    (tmp_path / "holiday" / "linked").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere" / "back").symlink_to(tmp_path / "holiday")
    (tmp_path / "holiday" / "gone.jpg").symlink_to("nowhere")
    monkeypatch.chdir(tmp_path)
    assert collect(["holiday"])[0] == ["holiday/gone.jpg", "holiday/linked/a.jpg"]
    assert collect(["[2023] trip/*.jpg"])[0] == ["[2023] trip/b.jpg"]
    assert collect(["[2023] trip/**/*.jpg"])[0] == ["[2023] trip/b.jpg", "[2023] trip/deep/c.jpg"]
    assert collect([f"{tmp_path}/[2-3]/*.jpg"])[0] == [f"{tmp_path}/2/d.jpg"]
    assert fixed_part("[2023] trip/*.jpg") == "[2023] trip"


def test_in_a_folder_only_photos_and_videos_count(tmp_path):
    (tmp_path / ".trash").mkdir()
    for name in ("a.JPG", "b.webp", "c.pdf", "d.h5", "e.txt", "f.mpg", "g.HEIC", "h.txt", ".i.txt",
                 "._a.jpg", ".trash/j.png", "k.MTS", "l.flv", "m.mjpeg"):  # fmt: skip
        (tmp_path / name).touch()
    names = [[Path(file).name for file in files] for files in collect([str(tmp_path)])]
    assert names == [
        ["a.JPG", "b.webp", "g.HEIC"],
        ["f.mpg", "k.MTS", "l.flv", "m.mjpeg"],
        ["c.pdf", "d.h5", "e.txt", "h.txt"],
    ]


def test_what_is_passed_over_is_counted_and_named(album, tmp_path, fake_pipeline, run, capsys):
    fake_pipeline()
    run(album)
    assert (
        f"Passed over 1 file that is no photo and no video by name (1 .txt): {album / 'notes.txt'}"
        in capsys.readouterr().err
    )
    for name in ("a.cr2", "b.cr2", "c", "d.cr2"):
        (tmp_path / name).touch()
    assert run(tmp_path) == 2
    error = capsys.readouterr().err
    assert "no photo and no video in this folder. Passed over 4 files" in error
    assert "(3 .cr2, 1 without suffix)" in error and error.rstrip().endswith(", ...")


def test_sources_of_videos(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    videos = ["rtsp://camera/1", "http://host/clip.MP4?token=1", "https://host/live.m3u8",
              "http://camera/live.mjpeg", "https://host/a.m2ts",
              "/dev/null", str(tmp_path / "pipe")]  # fmt: skip
    photos = ["http://host/a.jpg?name=b.mp4", "https://host/photo"]
    assert collect([*videos, *photos, "-"]) == (photos, [*videos, "/dev/stdin"], [])
    assert parse("", ["--webcam", "/dev/video0"]).webcam == "/dev/video0"
    assert parse("", ["--webcam", "1"]).webcam == 1


@pytest.mark.parametrize(
    "words, inputs, prior",
    [
        ("--prior uniform a.jpg", ["a.jpg"], "uniform"),
        ("a.jpg --prior 1 2 3 b.jpg c.jpg --tta", ["a.jpg", "b.jpg", "c.jpg"], [1, 2, 3]),
        ("--prior uniform a.jpg 2024", ["a.jpg", "2024"], "uniform"),
        ("--disable_tqdm a.jpg", ["a.jpg"], None),
        ("a.jpg --disable_tqdm --csv - b.jpg", ["a.jpg", "b.jpg"], None),
    ],
)
def test_photos_may_follow_flags(words, inputs, prior):
    args = parse("", words.split())
    assert (args.inputs, args.prior) == (inputs, prior)
    assert args.disable_tqdm is ("--disable_tqdm" in words)
