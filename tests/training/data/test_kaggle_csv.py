import gzip
import os

import numpy as np
import pytest
from datasets import ClassLabel, Image, enable_progress_bars

from modeling import FerEfficientNetImageProcessor
from training.data import LABELS, DataArguments, DataError, decode_splits, load_fer2013, load_splits
from training.data.features import PIXELS
from training.data.synthetic import encode_png
from training.early_checks import dataset_problem

pytestmark = pytest.mark.usefixtures("own_cache")

FACES = np.random.default_rng(0).integers(0, 256, (7, 48, 48), dtype=np.uint8)
PIXEL_TEXT = " ".join(map(str, FACES[0].ravel()))
HEADER = "emotion,pixels,Usage"


def write_csv(path, labels, usages, header=HEADER):
    lines = [header]
    for face, label, usage in zip(FACES, labels, usages):
        text = " ".join(map(str, face.ravel()))
        lines.append(f"{label},{text},{usage}" if header == HEADER else f"{label},{usage},{text}")
    path.write_text("\n".join(lines) + "\n")
    return path


def labels_of(splits):
    return {name: split["label"][:] for name, split in splits.items()}


@pytest.mark.parametrize(
    "name, header", [("fer2013.csv", HEADER), ("icml_face_data.csv", "emotion, Usage, pixels")]
)
def test_pixels_labels_and_official_splits_are_kept(tmp_path, capsys, name, header):
    usages = ["PublicTest"] * 2 + ["Training"] * 4 + ["PrivateTest"]
    path = write_csv(tmp_path / name, [1, 5, 6, 0, 3, 3, 2], usages, header)
    enable_progress_bars()  # which a run of another test may have hidden
    splits = load_fer2013(str(path))
    assert f"Reading {path.name}" in capsys.readouterr().err
    assert list(splits) == ["train", "validation", "test"]
    assert labels_of(splits) == {"train": [6, 0, 3, 3], "validation": [1, 5], "test": [2]}
    pixels = load_splits(DataArguments(dataset=str(path)))
    for number in (1, 3):
        processor = FerEfficientNetImageProcessor(num_channels=number)
        encoded, decoded = decode_splits(splits, processor), decode_splits(pixels, processor)
        for name, rows in {"train": slice(2, 6), "validation": slice(0, 2), "test": [6]}.items():
            assert splits[name].features["image"] == Image()
            assert pixels[name].features["image"] == PIXELS
            assert splits[name].features["label"] == ClassLabel(names=list(LABELS))
            expected = np.repeat(FACES[rows][:, None], number, axis=1)
            for faces in (encoded[name], decoded[name]):
                assert np.array_equal(faces.images, expected)
            assert encoded[name].digests.tolist() == decoded[name].digests.tolist()


def test_a_csv_is_parsed_once_and_anew_after_an_edit(tmp_path, own_cache):
    path = write_csv(tmp_path / "fer2013.csv", [0, 1], ["Training"] * 2)
    written = set()
    for _ in range(2):
        assert labels_of(load_fer2013(str(path))) == {"train": [0, 1]}
        files = own_cache.glob("fer_efficientnet/*/dataset_dict.json")
        written |= {(file, file.stat().st_ino) for file in files}
    assert len(written) == 1
    time = path.stat().st_mtime_ns
    write_csv(path, [0, 6], ["Training"] * 2)  # of the same size
    os.utime(path, ns=(time, time + 1))
    assert labels_of(load_fer2013(str(path))) == {"train": [0, 6]}
    assert len([*(own_cache / "fer_efficientnet").iterdir()]) == 2


def test_a_folder_with_the_csv_and_a_byte_order_mark(tmp_path):
    path = write_csv(tmp_path / "fer2013.csv", [4], ["Training"])
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert labels_of(load_fer2013(str(tmp_path))) == {"train": [4]}


@pytest.mark.parametrize(
    "row, text",
    [
        (f"0,{PIXEL_TEXT.rsplit(' ', 1)[0]},Training", "2304 numbers.*but there are 2303"),
        (f"0,{PIXEL_TEXT.rsplit(' ', 1)[0]} 256,Training", r"\[0, 255\].*to 256"),
        (f"0,{PIXEL_TEXT.rsplit(' ', 1)[0]} -1,Training", r"\[0, 255\].*from -1"),
        (f"0,{PIXEL_TEXT.rsplit(' ', 1)[0]} {10**20},Training", r"\[0, 255\]"),
        (f"0,{PIXEL_TEXT} x,Training", "numbers separated by spaces, but found other"),
        (f"7,{PIXEL_TEXT},Training", "from 0 to 6, but it is '7'"),
        (f"²,{PIXEL_TEXT},Training", "from 0 to 6, but it is '²'"),
        (f"-1,{PIXEL_TEXT},Training", "from 0 to 6, but it is '-1'"),
        (f"0,{PIXEL_TEXT},Holdout", "Training, PublicTest or PrivateTest, but it is 'Holdout'"),
        (f"0,{PIXEL_TEXT}", "at least 3 fields, but found 2"),
    ],
)
def test_a_bad_row_is_refused_with_file_and_line(tmp_path, own_cache, row, text):
    path = write_csv(tmp_path / "fer2013.csv", [0], ["Training"])
    path.write_text(path.read_text() + row + "\n")
    for _ in range(2):  # a failed parse leaves nothing in the cache
        with pytest.raises(DataError, match=rf"fer2013\.csv, line 3: .*{text}"):
            load_fer2013(str(path))
        assert list((own_cache / "fer_efficientnet").iterdir()) == []


@pytest.mark.parametrize(
    "content, text",
    [
        ("pixels,usage\n0,1\n", "expected the columns emotion and pixels .* found pixels, usage"),
        ("", "expected the columns emotion and pixels .* found no header"),
        (f"{HEADER}\n", "no rows"),
        (f'{HEADER}\n0,"{PIXEL_TEXT},Training\n' + f"0,{PIXEL_TEXT},Training\n" * 30,
         "line [0-9]+: .*quotation mark"),
    ],
)  # fmt: skip
def test_a_csv_of_another_form_is_refused(tmp_path, content, text):
    path = tmp_path / "fer2013.csv"
    path.write_text(content)
    with pytest.raises(DataError, match=rf"fer2013\.csv.*{text}"):
        load_fer2013(str(path), skipped=[])


@pytest.mark.parametrize("name", ["FER2013.CSV", "train.csv.gz"])
@pytest.mark.parametrize(
    "header, labels, expected",
    [
        ("emotion,pixels", ["0", "3.0", " 6 "], [0, 3, 6]),
        ("Label,pixels", ["anger", "Happy", "6"], [0, 3, 6]),
        ("emotion;pixels", ["0", "0", "2"], [0, 0, 2]),
    ],
)
def test_forms_that_copies_of_the_csv_have(tmp_path, name, header, labels, expected):
    lines = [header] + [f"{label}{header[-7]}{PIXEL_TEXT}" for label in labels]
    content = "\n".join(lines + ["", " "]).encode()
    (tmp_path / name).write_bytes(gzip.compress(content) if name.endswith("gz") else content)
    assert dataset_problem(str(tmp_path / name)) is None
    assert labels_of(load_fer2013(str(tmp_path / name))) == {"train": expected}
    if name == "FER2013.CSV":
        assert labels_of(load_fer2013(str(tmp_path))) == {"train": expected}
    else:
        (tmp_path / name).write_bytes(gzip.compress(content)[:-9])
        with pytest.raises(DataError, match="a file that is cut off"):
            load_fer2013(str(tmp_path / name))


def test_a_table_of_files_and_labels(tmp_path):
    for name in ("a.png", "b.png", "c.png"):
        (tmp_path / name).write_bytes(encode_png(FACES["abc".index(name[0])]))
    path = tmp_path / "list.csv"
    path.write_text("Image,Label,split\na.png,sad,train\n\nb.png, Joy,val\nc.png,fear,train\n")
    splits = load_fer2013(str(path))
    assert labels_of(splits) == {"train": [4, 2], "validation": [3]}
    processor = FerEfficientNetImageProcessor()
    decoded = decode_splits(splits, processor)
    assert np.array_equal(decoded["train"].images[:, 0], FACES[[0, 2]])
    path.write_text("path,label\na.png,1\nb.png,0.0\n")
    with pytest.raises(DataError, match=r"labels are integers without names \(0, 1\)"):
        load_fer2013(str(path))
    splits = load_fer2013(str(path), classes="any", label_names=["calm", "tense"])
    assert splits["train"]["label"][:] == [1, 0]
    path.write_text("path,label\nd.png,sad\n")
    with pytest.raises(DataError, match="line 2: no such file .*d.png; paths are relative to the"):
        load_fer2013(str(path))


def test_bad_rows_are_left_out_and_listed_if_asked(tmp_path):
    path = write_csv(tmp_path / "fer2013.csv", [0, 1], ["Training"] * 2)
    path.write_text(path.read_text() + f"7,{PIXEL_TEXT},Training\n2,{PIXEL_TEXT},Holdout\n")
    for _ in range(2):  # parsed, then from the cache
        skipped = []
        assert labels_of(load_fer2013(str(path), skipped=skipped)) == {"train": [0, 1]}
        assert [words.split(": ")[0].split(", ")[1] for words in skipped] == ["line 4", "line 5"]
        assert "Holdout" in skipped[1]
    with pytest.raises(DataError, match="line 4(.|\n)*leave such rows out with --skip_bad_rows"):
        load_fer2013(str(path))
