"""LoRA adapters by peft, as docs/training.md shows them."""

import re
from pathlib import Path

import pytest
import torch

from modeling import FerEfficientNetConfig, FerEfficientNetForImageClassification
from modeling import FerEfficientNetImageProcessor as Processor
from training.data import LABELS

peft = pytest.importorskip("peft")
PAGE = Path(__file__).parents[2] / "docs" / "training.md"


@pytest.fixture
def ran(tmp_path, monkeypatch, own_cache):
    """What the page's code leaves, run on a tiny network and few images."""
    torch.manual_seed(0)
    config = FerEfficientNetConfig(
        backbone="test_efficientnet",
        image_size=32,
        head_hidden_sizes=[16],
        id2label=dict(enumerate(LABELS)),
    )
    FerEfficientNetForImageClassification(config).save_pretrained(tmp_path / "model")
    Processor(size=32).save_pretrained(tmp_path / "model")
    (code,) = re.findall(r"## LoRA adapters.*?```python\n(.*?)```", PAGE.read_text(), re.S)
    monkeypatch.chdir(tmp_path)
    names: dict = {}
    exec(code.replace("synthetic_images=500", "synthetic_images=60").replace("1e-3", "0.1"), names)
    return names


def test_an_adapter_reloads_to_the_same_predictions(ran):
    images = torch.rand(8, 1, 32, 32)
    base = ran["base"]().eval()
    with torch.no_grad():
        before, untrained = ran["adapted"].eval()(images).logits, base(images).logits
        merged = ran["merged"](images).logits  # of what was `reloaded`
        after = peft.PeftModel.from_pretrained(base, "runs/adapter").eval()(images).logits
    assert torch.equal(after, before) and (before - untrained).abs().max() > 0.01
    assert type(ran["merged"]) is type(ran["base"]())
    torch.testing.assert_close(merged, before, atol=1e-4, rtol=1e-4)
