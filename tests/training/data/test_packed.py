"""A data set packed into one file, read where `datasets` is not installed."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from modeling import FerEfficientNetImageProcessor
from training.data import (
    LABELS,
    DataArguments,
    DataError,
    FaceDataset,
    audit,
    class_names,
    decode_splits,
    load_splits,
)
from training.data.pack import main
from training.data.packed import write_packed

ROOT = Path(__file__).parents[3]
ABOUT = {"classes": "fer2013", "label_source": "dataset", "left_out": {}}
GREY = FerEfficientNetImageProcessor()


def read(file, **flags):
    return load_splits(DataArguments(dataset=str(file), **flags))


def random_faces(shape, names=LABELS, **columns):
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator)
    images[0], images[1, :, 1:] = 0, 255  # steps as high as they can be
    labels = torch.arange(len(images)) % len(names)
    return FaceDataset(images, labels, label_names=names, **columns)


@pytest.mark.parametrize("shape", [(5, 1, 48, 48), (3, 3, 6, 9), (2, 1, 1, 1)])
def test_every_pixel_and_label_is_there_again(tmp_path, shape):
    names = ("calm", "Zorn, groß")
    splits = {"train": random_faces(shape, names), "test": random_faces((2, *shape[1:]), names)}
    left_out = {"skipped_rows": ["train, row 1: no image"]}
    about, file = {"classes": "any", "left_out": left_out}, tmp_path / "new" / "a.safetensors"
    write_packed(file, splits, ABOUT | about)
    arguments = DataArguments(dataset=str(file), classes="any")
    found = load_splits(arguments, told := {})
    assert told == left_out
    assert list(found) == ["train", "test"] and class_names(found) == names
    for name, faces in splits.items():
        assert torch.equal(found[name].images, faces.images)
        assert found[name].images.dtype == torch.uint8 and found[name].votes is None
        assert torch.equal(found[name].labels, faces.labels)
        assert found[name].labels.dtype == torch.int64


@pytest.mark.parametrize("votes, dtype", [([0, 3, 10], torch.uint8), ([0, 0.25, 1], torch.float32)])
def test_votes_are_stored_as_small_as_they_can_be(tmp_path, votes, dtype):
    votes = torch.tensor(votes, dtype=torch.float32)[:, None].expand(3, 10).contiguous()
    write_packed(
        file := tmp_path / "a.safetensors",
        {"train": random_faces((3, 1, 4, 4), votes=votes)},
        ABOUT,
    )
    found = read(file)["train"].votes
    assert torch.equal(found, votes) and found.dtype == torch.float32
    with safe_open(file, "pt") as stored:
        assert stored.get_tensor("train.votes").dtype == dtype


def test_the_file_is_smaller_than_its_pixels_and_gives_the_same_data(tmp_path, capsys):
    file = tmp_path / "drawn.safetensors"
    main(["--dataset", "synthetic", "--synthetic_images", "30", "--out", str(file)])
    said = capsys.readouterr().out
    assert said.endswith(
        f" images, {file.stat().st_size / 1e6:.1f} MB; use it with --dataset {file}\n"
    )
    source = load_splits(DataArguments(dataset="synthetic", synthetic_images=30))
    there, here = (decode_splits(splits, GREY) for splits in (source, read(file)))
    assert audit(here, LABELS) == audit(there, LABELS)  # with the fingerprint
    pixels = sum(faces.images.numel() for faces in here.values())
    assert file.stat().st_size < 0.8 * pixels


def test_images_become_what_the_network_takes(tmp_path):
    write_packed(file := tmp_path / "a.safetensors", {"train": random_faces((3, 1, 4, 4))}, ABOUT)
    processor = FerEfficientNetImageProcessor(num_channels=3)
    grey, rgb = (decode_splits(read(file), to)["train"].images for to in (GREY, processor))
    assert torch.equal(rgb, grey.expand(3, 3, 4, 4))


@pytest.mark.parametrize(
    "flags, message",
    [
        ({"ferplus_csv": "votes.csv"}, "--ferplus_csv is decided when data are packed."),
        ({"label_names": ["a", "b"]}, "--label_names is decided when data are packed."),
        ({"skip_bad_rows": True}, "--skip_bad_rows is decided when data are packed."),
        ({"label_source": "ferplus"}, "--label_source dataset, but the run has --label_source fer"),
        ({"classes": "any"}, "was packed with --classes fer2013, but the run has --classes any."),
    ],
)
def test_what_packing_decides_is_not_decided_again(tmp_path, flags, message):
    write_packed(file := tmp_path / "a.safetensors", {"train": random_faces((3, 1, 4, 4))}, ABOUT)
    with pytest.raises(DataError) as error:
        read(file, **flags)
    assert message in str(error.value)


def test_other_files_are_refused(tmp_path, capsys):
    file = tmp_path / "a.safetensors"
    with pytest.raises(DataError, match="no such file; `python -m training.data.pack` writes"):
        read(file)
    save_file({"weight": torch.zeros(1)}, file)
    with pytest.raises(DataError, match="expected the format 'fer-.*', but found None"):
        read(file)
    write_packed(file, {"train": random_faces((3, 1, 4, 4))}, ABOUT)
    whole = file.read_bytes()
    file.write_bytes(whole[:-1])
    with pytest.raises(DataError, match="not a whole safetensors file"):
        read(file)
    for place in (whole.index(b"[3, 1, 4"), -1, -5, -20):  # a shape; labels and images
        changed = bytearray(whole)
        changed[place] ^= 1
        file.write_bytes(changed)
        with pytest.raises(DataError, match="a.safetensors: (damaged since it was|not a whole)"):
            read(file)
    with pytest.raises(SystemExit):
        main(["--dataset", "synthetic", "--out", "drawn.bin"])
    assert "--out must end in .safetensors" in capsys.readouterr().err


BARE = """
import sys
for name in ("datasets", "evaluate", "matplotlib"):
    sys.modules[name] = None  # importing it raises ImportError
import train
import training.run
training.run.load_back = lambda *args: ""  # another process, in which nothing is blocked
train.main(sys.argv[1:])
"""


def test_two_steps_are_trained_where_datasets_is_not_installed(tmp_path):
    """With votes, evaluation, record and card; only the figures are left out."""
    file, output = tmp_path / "faces.safetensors", tmp_path / "run"
    votes = torch.randint(0, 5, (42, 10), generator=torch.Generator().manual_seed(1)).float()
    faces = random_faces((42, 1, 32, 32), votes=votes)
    write_packed(file, {"train": faces, "validation": random_faces((14, 1, 32, 32))}, ABOUT)
    words = (
        f"--dataset {file} --output_dir {output} --backbone test_efficientnet --image_size 32 "
        "--max_steps 2 --per_device_train_batch_size 16 --ferplus_weight 0.5 --mixup 0.2 "
        "--use_cpu --report_to none --disable_tqdm true --export_onnx false"
    )
    done = subprocess.run(
        [sys.executable, "-c", BARE, *words.split()], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert "Without matplotlib, the figures (*.png, *.svg) are left out.\n" in done.stdout
    held = {path.name for path in output.iterdir()}
    assert {"model.safetensors", "README.md", "all_results.json", "run.yaml"} <= held
    assert not [name for name in held if name.endswith((".png", ".svg"))]
    assert ".png)" not in (output / "README.md").read_text()
