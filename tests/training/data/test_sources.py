import inspect
import os

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest
import torch
from datasets import ClassLabel, Dataset, DatasetDict, Features, Image, Value, enable_progress_bars
from PIL import Image as PilImage

from modeling import FerEfficientNetImageProcessor
from tests.images import png_header
from training.data import (
    DEFAULT_SOURCE,
    LABELS,
    PUBLISHED_COUNTS,
    DataError,
    FaceDataset,
    decode_split,
    load_fer2013,
)
from training.data.sources import DEFAULT_REVISION
from training.data.synthetic import encode_png

pytestmark = pytest.mark.usefixtures("own_cache")

FACES = np.random.default_rng(0).integers(0, 256, (12, 48, 48), dtype=np.uint8)
PIXELS = " ".join(map(str, FACES[0].ravel()))
OTHER_ORDER = ["neutral", "happiness", "Sad", "surprised", "anger", "fear", "disgust"]
OTHER_ORDER_IDS = [LABELS.index(n) for n in ("neutral", "happy", "sad", "surprise")] + [0, 2, 1]


def write_csv(path, labels, usages, header="emotion,pixels,Usage"):
    lines = [header]
    for face, label, usage in zip(FACES, labels, usages):
        text = " ".join(map(str, face.ravel()))
        lines.append(f"{label},{text},{usage}" if "s,U" in header else f"{label},{usage},{text}")
    path.write_text("\n".join(lines) + "\n")
    return path


def write_images(root, files):
    """{relative path: number of the face} -> PNG files."""
    for name, number in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        PilImage.fromarray(FACES[number]).save(path)
    return root


def build(labels, label_feature, image="image", label="label", **more):
    """A data set whose row i is FACES[i]."""
    encoded = [{"bytes": encode_png(face), "path": None} for face in FACES[: len(labels)]]
    columns = {image: encoded, label: list(labels)} | {k: v for k, (v, _) in more.items()}
    features = {image: Image(), label: label_feature} | {k: f for k, (_, f) in more.items()}
    return Dataset.from_dict(columns, features=Features(features))


def write_parquet(folder, **splits):
    folder.mkdir(exist_ok=True)
    for name, split in splits.items():
        split.to_parquet(folder / f"{name}-00000-of-00001.parquet")
    return folder


def pixels_of(split):
    return np.stack([np.asarray(image) for image in split["image"]])


def labels_of(splits):
    return {name: split["label"][:] for name, split in splits.items()}


# Kaggle's CSV


@pytest.mark.parametrize(
    "name, header",
    [("fer2013.csv", "emotion,pixels,Usage"), ("icml_face_data.csv", "emotion, Usage, pixels")],
)
def test_kaggle_csv_keeps_pixels_labels_and_official_splits(tmp_path, capsys, name, header):
    usages = ["Training"] * 4 + ["PublicTest"] * 2 + ["PrivateTest"] * 1
    path = write_csv(tmp_path / name, [6, 0, 3, 3, 1, 5, 2], usages, header)
    enable_progress_bars()  # which a run of another test may have hidden
    splits = load_fer2013(str(path))
    assert labels_of(splits) == {"train": [6, 0, 3, 3], "validation": [1, 5], "test": [2]}
    assert list(splits) == ["train", "validation", "test"]
    for name, rows in {"train": slice(0, 4), "validation": slice(4, 6), "test": [6]}.items():
        assert np.array_equal(pixels_of(splits[name]), FACES[rows])
        assert splits[name].features == {"image": Image(), "label": ClassLabel(names=list(LABELS))}
    assert f"Reading {path.name}" in capsys.readouterr().err


def test_csv_is_parsed_once_and_anew_after_an_edit(tmp_path, monkeypatch):
    path = write_csv(tmp_path / "fer2013.csv", [0, 1], ["Training"] * 2)
    first = load_fer2013(str(path))

    def parsed_again(path, skipped):
        raise AssertionError("parsed again")

    with monkeypatch.context() as patch:
        patch.setattr("training.data.kaggle_csv._parse_kaggle_csv", parsed_again)
        second = load_fer2013(str(path))
        assert np.array_equal(pixels_of(first["train"]), pixels_of(second["train"]))
        assert labels_of(first) == labels_of(second)
        stat = path.stat()
        write_csv(path, [0, 6], ["Training"] * 2)  # of the same size
        os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns + 1))
        with pytest.raises(AssertionError, match="parsed again"):
            load_fer2013(str(path))
    assert labels_of(load_fer2013(str(path))) == {"train": [0, 6]}


def test_failed_parse_leaves_nothing_in_the_cache(tmp_path, own_cache):
    path = write_csv(tmp_path / "fer2013.csv", [0, 9], ["Training"] * 2)
    for _ in range(2):
        with pytest.raises(DataError, match="line 3"):
            load_fer2013(str(path))
    assert list((own_cache / "fer_efficientnet").iterdir()) == []


def test_folder_that_holds_the_csv_and_byte_order_mark(tmp_path):
    path = write_csv(tmp_path / "fer2013.csv", [4], ["Training"])
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert labels_of(load_fer2013(str(tmp_path))) == {"train": [4]}


@pytest.mark.parametrize(
    "row, text",
    [
        (f"0,{PIXELS.rsplit(' ', 1)[0]},Training", "2304 numbers.*but there are 2303"),
        (f"0,{PIXELS.rsplit(' ', 1)[0]} 256,Training", r"\[0, 255\].*to 256"),
        (f"0,{PIXELS.rsplit(' ', 1)[0]} -1,Training", r"\[0, 255\].*from -1"),
        (f"0,{PIXELS.rsplit(' ', 1)[0]} {10**20},Training", r"\[0, 255\]"),
        (
            f"0,{PIXELS.rsplit(' ', 1)[0]} x,Training",
            "numbers separated by spaces, but found other",
        ),
        (f"7,{PIXELS},Training", "from 0 to 6, but it is '7'"),
        (f"²,{PIXELS},Training", "from 0 to 6, but it is '²'"),
        (f"-1,{PIXELS},Training", "from 0 to 6, but it is '-1'"),
        (f"angry,{PIXELS},Training", "from 0 to 6, but it is 'angry'"),
        (f"0,{PIXELS},Holdout", "Training, PublicTest or PrivateTest, but it is 'Holdout'"),
        (f"0,{PIXELS}", "at least 3 fields, but found 2"),
    ],
)
def test_bad_csv_row_is_refused_with_file_and_line(tmp_path, row, text):
    path = write_csv(tmp_path / "fer2013.csv", [0], ["Training"])
    path.write_text(path.read_text() + row + "\n")
    with pytest.raises(DataError, match=rf"fer2013\.csv, line 3: .*{text}"):
        load_fer2013(str(path))


@pytest.mark.parametrize(
    "content, text",
    [
        ("emotion,image\n0,1\n", "expected the columns emotion, pixels and Usage.*emotion, image"),
        ("", "expected the columns emotion, pixels and Usage.*no header"),
        ("emotion,pixels,Usage\n", "no rows"),
    ],
)
def test_csv_without_the_columns_or_rows_is_refused(tmp_path, content, text):
    path = tmp_path / "fer2013.csv"
    path.write_text(content)
    for _ in range(2):  # the second time past the cache
        with pytest.raises(DataError, match=rf"fer2013\.csv.*{text}"):
            load_fer2013(str(path))


# a folder tree of images


def test_image_tree_with_splits_and_synonyms(tmp_path):
    files = {
        "train/anger/a.png": 0, "train/Happiness/b.png": 1, "train/neutral/c.PNG": 2,
        "val/sad/d.png": 3,
        "test/surprised/e.png": 4, "test/disgust/f.png": 5, "test/fear/f.png": 6,
    }  # fmt: skip
    splits = load_fer2013(str(write_images(tmp_path, files)))
    found = {
        name: {(row["label"], pixels.tobytes()) for row, pixels in zip(split, pixels_of(split))}
        for name, split in splits.items()
    }
    expected = {
        "train": [(0, 0), (3, 1), (6, 2)],
        "validation": [(4, 3)],
        "test": [(5, 4), (1, 5), (2, 6)],
    }
    assert found == {
        name: {(label, FACES[number].tobytes()) for label, number in rows}
        for name, rows in expected.items()
    }
    assert splits["test"].features == {"image": Image(), "label": ClassLabel(names=list(LABELS))}


def test_image_tree_without_split_folders_is_all_train(tmp_path):
    write_images(tmp_path, {"angry/a.png": 0, "joy/b.png": 1})
    assert labels_of(load_fer2013(str(tmp_path))) == {"train": [0, 3]}


@pytest.mark.parametrize("root", ["", "train/"])
def test_file_names_restore_the_official_splits(tmp_path, root):
    names = ["Training_1", "PublicTest_2", "PrivateTest_3", "PrivateTest_4"]
    write_images(tmp_path, {f"{root}sad/{name}.png": i for i, name in enumerate(names)})
    splits = load_fer2013(str(tmp_path))
    assert labels_of(splits) == {"train": [4], "validation": [4], "test": [4, 4]}
    assert np.array_equal(pixels_of(splits["test"]), FACES[2:4])
    assert np.array_equal(pixels_of(splits["validation"]), FACES[1:2])


@pytest.mark.parametrize(
    "file, text",
    [
        ("train/suprise/a.png", r"suprise/a.png: class 'suprise' .*Did you mean 'surprise'\?"),
        (
            "train/contempt2/a.png",
            "class 'contempt2' is not one of FER-2013's, angry, .* --classes any takes",
        ),
        ("part1/sad/a.png", "folder 'part1' is not a split; expected train, validation or test"),
        ("a/train/sad/a.png", r"expected .*/\[split/\]class/image, but found 3 folders"),
        ("a.png", "but found 0 folders"),
    ],
)
def test_image_tree_of_another_shape_is_refused_by_name(tmp_path, file, text):
    with pytest.raises(DataError, match=text):
        load_fer2013(str(write_images(tmp_path, {file: 0})))


def test_file_that_is_no_image_is_refused_in_a_class_folder_alone(tmp_path):
    write_images(tmp_path, {"train/angry/a.png": 0, "train/sad/b.png": 1})
    (tmp_path / "train/angry/.ipynb_checkpoints").mkdir()
    for name in ("README.txt", "train/angry/.DS_Store", "train/angry/.ipynb_checkpoints/a.png"):
        (tmp_path / name).write_text("words")
    assert len(load_fer2013(str(tmp_path))["train"]) == 2
    (tmp_path / "train/sad/notes.txt").write_text("words")
    with pytest.raises(
        DataError, match=r"sad/notes\.txt: not an image; expected \.apng, .*\.bmp, "
    ):
        load_fer2013(str(tmp_path))


def test_truncated_image_is_refused_with_split_row_and_file(tmp_path):
    write_images(tmp_path, {"train/angry/a.png": 0, "train/angry/b.png": 1})
    path = tmp_path / "train/angry/b.png"
    path.write_bytes(path.read_bytes()[:1000])
    split = load_fer2013(str(tmp_path))["train"]
    with pytest.raises(DataError, match=r"train, row 1 \(.*angry/b\.png\): not a readable image"):
        decode_split(split, FerEfficientNetImageProcessor(), "train")


def test_bad_rows_of_a_csv_are_left_out_and_listed_if_asked(tmp_path):
    path = write_csv(tmp_path / "fer2013.csv", [0, 1], ["Training"] * 2)
    path.write_text(path.read_text() + f"7,{PIXELS},Training\n2,{PIXELS},Holdout\n")
    for _ in range(2):  # parsed, then from the cache
        skipped = []
        assert labels_of(load_fer2013(str(path), skipped=skipped)) == {"train": [0, 1]}
        assert [words.split(": ")[0].split(", ")[1] for words in skipped] == ["line 4", "line 5"]
        assert "Holdout" in skipped[1]
    with pytest.raises(DataError, match="line 4(.|\n)*leave such rows out with --skip_bad_rows"):
        load_fer2013(str(path))


def test_a_lone_quotation_mark_in_a_csv_is_told_with_its_line(tmp_path):
    path, row = tmp_path / "fer2013.csv", f"0,{PIXELS},Training\n"
    path.write_text(f'emotion,pixels,Usage\n{row}0,"{PIXELS},Training\n{row * 30}')
    with pytest.raises(DataError, match="line [0-9]+: .*quotation mark"):
        load_fer2013(str(path), skipped=[])


def test_bad_files_of_a_tree_are_left_out_and_listed_if_asked(tmp_path):
    files = {"train/angry/a.png": 0, "train/sad/b.png": 1, "train/hapy/c.png": 2, "d.png": 3}
    write_images(tmp_path, files | {"train/happy/e.png": 4})
    (tmp_path / "train/angry/a.png").write_text("no image")
    skipped = []
    split = load_fer2013(str(tmp_path), skipped=skipped)["train"]
    faces = decode_split(split, FerEfficientNetImageProcessor(), "train", skipped)
    assert faces.labels.tolist() == [3, 4]
    assert np.array_equal(faces.images[1, 0], FACES[1])
    for words, found in zip(
        ("d.png: expected", "c.png: class 'hapy'", "angry/a.png): not a readable image"), skipped
    ):
        assert words in found
    with pytest.raises(DataError, match="train: none of the 1 images can be read"):
        decode_split(split.select([0]), FerEfficientNetImageProcessor(), "train", [])


def test_bad_labels_of_parquet_are_left_out_and_listed_if_asked(tmp_path):
    labels = build(["sad", None, "hapy", "angry"], Value("string"))
    folder = write_parquet(tmp_path / "p", train=labels)
    skipped = []
    split = load_fer2013(str(folder), skipped=skipped)["train"]
    assert split["label"][:] == [4, 0]
    assert np.array_equal(pixels_of(split), FACES[[0, 3]])
    assert "row 1: the label is missing" in skipped[0] and "row 2: class 'hapy'" in skipped[1]


# parquet


def test_parquet_in_another_label_order_is_mapped_by_name(tmp_path):
    other = ClassLabel(names=OTHER_ORDER)
    votes = ([[i, 10 - i] for i in range(7)], datasets.List(Value("int64")))
    folder = write_parquet(
        tmp_path / "p",
        train=build(
            [0, 1, 2, 3, 4, 5, 6], other, label="emotion", image="img", ferplus_votes=votes
        ),
        publicTest=build([4, 0], other),
        privateTest=build([6], other, usage=(["x"], Value("string"))),
    )
    splits = load_fer2013(str(folder))
    expected = {"train": OTHER_ORDER_IDS, "validation": [0, 6], "test": [1]}
    assert labels_of(splits) == expected
    for name, labels in expected.items():
        assert np.array_equal(pixels_of(splits[name]), FACES[: len(labels)])
        assert splits[name].features["image"] == Image()
        assert splits[name].features["label"] == ClassLabel(names=list(LABELS))
    assert splits["train"]["ferplus_votes"][:] == votes[0]
    assert set(splits["test"].column_names) == {"image", "label"}


def test_parquet_shards_of_a_split_are_joined(tmp_path):
    whole = build([0, 1, 2], ClassLabel(names=list(LABELS)))
    for i in range(3):
        whole.select([i]).to_parquet(tmp_path / f"train-0000{i}-of-00003.parquet")
    assert labels_of(load_fer2013(str(tmp_path))) == {"train": [0, 1, 2]}


@pytest.mark.parametrize("dtype", ["string", "large_string"])
def test_string_labels_are_mapped_by_name(tmp_path, dtype):
    folder = write_parquet(tmp_path / "p", train=build(["Neutral", "joy", "anger"], Value(dtype)))
    assert labels_of(load_fer2013(str(folder))) == {"train": [6, 3, 0]}


@pytest.mark.parametrize(
    "feature", [Value("int64"), Value("uint8"), ClassLabel(names=list("0123456"))]
)
def test_integers_without_names_need_label_names(tmp_path, feature):
    folder = str(write_parquet(tmp_path / "p", train=build([0, 1, 2, 3, 4, 5, 6], feature)))
    with pytest.raises(
        DataError, match=r"\[train\]: labels are integers .*--label_names and.* order is angry"
    ):
        load_fer2013(folder)
    splits = load_fer2013(folder, label_names=OTHER_ORDER)
    assert labels_of(splits) == {"train": OTHER_ORDER_IDS}


@pytest.mark.parametrize(
    "labels, feature, names, text",
    [
        ([0, 3], Value("int64"), ["angry", "sad"], "row 1: label 3 has no name.* 0 to 1"),
        ([0, None], ClassLabel(names=list(LABELS)), None, "row 1: the label is missing"),
        ([0], ClassLabel(names=["hapy"]), None, r"class 'hapy' .*Did you mean 'happy'\?"),
        (["sadly"], Value("string"), None, r"class 'sadly' .*Did you mean 'sad'\?"),
        (
            [0.5],
            Value("float32"),
            None,
            r"expected a label column \(words or integers\).*found image.*label",
        ),
    ],
)
def test_labels_that_are_not_understood_are_refused(tmp_path, labels, feature, names, text):
    folder = write_parquet(tmp_path / "p", train=build(labels, feature))
    with pytest.raises(DataError, match=rf"p \[train\].*{text}"):
        load_fer2013(str(folder), label_names=names)


def test_parquet_without_image_or_with_an_unknown_split_or_a_doubled_one_is_refused(tmp_path):
    names = ClassLabel(names=list(LABELS))
    no_image = Dataset.from_dict({"label": [0], "text": ["x"]})
    with pytest.raises(DataError, match=r"\[train\]: expected an image column.*text"):
        load_fer2013(str(write_parquet(tmp_path / "a", train=no_image)))
    with pytest.raises(DataError, match="extra-.*parquet: expected a split .* one of train"):
        extra = {"extra": build([0], names), "test": build([0], names)}
        load_fer2013(str(write_parquet(tmp_path / "b", **extra)))
    with pytest.raises(DataError, match=r"'val' and 'valid(ation)?' are both validation"):
        twice = {"val": build([0], names), "validation": build([1], names)}
        load_fer2013(str(write_parquet(tmp_path / "c", **twice)))


def test_parquet_that_is_empty_or_broken_is_refused_by_file(tmp_path):
    empty = write_parquet(tmp_path / "a", train=build([], ClassLabel(names=list(LABELS))))
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "train.parquet").write_bytes(b"not parquet")
    for folder in (empty, tmp_path / "b"):
        with pytest.raises(
            DataError, match=r"readable parquet files with rows, but .*/train.*parquet"
        ):
            load_fer2013(str(folder))


@pytest.mark.parametrize("size", [0, 1])
def test_empty_split_of_the_hub_is_refused(monkeypatch, size):
    found = DatasetDict(train=build([0] * size, ClassLabel(names=list(LABELS))))
    monkeypatch.setattr(
        "training.data.sources.datasets.load_dataset", lambda *args, **kwargs: found
    )
    if size:
        assert len(load_fer2013("someone/faces")["train"]) == 1
    else:
        with pytest.raises(DataError, match=r"someone/faces \[train\]: the split is empty"):
            load_fer2013("someone/faces")


def test_missing_image_is_refused_with_its_row(tmp_path):
    names = ClassLabel(names=list(LABELS))
    columns = {"image": [{"bytes": encode_png(FACES[0]), "path": None}, None], "label": [0, 1]}
    split = Dataset.from_dict(columns, features=Features({"image": Image(), "label": names}))
    split = load_fer2013(str(write_parquet(tmp_path / "p", test=split)))["test"]
    with pytest.raises(DataError, match="test, row 1: not a readable image"):
        decode_split(split, FerEfficientNetImageProcessor(), "test")


@pytest.mark.parametrize(
    "train, test",
    [
        ("train/data.parquet", "test/data.parquet"),
        ("default/train/0000.parquet", "default/test/0000.parquet"),
        ("fer2013-train.parquet", "fer2013_test.parquet"),
        ("data/train-00000-of-00001.parquet", "data/public-test.parquet"),
        ("Training.parquet", "PrivateTest_0.parquet"),
        ("a.train.parquet", "eval.parquet"),
        ("training set.parquet", ".cache/test.parquet"),  # hidden: not data
    ],
)
def test_parquet_layouts_say_the_split(tmp_path, train, test):
    for number, name in enumerate((train, test)):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        build([number], ClassLabel(names=list(LABELS))).to_parquet(tmp_path / name)
    name = "validation" if "public" in test else "test"
    expected = {"train": [0]} | ({} if test.startswith(".") else {name: [1]})
    assert labels_of(load_fer2013(str(tmp_path))) == expected


def test_parquet_without_a_word_for_the_split_is_training_data_if_none_has_one(tmp_path):
    faces = build([0, 1], ClassLabel(names=list(LABELS)))
    faces.to_parquet(tmp_path / "0000.parquet")
    assert labels_of(load_fer2013(str(tmp_path))) == {"train": [0, 1]}
    assert labels_of(load_fer2013(str(tmp_path / "0000.parquet"))) == {"train": [0, 1]}
    faces.to_parquet(tmp_path / "train.parquet")
    with pytest.raises(DataError, match="0000.parquet: expected a split in the file's name"):
        load_fer2013(str(tmp_path))


@pytest.mark.parametrize(
    "kind",
    [
        pa.binary(),
        pa.large_binary(),
        pa.struct({"bytes": pa.binary(), "path": pa.string()}),
        pa.struct({"bytes": pa.binary()}),
    ],
)
def test_image_columns_of_bytes_as_pandas_writes_them(tmp_path, kind):
    pngs = [encode_png(face) for face in FACES[:2]]
    values = [{"bytes": png} for png in pngs] if pa.types.is_struct(kind) else pngs
    table = pa.table({"img": pa.array(values, kind), "emotion": ["sad", "joy"]})
    pyarrow.parquet.write_table(table, tmp_path / "train.parquet")
    split = load_fer2013(str(tmp_path))["train"]
    assert np.array_equal(pixels_of(split), FACES[:2]) and split["label"][:] == [4, 3]
    faces = decode_split(split, FerEfficientNetImageProcessor(), "train")
    assert np.array_equal(faces.images[:, 0].numpy(), FACES[:2])


def test_folders_that_datasets_saved(tmp_path):
    labels = ClassLabel(names=OTHER_ORDER)
    one, other = build([0, 1], labels), build([2], labels)
    one.with_format("torch").save_to_disk(tmp_path / "one")
    DatasetDict(train=one, publicTest=other).save_to_disk(tmp_path / "both")
    assert labels_of(load_fer2013(str(tmp_path / "one"))) == {"train": [6, 3]}
    splits = load_fer2013(str(tmp_path / "both"))
    assert labels_of(splits) == {"train": [6, 3], "validation": [4]}
    assert np.array_equal(pixels_of(splits["train"]), FACES[:2])
    next((tmp_path / "one").glob("*.arrow")).unlink()
    with pytest.raises(DataError, match="one: expected what save_to_disk of datasets wrote"):
        load_fer2013(str(tmp_path / "one"))


def test_the_photo_readers_limits_hold_for_training_images(tmp_path):
    write_images(tmp_path, {"train/angry/a.png": 0, "train/angry/b.png": 1})
    split = load_fer2013(str(tmp_path))["train"]
    (tmp_path / "train/angry/b.png").write_bytes(png_header(10_000, 6_000))
    words = r"row 1 \(.*b\.png\): not a readable image \(.*10000 x 6000 pixels, but at most 50,"
    for images in (split, embedded(split)):
        with pytest.raises(DataError, match=words):
            decode_split(images, FerEfficientNetImageProcessor(), "train")


def embedded(split):
    """The same with the bytes of its files."""
    rows = split.cast_column("image", Image(decode=False))["image"][:]
    rows = [row | {"bytes": open(row["path"], "rb").read()} for row in rows]
    return Dataset.from_dict({"image": rows, "label": split["label"][:]}, split.features)


# published counts


def test_official_size_with_other_class_counts_is_refused_with_both_rows(tmp_path, monkeypatch):
    monkeypatch.setitem(PUBLISHED_COUNTS, "validation", [2, 1, 1, 1, 1, 1, 1])
    names = ClassLabel(names=list(LABELS))
    right = build([0, 0, 1, 2, 3, 4, 5, 6], names)
    assert len(load_fer2013(str(write_parquet(tmp_path / "right", validation=right)))) == 1
    wrong = build([0, 1, 1, 2, 3, 4, 5, 6], names)
    with pytest.raises(DataError) as error:
        load_fer2013(str(write_parquet(tmp_path / "wrong", validation=wrong)))
    for text in (
        "the validation split has FER-2013's size (8)",
        "[2, 1, 1, 1, 1, 1, 1]",
        "[1, 2, 1, 1, 1, 1, 1]",
        "--label_names",
        "'angry', 'disgust'",
    ):
        assert text in str(error.value)
    smaller = build([1, 1, 2], names)  # not FER-2013's size: someone's own data
    assert labels_of(load_fer2013(str(write_parquet(tmp_path / "own", validation=smaller))))


def test_published_counts_have_the_official_sizes():
    assert [sum(counts) for counts in PUBLISHED_COUNTS.values()] == [28709, 3589, 3589]
    assert LABELS == ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")


# a source that is nothing of this


@pytest.mark.parametrize(
    "source, text",
    [
        ("no/such/file.csv", "no/such/file.csv: no such file or folder, and not a Hub data set id"),
        ("fer2013.csv", "no such file or folder.*Give fer2013.csv, a folder of images"),
    ],
)
def test_missing_path_is_refused(tmp_path, monkeypatch, source, text):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match=text):
        load_fer2013(source)


def test_empty_folder_and_other_file_are_refused_with_what_was_found(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=r"empty: expected parquet files, .*but found nothing"):
        load_fer2013(str(tmp_path / "empty"))
    (tmp_path / "notes.txt").write_text("x")
    with pytest.raises(DataError, match="but found empty, notes.txt"):
        load_fer2013(str(tmp_path))
    with pytest.raises(
        DataError, match=r"notes.txt: expected a .csv or .parquet file .*found a .txt file"
    ):
        load_fer2013(str(tmp_path / "notes.txt"))


# the Hub


def test_hub_data_set_that_cannot_be_reached_says_what_to_do(monkeypatch):
    def unreachable(*args, **kwargs):
        raise ConnectionError("Couldn't reach the Hub\nsecond line")

    monkeypatch.setattr("training.data.sources.datasets.load_dataset", unreachable)
    with pytest.raises(DataError) as error:
        load_fer2013("someone/faces")
    text = str(error.value)
    assert text.startswith("someone/faces: there is no such local file or folder, and the Hub did")
    assert "ConnectionError: Couldn't reach the Hub)" in text
    assert "pass the path of fer2013.csv" in text and "--dataset synthetic" in text


@pytest.mark.parametrize(
    "arguments, expected",
    [
        ((), (DEFAULT_SOURCE, DEFAULT_REVISION)),
        ((DEFAULT_SOURCE, "abc"), (DEFAULT_SOURCE, "abc")),
        (("someone/faces",), ("someone/faces", None)),
        (("someone/faces", "v1"), ("someone/faces", "v1")),
    ],
)
def test_hub_data_set_is_pinned_and_mapped_by_name(monkeypatch, arguments, expected):
    other, asked = ClassLabel(names=OTHER_ORDER), []

    def fake_hub(path, revision=None):
        asked.append((path, revision))
        return DatasetDict(
            train=build(range(7), other),
            publicTest=build([1], other),
            privateTest=build([4], other),
        )

    monkeypatch.setattr("training.data.sources.datasets.load_dataset", fake_hub)
    splits = load_fer2013(*arguments)
    assert asked == [expected]
    assert labels_of(splits) == {"train": OTHER_ORDER_IDS, "validation": [3], "test": [0]}
    assert np.array_equal(pixels_of(splits["train"]), FACES[:7])
    assert inspect.signature(load_fer2013).parameters["source"].default == DEFAULT_SOURCE


# drawn faces


def test_synthetic_source_has_all_splits_and_copies_one_evaluation_image_in_thirteen():
    splits = load_fer2013("synthetic", synthetic_images=165, synthetic_seed=3)
    again = load_fer2013("synthetic", synthetic_images=165, synthetic_seed=3)
    other = load_fer2013("synthetic", synthetic_images=165, synthetic_seed=4)
    train = {face.tobytes(): label for face, label in zip(*unpack(splits["train"]))}
    assert list(splits) == ["train", "validation", "test"]
    for name, split in splits.items():
        assert np.array_equal(pixels_of(split), pixels_of(again[name]))
        assert not np.array_equal(pixels_of(split)[:20], pixels_of(other[name])[:20])
        if name != "train":
            copied = [(f.tobytes(), y) for f, y in zip(*unpack(split)) if f.tobytes() in train]
            assert len(copied) == len(split) // 13 > 0
            assert all(train[face] == label for face, label in copied)


def unpack(split):
    return pixels_of(split), split["label"][:]


# decoding


def test_decode_split_gives_uint8_batches():
    split = build([3, 0, 6, 1], ClassLabel(names=list(LABELS)))
    faces = decode_split(split, FerEfficientNetImageProcessor(), "train")
    assert len(faces) == 4
    assert faces.images.dtype == torch.uint8 and faces.images.shape == (4, 1, 48, 48)
    assert np.array_equal(faces.images[:, 0].numpy(), FACES[:4])
    assert faces.labels.dtype == torch.int64 and faces.labels.tolist() == [3, 0, 6, 1]


def test_a_batch_equals_its_single_items_and_select_keeps_pairs():
    images = torch.from_numpy(FACES)[:, None]  # (N, C, H, W)
    faces = FaceDataset(images, torch.arange(len(images)))
    rows = [5, 0, 5, 11]
    batch, single = faces.__getitems__(rows), [faces[row] for row in rows]
    assert batch.keys() == {"pixel_values", "labels"}
    for key in batch:
        assert torch.equal(batch[key], torch.stack([item[key] for item in single]))
    assert batch["labels"].tolist() == rows and batch["pixel_values"].shape == (4, 1, 48, 48)
    chosen = faces.select(np.array([7, 2]))
    assert torch.equal(chosen.images, images[[7, 2]]) and chosen.labels.tolist() == [7, 2]


def test_mixed_sizes_and_modes_are_resized_to_the_processor(tmp_path):
    write_images(tmp_path, {"train/angry/a.png": 0})
    (tmp_path / "train/happy").mkdir()
    PilImage.new("RGB", (30, 70), (0, 255, 0)).save(tmp_path / "train/happy/b.png")
    processor = FerEfficientNetImageProcessor(size=32)
    faces = decode_split(load_fer2013(str(tmp_path))["train"], processor, "train")
    assert faces.images.shape == (2, 1, 32, 32) and faces.images.dtype == torch.uint8
    resized = processor.resize_batch(torch.from_numpy(FACES[:1])[:, None])
    assert (faces.images[0].float() - resized[0]).abs().max() <= 0.5
    assert (faces.images[1] == 150).all()  # luma of pure green, 0.587 * 255


def test_colour_processor_gets_three_channels():
    split = build([0, 1], ClassLabel(names=list(LABELS)))
    faces = decode_split(split, FerEfficientNetImageProcessor(num_channels=3), "train")
    assert faces.images.shape == (2, 3, 48, 48)
    assert all(np.array_equal(faces.images[:, c].numpy(), FACES[:2]) for c in range(3))
