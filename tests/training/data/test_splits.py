import numpy as np
import pytest
import torch

from training.data import (
    LABELS,
    DataArguments,
    DataError,
    FaceDataset,
    audit,
    dataset,
    lacks_validation,
    paper_split,
    split_data,
    with_validation,
)
from training.data.ferplus import OF_LABELS
from training.targets import with_votes
from training.treatments import TreatmentArguments, apply_sampling

COUNTS = np.array([20, 4, 21, 36, 24, 16, 25])  # (C,) of train, FER-2013's shape in small


@pytest.fixture
def splits(make_faces):
    """The first 3 images of train stand in validation too, and the next 2 in test."""
    labels = np.random.default_rng(0).permutation(np.repeat(np.arange(7), COUNTS))
    numbers = np.arange(len(labels))
    validation = np.concatenate([labels[:3], np.arange(7)])
    test = np.concatenate([labels[3:5], np.arange(7)])
    return {
        "train": make_faces(labels, numbers),
        "validation": make_faces(validation, [0, 1, 2, *range(1000, 1007)]),
        "test": make_faces(test, [3, 4, *range(2000, 2007)]),
    }


def prepare(
    splits, *, seed=0, training=True, eval_split="validation", treatment=None, votes=0.0, **data
):
    """As train.py does it."""
    arguments = DataArguments(dataset="faces", eval_split=eval_split, **data)
    run = split_data(splits, arguments, seed=seed, training=training)
    if votes:
        run.train = with_votes(run.train, votes, "faces [train]")
    treatment = TreatmentArguments(**(treatment or {}))
    return apply_sampling(run, treatment.sampling, treatment.undersample, seed=seed)


def counts_of(faces):
    return np.bincount(faces.labels, minlength=7).tolist()


def ids(faces):
    """The number that `make_faces` wrote into each image."""
    pixels = faces.images.flatten(1).long()
    return (pixels[:, 0] * 256 + pixels[:, 1]).tolist()


def test_official_splits_stay_as_they_are(splits):
    run = prepare(splits)
    assert torch.equal(run.train.images, splits["train"].images)
    assert torch.equal(run.train.labels, splits["train"].labels)
    assert run.eval is splits["validation"] and run.eval_split == "validation"
    assert run.eval_copies_of == ["train"]
    assert run.eval_copies.tolist() == [True] * 3 + [False] * 7
    assert run.counts_before.tolist() == run.train_counts.tolist() == COUNTS.tolist()
    assert run.seen_counts.tolist() == COUNTS.tolist()
    assert run.record == {
        "sampling": "none",
        "sampling_seed": 0,
        "train_counts_before_sampling": dict(zip(LABELS, COUNTS.tolist())),
        "train_counts_after_sampling": dict(zip(LABELS, COUNTS.tolist())),
    }


def test_a_development_split_is_a_share_of_each_class_of_the_training_images(splits):
    run = prepare(splits, development_share=0.25, seed=3)
    held_out = np.array(counts_of(run.development))
    assert held_out.tolist() == np.round(COUNTS * 0.25).tolist()
    assert (counts_of(run.train) + held_out == COUNTS).all()
    assert not {*ids(run.train)} & {*ids(run.development)}
    assert run.eval is splits["validation"] and run.eval_copies_of == ["train", "development"]
    assert run.eval_copies.sum() == 3  # wherever the copies went
    again = prepare(splits, development_share=0.25, seed=3)
    other = prepare(splits, development_share=0.25, seed=4)
    assert ids(again.development) == ids(run.development) != ids(other.development)
    alone = prepare(splits, development_share=0.25, seed=3, eval_split="development")
    assert alone.eval is alone.development and not alone.eval_copies.any()


def test_identical_images_are_on_one_side_of_the_development_split(splits, make_faces):
    labels = np.repeat(np.arange(7), 20)
    splits["train"] = make_faces(labels, np.arange(140) // 2)  # each image twice
    run = prepare(splits, development_share=0.3)
    assert sorted(ids(run.train) + ids(run.development)) == sorted(np.arange(140) // 2)
    assert not {*ids(run.train)} & {*ids(run.development)}
    assert counts_of(run.development) == [6] * 7


def test_a_development_split_of_the_papers_training_part(splits):
    run = prepare(splits, split="paper", eval_split="test", development_share=0.25)
    assert len(run.development) > 10 and not {*ids(run.train)} & {*ids(run.development)}


def test_eval_split_chooses_the_evaluation_rows(splits):
    run = prepare(splits, eval_split="test")
    assert run.eval is splits["test"] and run.eval_split == "test"
    assert run.eval_copies_of == ["train", "validation"]
    assert run.eval_copies.tolist() == [True] * 2 + [False] * 7


def test_paper_split_caps_pools_and_splits_70_30_per_class(splits):
    pooled = COUNTS + counts_of(splits["validation"]) + counts_of(splits["test"])
    parts = paper_split(splits, 20, seed=0)
    assert list(parts) == ["train", "test"]
    capped = np.minimum(pooled, 20)
    assert counts_of(parts["test"]) == np.round(capped * 0.3).astype(int).tolist()
    assert np.array_equal(np.add(counts_of(parts["train"]), counts_of(parts["test"])), capped)
    label_of = {i: y for s in splits.values() for i, y in zip(ids(s), s.labels.tolist())}
    for part in parts.values():
        assert all(label_of[i] == y for i, y in zip(ids(part), part.labels.tolist()))


def test_paper_split_takes_each_pooled_image_once(splits):
    parts = paper_split(splits, 4000, seed=0)
    pooled = sorted(i for faces in splits.values() for i in ids(faces))
    assert sorted(ids(parts["train"]) + ids(parts["test"])) == pooled
    del splits["validation"], splits["test"]  # all numbers are now different
    parts = paper_split(splits, 4000, seed=0)
    assert not set(ids(parts["train"])) & set(ids(parts["test"]))


def test_paper_split_is_seeded(splits):
    first, again, other = (paper_split(splits, 4000, seed=s) for s in (0, 0, 1))
    assert ids(first["test"]) == ids(again["test"]) != ids(other["test"])
    capped = [paper_split(splits, 10, seed=s) for s in (0, 0, 1)]
    first, again, other = (sorted(ids(c["train"]) + ids(c["test"])) for c in capped)
    assert first == again != other


def test_paper_run_trains_and_evaluates_on_the_parts(splits):
    run = prepare(splits, split="paper", paper_samples_per_class=20, eval_split="test", seed=5)
    parts = paper_split(splits, 20, seed=5)
    assert ids(run.train) == ids(parts["train"]) and ids(run.eval) == ids(parts["test"])
    among_train = np.isin(run.eval.digests, run.train.digests)
    assert run.eval_copies.tolist() == among_train.tolist() and among_train.any()


@pytest.mark.parametrize("wanted, size", [("min", 4), ("3", 3)])
def test_undersample_records_the_chosen_rows(splits, wanted, size):
    run = prepare(splits, treatment={"undersample": wanted}, seed=7)
    rows = run.record["chosen_rows"]
    assert all(type(row) is int for row in rows)  # written as JSON
    assert rows == sorted(set(rows))
    assert torch.equal(run.train.images, splits["train"].images[rows])
    assert torch.equal(run.train.labels, splits["train"].labels[rows])
    assert counts_of(run.train) == run.train_counts.tolist() == [size] * 7
    assert run.counts_before.tolist() == COUNTS.tolist()
    assert run.record["sampling"] == "undersample" and run.record["sampling_seed"] == 7
    assert run.record["train_counts_after_sampling"] == dict.fromkeys(LABELS, size)
    assert prepare(splits, treatment={"undersample": wanted}, seed=7).record == run.record
    assert prepare(splits, treatment={"undersample": wanted}, seed=8).record != run.record


def test_undersample_above_the_smallest_class_is_refused(splits):
    with pytest.raises(ValueError, match=r"Cannot keep 5 rows.*\{1: 4\}.*at most 4"):
        prepare(splits, treatment={"undersample": "5"})


def test_oversample_fills_every_class_to_the_largest(splits):
    run = prepare(splits, treatment={"sampling": "oversample"})
    assert counts_of(run.train) == run.train_counts.tolist() == run.seen_counts.tolist() == [36] * 7
    assert set(ids(run.train)) == set(ids(splits["train"]))
    assert run.counts_before.tolist() == COUNTS.tolist()


def test_weighted_keeps_the_rows_and_draws_classes_alike(splits):
    run = prepare(splits, treatment={"sampling": "weighted"})
    assert ids(run.train) == ids(splits["train"])
    assert run.train_counts.tolist() == COUNTS.tolist()
    assert run.seen_counts.dtype == torch.float32
    assert run.seen_counts.tolist() == pytest.approx([COUNTS.sum() / 7] * 7)


@pytest.mark.parametrize("training", [True, False])
def test_copies_across_validation_and_test_count_where_the_test_split_is_evaluated(
    splits, make_faces, training
):
    labels = np.arange(10) % 7
    splits["validation"] = make_faces(labels, range(1000, 1010))
    # 4 of train, 5 of validation, one of its own
    splits["test"] = make_faces(labels, [*range(4), *range(1000, 1005), 2000])
    run = prepare(splits, eval_split="test", training=training)
    assert run.eval_copies.tolist() == [True] * 9 + [False]
    run = prepare(splits, eval_split="validation", training=training)
    assert not run.eval_copies.any()  # what stands in test was not used before
    report = audit(splits, LABELS)["splits"]
    assert report["test"]["copies_of"] == {"train": 4, "validation": 5}
    assert report["validation"]["copies_of"] == {"train": 0, "test": 5}


def test_without_training_images_no_split_is_compared(splits):
    del splits["train"]
    run = prepare(splits, eval_split="test", training=False)
    assert run.eval_copies is None and not run.eval_copies_of


@pytest.mark.parametrize(
    "present, eval_split, copies",
    [
        (["validation", "test"], "validation", [0, 1, 2, 3, 4]),
        (["validation", "test"], "test", [0, 1, 2, 3, 4]),
        (["validation", "test"], "train", [0, 1, 2, 3, 4]),
        (["validation"], "validation", [0, 1, 2]),
        (["test"], "test", [3, 4]),
    ],
)
def test_drop_eval_copies_drops_exactly_the_copies(splits, present, eval_split, copies):
    splits = {name: splits[name] for name in ("train", *present)}
    run = prepare(splits, drop_eval_copies=True, eval_split=eval_split)
    assert ids(run.train) == [i for i in ids(splits["train"]) if i not in copies]
    kept = [i for i in range(COUNTS.sum()) if i not in copies]
    assert torch.equal(run.train.labels, splits["train"].labels[kept])
    assert run.record["training_images_dropped_as_copies"] == len(copies)
    assert run.record["dropped_as_copies_of"] == present
    assert run.eval is splits[eval_split]
    if eval_split != "train":  # what they were before, so that figures compare
        assert run.eval_copies.sum() == {"validation": 3, "test": 2}[eval_split]
    assert run.counts_before.sum() == COUNTS.sum() - len(copies)


def test_chosen_rows_after_dropping_copies_hold_none_of_them(splits):
    run = prepare(splits, drop_eval_copies=True, treatment={"undersample": "3"})
    assert not {0, 1, 2, 3, 4} & set(ids(run.train))


@pytest.mark.parametrize(
    "present, training, eval_split, missing",
    [
        (["train"], True, "validation", "validation is missing"),
        (["validation"], True, "validation", "train is missing"),
        (["validation"], True, "test", "test, train is missing"),
        (["train", "test"], False, "validation", "validation is missing"),
    ],
)
def test_missing_split_is_refused(splits, present, training, eval_split, missing):
    splits = {name: splits[name] for name in present}
    with pytest.raises(DataError, match=rf"faces: expected the splits .*{missing} \(found: ") as e:
        prepare(splits, training=training, eval_split=eval_split)
    assert f"(found: {', '.join(present)})" in str(e.value) and "--eval_split" in str(e.value)


def test_class_without_training_images_is_refused(splits):
    labels = splits["train"].labels
    splits["train"] = splits["train"].select(np.flatnonzero((labels != 1) & (labels != 6)))
    with pytest.raises(DataError, match="train split has no image of disgust, neutral"):
        prepare(splits)


def test_evaluation_needs_no_training_images(splits):
    run = prepare({"test": splits["test"]}, training=False, eval_split="test")
    assert run.eval is splits["test"]
    assert run.train is run.eval_copies is run.train_counts is run.seen_counts is None
    assert run.record == {}


def test_evaluation_marks_copies_where_there_are_training_images(splits):
    run = prepare(splits, training=False)
    assert run.train is None and run.eval_copies.tolist() == [True] * 3 + [False] * 7


def test_training_images_are_no_copies_of_themselves(splits):
    assert prepare(splits, training=False, eval_split="train").eval_copies is None


def voted_for(faces):
    votes = torch.zeros(len(faces), 10)
    votes[torch.arange(len(faces)), torch.tensor(OF_LABELS)[faces.labels]] = 9
    votes[:, 0] += 1
    return FaceDataset(faces.images, faces.labels, votes)


def test_votes_are_translated_for_the_training_images_alone(splits):
    splits = {name: voted_for(faces) for name, faces in splits.items()}
    run = prepare(splits, votes=0.5)
    assert run.train.voted.shape == (len(run.train), 7)
    assert torch.equal(run.train.voted.argmax(1), run.train.labels)
    assert torch.equal(run.train[torch.arange(3)]["voted"], run.train.voted[:3])
    assert run.eval.voted is None and "voted" not in run.eval[0]
    assert run.seen_counts.tolist() == COUNTS.tolist()


def test_votes_follow_their_rows_through_sampling_and_the_paper_split(splits):
    splits = {name: voted_for(faces) for name, faces in splits.items()}
    for treatment in ({"undersample": "3"}, {"sampling": "oversample"}):
        run = prepare(splits, treatment=treatment, votes=0.5)
        assert torch.equal(run.train.voted.argmax(1), run.train.labels)
    run = prepare(splits, split="paper", eval_split="test", votes=0.5)
    assert torch.equal(run.train.voted.argmax(1), run.train.labels)


def test_votes_that_are_not_there_are_asked_for(splits):
    with pytest.raises(DataError, match="faces .train.: --ferplus_weight 0.5 needs FER. votes"):
        prepare(splits, votes=0.5)


def test_images_are_hashed_once_a_run(splits, monkeypatch):
    hashed, original = [], dataset.hashlib.blake2b

    def blake2b(data=b"", **kwargs):
        hashed.append(data)
        return original(data, **kwargs)

    monkeypatch.setattr(dataset.hashlib, "blake2b", blake2b)
    audit(splits, LABELS)
    images = sum(map(len, splits.values()))
    assert len(hashed) == images + 1  # and the fingerprint of all
    prepare(splits, drop_eval_copies=True, treatment={"undersample": "3"})
    prepare(splits, split="paper", eval_split="test")
    assert len(hashed) == images + 1


# a validation split that is not there


@pytest.mark.parametrize("present", [["train"], ["train", "test"]])
def test_a_validation_split_is_made_of_a_share_of_each_class(splits, present):
    splits = {name: splits[name] for name in present}
    made = with_validation(splits, 0.2, seed=3)
    assert list(made) == ["train", "validation", *present[1:]]
    assert counts_of(made["validation"]) == np.round(COUNTS * 0.2).tolist()
    assert (np.add(counts_of(made["train"]), counts_of(made["validation"])) == COUNTS).all()
    assert not {*ids(made["train"])} & {*ids(made["validation"])}
    again, other = (with_validation(splits, 0.2, seed=seed)["validation"] for seed in (3, 4))
    assert ids(again) == ids(made["validation"]) != ids(other)


def test_copies_are_on_one_side_of_a_validation_split_and_each_class_on_both(make_faces):
    labels, numbers = np.repeat([0, 1, 2, 3], [40, 4, 4, 2]), np.arange(50)
    numbers[41:44] = numbers[40]  # of class 1 all four are one image
    numbers[46:48] = numbers[44:46]  # of class 2 there are two, twice
    made = with_validation({"train": make_faces(labels, numbers)}, 0.1, seed=0)
    assert not {*ids(made["train"])} & {*ids(made["validation"])}
    assert counts_of(made["validation"])[:4] == [4, 0, 2, 1]
    assert counts_of(made["train"])[:4] == [36, 4, 2, 1]


def test_a_class_keeps_a_training_image_whatever_the_share(make_faces):
    made = with_validation({"train": make_faces([0, 0, 1, 1, 1])}, 0.95, seed=0)
    assert counts_of(made["train"])[:2] == [1, 1]


def test_no_validation_split_can_be_made_of_one_image_a_class(make_faces):
    with pytest.raises(DataError, match="expected two different training images of some class"):
        with_validation({"train": make_faces([0, 0, 1], [5, 5, 6])}, 0.5, seed=0)


@pytest.mark.parametrize(
    "present, flags, makes",
    [
        (["train"], {}, True),
        (["train", "test"], {}, True),
        (["train", "validation"], {}, False),
        (["train", "test"], {"eval_split": "test"}, False),
        (["train"], {"eval_split": "train"}, False),
        (["train"], {"eval_split": "development", "development_share": 0.1}, False),
        (["train"], {"split": "paper"}, False),
        (["test"], {}, False),
    ],
)
def test_a_validation_split_is_made_only_where_it_is_evaluated_and_missing(present, flags, makes):
    arguments = DataArguments(dataset="faces", **flags)
    assert lacks_validation(dict.fromkeys(present), arguments) == makes


@pytest.mark.parametrize("share", [0, 1, -0.1])
def test_a_share_that_leaves_nothing_is_refused(share):
    with pytest.raises(ValueError, match=r"--validation_share must be in \(0, 1\), but it is"):
        DataArguments(validation_share=share)
