"""
FER-2013 from wherever it lies: Hub, Kaggle's CSV, folder of images, parquet files, or drawn.

`load_fer2013` returns a `DatasetDict` of the splits that the source has (train, validation, test)
with the features `image: Image()` and `label: ClassLabel` in the one order of `LABELS`;
`FaceDataset` holds a split decoded in memory.
"""

import csv
import difflib
import hashlib
import json
import os
import re
import tempfile
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import datasets
import numpy as np
import torch
from accelerate.utils import tqdm
from datasets import ClassLabel, Dataset, DatasetDict, Features, Image

from .synthetic import draw_split, encode_png

LABELS = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")
FEATURES = Features({"image": Image(), "label": ClassLabel(names=list(LABELS))})
FERPLUS_VOTES = 10  # columns of FER+: the seven classes, contempt, unknown, no face
DEFAULT_SOURCE = "Aaryan333/fer2013_train_publicTest_privateTest"
DEFAULT_REVISION = "435bbcb3c98581134be1b9db3f4c2b7e9a3a5faa"
PUBLISHED_COUNTS = {
    "train": [3995, 436, 4097, 7215, 4830, 3171, 4965],
    "validation": [467, 56, 496, 895, 653, 415, 607],
    "test": [491, 55, 528, 879, 594, 416, 626],
}
SYNONYMS = {
    "anger": "angry", "disgusted": "disgust", "fearful": "fear", "afraid": "fear", "scared": "fear",
    "happiness": "happy", "joy": "happy", "sadness": "sad",
    "surprised": "surprise", "surprising": "surprise",
}  # fmt: skip
SPLIT_NAMES = {
    "train": "train", "training": "train",
    "validation": "validation", "valid": "validation", "val": "validation", "dev": "validation",
    "publictest": "validation", "test": "test", "privatetest": "test",
}  # fmt: skip
IMAGE_SUFFIXES = {".png", ".jpg", ".jpeg", ".bmp", ".webp", ".tif", ".tiff"}


class DataError(ValueError):
    """The data cannot be used; the message says what was expected, what found, and what to do."""


class BadRow(DataError):
    """One row or file of the data; `--skip_bad_rows` goes on without it."""


def note_bad_row(error: BadRow, skipped: list[str] | None) -> None:
    """Adds it to `skipped`; without such a list, raises it."""
    if skipped is None:
        raise BadRow(f"{error}\nMend it; train.py --skip_bad_rows leaves such rows out.") from error
    skipped.append(str(error))


def load_fer2013(
    source: str = DEFAULT_SOURCE,
    revision: str | None = None,
    *,
    label_names: Sequence[str] | None = None,
    synthetic_images: int = 5000,
    synthetic_seed: int = 0,
    skipped: list[str] | None = None,
) -> DatasetDict:
    """
    Args:
        source: recognised by looking: a local .csv (Kaggle's fer2013.csv or icml_face_data.csv), a
            folder of parquet files, a folder tree of images by class, `"synthetic"`, or otherwise a
            data set id on the Hub.
        revision: of a Hub data set; the default source has its own pinned one.
        label_names: class names by id, for sources whose labels are integers without names.
        synthetic_images, synthetic_seed: size of the drawn training split and seed, for
            `"synthetic"`.
        skipped: rows that cannot be used are left out, and what is wrong with each is appended
            here. None: the first of them is an error.

    Returns:
        The splits found, with features `image` and `label` (and `ferplus_votes` where the source
        has them). Labels are mapped by class name, never by position.

    Raises:
        DataError: the source is missing, its columns, labels or splits are not understood, a split
            is empty, or a split of FER-2013's official size does not have FER-2013's published
            class counts.
    """
    source = str(source)
    path = Path(source).expanduser()
    if source == "synthetic":
        splits = _synthetic(synthetic_images, synthetic_seed)
    elif path.is_dir():
        splits = _load_folder(path, skipped)
    elif path.is_file() and path.suffix == ".csv":
        splits = _load_kaggle_csv(path, skipped)
    elif path.exists():
        raise DataError(
            f"{path}: expected a .csv file or a folder, but found a {path.suffix or 'plain'} file."
        )
    elif re.fullmatch(r"[\w-][\w.-]*/[\w.-]+", source):
        splits = _load_hub(source, revision)
    else:
        raise DataError(
            f"{source}: no such file or folder, and not a Hub data set id (owner/name). "
            "Give fer2013.csv, a folder of "
            "images by class, a folder of parquet files, a Hub id, or 'synthetic'."
        )
    splits = DatasetDict(
        {
            name: _to_fer2013(split, f"{source} [{name}]", label_names, skipped)
            for name, split in splits.items()
        }
    )
    for name, split in splits.items():
        _check_counts(split, name, source)
    return splits


def _load_hub(source: str, revision: str | None) -> DatasetDict:
    if source == DEFAULT_SOURCE:
        revision = revision or DEFAULT_REVISION
    try:
        found = datasets.load_dataset(source, revision=revision)
    except Exception as error:  # of datasets or huggingface_hub, many kinds; all mean: not loaded
        raise DataError(
            f"{source}: there is no such local file or folder, "
            "and the Hub did not give a data set of that name "
            f"({type(error).__name__}: {first_line(error)}). "
            "Check the name and the network, or download FER-2013 from "
            "Kaggle and pass the path of fer2013.csv; --dataset synthetic needs neither."
        ) from error
    return _named_splits(found, source)


def _load_folder(path: Path, skipped: list[str] | None) -> dict[str, Dataset]:
    parquet = sorted(path.rglob("*.parquet"))
    if parquet:
        return _load_parquet(parquet, path)
    for name in ("fer2013.csv", "icml_face_data.csv"):
        if (path / name).is_file():
            return _load_kaggle_csv(path / name, skipped)
    return _load_image_tree(path, skipped)


def _load_parquet(files: list[Path], source: Path) -> dict[str, Dataset]:
    by_split = defaultdict(list)
    for file in files:
        word = re.split(r"[-_.\d]", file.name.lower())[0] or file.stem
        by_split[word].append(str(file))
    loaded = {}
    for name, group in by_split.items():
        try:
            loaded[name] = datasets.load_dataset("parquet", data_files=group, split="train")
        except Exception as error:  # datasets and pyarrow raise many kinds
            raise DataError(
                f"{source}: expected readable parquet files with rows, but {', '.join(group)} gave "
                f"{type(error).__name__}: {first_line(error)}."
            ) from error
    return _named_splits(loaded, source)


def _named_splits(found: dict[str, Dataset], source) -> dict[str, Dataset]:
    """Renames splits to train, validation, test."""
    splits, before = {}, {}
    for name, split in found.items():
        known = SPLIT_NAMES.get(re.sub(r"[^a-z]", "", name.lower()))
        if known is None:
            raise DataError(
                f"{source}: split {name!r} is not known; expected one of {', '.join(SPLIT_NAMES)}."
            )
        if known in splits:
            raise DataError(
                f"{source}: splits {before[known]!r} and {name!r} are both {known}; "
                "expected one of them."
            )
        splits[known], before[known] = split, name
    return {name: splits[name] for name in PUBLISHED_COUNTS if name in splits}


def _load_image_tree(path: Path, skipped: list[str] | None) -> dict[str, Dataset]:
    """root/[split/]class/image; Kaggle's copies keep the split in names (PublicTest_123.jpg)."""
    rows: dict[str, dict[str, list]] = defaultdict(lambda: {"image": [], "label": []})
    files = sorted(file for file in path.rglob("*") if file.is_file() and file.name[0] != ".")
    if not any(file.suffix.lower() in IMAGE_SUFFIXES for file in files):
        found = sorted(entry.name for entry in path.iterdir())[:8]
        raise DataError(
            f"{path}: expected parquet files, fer2013.csv or images in folders named by class, "
            "but found "
            f"{', '.join(found) or 'nothing'}."
        )
    for file in files:
        if file.parent == path and file.suffix.lower() not in IMAGE_SUFFIXES:
            continue  # a licence, a list, ...
        try:
            split, label = _place_in_tree(file, path)
        except BadRow as error:
            note_bad_row(error, skipped)
            continue
        rows[split]["image"].append(str(file))
        rows[split]["label"].append(label)
    return {
        name: Dataset.from_dict(rows[name], features=FEATURES)
        for name in PUBLISHED_COUNTS
        if name in rows
    }


def _place_in_tree(file: Path, root: Path) -> tuple[str, int]:
    """Split and label id that a file's folders and name give."""
    parts = file.relative_to(root).parts
    if file.suffix.lower() not in IMAGE_SUFFIXES:
        raise BadRow(
            f"{file}: not an image; expected {', '.join(sorted(IMAGE_SUFFIXES))}. Take it out of "
            "the folder."
        )
    if len(parts) not in (2, 3):
        raise BadRow(
            f"{file}: expected {root.name}/[split/]class/image, but found {len(parts) - 1} folders."
        )
    split = SPLIT_NAMES.get(parts[0].lower()) if len(parts) == 3 else "train"
    if split is None:
        raise BadRow(
            f"{file}: folder {parts[0]!r} is not a split; expected train, validation or test."
        )
    prefix = file.name.split("_")[0].lower()
    if prefix in ("training", "publictest", "privatetest"):
        split = SPLIT_NAMES[prefix]
    return split, _label_id(parts[-2], str(file), BadRow)


def _label_id(name: str, where: str, kind: type[DataError] = DataError) -> int:
    word = str(name).strip().lower()
    word = SYNONYMS.get(word, word)
    if word not in LABELS:
        near = difflib.get_close_matches(word, [*LABELS, *SYNONYMS], n=1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        raise kind(f"{where}: class {name!r} is not one of {', '.join(LABELS)}.{hint}")
    return LABELS.index(word)


def _load_kaggle_csv(path: Path, skipped: list[str] | None) -> dict[str, Dataset]:
    """Parses the CSV once; later calls read the parquet files written beside the datasets cache."""
    stat, found = path.stat(), None if skipped is None else []
    key = hashlib.sha256(
        f"{path.resolve()}|{stat.st_size}|{stat.st_mtime_ns}|{found}".encode()
    ).hexdigest()[:16]
    cache = Path(datasets.config.HF_DATASETS_CACHE) / "fer_efficientnet" / key
    if not cache.is_dir():
        cache.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache.parent) as partial:
            for name, rows in _parse_kaggle_csv(path, found).items():
                Dataset.from_dict(rows, features=FEATURES).to_parquet(
                    Path(partial) / f"{name}.parquet"
                )
            (Path(partial) / "skipped.json").write_text(json.dumps(found))
            try:
                os.replace(partial, cache)  # whole or not at all
            except OSError:
                if not cache.is_dir():  # another process was faster
                    raise
    if skipped is not None:
        skipped += json.loads((cache / "skipped.json").read_text())
    return _load_parquet(sorted(cache.glob("*.parquet")), path)


def _parse_kaggle_csv(path: Path, skipped: list[str] | None) -> dict[str, dict[str, list]]:
    rows: dict[str, dict[str, list]] = defaultdict(lambda: {"image": [], "label": []})
    with open(path, newline="", encoding="utf-8-sig", errors="replace") as file:
        reader = csv.reader(file)
        header = [column.strip().lower() for column in next(reader, [])]
        missing = [column for column in ("emotion", "pixels", "usage") if column not in header]
        if missing:
            raise DataError(
                f"{path}: expected the columns emotion, pixels and Usage of Kaggle's fer2013.csv, "
                "but found "
                f"{', '.join(header) or 'no header'}."
            )
        columns = [header.index(column) for column in ("emotion", "pixels", "usage")]
        with tqdm(
            desc=f"Reading {path.name}", total=path.stat().st_size, unit="B", unit_scale=True
        ) as progress:
            for row in _readable(reader, path):
                progress.update(sum(map(len, row)) + len(row))
                try:
                    label, face, split = _parse_kaggle_row(
                        row, columns, f"{path}, line {reader.line_num}"
                    )
                except BadRow as error:
                    note_bad_row(error, skipped)
                    continue
                rows[split]["image"].append({"bytes": encode_png(face), "path": None})
                rows[split]["label"].append(label)
    if not rows:
        raise DataError(f"{path}: expected rows of images under the header, but found no rows.")
    return rows


def _readable(reader, path: Path) -> Iterator[list[str]]:
    try:
        yield from reader
    except csv.Error as error:
        raise DataError(
            f"{path}, line {reader.line_num}: expected fields separated by commas, but found "
            f"something else ({error}): a quotation mark without its other half, before this line?"
        ) from error


def _parse_kaggle_row(
    row: list[str], columns: list[int], where: str
) -> tuple[int, np.ndarray, str]:
    if len(row) <= max(columns):
        raise BadRow(f"{where}: expected at least {max(columns) + 1} fields, but found {len(row)}.")
    emotion, text, usage = (row[column] for column in columns)
    if not emotion.strip().isdigit() or int(emotion) >= len(LABELS):
        raise BadRow(
            f"{where}: emotion must be a number from 0 to {len(LABELS) - 1}, but it is {emotion!r}."
        )
    split = SPLIT_NAMES.get(usage.strip().lower())
    if split is None:
        raise BadRow(
            f"{where}: Usage must be Training, PublicTest or PrivateTest, but it is {usage!r}."
        )
    try:
        with warnings.catch_warnings():  # numpy only warns of text that is no number
            warnings.simplefilter("error")
            pixels = np.fromstring(text, dtype=np.int64, sep=" ")
    except (ValueError, DeprecationWarning) as error:
        raise BadRow(
            f"{where}: pixels must be numbers separated by spaces, but found other text."
        ) from error
    if len(pixels) != 48 * 48:
        raise BadRow(
            f"{where}: pixels must be 2304 numbers (48 x 48), but there are {len(pixels)}."
        )
    if pixels.min() < 0 or pixels.max() > 255:
        raise BadRow(
            f"{where}: pixels must be in [0, 255], "
            f"but they go from {pixels.min()} to {pixels.max()}."
        )
    return int(emotion), pixels.astype(np.uint8).reshape(48, 48), split


def _synthetic(images: int, seed: int) -> dict[str, Dataset]:
    """
    Drawn faces in FER-2013's class proportions; validation and test are a fifth as large.

    FER-2013's flaw of evaluation images that are copies of training images is reproduced, one image
    in thirteen.
    """
    splits, train = {}, None
    for i, name in enumerate(PUBLISHED_COUNTS):
        size = images if name == "train" else max(1, images // 5)
        faces, labels = draw_split(size, PUBLISHED_COUNTS[name], LABELS, seed=seed + 100 * i)
        if train is None:
            train = faces, labels
        else:
            _copy_from(train, faces, labels, seed=seed + i)
        encoded = [{"bytes": encode_png(face), "path": None} for face in faces]
        splits[name] = Dataset.from_dict(
            {"image": encoded, "label": labels.tolist()}, features=FEATURES
        )
    return splits


def _copy_from(
    train: tuple[np.ndarray, np.ndarray], faces: np.ndarray, labels: np.ndarray, *, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    for row in rng.choice(len(faces), len(faces) // 13, replace=False):
        faces[row] = train[0][rng.choice(np.flatnonzero(train[1] == labels[row]))]


def _to_fer2013(
    split: Dataset, where: str, label_names: Sequence[str] | None, skipped: list[str] | None
) -> Dataset:
    """Whatever columns and labels a source has -> `FEATURES` (and FER+ votes)."""
    if len(split) == 0:
        raise DataError(f"{where}: the split is empty; expected at least one image.")
    image = _find_column(
        split, ("image", "img", "jpg", "png"), lambda f: isinstance(f, Image), where, "an image"
    )
    label = _find_column(
        split,
        ("label", "labels", "emotion", "expression", "class"),
        lambda f: (
            isinstance(f, ClassLabel)
            or (isinstance(f, datasets.Value) and ("string" in f.dtype or "int" in f.dtype))
        ),
        where,
        "a label",
    )
    ids = _map_labels(split, label, where, label_names, skipped)
    keep = [image] + (["ferplus_votes"] if "ferplus_votes" in split.column_names else [])
    split = split.select_columns(keep)
    if image != "image":
        split = split.rename_column(image, "image")
    if None in ids:
        split = split.select([row for row, i in enumerate(ids) if i is not None])
        ids = [i for i in ids if i is not None]
        if not ids:
            raise DataError(f"{where}: every row was left out; the last one: {skipped[-1]}")
    return split.add_column("label", ids, feature=FEATURES["label"])


def _find_column(
    split: Dataset, names: Sequence[str], fits: Callable, where: str, what: str
) -> str:
    fitting = [column for column, feature in split.features.items() if fits(feature)]
    for name in names:
        if name in fitting:
            return name
    raise DataError(
        f"{where}: expected {what} column named one of {', '.join(names)}, but found "
        + ", ".join(f"{name} ({feature})" for name, feature in split.features.items())
    )


def _map_labels(
    split: Dataset,
    column: str,
    where: str,
    label_names: Sequence[str] | None,
    skipped: list[str] | None,
) -> list[int | None]:
    """Label id of each row; None for a row that is left out."""
    feature, values = split.features[column], split.with_format(None)[column][:]
    if isinstance(feature, ClassLabel) and not all(name.isdigit() for name in feature.names):
        label_names = feature.names
    elif "string" not in feature.dtype and label_names is None:
        raise DataError(
            f"{where}: labels are integers without names, "
            "and copies of FER-2013 order the classes differently. "
            "Say the names by id: --label_names angry disgust fear happy sad surprise neutral"
        )
    names = dict(enumerate(label_names)) if "string" not in feature.dtype else {}
    known = {value: _label_id(name, where) for value, name in names.items()}
    ids = []
    for row, value in enumerate(values):
        try:
            if value is not None and value not in known:
                known[value] = _unnamed_label(value, len(names), f"{where}, row {row}")
            if value is None:
                raise BadRow(f"{where}, row {row}: the label is missing.")
            ids.append(known[value])
        except BadRow as error:
            note_bad_row(error, skipped)
            ids.append(None)
    return ids


def _unnamed_label(value, names: int, where: str) -> int:
    if isinstance(value, str):
        return _label_id(value, where, BadRow)
    raise BadRow(f"{where}: label {value} has no name; names are given for 0 to {names - 1}.")


def _check_counts(split: Dataset, name: str, source: str) -> None:
    counts = np.bincount(split["label"][:], minlength=len(LABELS)).tolist()
    published = PUBLISHED_COUNTS[name]
    if sum(counts) == sum(published) and counts != published:
        raise DataError(
            f"{source}: the {name} split has FER-2013's size ({sum(published)}) "
            "but not its class counts, so its labels "
            f"are in another order or wrong.\n  classes   {list(LABELS)}\n"
            f"  published {published}\n  found     {counts}\n"
            "If the labels are integers, pass the right --label_names."
        )


def first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [""])[0][:200]


class FaceDataset(torch.utils.data.Dataset):
    """
    A split decoded once and held as uint8: 83 MB for all of FER-2013.

    `__getitems__` gives a whole batch by one indexing, so no Python runs per image:
    {"pixel_values": uint8 (N, C, H, W), "labels": the targets}.

    Args:
        images: uint8 (N, C, H, W). labels: int64 (N,).
        votes: float32 (N, 10), each image's FER+ votes; zeros where there are none. None: the
            source has no votes.
        targets: what batches give as labels: None for `labels`, or float32 (N, 7) probabilities.
    """

    def __init__(
        self,
        images: torch.Tensor,
        labels: torch.Tensor,
        votes: torch.Tensor | None = None,
        targets: torch.Tensor | None = None,
    ):
        self.images, self.labels, self.votes = images, labels, votes
        self.targets = labels if targets is None else targets

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, row) -> dict[str, torch.Tensor]:
        return {"pixel_values": self.images[row], "labels": self.targets[row]}

    def __getitems__(self, rows: list[int]) -> dict[str, torch.Tensor]:
        return self[torch.as_tensor(rows)]

    def select(self, rows: np.ndarray) -> "FaceDataset":
        rows = torch.as_tensor(rows)
        columns = (self.images, self.labels, self.votes, self.targets)
        return FaceDataset(*(None if column is None else column[rows] for column in columns))


def decode_split(
    split: Dataset, processor, name: str, skipped: list[str] | None = None
) -> FaceDataset:
    """
    Decodes each image once by `processor.to_uint8`; images of another size than the first are
    resized to the processor's.

    Args:
        skipped: as of `load_fer2013`.

    Raises:
        DataError: an image cannot be read; the message names the split, the row and its file.
    """
    encoded = split.cast_column("image", Image(decode=False))
    images, rows = [], []
    for row, value in enumerate(tqdm(encoded["image"], desc=f"Decoding {name}", unit="image")):
        try:
            images.append(_decode(value, processor, f"{name}, row {row}"))
            rows.append(row)
        except BadRow as error:
            note_bad_row(error, skipped)
    if not rows:
        raise DataError(f"{name}: none of the {len(split)} images can be read: {skipped[-1]}")
    if len(rows) < len(split):
        split = split.select(rows)
    if len({image.shape for image in images}) > 1:
        images = [
            processor.resize_batch(image[None])[0].round().clamp(0, 255).to(torch.uint8)
            for image in images
        ]
    return FaceDataset(torch.stack(images), torch.tensor(split["label"][:]), _votes(split, name))


def _decode(value: dict | None, processor, where: str) -> torch.Tensor:
    try:
        return processor.to_uint8(FEATURES["image"].decode_example(value))
    except Exception as error:  # Pillow raises many kinds for a broken file
        file = f" ({value['path']})" if value and value.get("path") else ""
        raise BadRow(f"{where}{file}: not a readable image ({first_line(error)}).") from error


def _votes(split: Dataset, name: str) -> torch.Tensor | None:
    """FER+ votes, float32 (N, 10); zeros for an image without."""
    if "ferplus_votes" not in split.column_names:
        return None
    votes = [row or [0] * FERPLUS_VOTES for row in split["ferplus_votes"][:]]
    if odd := [row for row, found in enumerate(votes) if len(found) != FERPLUS_VOTES]:
        raise DataError(
            f"{name}, row {odd[0]}: expected {FERPLUS_VOTES} numbers in ferplus_votes or none, "
            f"but found {len(votes[odd[0]])}."
        )
    return torch.tensor(votes, dtype=torch.float32)
