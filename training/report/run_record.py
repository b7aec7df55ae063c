"""run.yaml: what reproduces a run, and in short every run that led to it."""

import json
import platform
import shlex
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path

import torch
import yaml

from ..arguments import Arguments
from .files import write_yaml
from .lineage import (
    LINKS,
    abridged,
    add,
    flags_of,
    in_full,
    mark_paths,
    merge,
    outside,
    own_name,
    recipe_of,
    short,
    words,
)
from .older_records import renewed

PACKAGES = (
    *("torch", "torchvision", "transformers", "datasets", "evaluate", "accelerate", "timm"),
    *("safetensors", "numpy"),
)


def write_run_record(
    path: Path,
    args: Arguments,
    *,
    config,
    argv: Sequence[str],
    data_fingerprint: str,
    changed_settings: Sequence[str] = (),
) -> None:
    """
    Args:
        config: of the model, which knows better than the flags what a saved model is.
        argv: the words after `python train.py`.
        changed_settings: what was changed when the run was resumed.
    """
    command = shlex.join(["python", "train.py", *argv])
    arguments = args.to_dict()
    arguments["model"] |= {
        name: value for name, value in config.to_dict().items() if name in arguments["model"]
    }
    versions = {"python": platform.python_version()}
    installed = {one.name for one in metadata.distributions()}
    versions |= {name: metadata.version(name) for name in PACKAGES if name in installed}
    links, stages = _links(flags_of({"arguments": arguments}))
    mark_paths(arguments, links)
    record = {
        "command": command,
        "recipe": recipe_of(command),
        "seed": args.training.seed,
        "data_fingerprint": data_fingerprint,
        "device": device_name(args.training),
        "processes": args.training.world_size,
        "loss_title": args.loss.title,
    }
    if changed_settings:
        record["changed_on_resume"] = list(changed_settings)
    record |= links | {"arguments": arguments, "versions": versions}
    write_yaml(path, record | {"stages": abridged(stages, versions)})


def _links(options: Mapping) -> tuple[dict, dict[str, dict]]:
    """Names of the runs that this one needs, by key, and all stages that led to it."""
    links: dict = {}
    stages: dict[str, dict] = {}
    for flag, key in LINKS.items():
        folders = words(options[flag])
        chains = [chain(Path(folder)) for folder in folders]
        names = [
            merge(stages, one) if one else outside(folder) for folder, one in zip(folders, chains)
        ]
        if key != "started_from" and names:
            links[key] = names
        elif any(chains):
            links[key] = names[0]
    return links, stages


def read_run(folder: Path) -> dict | None:
    """
    run.yaml of a local folder, in today's form, with the training's `epoch`, `train_runtime` and
    `train_steps_per_second` (0 of a stage that trains nothing); None if no training left it.
    """
    if not all((folder / name).is_file() for name in ("run.yaml", "all_results.json")):
        return None
    results = json.loads((folder / "all_results.json").read_text())
    if "epoch" not in results:  # an evaluation's
        return None
    took = {"epoch": results["epoch"]}
    took |= {key: results.get(key, 0) for key in ("train_runtime", "train_steps_per_second")}
    record = yaml.safe_load((folder / "run.yaml").read_text())
    if not (isinstance(record, dict) and "arguments" in record):  # of another program
        return None
    return (record if "stages" in record else renewed(record)) | took


def was_measured(folder: Path) -> bool:
    """Whether the results of a folder have those of an evaluation, too."""
    return "eval_accuracy" in json.loads((folder / "all_results.json").read_text())


def chain(folder: Path) -> dict[str, dict]:
    """
    By name the stages that led to a folder, each after those it needs, the folder's own run last.
    Empty if no training left it.
    """
    run = read_run(folder)
    if run is None:
        return {}
    stages = in_full(run["stages"], run["versions"])
    add(stages, own_name(run), short(run))
    return stages


def chain_totals(folder: Path) -> dict:
    """For all_results.json: of all stages that led to a folder. Empty if there is but one."""
    stages = chain(folder)
    if len(stages) < 2:
        return {}
    seconds = sum(stage["train_runtime"] for stage in stages.values())
    return {"chain_stages": len(stages), "chain_train_runtime": seconds}


def device_name(training) -> str:
    if training.device.type == "cuda":
        return f"{training.world_size} x {torch.cuda.get_device_name()}"
    return f"{training.device.type} ({torch.get_num_threads()} threads)"
