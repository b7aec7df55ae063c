"""The runs that led to a folder: a run starts from weights that another one left, or is taught."""

import json
import shlex
from collections.abc import Sequence
from pathlib import Path

import yaml

OF_ONE_MACHINE = ("output_dir", "resume_from_checkpoint", "overwrite", "disable_tqdm")


def finished_run(folder: Path) -> dict | None:
    """run.yaml of a local folder with what that training took; None where there was none."""
    if not (folder / "run.yaml").is_file():
        return None
    results = json.loads((folder / "all_results.json").read_text())
    if "train_runtime" not in results:  # an evaluation's
        return None
    took = {key: results[key] for key in ("epoch", "train_runtime", "train_steps_per_second")}
    return yaml.safe_load((folder / "run.yaml").read_text()) | took


def stages(folder: Path) -> list[dict]:
    """
    Runs as `finished_run` gives them, each after those it needs: the ones whose weights it starts
    from, and those of its teachers. Last `folder`'s own.
    """
    run = finished_run(folder)
    return _in_order(run, []) if run else []


def _in_order(run: dict, before: list[dict]) -> list[dict]:
    for needed in (
        run.get("started_from"),
        *run.get("averaged_with", ()),
        *run.get("taught_by", ()),
    ):
        if needed is not None:
            _in_order(needed, before)
    if run not in before:
        before.append(run)
    return before


def share_equal_runs(run: dict, seen: list[dict] | None = None) -> dict:
    """`run`, where equal ones among the runs that it needs are one object: YAML writes it once."""
    seen = [] if seen is None else seen
    if run in seen:
        return seen[seen.index(run)]
    if run.get("started_from"):
        run["started_from"] = share_equal_runs(run["started_from"], seen)
    for key in ("averaged_with", "taught_by"):
        if key in run:
            run[key] = [one and share_equal_runs(one, seen) for one in run[key]]
    seen.append(run)
    return run


def commands(runs: Sequence[dict]) -> list[str]:
    """
    The command of each of `stages`, as it works for somebody else in a clone of this repository.

    Files and folders of this machine are shortened to their names; data that are the same as the
    last run's are named as there. Each run writes to its default folder, and those that need it
    find it there.
    """
    lines, folders = [], []
    last = _split(runs[-1]["command"])[1]
    for run in runs:
        head, flags = _split(run["command"])
        flags = {name: values for name, values in flags.items() if name not in OF_ONE_MACHINE}
        if run["data_fingerprint"] == runs[-1]["data_fingerprint"] and "dataset" in last:
            flags["dataset"] = last["dataset"]
        folder = f"runs/{Path(head[2]).stem}" if len(head) > 2 else "runs/train"
        if folder in folders:
            folder = f"runs/stage{len(folders) + 1}"
            flags["output_dir"] = [folder]
        for name, given, needed in _needed(run):
            found = [
                folders[runs.index(one)] if one else portable(word)
                for one, word in zip(needed, given)
            ]
            if name in flags or found != given:
                flags[name] = found
        folders.append(folder)
        words = [word for name, values in flags.items() for word in (f"--{name}", *values)]
        lines.append(shlex.join(head + words))
    return lines


def _needed(run: dict) -> list[tuple[str, list[str], list[dict | None]]]:
    """Flags that name other runs' folders, the folders, and the runs (None: not known)."""
    groups, needed = run["arguments"], []
    if source := groups["model"]["model_name_or_path"]:
        needed.append(("model_name_or_path", [source], [run.get("started_from")]))
    if others := groups["model"].get("average_with"):
        needed.append(("average_with", others, run.get("averaged_with") or [None] * len(others)))
    if teachers := groups["imbalance"].get("teachers"):
        needed.append(("teachers", teachers, run.get("taught_by") or [None] * len(teachers)))
    return needed


def _split(command: str) -> tuple[list[str], dict[str, list[str]]]:
    """`python train.py RECIPE` in words, and the values of each flag."""
    head, flags = [], {}
    for word in shlex.split(command):
        if word.startswith("--"):
            name, equals, value = word[2:].partition("=")
            values = flags[name.replace("-", "_")] = [portable(value)] if equals else []
        elif flags:
            values.append(portable(word))
        else:
            head.append(portable(word) if Path(word).is_absolute() else word)
    return head, flags


def portable(word: str) -> str:
    """A file or folder of this machine -> its name; other words, Hub ids too, as they are."""
    path = Path(word).expanduser()
    is_local = path.is_absolute() or word.startswith("..") or word.count("/") > 1 or path.exists()
    return path.name if is_local and path.name else word
