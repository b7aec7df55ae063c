"""A data set's flaws before training: counts, blanks, equal images, conflicts, leaked copies."""

import hashlib
from collections import defaultdict
from collections.abc import Mapping, Sequence

import numpy as np

from .dataset import FaceDataset


def copies_of(digests: np.ndarray, others: np.ndarray) -> np.ndarray:
    """(N,) bool: which images stand pixel for pixel among the others."""
    return np.isin(digests, others)


def audit(splits: Mapping[str, FaceDataset], label_names: Sequence[str]) -> dict:
    """
    Args:
        splits: decoded splits by name; "train" is what evaluation splits are compared with.

    Returns:
        A dict for data_report.json: per split `images`, `class_counts`, `blank_images` (rows whose
        pixels are all equal) and `copies_of_training_images` (count); over all splits
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
    for name in splits:
        if name != "train" and "train" in splits:
            copies = copies_of(digests[name], digests["train"])
            report["splits"][name]["copies_of_training_images"] = int(copies.sum())
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
    flat = faces.images.flatten(1)
    blank = (flat.amax(dim=1) == flat.amin(dim=1)).nonzero().flatten().tolist()
    counts = np.bincount(faces.labels.numpy(), minlength=len(label_names))
    return {
        "images": len(faces),
        "class_counts": dict(zip(label_names, counts.tolist())),
        "blank_images": blank,
    }


def summary_line(report: dict) -> str:
    """The audit in one line."""
    sizes = ", ".join(f"{name} {split['images']}" for name, split in report["splits"].items())
    blanks = sum(len(split["blank_images"]) for split in report["splits"].values())
    copies = ", ".join(
        f"{split['copies_of_training_images']} of {name}"
        for name, split in report["splits"].items()
        if "copies_of_training_images" in split
    )
    largest, smallest = _extremes(report)
    return (
        f"Data: {sizes} images; largest class {largest}, smallest {smallest}; {blanks} blank; "
        f"{report['groups_of_identical_images']} groups of identical images "
        f"({report['groups_with_conflicting_labels']} with conflicting labels); "
        f"copies of training images: {copies or 'nothing to compare'}"
    )


def _extremes(report: dict) -> tuple[str, str]:
    first = next(iter(report["splits"].values()))["class_counts"]
    ordered = sorted(first.items(), key=lambda item: item[1])
    return tuple(f"{name} ({count})" for name, count in (ordered[-1], ordered[0]))
