"""A small run, published once as a dry run: many tests read it."""

import io
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from huggingface_hub import constants
from PIL import Image

import push_to_hub
import train
from modeling import FerEfficientNetForImageClassification, FerEfficientNetImageProcessor

ROOT = Path(__file__).parents[2]


def push(*argv) -> None:
    """push_to_hub.py, which leaves no mark in the environment."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(os.environ, "HF_HUB_OFFLINE", "1")  # --dry_run sets it
        push_to_hub.main([str(word) for word in argv])


def predict_here(folder: Path, png: bytes) -> dict[str, float]:
    """In place of a clean process, which takes seconds."""
    network = FerEfficientNetForImageClassification.from_pretrained(folder).eval()
    processor = FerEfficientNetImageProcessor.from_pretrained(folder)
    with torch.inference_mode():
        logits = network(**processor(Image.open(io.BytesIO(png)), return_tensors="pt")).logits[0]
    return {network.config.id2label[i]: p for i, p in enumerate(logits.softmax(0).tolist())}


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    """Is afterwards as it was: --dry_run changes it."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")


@pytest.fixture(scope="session")
def run(tmp_path_factory):
    """Its card has been edited by hand."""
    folder = tmp_path_factory.mktemp("runs") / "small"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("training.record.loading_back.predict_in_clean_process", predict_here)
        train.main(
            ["--dataset", "synthetic", "--synthetic_images", "100"]
            + ["--backbone", "test_efficientnet", "--image_size", "32"]
            + ["--per_device_train_batch_size", "16", "--num_train_epochs", "2"]
            + ["--disable_tqdm", "true", "--use_cpu", "--output_dir", str(folder)]
        )
    (folder / "README.md").write_text("# Edited by hand")
    return folder


@pytest.fixture(scope="session")
def staged(run, tmp_path_factory):
    """What the Hub would get of it, with the tag v1."""
    folder = tmp_path_factory.mktemp("dry") / "run"
    push("model", run, "--repo_id", "me/faces", "--tag", "v1", "--dry_run", folder)
    return folder


@pytest.fixture
def client(hub, tmp_path, monkeypatch):
    """huggingface_hub in this process, with the Hub on loopback and a token that may write."""
    for name, value in {
        "ENDPOINT": hub.url,
        "HUGGINGFACE_CO_URL_TEMPLATE": hub.url + "/{repo_id}/resolve/{revision}/{filename}",
        "HF_HUB_CACHE": str(tmp_path / "home" / "hub"),
        "HF_HOME": str(tmp_path / "home"),
        "HF_HUB_OFFLINE": False,
        "HF_HUB_DISABLE_XET": True,
        "HF_TOKEN_PATH": str(tmp_path / "no_token"),
    }.items():
        monkeypatch.setattr(constants, name, value)
    monkeypatch.setenv("HF_TOKEN", "hf_writer")
    return monkeypatch


@pytest.fixture
def script_at_hub(hub, tmp_path):
    """Runs a script whose Hub is the one on loopback, with nothing cached."""
    environment = {name: value for name, value in os.environ.items() if name[:3] != "HF_"}
    environment |= {"HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path / "home")}
    environment |= {"HF_TOKEN": "hf_writer", "HF_DATASETS_CACHE": str(tmp_path / "cache")}

    def call(script, *words, **more):
        done = subprocess.run(
            [sys.executable, "-c", script, *map(str, words)],
            cwd=ROOT,
            env=environment | more,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    return call
