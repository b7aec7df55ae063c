"""Helpers that several test files share; no test reads the network or a foreign cache."""

import datasets
import numpy as np
import pytest
import torch

from training.data import FaceDataset


@pytest.fixture
def own_cache(tmp_path, monkeypatch):
    """A datasets cache of the test's own, and no way to the Hub."""
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    return tmp_path / "cache"


@pytest.fixture
def make_faces():
    """labels, numbers -> FaceDataset of 2x2 images, equal where their numbers are."""

    def make(labels, numbers=None) -> FaceDataset:
        numbers = np.arange(len(labels)) if numbers is None else np.asarray(numbers)
        pixels = np.stack([numbers // 256, numbers % 256, 0 * numbers, 0 * numbers + 255], axis=1)
        images = torch.from_numpy(pixels.astype(np.uint8)).view(-1, 1, 2, 2)
        return FaceDataset(images, torch.as_tensor(labels))

    return make
