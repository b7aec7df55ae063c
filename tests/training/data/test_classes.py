"""Any set of classes: which they are, in which order, and what is refused with which words."""

import numpy as np
import pytest
from datasets import ClassLabel, Dataset, DatasetDict, Features, Image, Value

from training.data import LABELS, DataArguments, DataError, class_names, load_fer2013, load_splits
from training.data.classes import MOST_CLASSES
from training.data.synthetic import encode_png

pytestmark = pytest.mark.usefixtures("own_cache")

PNG = encode_png(np.zeros((8, 8), np.uint8))


def tree(root, *folders):
    """A folder tree with one image in each folder."""
    for folder in folders:
        (root / folder).mkdir(parents=True)
        (root / folder / "1.png").write_bytes(PNG)
    return str(root)


def rows(labels, feature):
    images = [{"bytes": PNG, "path": None}] * len(labels)
    features = Features({"image": Image(), "label": feature})
    return Dataset.from_dict({"image": images, "label": labels}, features=features)


def parquet(folder, **splits):
    folder.mkdir()
    for name, split in splits.items():
        split.to_parquet(folder / f"{name}.parquet")
    return str(folder)


def words(splits):
    names = class_names(splits)
    return {name: [names[i] for i in split["label"][:]] for name, split in splits.items()}


def load_any(source, *label_names, **more):
    return load_fer2013(source, classes="any", label_names=label_names or None, **more)


def refuses(match, source, *label_names):
    with pytest.raises(DataError, match=match) as error:
        load_any(source, *label_names)
    assert len(str(error.value)) < 600


# whatever the data have


def test_classes_of_a_tree_are_its_folders_sorted(tmp_path):
    splits = load_any(tree(tmp_path / "faces", "tense", "asleep", "calm"))
    assert class_names(splits) == ("asleep", "calm", "tense")
    assert words(splits) == {"train": ["asleep", "calm", "tense"]}
    splits = load_any(tree(tmp_path / "split", "train/tense", "train/calm", "test/calm"))
    assert words(splits) == {"train": ["calm", "tense"], "test": ["calm"]}  # one may be lacking
    assert splits["test"].features["label"] == ClassLabel(names=["calm", "tense"])


def test_classes_with_spaces_capitals_and_any_letters(tmp_path):
    names = ("Half asleep", "Zornig", "anger", "angry", "ruhig", "schläfrig", "怒り")
    splits = load_any(tree(tmp_path / "faces", *reversed(names)))
    assert class_names(splits) == names  # as the folders are called, by code point
    assert class_names(load_any(tree(tmp_path / "more", "1", "²"))) == ("1", "²")  # no number


def test_names_are_compared_in_one_form_of_unicode(tmp_path):
    composed, apart = "\u00e9nerv\u00e9", "e\u0301nerve\u0301"
    splits = load_any(tree(tmp_path / "faces", f"train/{composed}", f"test/{apart}", "train/calme"))
    assert class_names(splits) == ("calme", composed) and splits["test"]["label"][:] == [1]
    assert class_names(load_any(str(tmp_path / "faces"), apart, "calme")) == (composed, "calme")


def test_a_class_label_keeps_its_order(tmp_path):
    names = ["tense", "asleep", "calm"]
    splits = {name: rows([2, 0, 1], ClassLabel(names=names)) for name in ("train", "test")}
    DatasetDict(splits).save_to_disk(tmp_path / "saved")
    splits = load_any(str(tmp_path / "saved"))
    assert class_names(splits) == tuple(names) and splits["train"]["label"][:] == [2, 0, 1]


def test_words_of_parquet_files_are_sorted(tmp_path):
    of_train, of_test = ["tense", "calm", " asleep "], ["calm", "tense"]
    word = Value("string")
    folder = parquet(tmp_path / "p", train=rows(of_train, word), test=rows(of_test, word))
    splits = load_any(folder)
    assert class_names(splits) == ("asleep", "calm", "tense")
    assert words(splits) == {"train": ["tense", "calm", "asleep"], "test": of_test}


@pytest.mark.parametrize(
    "make",
    [
        lambda path: parquet(path, train=rows([1, 0, 2], Value("int64"))),
        lambda path: parquet(path, train=rows(["1", "0", "2"], Value("string"))),
        lambda path: parquet(path, train=rows([1, 0, 2], ClassLabel(names=["0", "1", "2"]))),
        lambda path: tree(path, "1", "0", "2"),
    ],
    ids=["integers", "digits", "ClassLabel of digits", "folders"],
)
def test_numbers_take_their_names_from_the_flag(tmp_path, make):
    source = make(tmp_path / "faces")
    splits = load_any(source, "tense", "asleep", "calm")
    assert class_names(splits) == ("tense", "asleep", "calm")
    assert sorted(splits["train"]["label"][:]) == [0, 1, 2]
    if "tree" not in make.__code__.co_names:
        assert splits["train"]["label"][:] == [1, 0, 2]
    asked = r"\[train\]: labels are integers without names \(0, 1, 2\). Give the names in the order"
    refuses(f"{asked} of the ids: --label_names and, with --classes any, those of your cl", source)
    short = "label 2 has no name; names are given for 0 to 1. --label_names takes a name for each"
    refuses(short, source, "tense", "calm")


def test_names_are_in_the_order_of_the_numbers_however_a_class_label_sorts_them(tmp_path):
    """As `datasets` does with folders called 1 to 11: 1, 10, 11, 2, ..."""
    numbers = sorted(str(n) for n in range(1, 12))
    folder = parquet(tmp_path / "p", train=rows([*range(11)], ClassLabel(names=numbers)))
    splits = load_any(folder, *(f"n{n}" for n in range(1, 12)))
    assert words(splits) == {"train": [f"n{number}" for number in numbers]}


def test_numbers_from_1_on_are_counted_over_all_splits(tmp_path):
    """As RAF-DB's folders; a split that lacks the last one is read as the others."""
    source = tree(tmp_path / "faces", *(f"train/{n}" for n in "123"), "test/1", "test/2")
    names = ("surprise", "fear", "disgust")
    expected = {"train": [*names], "test": [*names[:2]]}
    assert words(load_any(source, *names)) == expected
    refuses("label 2 has no name; names are given for 0 to 1", source, *names[:2])
    assert words(load_any(source, "none", *names)) == expected  # 1 to 3 of 0 to 3
    fer2013 = tree(tmp_path / "seven", *"1234567")
    with pytest.raises(DataError, match="label 7 has no name; names are given for 0 to 6"):
        load_fer2013(fer2013, label_names=LABELS)


def test_the_flag_orders_the_names_that_data_have(tmp_path):
    source = tree(tmp_path / "faces", "asleep", "calm", "tense")
    splits = load_any(source, "tense", "calm", "asleep")
    assert class_names(splits) == ("tense", "calm", "asleep")
    assert words(splits) == {"train": ["asleep", "calm", "tense"]}
    folder = parquet(tmp_path / "p", train=rows([0, 1], ClassLabel(names=["calm", "tense"])))
    arguments = DataArguments(dataset=folder, classes="any", label_names=["tense", "calm"])
    assert words(load_splits(arguments)) == {"train": ["calm", "tense"]}


def test_fer2013_stays_the_default(tmp_path):
    splits = load_fer2013(tree(tmp_path / "faces", "joy", "Anger", "scared"))
    assert class_names(splits) == LABELS
    assert words(splits) == {"train": ["angry", "happy", "fear"]}
    with pytest.raises(DataError, match="--label_names is for labels that are numbers, but these"):
        load_fer2013(str(tmp_path / "faces"), label_names=["sad", "angry"])
    other = tree(tmp_path / "other", "angry", "contempt")
    message = "class 'contempt' is not one of FER-2013's, angry, .* --classes any takes the classes"
    with pytest.raises(DataError, match=message):
        load_fer2013(other)


@pytest.mark.parametrize("number", [2, MOST_CLASSES])
def test_2_to_64_classes_are_accepted(tmp_path, number):
    names = [f"{n:02}-th" for n in range(number)]
    assert class_names(load_any(tree(tmp_path / "faces", *names))) == tuple(names)


# what is refused


@pytest.mark.parametrize(
    "names, found",
    [
        (["calm"], r"found 1 \(calm\)\..* add another\.$"),
        ([f"c{n:02}" for n in range(65)], r"found 65 \(c00, .*c07, \.\.\.\)\..* leave some out\.$"),
    ],
)
def test_other_numbers_of_classes_are_refused(tmp_path, names, found):
    refuses(f"expected 2 to 64 classes, but {found}", tree(tmp_path / "faces", *names))


def test_different_classes_in_two_splits_are_refused(tmp_path):
    calm, other = ClassLabel(names=["calm", "tense"]), ClassLabel(names=["tense", "calm"])
    folder = parquet(tmp_path / "p", train=rows([0, 1], calm), test=rows([0], other))
    found = "found train: calm, tense; test: tense, calm"
    refuses(f"p: expected the same classes in every split, but {found}", folder)
    assert load_any(folder, "calm", "tense")["test"]["label"][:] == [1]  # by name
    source = tree(tmp_path / "faces", "calm", "tense", "asleep")
    lacking = "expected the classes calm, tense in every split, but found .*asleep, calm, tense"
    refuses(lacking, source, "calm", "tense")


@pytest.mark.parametrize("names", [["calm", "calm"], ["calm", ""], ["calm", " "]])
def test_names_that_are_empty_or_there_twice_are_refused(tmp_path, names):
    folder = parquet(tmp_path / "p", train=rows([0, 1], Value("int64")))
    found = f"found calm, {names[1].strip() or 'an empty one'}"
    refuses(f"expected a name for each class, each once, but {found}", folder, *names)


def test_rows_without_a_label_are_told_or_left_out(tmp_path):
    folder = parquet(tmp_path / "p", train=rows(["calm", None, "tense"], Value("string")))
    refuses(r"\[train\], row 1: the label is missing", folder)
    skipped = []
    assert words(load_any(folder, skipped=skipped)) == {"train": ["calm", "tense"]}
    assert len(skipped) == 1
