"""The installed package and what importing it costs."""

import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest
import skimage.data
import skimage.io

ROOT = Path(__file__).parents[1]
FOLDERS = ("fer_efficientnet", "modeling", "training", "prediction", "model")
CODE = {path.name: path.read_bytes() for path in ROOT.glob("modeling/[!_]*.py")}


def setup(folder, *commands):
    command = [sys.executable, "setup.py", "--quiet", *map(str, commands)]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True)


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """What is built, links as links, a room that is not there yet, and what a used clone has."""
    folder = tmp_path_factory.mktemp("source")
    for name in ("setup.py", "pyproject.toml", "README.md", "predict.py"):
        shutil.copyfile(ROOT / name, folder / name)
    for name in FOLDERS:
        shutil.copytree(ROOT / name, folder / name, symlinks=True)
    (folder / "training/room/inner").mkdir(parents=True)
    (folder / "model/onnx").mkdir(exist_ok=True)  # of an older version
    for name in ("training/room/__init__.py", "training/room/inner/__init__.py",
                 "training/room/inner/template.md", "model/onnx/model.onnx", "model/onnx/made.py",
                 "model/onnx/README.md"):  # fmt: skip
        (folder / name).touch()
    return folder


@pytest.fixture(scope="module")
def built(source, tmp_path_factory):
    """Wheel and source distribution."""
    folder = tmp_path_factory.mktemp("dist")
    done = setup(source, "bdist_wheel", "--dist-dir", folder, "sdist", "--dist-dir", folder)
    assert done.returncode == 0, done.stderr
    return next(folder.glob("*.whl")), next(folder.glob("*.tar.gz"))


@pytest.fixture(scope="module")
def installed(built, tmp_path_factory):
    folder = tmp_path_factory.mktemp("installed")
    zipfile.ZipFile(built[0]).extractall(folder)
    return folder


def python(code, folder, *argv):
    """Runs code beside the installed package, where no folder of a clone is importable."""
    code = f"import sys; sys.path.insert(0, {str(folder)!r})\n{code}"
    command = [sys.executable, "-I", "-c", code, *argv]
    done = subprocess.run(command, capture_output=True, text=True, cwd=folder)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_wheel_holds_every_room_and_files_for_links(built, installed, source):
    names = {entry.filename for entry in zipfile.ZipFile(built[0]).infolist()}
    assert {name.split("/")[0] for name in names} == {file.name for file in installed.iterdir()}
    assert len([*installed.iterdir()]) == 2  # fer_efficientnet and its metadata
    for room in ("training", "modeling", "prediction"):
        files = [
            file
            for kind in ("py", "md", "onnx", "txt")
            for file in source.glob(f"{room}/**/*.{kind}")
        ]
        expected = {f"fer_efficientnet/{file.relative_to(source)}" for file in files}
        assert expected == {name for name in names if name.startswith(f"fer_efficientnet/{room}/")}
    assert "fer_efficientnet/training/room/inner/template.md" in names
    shipped = ("model.safetensors", "model.onnx", "face_detection_yunet.onnx", "onnx.json")
    assert {f"fer_efficientnet/model/{name}" for name in shipped} <= names
    assert not [name for name in names if "/onnx/" in name or "run.yaml" in name]
    for name, content in CODE.items():
        file = installed / "fer_efficientnet/model" / name
        assert file.read_bytes() == content and not file.is_symlink()


def test_the_source_distribution_holds_the_same_files(built):
    with tarfile.open(built[1]) as sdist:
        files = [entry for entry in sdist if not entry.isdir()]
        assert all(entry.isfile() for entry in files)  # no links
        names = {entry.name.partition("/")[2] for entry in files}
        root = files[0].name.partition("/")[0]
        for name, content in CODE.items():
            assert sdist.extractfile(f"{root}/model/{name}").read() == content
    wheel = zipfile.ZipFile(built[0]).namelist()
    packaged = [name for name in wheel if name.startswith("fer_efficientnet/")]
    missing = [name for name in packaged if not {name, name.partition("/")[2]} & names]
    assert not missing and {"setup.py", "pyproject.toml", "README.md"} <= names
    assert not [name for name in names if "/onnx/" in name]


@pytest.mark.parametrize("command", ["bdist_wheel", "sdist"])
def test_nothing_is_built_from_a_clone_without_links(source, tmp_path, command):
    copy = tmp_path / "copy"
    ignored = shutil.ignore_patterns("*.safetensors", "*.png", "build")
    shutil.copytree(source, copy, symlinks=True, ignore=ignored)
    for link in copy.glob("model/*.py"):
        target = os.readlink(link)
        link.unlink()
        link.write_text(target)  # as git writes it
    done = setup(copy, command, "--dist-dir", tmp_path / "dist")
    assert done.returncode == 1 and not [*tmp_path.glob("dist/*")]
    assert re.search(r"error: .*\.py: expected a link, but found a text file", done.stderr)
    assert (
        "git config core.symlinks true && git checkout -- fer_efficientnet model space"
        in done.stderr
    )


def test_every_file_of_training_imports_as_fer_efficientnet(installed):
    code = (
        "import importlib, pkgutil, fer_efficientnet.training as training\n"
        "for module in pkgutil.walk_packages(training.__path__, f'{training.__name__}.'):\n"
        "    importlib.import_module(module.name)\n"
        "print(training.modeling.__file__)"
    )
    assert python(code, installed) == f"{installed}/fer_efficientnet/modeling/__init__.py\n"


def test_the_installed_command_brings_its_model_and_needs_no_other_extras(installed):
    skimage.io.imsave(installed / "a.png", skimage.data.astronaut())
    code = (
        "for name in 'accelerate datasets evaluate matplotlib gradio sklearn imblearn'.split():\n"
        "    sys.modules[name] = None\n"
        "from fer_efficientnet import prediction, predict\n"
        "assert predict.main(['none.jpg']) == 2 and 'torch' not in sys.modules\n"
        "sys.exit(predict.main())"
    )
    for engine, detector in (("torch", "haar"), ("onnx", "auto")):
        words = "a.png", "--detector", detector, "--engine", engine
        assert "a.png   1  happy" in python(code, installed, *words)
    code = (
        "for name in 'torch transformers timm safetensors huggingface_hub matplotlib'.split():\n"
        "    sys.modules[name] = None\n"
        "from fer_efficientnet import FacialEmotion\n"
        "print([face['label'] for face in FacialEmotion()('a.png')])"
    )
    assert python(code, installed) == "['happy']\n"
    (entry_points,) = installed.glob("*.dist-info/entry_points.txt")
    assert "facial-emotion = fer_efficientnet.predict:main" in entry_points.read_text()
