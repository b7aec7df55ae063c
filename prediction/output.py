"""Faces as lines of a table, as JSON, as JSON Lines and as CSV."""

import csv
import json
from collections.abc import Sequence
from typing import TextIO

BOX = ("xmin", "ymin", "xmax", "ymax")


def table_lines(name: str, faces: Sequence[dict], width: int = 0) -> list[str]:
    """
    One line for each face of a photo, or one that says there is none.

    Args:
        width: columns that the names of all photos take, so that what follows them is aligned.
    """
    name = name.ljust(width)
    if not faces:
        return [f"{name}   -  no face"]
    longest = max(map(len, faces[0]["scores"]))
    return [
        f"{name}  {number:>2}  {face['label']:<{longest}}  {face['score']:.2f}  "
        f"{'uncertain' if face['uncertain'] else '':<9}  at {describe_box(face['box'])}"
        for number, face in enumerate(faces, 1)
    ]


def describe_box(box: dict) -> str:
    width, height = box["xmax"] - box["xmin"], box["ymax"] - box["ymin"]
    return f"{box['xmin']},{box['ymin']} {width}x{height}"


def readable(name: str) -> str:
    """`name` with bytes that are no UTF-8, as file names may hold them, as \\udc80 to \\udcff."""
    return name.encode("utf-8", "backslashreplace").decode("utf-8")


def csv_cell(text: str) -> str:
    """`text` readable, and behind an apostrophe where a spreadsheet would run it as a formula."""
    return ("'" if text.startswith(("=", "+", "-", "@", "\t", "\r")) else "") + readable(text)


def _json(name: str, faces: Sequence[dict] | None) -> str:
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
    """The entries of `JsonWriter`, one a line: whole up to there, however the program ends."""

    def __init__(self, file: TextIO):
        self.file = file

    def write(self, name: str, faces: Sequence[dict] | None) -> None:
        self.file.write(_json(name, faces) + "\n")

    def end(self) -> None:
        pass


class CsvWriter:
    """
    One row for each face: file, number, box, scores, and a column for each class; text by
    `csv_cell`. A photo without a face has a row with the number 0, one that could not be read a
    row with its name alone.
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

    def end(self) -> None:
        pass
