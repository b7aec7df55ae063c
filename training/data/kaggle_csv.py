"""
CSV files: Kaggle's fer2013.csv, icml_face_data.csv and train.csv, whose pixels are parsed once and
cached, and tables of image files with their labels.
"""

import csv
import gzip
import hashlib
import json
import os
import tempfile
import warnings
import zlib
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import datasets
import numpy as np
from datasets import Dataset, DatasetDict
from datasets.utils import tqdm

from .classes import NUMBER, as_word
from .features import PIXEL_FEATURES, PIXELS
from .image_tree import TREE
from .schema import LABELS, PUBLISHED_COUNTS, SPLIT_NAMES, BadRow, DataError, note_bad_row

LABEL = ("emotion", "label", "labels", "expression", "class")
IMAGE = (
    "pixels",
    "path",
    "file",
    "file_name",
    "filename",
    "filepath",
    "image_path",
    "image",
    "img",
)
SPLIT = ("usage", "split", "set")
WORDS = datasets.Features({"image": PIXELS, "label": TREE["label"]})


def load_csv(path: Path, skipped: list[str] | None) -> DatasetDict:
    """
    Columns of `LABEL`, `IMAGE` and, where not all rows are for training, `SPLIT`, by names of any
    case. Numbers beside pixels are Kaggle's labels. Files are looked for from the CSV's folder on.
    Pixels are parsed once; later calls read what was saved beside the cache of `datasets`.
    """
    if "pixels" not in _columns(next(_rows(path), (0, []))[1], path):
        return _parse(path, skipped)
    stat, bad_rows = path.stat(), None if skipped is None else []
    key = hashlib.sha256(
        f"{path.resolve()}|{stat.st_size}|{stat.st_mtime_ns}|{bad_rows}|pixels 2".encode()
    ).hexdigest()[:16]
    cache = Path(datasets.config.HF_DATASETS_CACHE) / "fer_efficientnet" / key
    if not cache.is_dir():
        cache.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache.parent) as partial:
            _parse(path, bad_rows).save_to_disk(partial)
            (Path(partial) / "skipped.json").write_text(json.dumps(bad_rows))
            try:
                os.replace(partial, cache)  # whole or not at all
            except OSError:
                if not cache.is_dir():  # another process was faster
                    raise
    if skipped is not None:
        skipped += json.loads((cache / "skipped.json").read_text())
    return DatasetDict.load_from_disk(cache)


def _parse(path: Path, skipped: list[str] | None) -> DatasetDict:
    rows: dict[str, dict[str, list]] = defaultdict(lambda: {"image": [], "label": []})
    lines = _rows(path)
    columns = _columns(next(lines)[1], path)
    pixels = "pixels" in columns
    size = path.stat().st_size if path.suffix.lower() != ".gz" else None
    with tqdm(
        desc=f"Reading {path.name}", total=size, unit="B", unit_scale=True, disable=not pixels
    ) as progress:
        for number, row in lines:
            progress.update(sum(map(len, row)) + len(row))
            try:
                image, label, split = _parse_row(row, columns, path, f"{path}, line {number}")
            except BadRow as error:
                note_bad_row(error, skipped)
                continue
            rows[split]["image"].append(image)
            rows[split]["label"].append(label)
    if not rows:
        raise DataError(f"{path}: expected rows of images under the header, but found no rows.")
    words = any(isinstance(label, str) for part in rows.values() for label in part["label"])
    features = (WORDS if words else PIXEL_FEATURES) if pixels else TREE
    splits = DatasetDict()
    for name in PUBLISHED_COUNTS:
        if name in rows:
            part = rows[name]
            if pixels:
                part["image"] = np.stack(part["image"])  # (N, 48, 48)
            else:
                part["file"] = part["image"]
            if words:
                part["label"] = [LABELS[x] if isinstance(x, int) else x for x in part["label"]]
            splits[name] = Dataset.from_dict(part, features=features)
    return splits


def _rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Each row that is not blank, with the number of its line."""
    reader = None
    try:
        with _opened(path) as file:
            first = file.readline()
            file.seek(0)
            reader = csv.reader(file, delimiter=max(",;\t", key=first.count))
            for row in reader:
                if any(field.strip() for field in row):
                    yield reader.line_num, row
    except (csv.Error, EOFError, OSError, zlib.error) as error:
        raise DataError(
            f"{path}, line {reader.line_num if reader else 1}: expected fields separated by "
            f"commas, but found something else ({error}): a quotation mark without its other half, "
            "before this line, or a file that is cut off?"
        ) from error


def _opened(path: Path) -> IO[str]:
    open_it = gzip.open if path.suffix.lower() == ".gz" else open
    return open_it(path, "rt", newline="", encoding="utf-8-sig", errors="replace")


def _columns(header: list[str], path: Path) -> dict[str, int]:
    """Where "label" and "pixels" or "file" are and, if there is one, "split"."""
    names = [name.strip().lower() for name in header]
    found = [
        next((name for name in known if name in names), None) for known in (LABEL, IMAGE, SPLIT)
    ]
    label, image, split = found
    if label is None or image is None:
        raise DataError(
            f"{path}: expected the columns emotion and pixels of Kaggle's fer2013.csv, or label "
            f"and path (one of {', '.join(LABEL)} and one of {', '.join(IMAGE)}), but found "
            f"{', '.join(names) or 'no header'}."
        )
    columns = {"label": names.index(label)}
    columns["pixels" if image == "pixels" else "file"] = names.index(image)
    return columns | ({"split": names.index(split)} if split else {})


def _parse_row(
    row: list[str], columns: dict[str, int], path: Path, where: str
) -> tuple[np.ndarray | str, int | str, str]:
    """Pixels or the path of a file, label and split."""
    if len(row) <= max(columns.values()):
        least = max(columns.values()) + 1
        raise BadRow(f"{where}: expected at least {least} fields, but found {len(row)}.")
    fields = {name: row[column] for name, column in columns.items()}
    split = SPLIT_NAMES.get(fields.get("split", "train").strip().lower())
    if split is None:
        raise BadRow(
            f"{where}: the split must be train, validation or test, or Kaggle's Training, "
            f"PublicTest or PrivateTest, but it is {fields['split']!r}."
        )
    if "pixels" in fields:
        label = _kaggles_label(fields["label"], where)
        return _parse_pixels(fields["pixels"], where), label, split
    file = path.parent / fields["file"].strip()
    if not file.is_file():
        raise BadRow(f"{where}: no such file {file}; paths are relative to the CSV's folder.")
    return str(file), fields["label"], split


def _kaggles_label(text: str, where: str) -> int | str:
    word = as_word(text)
    if NUMBER.fullmatch(word) and float(word) < len(LABELS):
        return int(float(word))
    if NUMBER.fullmatch(word) or not any(map(str.isalpha, word)):
        raise BadRow(
            f"{where}: emotion must be a word or a number from 0 to {len(LABELS) - 1}, but it is "
            f"{text!r}."
        )
    return word


def _parse_pixels(text: str, where: str) -> np.ndarray:
    """uint8 (48, 48)."""
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
    return pixels.astype(np.uint8).reshape(48, 48)
