"""Folders, parquet files, what `datasets` saved, the Hub and drawn faces, mapped by class name."""

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest
import torch
from datasets import ClassLabel, Dataset, DatasetDict, Features, Image, Value
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
NAMES = ClassLabel(names=list(LABELS))
OTHER_ORDER = ["neutral", "happiness", "Sad", "surprised", "anger", "fear", "disgust"]
OTHER_ORDER_IDS = [LABELS.index(n) for n in ("neutral", "happy", "sad", "surprise")] + [0, 2, 1]
GREY = FerEfficientNetImageProcessor()


def write_images(root, files):
    """{relative path: number of the face} -> PNG files."""
    for name, number in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        PilImage.fromarray(FACES[number]).save(path)
    return str(root)


def build(labels, label_feature=NAMES, image="image", label="label", **more):
    """A data set whose row i is FACES[i]."""
    encoded = [{"bytes": encode_png(face), "path": None} for face in FACES[: len(labels)]]
    columns = {image: encoded, label: list(labels)} | {k: v for k, (v, _) in more.items()}
    features = {image: Image(), label: label_feature} | {k: f for k, (_, f) in more.items()}
    return Dataset.from_dict(columns, features=Features(features))


def write_parquet(folder, **splits):
    folder.mkdir(exist_ok=True)
    for name, split in splits.items():
        split.to_parquet(folder / f"{name}-00000-of-00001.parquet")
    return str(folder)


def pixels_of(split):
    return np.stack([np.asarray(image) for image in split["image"]])


def labels_of(splits):
    return {name: split["label"][:] for name, split in splits.items()}


def refuses(source, match, **options):
    with pytest.raises(DataError, match=match):
        load_fer2013(str(source), **options)


# a folder tree of images


def test_image_tree_with_splits_and_synonyms(tmp_path):
    files = {
        "train/anger/a.png": 0, "train/Happiness/b.png": 1, "train/neutral/c.PNG": 2,
        "val/sad/d.png": 3,
        "test/surprised/e.png": 4, "test/disgust/f.png": 5, "test/fear/f.png": 6,
    }  # fmt: skip
    splits = load_fer2013(write_images(tmp_path, files))
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
    assert splits["test"].features == {"image": Image(), "label": NAMES}


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


def test_training_images_that_were_split_again_stay_where_they_are(tmp_path):
    write_images(tmp_path, {"train/sad/Training_1.png": 0, "val/sad/Training_2.png": 1})
    assert labels_of(load_fer2013(str(tmp_path))) == {"train": [4], "validation": [4]}


@pytest.mark.parametrize(
    "file, text",
    [
        ("train/suprise/a.png", r"suprise/a.png: class 'suprise' .*Did you mean 'surprise'\?"),
        ("part1/sad/a.png", "folder 'part1' is not a split; expected train, validation or test"),
        ("a/train/sad/a.png", r"expected .*/\[split/\]class/image, but found 3 folders"),
        ("a.png", "these 1 images have no classes: expected each in a folder named by its class"),
        ("train/a.png", "these 1 images have no classes"),
    ],
)
def test_image_tree_of_another_shape_is_refused_by_name(tmp_path, file, text):
    refuses(write_images(tmp_path, {file: 0}), text)


def test_file_that_is_no_image_is_refused_in_a_class_folder_alone(tmp_path):
    write_images(tmp_path, {"train/angry/a.png": 0, "train/sad/b.png": 1})
    (tmp_path / "train/angry/.ipynb_checkpoints").mkdir()
    (tmp_path / "train/angry/@eaDir").mkdir()
    left = ".DS_Store", ".ipynb_checkpoints/a.png", "Thumbs.db", "desktop.ini", "@eaDir/a.png"
    for name in ("README.txt", *(f"train/angry/{name}" for name in left)):
        (tmp_path / name).write_text("words")
    assert len(load_fer2013(str(tmp_path))["train"]) == 2
    (tmp_path / "train/sad/notes.txt").write_text("words")
    refuses(tmp_path, r"sad/notes\.txt: not an image; expected \.apng, .*\.bmp, ")


def test_bad_files_of_a_tree_are_left_out_and_listed_if_asked(tmp_path):
    files = {"train/angry/a.png": 0, "train/sad/b.png": 1, "train/hapy/c.png": 2, "d.png": 3}
    write_images(tmp_path, files | {"train/happy/e.png": 4})
    cut_off = tmp_path / "train/angry/a.png"
    cut_off.write_bytes(cut_off.read_bytes()[:1000])
    skipped = []
    split = load_fer2013(str(tmp_path), skipped=skipped)["train"]
    faces = decode_split(split, GREY, "train", skipped)
    assert faces.labels.tolist() == [3, 4]
    assert np.array_equal(faces.images[1, 0], FACES[1])
    for words, found in zip(
        ("d.png: expected", "c.png: class 'hapy'", "angry/a.png): not a readable image"), skipped
    ):
        assert words in found
    with pytest.raises(DataError, match=r"train, row 0 \(.*angry/a\.png\): not a readable image"):
        decode_split(split, GREY, "train")
    with pytest.raises(DataError, match="train: none of the 1 images can be read"):
        decode_split(split.select([0]), GREY, "train", [])


def test_linked_folders_are_searched(tmp_path):
    write_images(tmp_path / "elsewhere", {"sad/a.png": 0, "joy/b.png": 1})
    write_images(tmp_path / "faces", {"train/sad/a.png": 2})
    (tmp_path / "faces" / "validation").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere" / "sad" / "loop").symlink_to(tmp_path / "faces")
    splits = load_fer2013(str(tmp_path / "faces"))
    assert labels_of(splits) == {"train": [4], "validation": [3, 4]}


# parquet


def test_parquet_in_another_label_order_is_mapped_by_name(tmp_path):
    other = ClassLabel(names=OTHER_ORDER)
    votes = ([[i, 10 - i] for i in range(7)], datasets.List(Value("int64")))
    folder = write_parquet(
        tmp_path / "p",
        train=build(range(7), other, label="emotion", image="img", ferplus_votes=votes),
        publicTest=build([4, 0], other),
        privateTest=build([6], other, usage=(["x"], Value("string"))),
    )
    splits = load_fer2013(folder)
    expected = {"train": OTHER_ORDER_IDS, "validation": [0, 6], "test": [1]}
    assert labels_of(splits) == expected
    for name, labels in expected.items():
        assert np.array_equal(pixels_of(splits[name]), FACES[: len(labels)])
        assert splits[name].features["image"] == Image()
        assert splits[name].features["label"] == NAMES
    assert splits["train"]["ferplus_votes"][:] == votes[0]
    assert set(splits["test"].column_names) == {"image", "label"}


@pytest.mark.parametrize("dtype", ["string", "large_string"])
def test_string_labels_are_mapped_by_name_and_shards_joined(tmp_path, dtype):
    whole = build(["Neutral", "joy", "anger"], Value(dtype))
    for i in range(3):
        whole.select([i]).to_parquet(tmp_path / f"train-0000{i}-of-00003.parquet")
    assert labels_of(load_fer2013(str(tmp_path))) == {"train": [6, 3, 0]}


@pytest.mark.parametrize(
    "feature", [Value("int64"), Value("uint8"), ClassLabel(names=list("0123456"))]
)
def test_integers_without_names_need_label_names(tmp_path, feature):
    folder = write_parquet(tmp_path / "p", train=build(range(7), feature))
    refuses(folder, r"\[train\]: labels are integers .*--label_names and.*Kaggle.s is angry")
    splits = load_fer2013(folder, label_names=OTHER_ORDER)
    assert labels_of(splits) == {"train": OTHER_ORDER_IDS}


@pytest.mark.parametrize(
    "labels, feature, names, text",
    [
        ([0, 3], Value("int64"), ["angry", "sad"], "row 1: label 3 has no name.* 0 to 1"),
        ([0, None], NAMES, None, "row 1: the label is missing"),
        ([0], ClassLabel(names=["hapy"]), None, r"class 'hapy' .*Did you mean 'happy'\?"),
        (["sadly"], Value("string"), None, r"class 'sadly' .*Did you mean 'sad'\?"),
        ([0.5], Value("float32"), None, r"class '0.5' is not one of"),
        (
            [[0]],
            datasets.List(Value("int8")),
            None,
            r"a label column \(words or numbers\).*found im",
        ),
        ([0.0, None], Value("float32"), OTHER_ORDER, "row 1: the label is missing"),
        ([], NAMES, None, "readable parquet files with rows, but .*train.*parquet"),
    ],
)
def test_labels_that_are_not_understood_are_refused(tmp_path, labels, feature, names, text):
    folder = write_parquet(tmp_path / "p", train=build(labels, feature))
    refuses(folder, rf"/p.*{text}", label_names=names)


def test_bad_labels_of_parquet_are_left_out_and_listed_if_asked(tmp_path):
    labels = build(["sad", None, "hapy", "angry"], Value("string"))
    folder = write_parquet(tmp_path / "p", train=labels)
    skipped = []
    split = load_fer2013(folder, skipped=skipped)["train"]
    assert split["label"][:] == [4, 0]
    assert np.array_equal(pixels_of(split), FACES[[0, 3]])
    assert "row 1: the label is missing" in skipped[0] and "row 2: class 'hapy'" in skipped[1]
    hopeless = write_parquet(tmp_path / "q", train=build(["hapy"], Value("string")))
    refuses(hopeless, r"\[train\]: every row was left out; the last one: .*'hapy'", skipped=[])


def test_parquet_that_cannot_be_used_is_refused_by_file(tmp_path):
    no_image = Dataset.from_dict({"label": [0], "text": ["x"]})
    folder = write_parquet(tmp_path / "a", train=no_image)
    refuses(folder, r"\[train\]: expected an image column.*text")
    folder = write_parquet(tmp_path / "b", extra=build([0]), test=build([0]))
    refuses(folder, "extra-.*parquet: expected a split .* one of train")
    folder = write_parquet(tmp_path / "c", val=build([0]), validation=build([1]))
    refuses(folder, r"'val' and 'valid(ation)?' are both validation")
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "train.parquet").write_bytes(b"not parquet")
    refuses(tmp_path / "d", "readable parquet files with rows, but .*/train.*parquet")


@pytest.mark.parametrize(
    "train, test",
    [
        ("train/data.parquet", "test/data.parquet"),
        ("default/train/0000.parquet", "default/test/0000.parquet"),
        ("fer2013-train.parquet", "fer2013_test.parquet"),
        ("data/train-00000-of-00001.parquet", "data/public-test.parquet"),
        ("Training.parquet", "PrivateTest_0.parquet"),
        ("training set.parquet", ".cache/eval.parquet"),  # hidden: not data
    ],
)
def test_parquet_layouts_say_the_split(tmp_path, train, test):
    for number, name in enumerate((train, test)):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        build([number]).to_parquet(tmp_path / name)
    name = "validation" if "public" in test else "test"
    expected = {"train": [0]} | ({} if test.startswith(".") else {name: [1]})
    assert labels_of(load_fer2013(str(tmp_path))) == expected


def test_of_two_configurations_one_is_asked_for(tmp_path):
    for name in ("plain", "small"):
        (tmp_path / name / "train").mkdir(parents=True)
        build([0, 1], label="Label", image="Image").to_parquet(tmp_path / name / "train/0.PARQUET")
    refuses(tmp_path, "expected one data set, but .* for train in .*/plain/train, .*/small/train")
    assert labels_of(load_fer2013(str(tmp_path / "small"))) == {"train": [0, 1]}


def test_parquet_without_a_word_for_the_split_is_training_data_if_none_has_one(tmp_path):
    faces = build([0, 1])
    faces.to_parquet(tmp_path / "0000.parquet")
    assert labels_of(load_fer2013(str(tmp_path))) == {"train": [0, 1]}
    assert labels_of(load_fer2013(str(tmp_path / "0000.parquet"))) == {"train": [0, 1]}
    faces.to_parquet(tmp_path / "train.parquet")
    refuses(tmp_path, "0000.parquet: expected a split in the file's name")


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
    assert np.array_equal(decode_split(split, GREY, "train").images[:, 0], FACES[:2])


def test_folders_that_datasets_saved(tmp_path):
    labels = ClassLabel(names=OTHER_ORDER)
    train, other = build([0, 1], labels), build([2], labels)
    train.with_format("torch").save_to_disk(tmp_path / "one")
    DatasetDict(train=train, publicTest=other).save_to_disk(tmp_path / "both")
    assert labels_of(load_fer2013(str(tmp_path / "one"))) == {"train": [6, 3]}
    splits = load_fer2013(str(tmp_path / "both"))
    assert labels_of(splits) == {"train": [6, 3], "validation": [4]}
    assert np.array_equal(pixels_of(splits["train"]), FACES[:2])
    next((tmp_path / "one").glob("*.arrow")).unlink()
    refuses(tmp_path / "one", "one: expected what save_to_disk of datasets wrote")


# published counts


def test_official_size_with_other_class_counts_is_refused_with_both_rows(tmp_path, monkeypatch):
    assert [sum(counts) for counts in PUBLISHED_COUNTS.values()] == [28709, 3589, 3589]
    monkeypatch.setitem(PUBLISHED_COUNTS, "validation", [2, 1, 1, 1, 1, 1, 1])
    right = build([0, 0, 1, 2, 3, 4, 5, 6])
    assert len(load_fer2013(write_parquet(tmp_path / "right", validation=right))) == 1
    with pytest.raises(DataError) as error:
        wrong = build([0, 1, 1, 2, 3, 4, 5, 6])
        load_fer2013(write_parquet(tmp_path / "wrong", validation=wrong))
    for text in (
        "the validation split has FER-2013's size (8)",
        "[2, 1, 1, 1, 1, 1, 1]",
        "[1, 2, 1, 1, 1, 1, 1]",
        "--label_names",
        "'angry', 'disgust'",
    ):
        assert text in str(error.value)
    smaller = build([1, 1, 2])  # not FER-2013's size: someone's own data
    assert labels_of(load_fer2013(write_parquet(tmp_path / "own", validation=smaller)))


# a source that is nothing of this


def test_what_is_no_source_is_refused_with_what_was_found(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    refuses(
        "no/such/file.csv", "no/such/file.csv: no such file or folder, and not a Hub data set id"
    )
    refuses("fer2013.csv", "no such file or folder.*Give fer2013.csv, a folder of images")
    (tmp_path / "empty").mkdir()
    refuses("empty", r"empty: expected parquet files, .*but found nothing")
    (tmp_path / "notes.txt").write_text("x")
    refuses(tmp_path, "but found empty, notes.txt")
    refuses(
        "notes.txt", r"notes.txt: expected a .csv, .csv.gz or .parquet file .*found a .txt file"
    )


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
        return DatasetDict(train=build(range(7), other), privateTest=build([4], other))

    monkeypatch.setattr("training.data.sources.datasets.load_dataset", fake_hub)
    splits = load_fer2013(*arguments)
    assert asked == [expected]
    assert labels_of(splits) == {"train": OTHER_ORDER_IDS, "test": [0]}
    assert np.array_equal(pixels_of(splits["train"]), FACES[:7])


def test_an_empty_split_of_the_hub_is_refused(monkeypatch):
    found = DatasetDict(train=build([]))
    monkeypatch.setattr("training.data.sources.datasets.load_dataset", lambda *_, **__: found)
    refuses("someone/faces", r"someone/faces \[train\]: the split is empty")


# drawn faces


def test_synthetic_source_has_all_splits_and_copies_one_evaluation_image_in_thirteen():
    splits, again, other = (
        load_fer2013("synthetic", synthetic_images=65, synthetic_seed=seed) for seed in (3, 3, 4)
    )
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


@pytest.mark.parametrize("channels", [1, 3])
def test_decode_split_gives_uint8_images_of_the_processors_channels(channels):
    processor = FerEfficientNetImageProcessor(num_channels=channels)
    faces = decode_split(build([3, 0, 6, 1]), processor, "train")
    assert len(faces) == 4 and faces.images.dtype == torch.uint8
    assert np.array_equal(faces.images, np.repeat(FACES[:4, None], channels, axis=1))
    assert faces.labels.dtype == torch.int64 and faces.labels.tolist() == [3, 0, 6, 1]


def test_colours_become_grey(tmp_path):
    (tmp_path / "happy").mkdir()
    PilImage.new("RGB", (30, 70), (0, 255, 0)).save(tmp_path / "happy/b.png")
    faces = decode_split(load_fer2013(str(tmp_path))["train"], GREY, "train")
    assert (faces.images == 150).all()  # luma of pure green, 0.587 * 255


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


def test_missing_image_is_refused_with_its_row(tmp_path):
    columns = {"image": [{"bytes": encode_png(FACES[0]), "path": None}, None], "label": [0, 1]}
    split = Dataset.from_dict(columns, features=Features({"image": Image(), "label": NAMES}))
    split = load_fer2013(write_parquet(tmp_path / "p", test=split))["test"]
    with pytest.raises(DataError, match="test, row 1: not a readable image"):
        decode_split(split, GREY, "test")


@pytest.mark.parametrize("embedded", [False, True])
def test_the_photo_readers_limits_hold_for_training_images(tmp_path, embedded):
    write_images(tmp_path, {"train/angry/a.png": 0, "train/angry/b.png": 1})
    split = load_fer2013(str(tmp_path))["train"]
    (tmp_path / "train/angry/b.png").write_bytes(png_header(10_000, 6_000))
    if embedded:  # the bytes of the files
        rows = split.cast_column("image", Image(decode=False))["image"][:]
        rows = [row | {"bytes": open(row["path"], "rb").read()} for row in rows]
        split = Dataset.from_dict({"image": rows, "label": split["label"][:]}, split.features)
    words = r"row 1 \(.*b\.png\): not a readable image \(.*10000 x 6000 pixels, but at most 51,"
    with pytest.raises(DataError, match=words):
        decode_split(split, GREY, "train")
