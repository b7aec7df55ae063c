"""Calls of train.py, each a line in the table of runs when it is finished."""

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

import numpy as np
import torch
import yaml
from tqdm import tqdm

from benchmarks.runs import add_run, read_runs
from training.evaluation.predictions import Predictions, read_predictions

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results"  # committed; `--output_dir benchmarks/results` adds to it


def run_missing(
    commands: Mapping[str, list[str]],
    args: argparse.Namespace,
    folder: Path,
    after_each: Callable[[], None],
    *,
    with_logits: bool = False,
    also_measured: Sequence[str] | None = None,
) -> None:
    """
    Args:
        commands: name -> arguments of train.py, without data set, seed and output folder.
        args: of the command line: data set, seeds, jobs, further flags.
        folder: of the table of runs.
        after_each: called after each finished run.
        with_logits: keep the logits.
        also_measured: flags of the second split whose logits are kept, if any.

    Raises:
        SystemExit: a run fails, or one that is there was made with other settings.
    """
    done = {(run["name"], run["seed"]): run for runs in read_runs(folder).values() for run in runs}
    wanted = {
        (name, seed): arguments + args.flags
        for seed in args.seeds
        for name, arguments in commands.items()
    }
    missing = [key for key in wanted if not _is_done(done.get(key), wanted[key], folder)]
    print(f"{len(wanted)} runs, {len(wanted) - len(missing)} of them done before")
    here = ["--dataset", _absolute(args.dataset)]
    if args.pretrained:
        here += ["--pretrained", _absolute(args.pretrained)]
    share = max(1, (os.cpu_count() or 1) // args.jobs)
    threads = int(os.environ.get("OMP_NUM_THREADS", share))
    pool = ThreadPoolExecutor(args.jobs)
    started = {
        pool.submit(train, wanted[key], key[1], here, threads, also_measured): key
        for key in missing
    }
    try:
        for future in tqdm(as_completed(started), total=len(started), desc="Runs", unit="run"):
            results, arrays = future.result()
            name, seed = started[future]
            add_run(folder, {"name": name, "seed": seed} | results, arrays if with_logits else None)
            after_each()
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def _absolute(path: str) -> str:
    """train.py runs in the root of the repository."""
    return str(Path(path).resolve()) if Path(path).exists() else path


def _is_done(run: Mapping | None, arguments: list[str], folder: Path) -> bool:
    if run is not None and run["arguments"] != arguments:
        raise SystemExit(
            f"{folder}: {run['name']} with seed {run['seed']} was made with other settings "
            f"({' '.join(run['arguments'])}); expected {' '.join(arguments)}. Choose another "
            "--output_dir, or move that folder away."
        )
    return run is not None


def train(
    arguments: list[str],
    seed: int,
    here: list[str],
    threads: int,
    also_measured: Sequence[str] | None = None,
) -> tuple[dict, dict[str, np.ndarray]]:
    """
    One run of train.py in a process of its own; its seed also chooses the splits that are made.

    Args:
        here: flags that belong to this machine, such as the path of the data; not recorded.
        also_measured: as of `run_missing`.

    Returns:
        Its results with arguments, weights, machine and class distributions; and its arrays, as
        `add_run` takes them.
    """
    seeds = ["--seed", str(seed), "--split_seed", str(seed)]
    with tempfile.TemporaryDirectory() as parent:
        folder = Path(parent) / "run"
        _call([*arguments, *seeds, *here, "--output_dir", str(folder)], threads)
        results, config, report = (
            json.loads((folder / f"{name}.json").read_text())
            for name in ("all_results", "config", "data_report")
        )
        record = yaml.safe_load((folder / "run.yaml").read_text())
        arrays = _arrays(read_predictions(folder / "predictions.csv"))
        if also_measured is not None:
            second = Path(parent) / "second"
            saved = ["--evaluate_only", "--model_name_or_path", str(folder), *here[:2]]
            _call([*saved, *also_measured, *seeds, "--output_dir", str(second)], threads)
            predictions = read_predictions(second / "predictions.csv")
            arrays |= {
                "development": _logits(predictions),
                "development_labels": predictions.labels.astype(np.int8),
            }
    pretrained = record["arguments"]["model"]["pretrained"]
    run = {
        "arguments": arguments,
        "pretrained": pretrained and Path(pretrained).name,
        "machine": machine(threads),
        "train_counts": list(report["train_counts_after_sampling"].values()),
        "train_distribution": config["calibration"]["train_distribution"],
        "learned_distribution": config["calibration"]["learned_distribution"],
    }
    return run | results, arrays


def _call(arguments: Sequence[str], threads: int) -> None:
    command = [*arguments, "--disable_tqdm", "true", "--save_predictions", "true"]
    done = subprocess.run(
        [sys.executable, "train.py", *command],
        cwd=ROOT,
        env=os.environ | {"OMP_NUM_THREADS": str(threads)},
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise SystemExit(f"train.py {' '.join(arguments)} failed:\n{done.stderr[-2000:]}")


def _arrays(predictions: Predictions) -> dict[str, np.ndarray]:
    return {
        "labels": predictions.labels.astype(np.int8),
        "copies": predictions.copies,
        "logits": _logits(predictions),
    }


def _logits(predictions: Predictions) -> np.ndarray:
    """float16 (N, C). What rounding made equal is set apart, so that the predictions stay."""
    logits = predictions.logits.astype(np.float16)
    tied = np.flatnonzero(logits.argmax(axis=1) != predictions.predicted)
    highest = logits[tied].max(axis=1)
    logits[tied, predictions.predicted[tied]] = np.nextafter(highest, np.float16(np.inf))
    return logits


def machine(threads: int) -> str:
    if torch.cuda.is_available():
        return torch.cuda.get_device_name()
    return f"{threads} CPU thread{'s' * (threads > 1)} ({platform.machine()})"
