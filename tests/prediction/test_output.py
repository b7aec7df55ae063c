"""Faces as text: whole files, on the disk at once, whatever ends the work or stands in a name."""

import csv
import json
import os
import signal
from pathlib import Path

import pytest

from modeling import EXPRESSIONS
from prediction.output import CsvWriter

KINDS = ("json", "jsonl", "csv")


@pytest.fixture
def photos(tmp_path):
    """Five files that are called photos, for a pipeline that does not read them."""
    names = [str(tmp_path / f"{number}.png") for number in range(5)]
    for name in names:
        Path(name).touch()
    return names


@pytest.mark.parametrize("sent, status", [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_output_that_is_stopped_is_whole_up_to_there(
    photos, tmp_path, fake_pipeline, run, sent, status
):
    # a suite that a shell started with & ignores Ctrl-C
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    fake_pipeline(lambda: os.kill(os.getpid(), sent), 3)
    handler = signal.getsignal(signal.SIGTERM)
    try:
        done = run(tmp_path, *(f"--{kind}={tmp_path / kind}" for kind in KINDS))
    except SystemExit as ended:
        done = ended.code
    finally:
        signal.signal(signal.SIGINT, before)
    assert done == status and signal.getsignal(signal.SIGTERM) is handler
    listed = json.loads((tmp_path / "json").read_text())
    assert listed == [json.loads(line) for line in (tmp_path / "jsonl").read_text().splitlines()]
    rows = csv.DictReader((tmp_path / "csv").open())
    assert [entry["file"] for entry in listed] == photos[:3] == [row["file"] for row in rows]


def test_each_line_is_on_the_disk_once_it_is_written(photos, tmp_path, fake_pipeline, run):
    seen = []

    def read():
        seen.extend((tmp_path / kind).read_text() for kind in KINDS)

    fake_pipeline(read, 2)
    run(tmp_path, *(f"--{kind}={tmp_path / kind}" for kind in KINDS))
    assert len(seen) == 3 and all(photos[0] in text for text in seen)


def test_a_file_that_cannot_be_written_is_one_line(photos, tmp_path, fake_pipeline, run, capsys):
    fake_pipeline()
    for kind in KINDS:
        assert run(photos[0], f"--{kind}", tmp_path) == 2
        last = capsys.readouterr().err.splitlines()[-1]
        assert last.startswith("predict.py: cannot write there: ") and str(tmp_path) in last


def test_names_that_are_no_utf8_stand_in_every_output(tmp_path, fake_pipeline, run, capsys):
    try:
        Path(os.fsdecode(os.fsencode(tmp_path) + b"/a\xff.png")).touch()
    except OSError:
        pytest.skip("this file system has no such names")
    fake_pipeline()
    assert run(tmp_path, *(f"--{kind}={tmp_path / kind}" for kind in KINDS)) == 0
    expected = f"{tmp_path}/a\\udcff.png"
    assert json.loads((tmp_path / "json").read_text())[0]["file"] == expected
    assert json.loads((tmp_path / "jsonl").read_text())["file"] == expected
    assert next(csv.DictReader((tmp_path / "csv").open(encoding="utf-8")))["file"] == expected
    assert capsys.readouterr().out.startswith(expected)


def test_no_csv_cell_is_a_formula(tmp_path, face):
    names = ["=1+1.png", "+a.png", "-a.png", "@a.png", "\ta.png", "a=b.png"]
    with (tmp_path / "faces.csv").open("w", newline="") as file:
        writer = CsvWriter(file, EXPRESSIONS)
        for name in names:
            writer.write(name, [face(0)])
    written = [row["file"] for row in csv.DictReader((tmp_path / "faces.csv").open(newline=""))]
    assert written == [f"'{name}" for name in names[:-1]] + names[-1:]
