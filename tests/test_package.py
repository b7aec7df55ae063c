"""The installed package and what importing it costs."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import skimage.data
import skimage.io

ROOT = Path(__file__).parents[1]
PACKAGES = ("modeling", "training", "prediction", "model")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    source.mkdir()
    for name in ("setup.py", "pyproject.toml", "README.md", "predict.py", *PACKAGES):
        (source / name).symlink_to(ROOT / name)
    command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "--quiet"]
    done = subprocess.run(
        [*command, "--wheel-dir", str(folder), str(source)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return next(folder.glob("*.whl"))


def test_the_wheel_holds_nothing_outside_fer_efficientnet(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.split("/")[0] for name in names} == {
        "fer_efficientnet",
        next(name.split("/")[0] for name in names if ".dist-info" in name),
    }
    assert "fer_efficientnet/training/report/model_card_template.md" in names


def test_the_wheel_imports_as_fer_efficientnet(wheel, tmp_path):
    zipfile.ZipFile(wheel).extractall(tmp_path)
    code = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "sys.modules['modeling'] = sys.modules['training'] = None\n"
        "import fer_efficientnet.modeling as modeling\n"
        "import fer_efficientnet.training.report.card, fer_efficientnet.training.trainer\n"
        "print(modeling.__file__, modeling.FerEfficientNetConfig().id2label[1])"
    )
    command = [sys.executable, "-I", "-c", code, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [
        str(tmp_path / "fer_efficientnet/modeling/__init__.py"),
        "disgust",
    ]


def test_the_installed_command_brings_its_model(wheel, tmp_path):
    zipfile.ZipFile(wheel).extractall(tmp_path)
    skimage.io.imsave(tmp_path / "a.png", skimage.data.astronaut())
    code = (
        "import sys; sys.path.insert(0, sys.argv.pop(1))\n"
        "sys.modules['modeling'] = sys.modules['prediction'] = None\n"
        "from fer_efficientnet.predict import main; sys.exit(main())"
    )
    command = [sys.executable, "-I", "-c", code, str(tmp_path), "a.png", "--detector", "haar"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "a.png  1  happy" in done.stdout
    entry_points = next(tmp_path.glob("*.dist-info")) / "entry_points.txt"
    assert "facial-emotion = fer_efficientnet.predict:main" in entry_points.read_text()


def test_modeling_needs_none_of_the_extras():
    code = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "for name in 'accelerate datasets evaluate matplotlib gradio sklearn imblearn'.split():\n"
        "    sys.modules[name] = None\n"
        "import modeling"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-c", code, str(ROOT)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


def test_labels_of_model_and_data_are_the_same():
    from modeling.configuration_fer_efficientnet import EXPRESSIONS
    from training.data import LABELS

    assert EXPRESSIONS == LABELS
