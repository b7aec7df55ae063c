"""From decoded splits to what a run trains on and evaluates, before any treatment."""

import hashlib
import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from .arguments import DataArguments
from .audit import used_before
from .faces import FaceDataset
from .schema import DataError


@dataclass
class RunData:
    """
    train: training images, or None where only an evaluation was asked for.
    development: images held out of them (`--development_share`), or None.
    eval, eval_split: the evaluation images and the name of their split.
    eval_copies: (N,) bool, which of them are copies of images of a split that is used before
        theirs; None without training images to compare with.
    eval_copies_of: the names of those splits.
    record: for data_report.json.

    eval_logits: float32 (N, C), set by the evaluation.

    Set by sampling (`training.treatments.apply_sampling`); None without training images:

    counts_before, train_counts: int64 (C,), training images per class before and after sampling.
    seen_counts: float32 (C,), images per class that the loss sees in an epoch: equal where each
        class is equally likely, else train_counts.
    """

    train: FaceDataset | None
    eval: FaceDataset
    eval_split: str
    eval_copies: np.ndarray | None
    record: dict
    eval_copies_of: Sequence[str] = ()
    development: FaceDataset | None = None
    eval_logits: np.ndarray | None = None
    counts_before: np.ndarray | None = None
    train_counts: np.ndarray | None = None
    seen_counts: torch.Tensor | None = None

    @property
    def label_names(self) -> tuple[str, ...]:
        """The class names by id."""
        return self.eval.label_names


def split_data(
    splits: Mapping[str, FaceDataset],
    arguments: DataArguments,
    *,
    training: bool,
    earlier: Sequence[str] = (),
) -> RunData:
    """
    Applies `--split`, `--development_share` and `--drop_eval_copies`.

    Args:
        earlier: the models that the run builds on, by folder.

    Raises:
        DataError: a split or a class that is needed is not there, or an earlier model was trained
            on another split of the same images.
    """
    splits, seed, images = dict(splits), arguments.split_seed, fingerprint(splits.values())
    if arguments.split == "paper":
        splits = paper_split(splits, arguments.paper_samples_per_class, seed=seed)
    if arguments.development_share and "train" in splits:
        kept, held_out = development_split(splits["train"], arguments.development_share, seed=seed)
        splits |= {"train": kept, "development": held_out}
    needed = {arguments.eval_split} | ({"train"} if training else set())
    if missing := sorted(needed - set(splits)):
        raise DataError(
            f"{arguments.dataset}: expected the splits {', '.join(sorted(needed))}, "
            f"but {', '.join(missing)} is missing (found: {', '.join(splits)}). "
            "--eval_split chooses another one; --split paper makes its own."
        )
    held_out = {name: fingerprint([faces]) for name, faces in splits.items() if name != "train"}
    record: dict = {"images_fingerprint": images, "held_out_fingerprints": held_out}
    chosen_on = {arguments.eval_split, *(["development"] if training else [])}
    _check_split(record, chosen_on, earlier)
    evaluation, train = splits[arguments.eval_split], splits.get("train")
    copies, before = None, used_before(splits, arguments.eval_split)
    if before:
        copies = np.isin(evaluation.digests, _digests(splits, before))
    if not training:
        return RunData(None, evaluation, arguments.eval_split, copies, record, before)

    if arguments.drop_eval_copies:
        leaked = np.isin(train.digests, _digests(splits, list(held_out)))
        train = train.select(np.flatnonzero(~leaked))
        record["training_images_dropped_as_copies"] = int(leaked.sum())
        record["dropped_as_copies_of"] = list(held_out)
    names = train.label_names
    if empty := [name for c, name in enumerate(names) if not (train.labels == c).any()]:
        raise DataError(
            f"{arguments.dataset}: the train split has no image of {', '.join(empty)}; "
            "expected every class. Add some, or take the class out of the other splits and of "
            "--label_names."
        )
    development = splits.get("development")
    return RunData(train, evaluation, arguments.eval_split, copies, record, before, development)


def fingerprint(parts: Iterable[FaceDataset]) -> str:
    """A digest of which images there are, whatever their order, number and labels."""
    images = np.unique(np.concatenate([faces.digests for faces in parts]))
    return hashlib.blake2b("".join(images).encode(), digest_size=16).hexdigest()


def _check_split(record: Mapping, chosen_on: Collection[str], earlier: Sequence[str]) -> None:
    """
    Refuses models that may have been trained on what is held out now in splits that are evaluated
    or `chosen_on`.
    """
    for folder in earlier:
        report = Path(folder, "data_report.json")
        before = json.loads(report.read_text()) if report.is_file() else {}
        if before.get("images_fingerprint") != record["images_fingerprint"]:
            continue  # other data, or a model without a record
        known = before["held_out_fingerprints"].values()
        for name, images in record["held_out_fingerprints"].items():
            if name in chosen_on and images not in known:
                raise DataError(
                    f"{folder} was trained on another split of the same images and may have seen "
                    f"those of the {name} split: take the --split_seed, --validation_share, "
                    "--development_share and --split of its run.yaml, or another model."
                )


def _digests(splits: Mapping[str, FaceDataset], names: Sequence[str]) -> np.ndarray:
    return np.concatenate([splits[name].digests for name in names])


def paper_split(
    splits: Mapping[str, FaceDataset], per_class: int, *, seed: int
) -> dict[str, FaceDataset]:
    """
    The paper's protocol: all splits are pooled, up to `per_class` random images of each class are
    sampled, and these are split 70/30 by class.
    """
    pool = FaceDataset.pool(list(splits.values()))
    labels, classes = pool.labels.numpy(), len(pool.label_names)
    pool = pool.select(cap_per_class(labels, per_class, seed=seed, num_classes=classes))
    train, test = stratified_split(pool.labels.numpy(), 0.3, seed=seed)
    return {"train": pool.select(train), "test": pool.select(test)}


def lacks_validation(splits: Mapping[str, object], arguments: DataArguments) -> bool:
    """Whether the validation split is to be evaluated but has to be made by `with_validation`."""
    wanted = arguments.split == "official" and arguments.eval_split == "validation"
    return wanted and "train" in splits and "validation" not in splits


def with_validation(
    splits: Mapping[str, FaceDataset], share: float, *, seed: int
) -> dict[str, FaceDataset]:
    """
    `splits` with a validation split that is `share` of each class's distinct training images, at
    least one where there are two; copies of one image stay together.

    Raises:
        DataError: no class has two distinct training images.
    """
    kept, held_out = development_split(splits["train"], share, seed=seed, least=1)
    if not len(held_out):
        raise DataError(
            "There is no validation split, and none can be made: expected two different training "
            "images of some class, but found none. Add images, or a folder validation/."
        )
    return {"train": kept, "validation": held_out} | {
        name: faces for name, faces in splits.items() if name != "train"
    }


def development_split(
    faces: FaceDataset, share: float, *, seed: int, least: int = 0
) -> tuple[FaceDataset, FaceDataset]:
    """
    The faces without `share` of each class's distinct images, and those images; copies of one
    image stay together.

    Args:
        least: images taken of a class at least, if it has more; one always stays.
    """
    _, first, image = np.unique(faces.digests, return_index=True, return_inverse=True)
    labels = faces.labels.numpy()[first]
    counts = class_counts(labels, 0)
    sizes = np.round(counts * share).astype(np.int64)
    if least:
        sizes = np.minimum(np.maximum(sizes, least), np.maximum(counts - 1, 0))
    held_out = np.isin(image, choose_rows(labels, sizes, seed))
    return faces.select(np.flatnonzero(~held_out)), faces.select(np.flatnonzero(held_out))


def class_counts(labels: np.ndarray, num_classes: int) -> np.ndarray:
    """(N,) class ids -> (num_classes,) int64 counts."""
    return np.bincount(np.asarray(labels), minlength=num_classes)


def cap_per_class(labels: np.ndarray, most: int, *, seed: int, num_classes: int) -> np.ndarray:
    """Up to `most` random rows a class (the paper samples up to 4,000); ascending row indices."""
    counts = class_counts(labels, num_classes)
    return choose_rows(np.asarray(labels), np.minimum(counts, most), seed)


def stratified_split(
    labels: np.ndarray, test_fraction: float, *, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Row indices (train, test), ascending; `test_fraction` of each class (rounded) is test."""
    labels = np.asarray(labels)
    counts = class_counts(labels, 0)
    test = choose_rows(labels, np.round(counts * test_fraction).astype(np.int64), seed)
    return np.setdiff1d(np.arange(len(labels)), test, assume_unique=True), test


def choose_rows(labels: np.ndarray, sizes: Sequence[int] | np.ndarray, seed: int) -> np.ndarray:
    """
    Random rows of each class, without replacement; ascending row indices.

    Args:
        labels: (N,) class ids. sizes: (C,), how many of each class.
    """
    rng = np.random.default_rng(seed)
    chosen = [
        rng.choice(np.flatnonzero(labels == c), int(size), replace=False, shuffle=False)
        for c, size in enumerate(sizes)
    ]
    return np.sort(np.concatenate(chosen))
