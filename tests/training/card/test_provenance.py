"""training/card/provenance.py: how data show that they are FER-2013, and what others are called."""

import pytest

from training.card.provenance import provenance
from training.data import LABELS, PUBLISHED_COUNTS


def options(**flags):
    usual = {"dataset": "faces", "dataset_name": None, "label_source": "dataset"}
    return usual | flags


def report(counts, names=LABELS, **more):
    """data_report.json of splits with these counts."""
    splits = {
        split: {"images": sum(of), "class_counts": dict(zip(names, of)), "blank_images": []}
        for split, of in counts.items()
    }
    more = {"groups_of_identical_images": 0, "groups_with_conflicting_labels": 0} | more
    return {"splits": splits} | more


@pytest.mark.parametrize(
    "names", [LABELS, ("Anger", "disgust", "fear", "happiness", "sad", "surprise", "neutral")]
)
def test_data_with_the_published_counts_are_fer_2013_whatever_they_are_called(names):
    found = provenance(options(dataset_name="mine"), report(PUBLISHED_COUNTS, names))
    assert (found.name, found.type, found.fer2013) == ("FER-2013", "fer2013", True)
    order = [3, 0, 6, 1, 2, 5, 4]
    counts = {split: [of[i] for i in order] for split, of in PUBLISHED_COUNTS.items()}
    assert provenance(options(), report(counts, [names[i] for i in order])) == found
    assert not provenance(options(), report(counts, names)).fer2013  # labels in another order
    few = PUBLISHED_COUNTS | {"train": [9] * 7}
    assert not provenance(options(dataset="me/fer2013"), report(few)).fer2013


def test_ferplus_labels_are_of_fer_2013_if_no_image_is_missing():
    without = {"train": 4000, "validation": 500, "test": 600}
    counts = {
        split: [10] * 7 + [sum(of) - without[split] - 70] for split, of in PUBLISHED_COUNTS.items()
    }
    names = (*LABELS, "contempt")
    data = report(counts, names, images_without_ferplus_majority=without)
    found = provenance(options(label_source="ferplus"), data)
    assert (found.name, found.type) == ("FER-2013 with FER+ labels", "ferplus")
    data["images_without_ferplus_majority"]["test"] += 1
    found = provenance(options(label_source="ferplus"), data)
    assert not found.fer2013 and found.ferplus and found.type is None


@pytest.mark.parametrize(
    "flags, name, kind, ids",
    [
        ({}, None, None, ()),
        ({"dataset_name": "Faces of drivers"}, "Faces of drivers", "faces-of-drivers", ()),
        ({"dataset_name": "me/faces"}, "me/faces", "me/faces", ("me/faces",)),
        ({"dataset": "you/faces"}, "you/faces", "you/faces", ("you/faces",)),
        (
            {"dataset": "you/faces", "dataset_name": "Faces"},
            *("Faces", "you/faces", ("you/faces",)),
        ),
        ({"dataset": "./you/faces"}, None, None, ()),
        ({"dataset": "synthetic"}, "synthetic faces drawn by code", "synthetic", ()),
    ],
)
def test_other_data_are_called_what_is_known(flags, name, kind, ids):
    found = provenance(options(**flags), report({"train": [4, 6]}, ["calm", "tense"]))
    assert (found.name, found.type, found.hub_ids) == (name, kind, ids)
