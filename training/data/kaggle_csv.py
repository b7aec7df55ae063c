"""Kaggle's fer2013.csv and icml_face_data.csv, parsed once and cached."""

import csv
import hashlib
import json
import os
import tempfile
import warnings
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import datasets
import numpy as np
from datasets import Dataset, DatasetDict
from datasets.utils import tqdm

from .features import PIXEL_FEATURES
from .schema import LABELS, PUBLISHED_COUNTS, SPLIT_NAMES, BadRow, DataError, note_bad_row


def load_kaggle_csv(path: Path, skipped: list[str] | None) -> DatasetDict:
    """Parses the CSV once; later calls read what was saved beside the cache of `datasets`."""
    stat, bad_rows = path.stat(), None if skipped is None else []
    key = hashlib.sha256(
        f"{path.resolve()}|{stat.st_size}|{stat.st_mtime_ns}|{bad_rows}|pixels".encode()
    ).hexdigest()[:16]
    cache = Path(datasets.config.HF_DATASETS_CACHE) / "fer_efficientnet" / key
    if not cache.is_dir():
        cache.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache.parent) as partial:
            _parse_kaggle_csv(path, bad_rows).save_to_disk(partial)
            (Path(partial) / "skipped.json").write_text(json.dumps(bad_rows))
            try:
                os.replace(partial, cache)  # whole or not at all
            except OSError:
                if not cache.is_dir():  # another process was faster
                    raise
    if skipped is not None:
        skipped += json.loads((cache / "skipped.json").read_text())
    return DatasetDict.load_from_disk(cache)


def _parse_kaggle_csv(path: Path, skipped: list[str] | None) -> DatasetDict:
    rows: dict[str, dict[str, list]] = defaultdict(lambda: {"image": [], "label": []})
    with open(path, newline="", encoding="utf-8-sig", errors="replace") as file:
        reader = csv.reader(file)
        header = [column.strip().lower() for column in next(reader, [])]
        missing = [column for column in ("emotion", "pixels", "usage") if column not in header]
        if missing:
            raise DataError(
                f"{path}: expected the columns emotion, pixels and Usage of Kaggle's fer2013.csv, "
                f"but found {', '.join(header) or 'no header'}."
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
                rows[split]["image"].append(face)
                rows[split]["label"].append(label)
    if not rows:
        raise DataError(f"{path}: expected rows of images under the header, but found no rows.")
    splits = DatasetDict()
    for name in PUBLISHED_COUNTS:
        if name in rows:
            columns = rows[name] | {"image": np.stack(rows[name]["image"])}  # (N, 48, 48)
            splits[name] = Dataset.from_dict(columns, features=PIXEL_FEATURES)
    return splits


def _readable(reader: Any, path: Path) -> Iterator[list[str]]:
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
    if not emotion.strip().isdecimal() or int(emotion) >= len(LABELS):
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
