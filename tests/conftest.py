"""Helpers that several test files share; no test reads the network or a foreign cache."""

import os
import shutil
import socket
import subprocess
import sys
import urllib.request
from dataclasses import dataclass
from pathlib import Path

import datasets
import numpy as np
import pytest
import torch
from transformers import pipeline

from fer_efficientnet import FacialEmotion
from publishing import PublishError
from publishing.space import check_links
from tests.publishing.hub_server import HubServer
from training.data import FaceDataset
from training.evaluation import results

ROOT = Path(__file__).parents[1]


def pytest_sessionstart() -> None:
    results.LEAST_IMAGES = 1  # the tests' trainings have few, and are calibrated all the same
    try:
        check_links(ROOT / "space")
    except PublishError as error:
        pytest.exit(str(error), returncode=1)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    """
    As `--dist loadfile`, but all files of a room whose start takes long run in one process.
    (`--dist loadgroup` has no effect in pytest 9.2.)
    """
    from xdist.scheduler import LoadFileScheduling

    class ByFileOrRoom(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file = super()._split_scope(nodeid)
            room = file.rpartition("/")[0]
            return room if room in ("tests/publishing", "tests/space") else file

    return ByFileOrRoom(config, log)


@pytest.fixture
def own_cache(tmp_path, monkeypatch):
    """A datasets cache of the test's own, and no way to the Hub."""
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    return tmp_path / "cache"


@pytest.fixture(scope="module")
def quick_reports():
    """Runs of train.py without what takes longest in a report: loading back, figures' pixels."""

    def touch(figure, path, **_):
        Path(path).touch()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("training.run.load_back", lambda *_: "Loaded back")
        patch.setattr("training.run.add_onnx", lambda *_: "Added ONNX")
        patch.setattr("matplotlib.figure.Figure.savefig", touch)
        yield


@pytest.fixture
def make_faces():
    """labels, numbers -> FaceDataset of 2x2 images, equal where their numbers are."""

    def make(labels, numbers=None) -> FaceDataset:
        numbers = np.arange(len(labels)) if numbers is None else np.asarray(numbers)
        pixels = np.stack([numbers // 256, numbers % 256, 0 * numbers, 0 * numbers + 255], axis=1)
        images = torch.from_numpy(pixels.astype(np.uint8)).view(-1, 1, 2, 2)
        return FaceDataset(images, torch.as_tensor(labels))

    return make


@pytest.fixture
def hub():
    """A Hub on loopback."""
    server = HubServer()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="session")
def shipped():
    """The pipeline on model/ as it ships, by its own code."""
    return pipeline("facial-emotion", str(ROOT / "model"), trust_remote_code=True, device="cpu")


@pytest.fixture(scope="session")
def shipped_onnx():
    """model/ on ONNX Runtime, as the Space answers where no heat map is asked."""
    return FacialEmotion(ROOT / "model", threads=1)


@dataclass
class SpaceServer:
    url: str
    log: Path
    folder: Path  # a copy of space/: what a Space repository holds


@pytest.fixture(scope="session")
def space(tmp_path_factory):
    """The Space, started once from a copy of space/ alone, without a network, with model/."""
    folder = tmp_path_factory.mktemp("space")
    shutil.copytree(ROOT / "space", folder / "space", ignore=shutil.ignore_patterns("__pycache__"))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    env = {
        "PATH": os.environ["PATH"],
        "HF_HOME": str(folder / "home"),
        "HF_HUB_OFFLINE": "1",
        "TMPDIR": str(folder),
        "PYTHONUNBUFFERED": "1",
        "MODEL_ID": str(ROOT / "model"),
        "GRADIO_SERVER_PORT": str(port),
    }
    command = [sys.executable, folder / "space" / "app.py"]
    with (folder / "log.txt").open("w") as log:
        server = subprocess.Popen(command, cwd=folder, env=env, stdout=log, stderr=log)
    url = f"http://127.0.0.1:{port}"
    try:
        _wait_for(server, f"{url}/config", folder / "log.txt")
        yield SpaceServer(url, folder / "log.txt", folder / "space")
    finally:
        server.terminate()
        server.wait(30)
        assert not list(folder.glob("space-*")), "what visitors sent is still there"


def _wait_for(server: subprocess.Popen, url: str, log: Path) -> None:
    while True:
        try:
            return urllib.request.urlopen(url, timeout=10).close()
        except OSError:
            try:
                server.wait(0.2)
            except subprocess.TimeoutExpired:
                continue
            pytest.fail(f"the Space ended: {log.read_text()}")
