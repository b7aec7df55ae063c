"""
The finished runs of an experiment: a folder with runs.jsonl, a line for each run, and logits.npz.

A line holds `name`, `seed`, `arguments` of train.py, `machine` and the results. logits.npz holds
`labels` and `copies` of the evaluation images once, and the logits of each run under its `key_of`;
of runs that were measured on their development split as well, `<key>.development` and
`<key>.development_labels`.
"""

import contextlib
import fcntl
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from operator import itemgetter
from pathlib import Path

import numpy as np

RUNS, LOGITS = "runs.jsonl", "logits.npz"
SHARED = ("labels", "copies")  # by all runs of an experiment
Runs = dict[str, list[dict]]  # by name, seeds ascending


def key_of(run: Mapping) -> str:
    return f"{run['name']}-seed{run['seed']}"


def read_runs(folder: Path, order: Sequence[str] = ()) -> Runs:
    """The runs by name, those of `order` first; seeds ascending."""
    runs: Runs = {name: [] for name in order}
    for run in _lines(folder):
        runs.setdefault(run["name"], []).append(run)
    return {
        name: sorted(of_name, key=itemgetter("seed")) for name, of_name in runs.items() if of_name
    }


def read_logits(folder: Path) -> dict[str, np.ndarray]:
    """The arrays of logits.npz; empty if there is none."""
    if not (folder / LOGITS).is_file():
        return {}
    with np.load(folder / LOGITS, allow_pickle=False) as arrays:
        return dict(arrays)


def add_run(folder: Path, run: Mapping, arrays: Mapping[str, np.ndarray] | None = None) -> None:
    """
    Adds a run, in place of an earlier one of the same name and seed.

    The logits are written first: a run is done when its line is there. Each file is replaced as a
    whole, and processes and threads wait for each other.

    Args:
        arrays: `labels` int8 (N,), `copies` bool (N,), `logits` float16 (N, C); with or without
            `development` float16 (M, C) and `development_labels` int8 (M,).

    Raises:
        ValueError: the images are others than those of the runs that are there.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with _locked(folder):
        if arrays is not None:
            _write_logits(folder, key_of(run), arrays)
        others = [other for other in _lines(folder) if key_of(other) != key_of(run)]
        lines = sorted([*others, run], key=itemgetter("name", "seed"))
        with _replaced(folder / RUNS) as partial:
            partial.write_text("".join(f"{json.dumps(line)}\n" for line in lines))


def _write_logits(folder: Path, key: str, arrays: Mapping[str, np.ndarray]) -> None:
    content = read_logits(folder)
    for name in SHARED:
        if not np.array_equal(content.setdefault(name, arrays[name]), arrays[name]):
            raise ValueError(
                f"{folder / LOGITS}: expected the {name} of its other runs, but those of {key} "
                "differ: it was evaluated on other images. Choose another --output_dir."
            )
    content[key] = arrays["logits"]
    for name in arrays.keys() - {*SHARED, "logits"}:
        content[f"{key}.{name}"] = arrays[name]
    with _replaced(folder / LOGITS) as partial, partial.open("wb") as file:
        np.savez_compressed(file, **content)


def _lines(folder: Path) -> list[dict]:
    file = folder / RUNS
    return [json.loads(line) for line in file.open()] if file.is_file() else []


@contextlib.contextmanager
def _replaced(file: Path) -> Iterator[Path]:
    """Where to write what then replaces the file."""
    partial = file.with_name(f"{file.name}.partial")
    yield partial
    os.replace(partial, file)


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)  # and with it the lock
