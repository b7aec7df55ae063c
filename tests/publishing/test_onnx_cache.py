"""publishing/onnx_cache.py: ONNX files are made again only if what they depend on has changed."""

import logging
import os
import shutil

import pytest

from publishing import onnx_cache
from tests.publishing.hub_server import files_of
from training.card.facts import Onnx, OnnxFile

NAMES = ("model.onnx", "model_int8.onnx")
ONNX = Onnx("validation", 20, [10, 10], 5, [OnnxFile(None, None, 0.0, 0.5, {})], [0.5], [0.25])


@pytest.fixture
def cache(run, tmp_path, caplog):
    """Stages the ONNX files of a copy of the run; counts how often they were made."""
    folder = tmp_path / "run"
    folder.mkdir()
    for name in onnx_cache.MODEL_FILES:
        shutil.copyfile(run / name, folder / name)
    made = []

    def stage(fingerprint="of the run's data", faces=None):
        staged = tmp_path / f"staged{len(list(tmp_path.glob('staged*')))}"
        staged.mkdir()

        def make():
            made.append(faces)
            (staged / "onnx").mkdir()
            for name in NAMES:
                (staged / "onnx" / name).write_bytes(f"{name} {len(made)}".encode())
            return ONNX

        with caplog.at_level(logging.INFO, "publishing"):
            parity = onnx_cache.cached_onnx(folder, staged, fingerprint, faces, make)
        assert parity == ONNX and {*files_of(staged / "onnx")} == {*NAMES}
        return caplog.messages[-1], files_of(staged / "onnx")

    stage.made, stage.run = made, folder
    return stage


def test_files_are_kept_beside_the_run(cache):
    message, files = cache()
    assert message == f"ONNX files and parity: made and kept in {cache.run / 'onnx'}."
    message, same = cache()
    assert same == files and cache.made == [None]
    assert f"reused from {cache.run / 'onnx'};" in message


@pytest.mark.parametrize("name", onnx_cache.MODEL_FILES)
def test_files_of_another_model_are_made_again(cache, name):
    cache()
    with (cache.run / name).open("ab") as file:
        file.write(b" ")
    message, files = cache()
    assert "made again (model changed) and kept" in message and len(cache.made) == 2
    assert files["model.onnx"] == b"model.onnx 2"
    assert "reused" in cache()[0]


def test_files_of_other_versions_are_made_again(cache, monkeypatch):
    cache()
    monkeypatch.setattr("importlib.metadata.version", lambda package: "0.1")
    assert f"made again ({', '.join(onnx_cache.PACKAGES)} changed)" in cache()[0]


def test_files_of_other_data_are_made_again(cache, tmp_path):
    cache()
    assert "(data changed)" in cache("other")[0]
    source = tmp_path / "faces.csv"
    source.write_text("one")
    assert "(faces changed)" in cache("other", str(source))[0]
    assert "reused" in cache("other", str(source))[0]
    assert "reused" in cache("other")[0]  # no faces named: any will do
    source.write_text("longer")
    assert "(faces changed)" in cache("other", str(source))[0]
    (tmp_path / "faces").mkdir()
    assert "(faces changed)" in cache("other", str(tmp_path / "faces"))[0]
    assert cache.made == [None, None, str(source), str(source), str(tmp_path / "faces")]


@pytest.mark.parametrize("name", [*NAMES, onnx_cache.RECORD])
def test_files_that_are_not_whole_are_made_again(cache, name):
    cache()
    os.truncate(cache.run / "onnx" / name, 5)
    assert "parity: made and kept" in cache()[0] and len(cache.made) == 2


def test_where_files_cannot_be_kept_a_message_says_so(cache):
    (cache.run / "onnx").touch()
    assert "made, but not kept beside the run (" in cache()[0]
