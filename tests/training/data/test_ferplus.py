import csv

import numpy as np
import pytest
import torch
from datasets import Dataset, DatasetDict

from modeling import FerEfficientNetImageProcessor
from training.data import LABELS, DataError, decode_split
from training.data.features import PIXEL_FEATURES
from training.data.ferplus import (
    COLUMNS,
    FERPLUS_LABELS,
    OF_FERPLUS_LABELS,
    OF_LABELS,
    join_votes,
    label_by_majority,
    majority,
    vote_shares,
)
from training.data.schema import SPLIT_NAMES
from training.targets import translate_votes

USAGES = {"train": "Training", "validation": "PublicTest", "test": "PrivateTest"}


def votes_like(labels, shift=0.0, seed=0):
    """Ten votes an image, each for the label, or, with probability `shift`, for neutral."""
    rng = np.random.default_rng(seed)
    votes = np.zeros((len(labels), 10), dtype=np.int64)
    for row, label in enumerate(labels):
        lost = rng.binomial(10, shift)
        votes[row, OF_LABELS[label]] += 10 - lost
        votes[row, 0] += lost
    return votes


def some_labels(n, seed=0):
    return np.random.default_rng(seed).permutation(np.arange(n) % 7)


def write_votes(path, votes_by_split, columns=COLUMNS):
    with open(path, "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["Usage", "Image name", *columns])
        for name, votes in votes_by_split.items():
            writer.writerows([USAGES[name], "x.png", *row] for row in votes.tolist())
    return path


def splits_with(labels_by_split):
    return DatasetDict(
        {
            name: Dataset.from_dict({"label": labels.tolist()})
            for name, labels in labels_by_split.items()
        }
    )


def test_the_columns_of_the_labels():
    assert [COLUMNS[column][:3] for column in OF_LABELS] == [
        *("ang", "dis", "fea", "hap", "sad", "sur", "neu")
    ]
    assert len(LABELS) == len(OF_LABELS) and set(USAGES) == set(SPLIT_NAMES.values())


def test_votes_are_joined_by_split_and_order(tmp_path):
    labels = {name: some_labels(21, seed) for seed, name in enumerate(USAGES)}
    votes = {name: votes_like(found, 0.2, seed=3) for name, found in labels.items()}
    joined = join_votes(splits_with(labels), write_votes(tmp_path / "v.csv", votes))
    for name in USAGES:
        assert joined[name]["ferplus_votes"][:] == votes[name].tolist()
        assert joined[name]["label"][:] == labels[name].tolist()


def test_votes_that_do_not_fit_are_refused(tmp_path):
    labels = {"train": some_labels(70)}
    votes = votes_like(labels["train"])
    short = write_votes(tmp_path / "short.csv", {"train": votes[:69]})
    with pytest.raises(DataError, match="expected the votes of 70 train images, but found 69"):
        join_votes(splits_with(labels), short)
    moved = write_votes(tmp_path / "moved.csv", {"train": np.roll(votes, 31, axis=0)})
    with pytest.raises(DataError, match="another order"):
        join_votes(splits_with(labels), moved)
    other = write_votes(tmp_path / "other.csv", {"train": votes}, columns=["x", *COLUMNS[1:]])
    with pytest.raises(DataError, match="neutral is missing"):
        join_votes(splits_with(labels), other)
    with pytest.raises(DataError, match="no such file.*FERPlus"):
        join_votes(splits_with(labels), tmp_path / "none.csv")
    broken = tmp_path / "broken.csv"
    broken.write_text(short.read_text().replace("x.png,0", "x.png,many", 1))
    with pytest.raises(DataError, match="broken.csv, line .*ten numbers"):
        join_votes(splits_with(labels), broken)


@pytest.mark.parametrize("shift", [0.3, 0.5])
def test_translated_votes_have_the_labels_distribution(shift):
    """Half of all votes may say neutral; the targets must not."""
    labels = torch.from_numpy(some_labels(1400))
    votes = torch.from_numpy(votes_like(labels.numpy(), shift)).float()
    votes[5] = 0  # an image without votes keeps its label
    assert votes[:, 0].sum() / votes.sum() > shift
    voted = translate_votes(labels, votes)
    torch.testing.assert_close(voted.sum(1), torch.ones(1400))
    assert (voted.argmax(1) == labels).float().mean() > 0.9 and voted.min() >= 0
    torch.testing.assert_close(voted.mean(0), torch.full((7,), 1 / 7), atol=0.01, rtol=0)
    assert voted[5].tolist() == [float(c == labels[5]) for c in range(7)]


def test_decoded_votes_are_numbers_or_zeros():
    def decoded(votes):
        pixels = np.zeros((len(votes), 48, 48), np.uint8)
        rows = Dataset.from_dict({"image": pixels, "label": [0] * len(votes)}, PIXEL_FEATURES)
        rows = rows.add_column("ferplus_votes", votes)
        return decode_split(rows, FerEfficientNetImageProcessor(), "train").votes.tolist()

    assert decoded([None, list(range(10))]) == [[0] * 10, list(range(10))]
    with pytest.raises(DataError, match=r"train, row 1: expected 10 numbers .* found \[1, 2\]"):
        decoded([None, [1, 2]])


# eight labels from the votes


def counted_by_the_published_rules(votes):
    """
    One image's label and shares by name, in plain loops as FERPlus' ferplus.py (its modes
    "majority" and "crossentropy") goes about it; None where it has no majority, or one for no
    expression.
    """
    votes = [0 if count == 1 else count for count in votes]  # single votes are outliers
    largest = max(votes)
    if not largest > 0.5 * sum(votes):
        return None
    winner = votes.index(largest)
    if winner in (8, 9):  # unknown, no face
        return None
    kept = [0] * 10
    for number in sorted({*votes}, reverse=True):  # the largest, until they hold 75 %
        if sum(kept) < 0.75 * sum(votes):
            kept = [count if count == number else k for count, k in zip(votes, kept)]
    expressions = kept[:8]
    shares = {name: count / sum(expressions) for name, count in zip(COLUMNS, expressions)}
    return COLUMNS[winner], shares


def any_votes(n=2000, seed=0):
    """Ten an image, with ties, single votes and every column as a winner."""
    rng = np.random.default_rng(seed)
    return np.stack([rng.multinomial(10, rng.dirichlet(np.full(10, 0.3))) for _ in range(n)])


def test_majority_and_shares_are_those_of_the_published_rules():
    word_of = dict(zip(FERPLUS_LABELS, (COLUMNS[column] for column in OF_FERPLUS_LABELS)))
    assert word_of["angry"] == "anger" and word_of["contempt"] == "contempt"
    votes = any_votes()
    expected = [counted_by_the_published_rules(row.tolist()) for row in votes]
    found = majority(votes)
    assert {*range(-1, 8)} == {*found.tolist()}
    for row, (label, rule) in enumerate(zip(found.tolist(), expected)):
        assert (label == -1) == (rule is None)
        if rule is not None:
            assert word_of[FERPLUS_LABELS[label]] == rule[0]
            shares = vote_shares(votes[row][None])[0]
            assert shares.tolist() == [
                pytest.approx(rule[1][word_of[name]]) for name in FERPLUS_LABELS
            ]


@pytest.mark.parametrize(
    "votes, label",
    [
        ([10, 0, 0, 0, 0, 0, 0, 0, 0, 0], "neutral"),
        ([5, 5, 0, 0, 0, 0, 0, 0, 0, 0], None),  # half is no majority
        ([5, 1, 1, 1, 1, 1, 0, 0, 0, 0], "neutral"),  # of the votes that are not single, all
        ([4, 3, 1, 1, 1, 0, 0, 0, 0, 0], "neutral"),
        ([0, 0, 0, 0, 0, 0, 0, 6, 4, 0], "contempt"),
        ([0, 4, 0, 0, 0, 0, 0, 0, 6, 0], None),  # unknown
        ([0, 4, 0, 0, 0, 0, 0, 0, 0, 6], None),  # no face
        ([0, 5, 0, 0, 0, 0, 0, 0, 5, 0], None),
        ([1, 1, 1, 1, 1, 1, 1, 1, 1, 1], None),
        ([0] * 10, None),
    ],
)
def test_what_makes_a_majority(votes, label):
    found = majority(np.array([votes]))[0]
    assert found == (-1 if label is None else FERPLUS_LABELS.index(label))


def with_votes_of(**votes):
    return DatasetDict(
        {
            name: Dataset.from_dict({"label": [0] * len(of), "ferplus_votes": of})
            for name, of in votes.items()
        }
    )


def test_labels_by_majority_leave_out_and_count_the_rest():
    happy, tie, unknown = [0, 10] + [0] * 8, [5, 5] + [0] * 8, [0] * 8 + [10, 0]
    splits = with_votes_of(train=[tie, happy, unknown, happy, None], validation=[happy])
    record = {}
    labelled = label_by_majority(splits, "faces", record)
    assert labelled["train"].features["label"].names == [*LABELS, "contempt"]
    assert labelled["train"]["label"][:] == [LABELS.index("happy")] * 2
    assert labelled["train"]["ferplus_votes"][:] == [happy, happy]
    assert record == {"images_without_ferplus_majority": {"train": 3, "validation": 0}}
    with pytest.raises(DataError, match=r"faces \[test\]: no image has a majority of FER\+ votes"):
        label_by_majority(with_votes_of(test=[tie]), "faces", {})
    with pytest.raises(DataError, match=r"faces \[train\]: --label_source ferplus needs .*--fer"):
        label_by_majority(splits_with({"train": some_labels(7)}), "faces", {})


@pytest.mark.parametrize("row", [[1, 2, 3], "ten", 5, [10.0] + [-1.0] * 9, [10] + [None] * 9])
def test_votes_that_are_not_ten_numbers_are_told(row):
    splits = with_votes_of(train=[None, row])
    with pytest.raises(DataError) as error:
        label_by_majority(splits, "faces", {})
    expected = "faces [train], row 1: expected 10 numbers in ferplus_votes or none, but found"
    assert str(error.value) == f"{expected} {row}."
