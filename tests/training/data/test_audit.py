import copy

import numpy as np
import pytest

from training.data import LABELS, FaceDataset
from training.data.audit import audit, summary_line

A, B, C, D, E, BLANK = range(6)


@pytest.fixture
def splits(make_faces):
    train = make_faces([0, 1, 0, 2, 3], [A, B, A, C, BLANK])
    validation = make_faces([4, 5, 3], [B, D, BLANK])  # B is labelled otherwise than in train
    test = make_faces([0, 6], [A, E])
    train.images[4], validation.images[2] = 9, 9
    return {"train": train, "validation": validation, "test": test}


def test_audit_counts_a_hand_made_set_exactly(splits):
    report = audit(splits, LABELS)
    assert report.pop("fingerprint")
    # A and B of validation and test; in train A stands twice
    assert report == {
        "splits": {
            "train": {
                "images": 5,
                "class_counts": dict(zip(LABELS, [2, 1, 1, 1, 0, 0, 0])),
                "blank_images": [4],
                "copies_of": {"validation": 2, "test": 2},
            },
            "validation": {
                "images": 3,
                "class_counts": dict(zip(LABELS, [0, 0, 0, 1, 1, 1, 0])),
                "blank_images": [2],
                "copies_of": {"train": 2, "test": 0},
                "copies_of_training_images": 2,
            },
            "test": {
                "images": 2,
                "class_counts": dict(zip(LABELS, [1, 0, 0, 0, 0, 0, 1])),
                "blank_images": [],
                "copies_of": {"train": 1, "validation": 0},
                "copies_of_training_images": 1,
            },
        },
        "groups_of_identical_images": 3,  # A three times, B and the blank twice
        "images_in_such_groups": 7,
        "groups_with_conflicting_labels": 1,
        "images_with_conflicting_labels": 2,
    }


def test_copies_are_equal_in_every_pixel(make_faces):
    faces, others = make_faces([0, 1, 2], [5, 6, 7]), make_faces([0, 0], [7, 5])
    digests = faces.digests
    assert np.isin(digests, others.digests).tolist() == [True, False, True]
    others.images[0, 0, 1, 1] -= 1
    others = FaceDataset(others.images, others.labels)  # digests are made once
    assert np.isin(digests, others.digests).tolist() == [True, False, False]
    assert np.isin(digests, np.array([])).tolist() == [False] * 3


def test_fingerprint_depends_on_each_pixel_each_label_and_their_order(splits):
    first = audit(splits, LABELS)["fingerprint"]
    assert audit(copy.deepcopy(splits), LABELS)["fingerprint"] == first
    pixel, label, order = (
        {
            name: FaceDataset(faces.images.clone(), faces.labels.clone())
            for name, faces in splits.items()
        }
        for _ in range(3)
    )
    pixel["test"].images[1, 0, 1, 0] += 1
    label["validation"].labels[0] = 1
    order["train"].pixels = order["train"].images[[1, 0, 2, 3, 4]]
    renamed = {"train": splits["train"], "test": splits["validation"], "validation": splits["test"]}
    changed = [audit(s, LABELS)["fingerprint"] for s in (pixel, label, order, renamed)]
    assert len({first, *changed}) == 5


def test_summary_line_has_every_figure(splits):
    assert summary_line(audit(splits, LABELS)) == (
        "Data: train 5, validation 3, test 2 images; largest class angry (2), smallest sad (0); "
        "2 blank; 3 groups of identical images (1 with conflicting labels); "
        "copies of training images: 2 of validation, 1 of test; "
        "of validation images: 2 of train, 0 of test; of test images: 2 of train, 0 of validation"
    )


def test_without_training_images_there_is_nothing_to_compare(splits):
    report = audit({"test": splits["test"]}, LABELS)
    assert "copies_of_training_images" not in report["splits"]["test"]
    assert summary_line(report).endswith("copies of training images: nothing to compare")


def test_images_of_three_channels_are_compared_whole(make_faces):
    faces = make_faces([0, 1])
    colour = faces.images[[0, 0]].repeat(1, 3, 1, 1)
    colour[1, 2] += 1
    report = audit({"train": FaceDataset(colour, faces.labels)}, LABELS)
    assert report["groups_of_identical_images"] == 0
    assert report["splits"]["train"]["blank_images"] == []
