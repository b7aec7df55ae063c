"""A data set's flaws before training: counts, blanks, equal images, conflicts, leaked copies."""

import hashlib
from collections import defaultdict
from collections.abc import Mapping, Sequence

import numpy as np
import torch

from .faces import FaceDataset

# Development and validation are what runs are chosen by.
ORDER_OF_USE = ("train", "development", "validation", "test")


def used_before(splits: Mapping[str, FaceDataset], name: str) -> list[str]:
    """The splits that are used before this one, in `ORDER_OF_USE`; none without "train"."""
    before = ORDER_OF_USE[: ORDER_OF_USE.index(name)]
    return [other for other in before if other in splits] if "train" in splits else []


def audit(splits: Mapping[str, FaceDataset], label_names: Sequence[str]) -> dict:
    """
    Args:
        splits: decoded splits by name.

    Returns:
        A dict for data_report.json: per split `images`, `class_counts`, `blank_images` (rows whose
        pixels are all equal), `copies_of` (for each other split, how many images of this one stand
        in it too) and `copies_of_training_images` (the count for "train"); over all splits
        `groups_of_identical_images`, `images_in_such_groups`, `groups_with_conflicting_labels`,
        `images_with_conflicting_labels`; and `fingerprint` (of all pixels and labels, in order).
    """
    digests = {name: faces.digests for name, faces in splits.items()}
    groups: dict[str, list[int]] = defaultdict(list)
    for name, faces in splits.items():
        for digest, label in zip(digests[name], faces.labels.tolist()):
            groups[digest].append(label)
    identical = [labels for labels in groups.values() if len(labels) > 1]
    conflicting = [labels for labels in identical if len(set(labels)) > 1]
    report = {"splits": {name: _split_report(faces, label_names) for name, faces in splits.items()}}
    for name, split in report["splits"].items():
        split["copies_of"] = {
            other: int(np.isin(digests[name], digests[other]).sum())
            for other in splits
            if other != name
        }
        if "train" in split["copies_of"]:
            split["copies_of_training_images"] = split["copies_of"]["train"]
    everything = hashlib.blake2b(digest_size=16)
    for name, faces in splits.items():
        everything.update(
            name.encode() + "".join(digests[name]).encode() + faces.labels.numpy().tobytes()
        )
    return report | {
        "groups_of_identical_images": len(identical),
        "images_in_such_groups": sum(map(len, identical)),
        "groups_with_conflicting_labels": len(conflicting),
        "images_with_conflicting_labels": sum(map(len, conflicting)),
        "fingerprint": everything.hexdigest(),
    }


def _split_report(faces: FaceDataset, label_names: Sequence[str]) -> dict:
    pixels = (images.flatten(1) for images in faces.batches())
    blank = torch.cat([flat.amax(dim=1) == flat.amin(dim=1) for flat in pixels])
    counts = np.bincount(faces.labels.numpy(), minlength=len(label_names))
    return {
        "images": len(faces),
        "class_counts": dict(zip(label_names, counts.tolist())),
        "blank_images": blank.nonzero().flatten().tolist(),
    }


def summary_line(report: Mapping) -> str:
    """The audit in one line."""
    sizes = ", ".join(f"{name} {split['images']}" for name, split in report["splits"].items())
    blanks = sum(len(split["blank_images"]) for split in report["splits"].values())
    largest, smallest = _extremes(report)
    made = ""
    if "validation_made" in report:
        share, seed = (report["validation_made"][key] for key in ("share", "seed"))
        made = (
            f"; the validation split was made: {share:.0%} of the training images of each class, "
            f"sampled by split seed {seed}, identical ones on one side"
        )
    return (
        f"Data: {sizes} images; largest class {largest}, smallest {smallest}; {blanks} blank; "
        f"{report['groups_of_identical_images']} groups of identical images "
        f"({report['groups_with_conflicting_labels']} with conflicting labels); "
        f"copies {_copies(report['splits'])}{made}"
    )


def _copies(splits: Mapping[str, Mapping]) -> str:
    """Which split has copies of which, both ways."""
    counts: dict[str, list[str]] = {name: [] for name in splits}
    for name, split in splits.items():
        for other, count in split.get("copies_of", {}).items():
            counts[other].append(f"{count} of {name}")
    parts = [
        f"of {'training' if other == 'train' else other} images: {', '.join(of_others)}"
        for other, of_others in counts.items()
        if of_others
    ]
    return "; ".join(parts) or "of training images: nothing to compare"


def _extremes(report: Mapping) -> tuple[str, str]:
    """The largest and the smallest class of the first split."""
    first = next(iter(report["splits"].values()))["class_counts"]
    ordered = sorted(first.items(), key=lambda item: item[1])
    return tuple(f"{name} ({count})" for name, count in (ordered[-1], ordered[0]))
