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


@pytest.mark.parametrize("sent, status", [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_output_is_on_the_disk_at_once_and_whole_when_it_is_stopped(
    tmp_path, fake_pipeline, run, sent, status
):
    photos = [str(tmp_path / f"{number}.png") for number in range(5)]
    for name in photos:
        Path(name).touch()

    def stop():
        assert all(photos[1] in (tmp_path / kind).read_text() for kind in KINDS)
        os.kill(os.getpid(), sent)

    fake_pipeline(stop, 3)
    # a suite that a shell started with & ignores Ctrl-C
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
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
