"""Which classes data have, and the id of each row's label among them."""

import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from datasets import ClassLabel, Dataset

from .schema import BadRow, DataError, note_bad_row

MOST_CLASSES = 64
NUMBER = re.compile(r"\d+(\.0*)?")  # an id; in columns with gaps, pandas makes it 3.0


def as_word(label: str | float) -> str:
    """A class's name as names are compared: macOS writes é as two characters, others as one."""
    return unicodedata.normalize("NFC", str(label)).strip()


@dataclass
class Labels:
    """
    The labels of a split as its source has them.

    where: the name of the split in messages. files: the names of its rows there; None: numbers.
    values: a word, an id or None for each row.
    names: the names of the ids, in order; None where labels are words.
    """

    where: str
    values: Sequence[str | int | None]
    names: list[str] | None
    files: Sequence[str] | None = None

    def words(self) -> set[str]:
        return {value for value in self.values if value is not None}

    def ids(
        self, id_of: Callable[[str, str, type], int], skipped: list[str] | None
    ) -> list[int | None]:
        """
        The label id of each row; None for a row that is left out.

        Args:
            id_of: (name, where, kind of error) -> id. skipped: as in `load_fer2013`.
        """
        names = enumerate(self.names or ())
        known = {value: id_of(name, self.where, DataError) for value, name in names}
        ids: list[int | None] = []
        for row, value in enumerate(self.values):
            place = self.files[row] if self.files else f"{self.where}, row {row}"
            try:
                if value is None:
                    raise BadRow(f"{place}: the label is missing.")
                if value not in known and self.names is not None:
                    raise BadRow(
                        f"{place}: label {value} has no name; "
                        f"names are given for 0 to {len(self.names) - 1}. "
                        "--label_names takes a name for each integer."
                    )
                if value not in known:
                    known[value] = id_of(value, place, BadRow)
                ids.append(known[value])
            except BadRow as error:
                note_bad_row(error, skipped)
                ids.append(None)
        return ids


def read_labels(split: Dataset, where: str, label_names: Sequence[str] | None) -> Labels:
    """
    Args:
        split: has the column `label`, and `file` if messages are to name the rows by file.
        label_names: `--label_names`.

    Raises:
        DataError: labels are integers without names.
    """
    feature, values = split.features["label"], split.with_format(None)["label"][:]
    files = split["file"][:] if "file" in split.features else None
    if isinstance(feature, ClassLabel) and not _are_numbers(feature.names):
        return Labels(where, values, [as_word(name) for name in feature.names], files)
    if "string" in feature.dtype or "float" in feature.dtype:  # a float that is not there is NaN
        values = [None if value is None or value != value else as_word(value) for value in values]
        if not _are_numbers(values):
            return Labels(where, values, None, files)
        values = [None if value is None else int(float(value)) for value in values]
    if isinstance(feature, ClassLabel):  # whose numbers may be sorted as words: 1, 10, 2
        numbers = sorted(feature.names, key=float)
        place = {i: numbers.index(name) for i, name in enumerate(feature.names)}
        values = [place.get(value, value) for value in values]
    if not label_names:
        names = feature.names if isinstance(feature, ClassLabel) else values
        numbers = sorted({int(float(name)) for name in names if name is not None})
        raise DataError(
            f"{where}: labels are integers without names ({_listed(numbers)}). Give the names in "
            "the order of the ids: --label_names and, with --classes any, those of your classes. "
            "Copies of FER-2013 differ in their order; Kaggle's is angry disgust fear happy sad "
            "surprise neutral."
        )
    return Labels(where, values, [as_word(name) for name in label_names], files)


def _listed(names: Sequence[str | int], most: int = 8) -> str:
    return ", ".join([*map(str, names[:most]), *(["..."] if len(names) > most else [])])


def _are_numbers(names: Sequence[str | None]) -> bool:
    return all(name is None or NUMBER.fullmatch(name.strip()) for name in names)


def count_from_zero(splits: Mapping[str, Labels]) -> None:
    """If all splits together are numbered from 1 to the number of names, makes the numbers ids."""
    numbers = [value for labels in splits.values() if labels.names for value in labels.values]
    numbers = [value for value in numbers if value is not None]
    named = {len(labels.names) for labels in splits.values() if labels.names}
    if numbers and min(numbers) == 1 and {max(numbers)} == named:
        for labels in splits.values():
            labels.values = [value if value is None else value - 1 for value in labels.values]


def own_classes(
    splits: Mapping[str, Labels], label_names: Sequence[str] | None, source: str
) -> tuple[str, ...]:
    """
    The classes of `--classes any`, in the data's own order (ids, or the alphabet where labels are
    words or folders) or in that of `label_names`.

    Raises:
        DataError: the splits have different classes, or two orders of them; a name is there twice
            or empty; or there are fewer than 2 classes or more than `MOST_CLASSES`.
    """
    by_split = {name: labels.names or sorted(labels.words()) for name, labels in splits.items()}
    ordered = [labels.names for labels in splits.values() if labels.names]
    words = sorted(set().union(*by_split.values()))
    names = [as_word(name) for name in label_names or (ordered[0] if ordered else words)]
    in_two_orders = not label_names and any(other != ordered[0] for other in ordered)
    if in_two_orders or set(words) - set(names):
        listed = "; ".join(f"{name}: {', '.join(classes)}" for name, classes in by_split.items())
        expected = f"the classes {', '.join(names)}" if label_names else "the same classes"
        raise DataError(f"{source}: expected {expected} in every split, but found {listed}.")
    if len(set(names)) < len(names) or not all(names):
        raise DataError(
            f"{source}: expected a name for each class, each once, but found "
            f"{', '.join(name or 'an empty one' for name in names)}."
        )
    if not 2 <= len(names) <= MOST_CLASSES:
        raise DataError(
            f"{source}: expected 2 to {MOST_CLASSES} classes, but found {len(names)} "
            f"({_listed(names)}). A class is a folder of images, or a value of the label column; "
            f"{'add another' if len(names) < 2 else 'merge some or leave some out'}."
        )
    return tuple(names)


def id_among(names: Sequence[str]) -> Callable[[str, str, type], int]:
    """Like `schema.label_id`, for classes other than FER-2013's."""

    def id_of(name: str, where: str, kind: type[DataError] = DataError) -> int:
        if name not in names:
            raise kind(f"{where}: class {name!r} is not one of {', '.join(names)}.")
        return names.index(name)

    return id_of
