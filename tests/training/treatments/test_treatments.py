"""A treatment is one file: a copy of one is another loss, in flags, checks, card and table."""

import re
import runpy
import shutil
import sys
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

import train
import training.treatments
from training.arguments import make_parser, parse_arguments
from training.treatments import flag_fields, losses

ROOT = Path(__file__).parents[3]
SMALL = [
    *["--dataset", "synthetic", "--synthetic_images", "60", "--backbone", "test_efficientnet"],
    *["--image_size", "32", "--max_steps", "1", "--per_device_train_batch_size", "16"],
    *["--eval_strategy", "no", "--save_strategy", "no", "--disable_tqdm", "true", "--use_cpu"],
]


@pytest.fixture
def copied(tmp_path, monkeypatch):
    """This room with two files more: focal.py with other names, and verbatim."""
    text = (ROOT / "training" / "treatments" / "focal.py").read_text()
    (tmp_path / "twin.py").write_text(text)
    text = re.sub("focal_(gamma|alpha)", r"my_\1", text)
    (tmp_path / "my_loss.py").write_text(text.replace('"focal loss"', '"my loss"'))
    room = training.treatments
    monkeypatch.setattr(room, "__path__", [*room.__path__, str(tmp_path)])
    losses.cache_clear()
    yield
    losses.cache_clear()
    for name in ("twin", "my_loss"):
        sys.modules.pop(f"training.treatments.{name}", None)


def test_a_copied_file_is_a_loss_with_flags_that_trains_and_stands_in_the_card(
    copied, quick_reports, tmp_path, refused
):
    text = " ".join(make_parser("").format_help().split())
    assert "--my_gamma" in text and "my_loss: my loss" in text
    message = "--mixup makes soft labels, for which the my_loss loss"
    assert refused("--loss", "my_loss", "--mixup", "0.2").startswith(message)
    flags = ["--loss", "my_loss", "--my_gamma", "3", "--report_to", "none"]
    train.main([*SMALL, *flags, "--output_dir", str(tmp_path / "run")])
    card = (tmp_path / "run" / "README.md").read_text()
    assert "my loss" in card and "my_gamma 3.0" in card and "focal" not in card


def test_a_copied_file_has_its_rows_in_the_benchmark(copied):
    rows = runpy.run_module("benchmarks.imbalance_rows")["ROWS"]
    assert rows["my_loss"].flags == ("--loss", "my_loss") and rows["my_loss"].title == "my loss"
    row = rows["my_loss_alpha"]
    assert row.flags == ("--loss", "my_loss", "--my_alpha", "inverse")
    assert row.title == "focal loss, inverse alpha"


def test_a_verbatim_copy_shares_its_flags_with_the_original(copied):
    """Found by its file's name alone; a flag of the same name and default is the same flag."""
    args = parse_arguments("", ["--loss", "twin", "--focal_gamma", "3"])
    assert repr(args.loss).startswith("Focal(focal_gamma=3.0") and args.loss.name == "twin"


HEAD = """
from dataclasses import dataclass
from typing import ClassVar
from training.treatments import Loss, arg
"""
CLASS = """
@dataclass
class Mine(Loss):
    title: ClassVar[str] = "mine"
    mine_power: float = arg(2.0, "100% of it.")

    def __call__(self, logits, labels):
        return (logits**self.mine_power).mean()
"""


@pytest.mark.parametrize("imports", ["from .loss import Loss", "from training.treatments import *"])
def test_a_loss_from_outside(tmp_path, imports):
    (tmp_path / "mine.py").write_text(HEAD + imports + CLASS)
    name, recipe = f"{tmp_path / 'mine.py'}:Mine", tmp_path / "mine.yaml"
    args = parse_arguments("", ["--loss", name, "--mine_power", "4"])
    assert args.loss.mine_power == 4.0 and args.loss.title == "mine" and args.loss.name == name
    assert args.to_dict()["treatment"]["mine_power"] == 4.0
    recipe.write_text(f"loss: {name}\nmine_power: 5\n")
    assert parse_arguments("", [str(recipe)]).loss.mine_power == 5.0
    assert "mine_power" not in [name for name, *_ in flag_fields()]


@pytest.mark.parametrize(
    "name, message",
    [
        ("hinge", "--loss must be one of cross_entropy, "),
        ("focl", "unknown loss 'focl'; did you mean 'focal'?"),
        ("none.py:Mine", "no such file none.py; expected path/to/file.py:ClassName"),
        (f"{__file__}:Nobody", "has no class Nobody that is a training.treatments.Loss"),
    ],
)
def test_a_loss_that_is_not_there_is_refused(name, message, refused):
    assert message in refused("--loss", name)


def test_every_loss_says_what_it_is_and_the_baseline_is_first():
    assert next(iter(losses())) == "cross_entropy"
    assert len({loss.title for loss in losses().values()}) == len(losses())
    assert losses()["cross_entropy"]().cosine_scale() is None
    assert losses()["ldam"](ldam_scale=5.0).cosine_scale() == 5.0


def test_the_example_of_the_docs_is_a_loss(tmp_path):
    page = (ROOT / "docs" / "treatments.md").read_text()
    (code,) = [code for code in re.findall(r"```python\n(.*?)```", page, re.S) if "Loss)" in code]
    file = tmp_path / "my_loss.py"
    file.write_text(code)
    args = parse_arguments("", ["--loss", f"{file}:Poly1", "--poly1_epsilon", "0", "--mixup", "1"])
    logits, labels = torch.randn(4, 7), torch.tensor([0, 6, 3, 3])
    loss = args.loss.bind(torch.ones(7))
    torch.testing.assert_close(loss(logits, labels), F.cross_entropy(logits, labels))
    soft = F.one_hot(labels, 7).float()
    torch.testing.assert_close(loss(logits, soft), F.cross_entropy(logits, labels))


@pytest.mark.parametrize(
    "change, message",
    [
        (("class Mine(Loss):", "class Mine(Loss:"), "mine.py: SyntaxError"),
        (("@dataclass\n", ""), "mine.py: Mine: expected @dataclass above the class"),
        (('    title: ClassVar[str] = "mine"\n', ""), "expected a title"),
        (("__call__", "call"), "expected the method __call__(logits, labels)"),
        (('arg(2.0, "100% of it.")', "2.0"), "expected arg(default, help) for each flag"),
        (("mine_power", "seed"), "conflicting option string: --seed"),
        (("mine_power: float", "focal_gamma: int"), "from that of focal (<class 'float'>"),
    ],
)
def test_a_loss_that_is_not_made_right_is_refused(tmp_path, change, message, refused):
    file = tmp_path / "mine.py"
    file.write_text(HEAD + CLASS.replace(*change))
    assert message in refused("--loss", f"{file}:Mine")


def test_help_and_recipes_with_a_loss_from_outside(tmp_path, capsys):
    (tmp_path / "mine.py").write_text(HEAD + CLASS)
    name = f"{tmp_path / 'mine.py'}:Mine"
    with pytest.raises(SystemExit) as end:
        parse_arguments("", ["--loss", name, "--help"])
    assert end.value.code == 0 and "100% of it." in capsys.readouterr().out
    base, other = tmp_path / "base.yaml", tmp_path / "other.yaml"
    base.write_text(f"loss: {name}\nmine_power: 0.5\nseed: 7\n")
    assert parse_arguments("", [str(base), "--loss", "focal"]).loss.name == "focal"
    other.write_text("extends: base.yaml\nloss: null\nmine_power: null\n")
    args = parse_arguments("", [str(other)])
    assert args.loss.name == "cross_entropy" and args.training.seed == 7
    moved = tmp_path / "elsewhere"
    moved.mkdir()
    shutil.copyfile(tmp_path / "mine.py", moved / "mine.py")
    here, there = (
        parse_arguments("", ["--loss", f"{folder / 'mine.py'}:Mine"]).decisive("")
        for folder in (tmp_path, moved)
    )
    assert here == there and here["mine_power"] == 2.0
