"""The installed package and what importing it costs."""

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
FOLDERS = ("modeling", "training", "prediction", "model")
CODE = {path.name: path.read_bytes() for path in ROOT.glob("modeling/[!_]*.py")}


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """Of the repository what is built, links as links, and what is beside it in a used clone."""
    folder = tmp_path_factory.mktemp("source")
    for name in ("setup.py", "pyproject.toml", "README.md", "predict.py"):
        shutil.copyfile(ROOT / name, folder / name)
    for name in FOLDERS:
        shutil.copytree(ROOT / name, folder / name, symlinks=True)
    room = folder / "training" / "room" / "inner"
    room.mkdir(parents=True)
    for package in (room.parent, room):
        (package / "__init__.py").touch()
    (room / "template.md").touch()
    (folder / "model" / "onnx").mkdir(exist_ok=True)
    for name in ("model.onnx", "parity.json", "README.md", "made.py"):
        (folder / "model" / "onnx" / name).touch()
    return folder


def build(source, target):
    command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "--quiet"]
    return subprocess.run(
        [*command, "--wheel-dir", str(target), str(source)], capture_output=True, text=True
    )


@pytest.fixture(scope="module")
def wheel(source, tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    done = build(source, folder)
    assert done.returncode == 0, done.stderr
    return next(folder.glob("*.whl"))


@pytest.fixture(scope="module")
def sdist(source, tmp_path_factory):
    folder = tmp_path_factory.mktemp("sdist")
    command = [sys.executable, "setup.py", "--quiet", "sdist", "--dist-dir", str(folder)]
    done = subprocess.run(command, cwd=source, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return next(folder.glob("*.tar.gz"))


def test_the_wheel_holds_files_and_no_links(wheel):
    with zipfile.ZipFile(wheel) as built:
        entries = {entry.filename: entry for entry in built.infolist()}
        for name, content in CODE.items():
            assert built.read(f"fer_efficientnet/model/{name}") == content
    assert not any(entry.external_attr >> 28 == 0o12 for entry in entries.values())
    assert "fer_efficientnet/model/model.safetensors" in entries
    assert not [name for name in entries if "/onnx/" in name or "run.yaml" in name]


def test_the_wheel_holds_every_room_of_training(wheel, source):
    names = zipfile.ZipFile(wheel).namelist()
    files = [*source.glob("training/**/*.py"), *source.glob("training/**/*.md")]
    found = {f"fer_efficientnet/{file.relative_to(source)}" for file in files}
    assert found == {name for name in names if name.startswith("fer_efficientnet/training/")}
    assert "fer_efficientnet/training/room/inner/template.md" in found


def test_the_source_distribution_holds_files_and_builds_the_same_wheel(sdist, wheel, tmp_path):
    with tarfile.open(sdist) as built:
        assert not [entry.name for entry in built if entry.issym() or entry.islnk()]
        assert not [entry.name for entry in built if "/onnx/" in entry.name]
        built.extractall(tmp_path, filter="data")
    done = build(next(tmp_path.glob("fer_efficientnet-*")), tmp_path)
    assert done.returncode == 0, done.stderr
    same = zipfile.ZipFile(next(tmp_path.glob("*.whl")))
    assert set(same.namelist()) == set(zipfile.ZipFile(wheel).namelist())
    for name, content in CODE.items():
        assert same.read(f"fer_efficientnet/model/{name}") == content


@pytest.mark.parametrize("command", ["bdist_wheel", "sdist"])
def test_of_a_clone_without_links_nothing_is_built(source, tmp_path, command):
    copy = shutil.copytree(source, tmp_path / "copy", symlinks=True)
    for link in copy.glob("model/*.py"):
        target = link.readlink()
        link.unlink()
        link.write_text(str(target))  # as git writes it
    done = subprocess.run(
        [sys.executable, "setup.py", "--quiet", command, "--dist-dir", str(tmp_path / "dist")],
        cwd=copy,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1 and not [*tmp_path.glob("dist/*")]
    assert re.search(r"error: .*\.py: expected a link, but found a text file", done.stderr)
    assert "git config core.symlinks true && git checkout -- model space" in done.stderr


def test_the_wheel_holds_nothing_outside_fer_efficientnet(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.split("/")[0] for name in names} == {
        "fer_efficientnet",
        next(name.split("/")[0] for name in names if ".dist-info" in name),
    }
    assert "fer_efficientnet/training/card/model_card.md" in names


def test_the_wheel_imports_as_fer_efficientnet(wheel, tmp_path):
    zipfile.ZipFile(wheel).extractall(tmp_path)
    code = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "sys.modules['modeling'] = sys.modules['training'] = None\n"
        "import fer_efficientnet.modeling as modeling\n"
        "import importlib, pkgutil, fer_efficientnet.training as training\n"
        "for found in pkgutil.walk_packages(training.__path__, f'{training.__name__}.'):\n"
        "    importlib.import_module(found.name)\n"
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
    assert "a.png   1  happy" in done.stdout
    entry_points = next(tmp_path.glob("*.dist-info")) / "entry_points.txt"
    assert "facial-emotion = fer_efficientnet.predict:main" in entry_points.read_text()


def test_modeling_needs_none_of_the_extras():
    code = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "for name in 'accelerate datasets evaluate matplotlib gradio sklearn'.split():\n"
        "    sys.modules[name] = None\n"
        "import modeling"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-c", code, str(ROOT)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
