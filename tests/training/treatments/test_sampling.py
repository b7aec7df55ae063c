import doctest
import re

import numpy as np
import pytest

import training.treatments.sampling
from training.data import RunData, cap_per_class, class_counts, stratified_split
from training.treatments.sampling import EpochSampler, apply_sampling, oversample, undersample

LABELS = np.random.default_rng(0).permutation(np.repeat([0, 1, 2], [100, 12, 40]))


def raises(text):
    return pytest.raises(ValueError, match="^" + re.escape(text) + "$")


def test_class_counts_include_classes_without_rows():
    assert class_counts(np.array([0, 2, 2]), 4).tolist() == [1, 0, 2, 0]


def test_undersample_chooses_these_rows():
    labels = np.array([0, 1, 0, 2, 0, 1, 2, 0, 2, 0])
    assert undersample(labels, 2, seed=0).tolist() == [1, 3, 5, 7, 8, 9]
    assert undersample(labels, 2, seed=1).tolist() == [1, 2, 3, 4, 5, 6]


@pytest.mark.parametrize("per_class, size", [(1, 1), (7, 7), ("7", 7), (12, 12), ("min", 12)])
def test_undersample_keeps_n_rows_of_each_class(per_class, size):
    rows = undersample(LABELS, per_class, seed=0)
    assert class_counts(LABELS[rows], 3).tolist() == [size] * 3
    assert (np.diff(rows) > 0).all()


def test_undersample_takes_each_row_of_a_class_about_equally_often():
    rows = np.concatenate([undersample(LABELS, 10, seed=seed) for seed in range(1000)])
    times = np.bincount(rows, minlength=len(LABELS))[LABELS == 0]  # each 100 expected
    assert 60 < times.min() and times.max() < 140


@pytest.mark.parametrize(
    "sample, message",
    [
        (
            lambda: undersample(LABELS, 41, seed=0),
            "Cannot keep 41 rows of each class: classes {1: 12, 2: 40} (class id: rows) have fewer."
            " Ask for at most 12, or for 'min'.",
        ),
        (
            lambda: undersample(LABELS, 5, seed=0, num_classes=5),
            "Cannot undersample: classes [3, 4] have no rows.",
        ),
        (
            lambda: undersample(LABELS, 0, seed=0),
            "per_class must be at least 1 or 'min', but it is 0.",
        ),
        (
            lambda: oversample(np.array([0, 2]), seed=0, num_classes=4),
            "Cannot oversample: classes [1, 3] have no rows.",
        ),
    ],
)
def test_what_cannot_be_sampled_is_refused(sample, message):
    with raises(message):
        sample()


def test_oversample_keeps_every_row_and_fills_each_class_to_the_largest():
    rows = oversample(LABELS, seed=0)
    assert np.array_equal(oversample(LABELS, seed=0), rows)
    assert not np.array_equal(oversample(LABELS, seed=1), rows)
    assert class_counts(LABELS[rows], 3).tolist() == [100] * 3
    times = np.bincount(rows, minlength=len(LABELS))
    assert [set(times[LABELS == c]) for c in range(3)] == [{1}, {8, 9}, {2, 3}]
    assert (np.diff(rows) >= 0).all()


def test_cap_per_class_takes_at_most_that_many_rows():
    rows = cap_per_class(LABELS, 30, seed=0, num_classes=4)
    assert class_counts(LABELS[rows], 4).tolist() == [30, 12, 30, 0]
    assert (np.diff(rows) > 0).all()
    np.testing.assert_array_equal(cap_per_class(LABELS, 30, seed=0, num_classes=4), rows)
    assert not np.array_equal(cap_per_class(LABELS, 30, seed=1, num_classes=4), rows)


def test_stratified_split_keeps_proportions_and_every_row_once():
    train, test = stratified_split(LABELS, 0.3, seed=0)
    assert not np.array_equal(stratified_split(LABELS, 0.3, seed=1)[1], test)
    assert class_counts(LABELS[test], 3).tolist() == [30, 4, 12]
    np.testing.assert_array_equal(np.sort(np.concatenate([train, test])), np.arange(len(LABELS)))
    assert (np.diff(train) > 0).all() and (np.diff(test) > 0).all()


def order(weighted=False, seed=0, epoch=0, labels=LABELS):
    sampler = EpochSampler(labels, weighted=weighted, seed=seed)
    sampler.set_epoch(epoch)
    rows = list(sampler)
    assert len(rows) == len(sampler) == len(labels)
    return rows


def test_unweighted_epoch_is_a_permutation():
    assert sorted(order()) == list(range(len(LABELS)))
    assert order() != sorted(order())


@pytest.mark.parametrize("weighted", [False, True])
def test_epoch_order_comes_from_seed_and_epoch_alone(weighted):
    first = order(weighted, seed=5, epoch=2)
    assert order(weighted, seed=5, epoch=2) == first
    assert order(weighted, seed=5, epoch=3) != first
    assert order(weighted, seed=6, epoch=2) != first


def test_weighted_epoch_samples_each_class_about_equally_often():
    labels = np.repeat([0, 2, 3], [2700, 270, 30])  # class 1 has no rows
    sampled = class_counts(labels[order(weighted=True, labels=labels)], 4)
    np.testing.assert_allclose(sampled, [1000, 0, 1000, 1000], atol=100)


def test_examples_in_the_docstrings():
    results = doctest.testmod(training.treatments.sampling)
    assert results.attempted > 0
    assert results.failed == 0


def test_undersampling_to_at_most_leaves_smaller_classes_whole(make_faces):
    labels = np.repeat([0, 1, 2, 3, 4, 5, 6], [30, 5, 12, 10, 10, 10, 10])
    data = RunData(make_faces(labels), make_faces(labels), "validation", None, {})
    sampled = apply_sampling(data, "undersample", "at_most:10", seed=1)
    assert sampled.train_counts.tolist() == [10, 5, 10, 10, 10, 10, 10]
    assert sampled.seen_counts.tolist() == sampled.train_counts.tolist()
