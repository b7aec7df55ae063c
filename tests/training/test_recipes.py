"""training/recipes.py: recipes that extend one another, and what is said of wrong ones."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from training.recipes import ROOT, read_recipe

FLAGS = ["--dataset", "synthetic", "--synthetic_images", "60", "--backbone", "test_efficientnet",
         "--max_steps", "1"]  # fmt: skip


@pytest.fixture
def write(tmp_path):
    """Name, text -> a recipe file; names may have folders."""

    def write_recipe(name, text):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        return path

    return write_recipe


def test_own_keys_go_over_those_of_the_extended_recipe(write):
    write("base/all.yaml", "seed: 1\nmixup: 0.2\nprogressive_sizes: [32, 48]\n")
    write("base/stages.yaml", "extends: all.yaml\nmixup: 0.5\nteachers: [a, b]\n")
    path = write("mine.yaml", "extends: base/stages.yaml\nteachers: [c]\nloss: focal\n")
    assert read_recipe(path) == {
        "seed": 1, "mixup": 0.5, "progressive_sizes": [32, 48], "teachers": ["c"], "loss": "focal",
    }  # fmt: skip
    assert read_recipe(str(path)) == read_recipe(path)


def test_null_takes_a_key_out(write):
    write("base.yaml", "timm_optim: nmuon\nseed: 1\n")
    path = write("mine.yaml", "extends: base.yaml\ntimm_optim: null\noptim: adamw_torch\n")
    assert read_recipe(path) == {"seed": 1, "optim": "adamw_torch"}
    write("again.yaml", "extends: mine.yaml\ntimm_optim: lamb\n")
    assert read_recipe(path.with_name("again.yaml"))["timm_optim"] == "lamb"


def test_what_a_recipe_names_is_found_from_any_folder(write, tmp_path, monkeypatch):
    path = write("a.yaml", "model_name_or_path: model\nteachers: [model, runs/none]\nloss: tests\n")
    monkeypatch.chdir(tmp_path)
    assert read_recipe(path) == {
        "model_name_or_path": str(ROOT / "model"),
        "teachers": [str(ROOT / "model"), "runs/none"],
        "loss": "tests",
    }
    (tmp_path / "model").mkdir()
    assert read_recipe(path)["model_name_or_path"] == "model"


@pytest.mark.parametrize(
    "script, package, extra",
    [("train.py", "scipy", "train"), ("train.py", "datasets", "train"),
     ("space/app.py", "gradio", "space")],
)  # fmt: skip
def test_an_extra_that_is_missing_is_named(script, package, extra, tmp_path):
    flags = [*FLAGS, "--output_dir", str(tmp_path / "run")]
    block = f"import runpy, sys\nsys.modules[{package!r}] = None\nsys.argv[1:] = {flags}\n"
    block += f"sys.path.insert(0, {str(Path(script).parent)!r})\n"
    done = subprocess.run(
        [sys.executable, "-c", f"{block}runpy.run_path({script!r}, run_name='__main__')"],
        cwd=ROOT, capture_output=True, text=True, env=os.environ | {"TMPDIR": str(tmp_path)},
    )  # fmt: skip
    assert done.returncode == 1 and "Traceback" not in done.stderr
    last = done.stderr.splitlines()[-1]
    assert last.startswith(f"{script}: ") and package in last
    assert last.endswith(f"It needs pip install '.[{extra}]'.")


def test_empty_recipes_are_recipes(write):
    assert read_recipe(write("empty.yaml", "")) == {}
    assert read_recipe(write("mine.yaml", "extends: empty.yaml")) == {}


@pytest.mark.parametrize(
    "files, message",
    [
        (
            {"mine": "extends: none.yaml"},
            "{0}/mine.yaml: extends {0}/none.yaml, but there is no such file.",
        ),
        (
            {"mine": "extends: b.yaml", "b": "extends: mine.yaml"},
            "{0}/b.yaml: extends {0}/mine.yaml, which makes a circle: "
            "{0}/mine.yaml -> {0}/b.yaml -> {0}/mine.yaml.",
        ),
        ({"mine": "extends: mine.yaml"}, "{0}/mine.yaml -> {0}/mine.yaml."),
        (
            {"mine": "extends: [a.yaml, b.yaml]"},
            "{0}/mine.yaml: expected the file name of one recipe after `extends`, "
            "but found ['a.yaml', 'b.yaml'].",
        ),
        ({"mine": "extends:"}, "one recipe after `extends`, but found None."),
        (
            {"mine": "extends: b.yaml", "b": "sead: 1"},
            "{0}/b.yaml: unknown key 'sead'; did you mean 'seed'?",
        ),
        ({"mine": "extends: b.yaml\nsead: null", "b": ""}, "{0}/mine.yaml: unknown key 'sead'"),
        ({"mine": "extends: b.yaml", "b": "- seed"}, "{0}/b.yaml: expected lines of `flag: value`"),
        ({"mine": "extends: b.yaml", "b": "a: ["}, "{0}/b.yaml: not valid YAML"),
        ({"mine": "seed: \udcff"}, "{0}/mine.yaml: not valid YAML"),
    ],
)
def test_a_wrong_recipe_is_refused_by_the_name_of_its_file(tmp_path, files, message):
    for name, text in files.items():
        (tmp_path / f"{name}.yaml").write_text(text, errors="surrogateescape")
    with pytest.raises(ValueError) as error:
        read_recipe(tmp_path / "mine.yaml", {"seed", "loss"})
    assert message.format(tmp_path) in str(error.value)


def test_any_key_is_taken_where_none_are_known(write):
    assert read_recipe(write("mine.yaml", "anything: 1")) == {"anything": 1}
