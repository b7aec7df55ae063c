"""The runs that led to a folder: a run may start from the weights that another one left."""

import json
import shlex
from collections.abc import Sequence
from pathlib import Path

import yaml

OF_ONE_MACHINE = ("output_dir", "resume_from_checkpoint", "overwrite", "disable_tqdm")


def finished_run(folder: Path) -> dict | None:
    """run.yaml of a local folder with what that training took; None where there is no run.yaml."""
    if not (folder / "run.yaml").is_file():
        return None
    results = json.loads((folder / "all_results.json").read_text())
    took = {key: results[key] for key in ("epoch", "train_runtime", "train_steps_per_second")}
    return yaml.safe_load((folder / "run.yaml").read_text()) | took


def stages(folder: Path) -> list[dict]:
    """Runs as `finished_run` gives them: first the one that started it all, last `folder`'s own."""
    runs, run = [], finished_run(folder)
    while run:
        runs.insert(0, run)
        run = run.get("started_from")
    return runs


def commands(runs: Sequence[dict]) -> list[str]:
    """
    The command of each of `stages`, as it works for somebody else in a clone of this repository.

    Files and folders of this machine are shortened to their names; data that are the same as the
    last run's are named as there. Each run writes to its default folder, and the next one starts
    from there.
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
        source = "model_name_or_path"
        if folders and (source in flags or run["arguments"]["model"][source] != folders[-1]):
            flags[source] = [folders[-1]]
        folders.append(folder)
        words = [word for name, values in flags.items() for word in (f"--{name}", *values)]
        lines.append(shlex.join(head + words))
    return lines


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
