"""predict.py as a user calls it on photos, with model/ and OpenCV's own cascade."""

import csv
import http.server
import json
import os
import re
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
import skimage.data
from PIL import Image

import predict
from modeling import EXPRESSIONS

ROOT = Path(__file__).parents[2]


def in_a_process(code, **streams):
    command = [sys.executable, "-c", f"import predict, sys\n{code}"]
    return subprocess.run(command, cwd=ROOT, stderr=subprocess.PIPE, text=True, **streams)


def test_help_and_wrong_paths_are_answered_without_heavy_imports():
    done = in_a_process(
        "for words in '--help', 'none.jpg', 'README.md --model ./none', 'README.md --every x':\n"
        "    try: print(predict.main(words.split()))\n"
        "    except SystemExit as ended: print(ended.code)\n"
        "print({'torch', 'transformers', 'timm', 'cv2', 'matplotlib', 'numpy'} & {*sys.modules})",
        stdout=subprocess.PIPE,
    )
    assert done.stdout.splitlines()[-5:] == ["0", "2", "2", "2", "set()"], done
    assert "none.jpg: no such file or folder." in done.stderr


@pytest.mark.parametrize(
    "flag, said",
    [("--detecter", "did you mean --detector?"), ("--cvs=a", "did you mean --csv?"),
     ("--xyzzy", "see --help.")],
)  # fmt: skip
def test_a_misspelt_flag_gets_a_suggestion(flag, said, capsys):
    with pytest.raises(SystemExit):
        predict.main(["a.jpg", flag])
    assert f"unrecognized arguments: {flag}; {said}" in capsys.readouterr().err


def test_a_reader_that_leaves_is_no_error():
    reader, writer = os.pipe()
    os.close(reader)
    code = "predict.run = lambda args: print('a line\\n' * 2**16)\nsys.exit(predict.main(['a']))"
    done = in_a_process(code, stdout=writer)
    os.close(writer)
    assert done.returncode == 141 and done.stderr == ""


def test_a_table_and_files_and_pictures(album, tmp_path, run, capsys):
    (tmp_path / "drawn").mkdir()
    (tmp_path / "drawn" / "a.png").touch()  # an earlier call's
    done = run(album, "--json", tmp_path / "x" / "faces.json", "--csv", tmp_path / "faces.csv",
               "--annotate", tmp_path / "drawn", "--explain", tmp_path / "heat")  # fmt: skip
    assert done == 0
    first, second, summary, written = capsys.readouterr().out.splitlines()
    name = f"{album / 'a.png'}".ljust(len(f"{album / 'more' / 'b.jpg'}"))
    assert first.startswith(f"{name}   1  happy")
    assert second == f"{album / 'more' / 'b.jpg'}   -  no face"  # aligned with the first
    assert summary.startswith("2 photos, 1 face, ") and summary.endswith("photos/s by torch")
    assert str(tmp_path / "drawn") in written and str(tmp_path / "heat") in written

    first, second = json.loads((tmp_path / "x" / "faces.json").read_text())
    assert first["file"].endswith("a.png") and second["faces"] == []
    (face,) = first["faces"]
    assert [*face] == ["box", "face_score", "label", "score", "scores", "uncertain"]
    row, without = csv.DictReader((tmp_path / "faces.csv").open())
    assert without.pop("file").endswith("b.jpg") and without.pop("face") == "0"
    assert set(without.values()) == {""}
    assert row["label"] == "happy" and int(row["xmin"]) == face["box"]["xmin"]
    assert sum(float(row[label]) for label in EXPRESSIONS) == pytest.approx(1, abs=1e-3)

    drawn = np.asarray(Image.open(tmp_path / "drawn" / "a-2.png")).astype(int)
    left, top, right, bottom = face["box"].values()
    changed = np.abs(drawn - skimage.data.astronaut()).sum(-1) > 0
    assert changed[top:bottom, left].all()
    assert not changed[top + 20 : bottom - 20, left + 20 : right - 20].any()
    (heat,) = (tmp_path / "heat").iterdir()
    assert heat.name == "a_1_happy.png"
    assert np.ptp(np.asarray(Image.open(heat)).astype(int), axis=-1).max() > 50  # coloured


def test_a_photo_by_url_is_downloaded_once(album, tmp_path, run):
    requests = []

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *args):
            super().__init__(*args, directory=album)

        def log_message(self, template, *values):
            requests.append(values[0])

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        url = f"http://127.0.0.1:{server.server_port}/a.png"
        assert run(url, "--annotate", tmp_path / "drawn", "--explain", tmp_path / "heat") == 0
    finally:
        server.shutdown()
        server.server_close()
    assert requests == ["GET /a.png HTTP/1.1"]
    assert (tmp_path / "drawn" / "a.png").exists()


def test_a_broken_file_is_skipped_and_the_status_says_so(album, tmp_path, run, capsys):
    (tmp_path / "broken.jpg").write_text("no picture")
    drawn = tmp_path / "drawn"
    assert run(tmp_path / "broken.jpg", album / "a.png", "--annotate", drawn) == 1
    printed = capsys.readouterr()
    assert re.search(r"a\.png +1  happy", printed.out) and "1 could not be read" in printed.out
    assert sum(line.startswith("Skipped: ") for line in re.split(r"[\r\n]", printed.err)) == 1
    assert [file.name for file in drawn.iterdir()] == ["a.png"]


@pytest.mark.parametrize(
    "argv, message",
    [
        ([], "give a photo"),
        (["x.jpg", "--json", "-", "--csv", "-"], "only one of --json, --jsonl and --csv"),
        (["x.jpg", "--json", "a", "--csv", "./a"], "need a file each"),
        (["--csv", "x.jpg", "y.jpg"], "take a file to write, not 'x.jpg'"),
        (["x.jpg", "--json", ""], "take a file to write, not ''"),
        (["--prior", "train", "uniform", "x.jpg"], "but it is ['train', 'uniform']"),
        (["x.jpg", "--every", "0"], "must be at least 1"),
        (["--webcam", "0", "--every", "5"], "--every is of a video file"),
        (["--webcam", "0", "--crops", "x"], "--crops is of photos, not of a webcam"),
        (
            ["x.jpg", "--prior", "1", "-1"],
            "prior must be 'learned', 'train', 'uniform', or as many",
        ),
        (["x.jpg", "--prior", "balanced"], "but it is 'balanced'."),
        (["x.jpg", "--prior", *["nan"] * 7], "prior must be"),
        (["x.jpg", "--engine", "onnx", "--explain", "x"], "need --engine torch"),
    ],
)
def test_wrong_commands(argv, message, capsys):
    with pytest.raises(SystemExit) as ended:
        predict.main(argv)
    assert ended.value.code == 2 and message in capsys.readouterr().err


def test_wrong_values_are_one_line(album, clip, tmp_path, run, own_cache, capsys):
    (tmp_path / "vit").mkdir()
    (tmp_path / "vit" / "config.json").write_text('{"model_type": "vit"}')
    broken = shutil.copytree(ROOT / "model", tmp_path / "broken", symlinks=True)
    (broken / "model.safetensors").write_bytes(b"no weights")
    (broken / "model.onnx").write_bytes(b"no network")
    photo = album / "a.png"
    for argv, message in (
        (["none.jpg"], "none.jpg: no such file"),
        ([clip, "--csv", "faces.csv"], "--json, --jsonl and --csv are of photos"),
        ([clip, "--explain", tmp_path], "--explain is of photos"),
        ([clip, "--crops", tmp_path / "x"], "--crops is of photos, and there is none"),
        ([photo, "--crops", album], "expected a new or an empty folder"),
        ([photo, "--prior", "1", "2"], "prior must be"),
        ([photo, "--model", album], "config.json"),
        ([photo, "--model", tmp_path / "vit"], "expected a model of type fer_efficientnet, but"),
        ([photo, "--model", tmp_path / "no"], "no: no such folder, and no such model"),
        ([photo, "--model", "me/none"], "me/none: no such folder, and no such model"),
        ([photo, "--model", broken, "--engine", "torch"], "model.safetensors is broken"),
        ([photo, "--model", broken, "--engine", "onnx"], "ONNX Runtime cannot read it"),
        ([photo, "--csv", photo / "x.csv"], "cannot write there: "),
        ([photo, "--annotate", album / "notes.txt"], "cannot write there: "),
    ):
        assert run(*argv) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert line.startswith("predict.py: ") and message in line


def test_what_is_not_there_is_one_line(album, tmp_path, capsys):
    for argv, message in (
        (["--detector_path", tmp_path / "none.onnx"], "none.onnx: no such file."),
        (["--detector", "none", "--device", "gpu"], "device"),
    ):
        table = tmp_path / "faces.csv"
        assert predict.main([*map(str, [album / "a.png", *argv, "--csv", table])]) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert line.startswith("predict.py: ") and message in line
        assert not table.exists()


def test_a_missing_package_is_one_line(album, run, monkeypatch, capsys):
    monkeypatch.delitem(sys.modules, "prediction.label_photos", raising=False)
    monkeypatch.setitem(sys.modules, "tqdm", None)
    assert run(album / "a.png") == 2
    assert capsys.readouterr().err.endswith(". It needs pip install '.[photos]'.\n")


@pytest.mark.parametrize("argv, bars", [([], True), (["--disable_tqdm", "true"], False)])
def test_json_on_the_screen_is_json_and_bars_are_not_in_it(
    album, fake_pipeline, run, capsys, argv, bars
):
    fake_pipeline()
    run(album, "--json", "-", *argv)
    printed = capsys.readouterr()
    assert json.loads(printed.out)[0]["faces"][0]["label"] == "happy"
    assert "2 photos, 2 faces" in printed.err
    assert ("photo/s]" in printed.err) == bars
