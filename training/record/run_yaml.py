"""run.yaml: what reproduces a run, and in short every run that led to it."""

import json
import platform
import shlex
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path

import torch
import yaml
from transformers import PretrainedConfig, TrainingArguments

from ..arguments import Arguments
from .files import write_yaml
from .lineage import (
    LINKS,
    abridged,
    add,
    as_list,
    flags_of,
    in_full,
    mark_paths,
    merge,
    outside,
    recipe_of,
    short,
    stage_name,
)

PACKAGES = (
    *("torch", "torchvision", "transformers", "datasets", "evaluate", "accelerate", "timm"),
    *("safetensors", "numpy"),
)


def write_run(
    path: Path,
    args: Arguments,
    *,
    config: PretrainedConfig,
    argv: Sequence[str],
    data_fingerprint: str,
    changed_settings: Sequence[str] = (),
) -> None:
    """
    Args:
        config: the model's, which has precedence over the flags where the model was a saved one.
        argv: the words after `python train.py`.
        changed_settings: what was changed when the run was resumed.
    """
    command = shlex.join(["python", "train.py", *argv])
    arguments = args.to_dict()
    arguments["model"] |= {
        name: value for name, value in config.to_dict().items() if name in arguments["model"]
    }
    installed = {package.name for package in metadata.distributions()}
    versions = {"python": platform.python_version()}
    versions |= {name: metadata.version(name) for name in PACKAGES if name in installed}
    links, stages = _links(flags_of({"arguments": arguments}))
    mark_paths(arguments, links)
    run = {
        "command": command,
        "recipe": recipe_of(command),
        "seed": args.training.seed,
        "data_fingerprint": data_fingerprint,
        "device": _device_name(args.training),
        "processes": args.training.world_size,
        "loss_title": args.loss.title,
    }
    if changed_settings:
        run["changed_on_resume"] = list(changed_settings)
    run |= links | {"arguments": arguments, "versions": versions}
    write_yaml(path, run | {"stages": abridged(stages, versions)})


def _links(options: Mapping) -> tuple[dict, dict[str, dict]]:
    """Names of the runs that this one needs, by key, and all stages that led to it."""
    links: dict = {}
    stages: dict[str, dict] = {}
    for flag, key in LINKS.items():
        folders = as_list(options[flag])
        chains = [stages_of(Path(folder)) for folder in folders]
        names = [
            merge(stages, chain) if chain else outside(folder)
            for folder, chain in zip(folders, chains)
        ]
        if key != "started_from" and names:
            links[key] = names
        elif any(chains):
            links[key] = names[0]
    return links, stages


def _device_name(training: TrainingArguments) -> str:
    if training.device.type == "cuda":
        return f"{training.world_size} x {torch.cuda.get_device_name()}"
    return f"{training.device.type} ({torch.get_num_threads()} threads)"


def read_run(folder: Path) -> dict | None:
    """
    run.yaml of a local folder, with the training's `epoch` and `train_runtime` (0 for a stage that
    trains nothing); None if no training left it.
    """
    if not all((folder / name).is_file() for name in ("run.yaml", "all_results.json")):
        return None
    results = json.loads((folder / "all_results.json").read_text())
    run = yaml.safe_load((folder / "run.yaml").read_text())
    of_another_program = not (isinstance(run, dict) and "stages" in run)
    if of_another_program or "epoch" not in results:  # the results of an evaluation alone
        return None
    return run | {"epoch": results["epoch"], "train_runtime": results.get("train_runtime", 0)}


def was_measured(folder: Path) -> bool:
    """Whether a folder's results include those of an evaluation."""
    return "eval_accuracy" in json.loads((folder / "all_results.json").read_text())


def set_dataset_name(folder: Path, name: str) -> None:
    """Changes `--dataset_name` in the run.yaml of a run that had none, or another."""
    file = folder / "run.yaml"
    run = yaml.safe_load(file.read_text())
    run["arguments"]["data"]["dataset_name"] = name
    write_yaml(file, run)


def stages_of(folder: Path) -> dict[str, dict]:
    """
    The stages that led to a folder, by name, each after those it needs, the folder's own run last.
    Empty if no training left the folder.
    """
    run = read_run(folder)
    if run is None:
        return {}
    stages = in_full(run["stages"], run["versions"])
    add(stages, stage_name(run), short(run))
    return stages


def chain_totals(folder: Path) -> dict:
    """For all_results.json: totals of all stages that led to a folder. Empty if it is one alone."""
    stages = stages_of(folder)
    if len(stages) < 2:
        return {}
    seconds = sum(stage["train_runtime"] for stage in stages.values())
    return {"chain_stages": len(stages), "chain_train_runtime": seconds}
