"""Faces as lines of a table, as JSON, as JSON Lines and as CSV, and free names for pictures."""

import contextlib
import csv
import itertools
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TextIO

BOX = ("xmin", "ymin", "xmax", "ymax")
PIXELS = ("crop", "heatmap")  # what of a face is no text


def free_path(folder: Path, stem: str, suffix: str) -> Path:
    """folder/stem.suffix, or with -2, -3, ... where that is taken. Makes the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    names = itertools.chain([stem], (f"{stem}-{number}" for number in itertools.count(2)))
    return next(path for name in names if not (path := folder / f"{name}{suffix}").exists())


def table_lines(name: str, faces: Sequence[dict], width: int = 0) -> list[str]:
    """
    One line for each face of a photo, or one that says there is none.

    Args:
        width: of the longest name, so that what follows the names is aligned.
    """
    name = name.ljust(width)
    if not faces:
        return [f"{name}   -  no face"]
    longest = max(map(len, faces[0]["scores"]))
    return [
        f"{name}  {number:>2}  {face['label']:<{longest}}  {face['score']:.2f}  "
        f"{'uncertain' if face['uncertain'] else '':<9}  at {_place_and_size(face['box'])}"
        for number, face in enumerate(faces, 1)
    ]


def _place_and_size(box: dict) -> str:
    width, height = box["xmax"] - box["xmin"], box["ymax"] - box["ymin"]
    return f"{box['xmin']},{box['ymin']} {width}x{height}"


def readable(name: str) -> str:
    """`name`, with bytes that are not UTF-8 (file names may hold them) as \\udc80 to \\udcff."""
    return name.encode("utf-8", "backslashreplace").decode("utf-8")


def csv_cell(text: str) -> str:
    """`text`, readable, with an apostrophe before what a spreadsheet would run as a formula."""
    return ("'" if text.startswith(("=", "+", "-", "@", "\t", "\r")) else "") + readable(text)


def _json(name: str, faces: Sequence[dict] | None) -> str:
    if faces is not None:
        faces = [{key: face[key] for key in face if key not in PIXELS} for face in faces]
    return json.dumps({"file": readable(name), "faces": faces})


class JsonWriter:
    """A JSON list of {"file", "faces"}; "faces" is null for a file that could not be read."""

    def __init__(self, file: TextIO):
        self.file, self.before = file, "[\n"

    def write(self, name: str, faces: Sequence[dict] | None) -> None:
        self.file.write(self.before + _json(name, faces))
        self.before = ",\n"

    def end(self) -> None:
        self.file.write("[]\n" if self.before == "[\n" else "\n]\n")


class JsonLinesWriter:
    """The entries of `JsonWriter`, one per line: all lines are whole, however the program ends."""

    def __init__(self, file: TextIO):
        self.file = file

    def write(self, name: str, faces: Sequence[dict] | None) -> None:
        self.file.write(_json(name, faces) + "\n")


class CsvWriter:
    """
    One row per face: file, number, box, scores, and a column for each class. A photo without a face
    has a row with the number 0; a photo that could not be read, a row with its name alone.
    """

    def __init__(self, file: TextIO, label_names: Sequence[str]):
        self.labels = list(label_names)
        self.rows = csv.writer(file, lineterminator="\n")
        self.rows.writerow(
            ["file", "face", *BOX, "face_score", "label", "score", "uncertain"]
            + [csv_cell(label) for label in self.labels]
        )

    def write(self, name: str, faces: Sequence[dict] | None) -> None:
        if not faces:
            blank = [""] * (len(BOX) + 4 + len(self.labels))
            self.rows.writerow([csv_cell(name), "" if faces is None else 0, *blank])
        for number, face in enumerate(faces or (), 1):
            self.rows.writerow(
                [csv_cell(name), number, *(face["box"][edge] for edge in BOX)]
                + [f"{face['face_score']:.4f}", csv_cell(face["label"]), f"{face['score']:.4f}"]
                + [face["uncertain"], *(f"{face['scores'][label]:.4f}" for label in self.labels)]
            )


@contextlib.contextmanager
def open_writers(
    json: str | None, jsonl: str | None, csv: str | None, label_names: Sequence[str]
) -> Iterator[list[JsonWriter | JsonLinesWriter | CsvWriter]]:
    """
    Writers into these files; "-" is the screen. Each line is on the disk once it is written, and
    the files are completed however the work ends.
    """
    with contextlib.ExitStack() as files:

        def opened(name: str) -> TextIO:
            if name == "-":
                return sys.stdout
            Path(name).parent.mkdir(parents=True, exist_ok=True)
            return files.enter_context(open(name, "w", 1, encoding="utf-8", newline=""))

        writers: list = []
        if json:
            writers.append(JsonWriter(opened(json)))
            files.callback(writers[0].end)
        writers += [JsonLinesWriter(opened(jsonl))] if jsonl else []
        writers += [CsvWriter(opened(csv), label_names)] if csv else []
        yield writers
