"""
Treatments of class imbalance on FER-2013, side by side: one network, one budget, several seeds.

    python benchmarks/imbalance.py --dataset fer2013.csv
    python benchmarks/imbalance.py --dataset fer2013.csv --protocol paper

Every run is a call of train.py with the recipe (configs/imbalance.yaml; --protocol paper: the
paper's three) and the flags of one treatment. A finished run is one JSON file in --output_dir, so
that a second call does only what is missing: stop it when you like. Table, chart and confusion
matrices are made again after each run from all the files there.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
from benchmarks.imbalance_report import write_report  # noqa: E402
from benchmarks.runner import argument_parser, run_missing  # noqa: E402
from training.treatments import SAMPLINGS, find_loss, losses  # noqa: E402
from training.treatments.register import BASELINE  # noqa: E402

# A row for every loss and every sampling: name -> flags, with the baseline for what is not said.
TREATMENTS = {
    name: ["--loss", name, *loss.benchmark_flags] if name != BASELINE else []
    for name, loss in losses().items()
}
TREATMENTS |= {one.row: list(one.benchmark_flags) for one in SAMPLINGS.values() if one.row}
PAPER = {
    "undersampling": ["configs/paper_undersampling.yaml"],
    "weighted_bce": ["configs/paper_weighted.yaml"],
    "focal": ["configs/paper_focal.yaml"],
}


def main(argv: list[str] | None = None) -> None:
    parser = argument_parser(__doc__)
    parser.add_argument("--protocol", choices=("official", "paper"), default="official")
    parser.add_argument("--recipe", default="configs/imbalance.yaml", help="of --protocol official")
    parser.add_argument(
        "--treatments",
        nargs="+",
        default=[],
        metavar="NAME",
        help=f"of {', '.join(TREATMENTS)}; default: all. A loss from outside, "
        "path/to/file.py:ClassName, is a row of its own",
    )
    args = parser.parse_args(argv)
    commands = {name: [args.recipe, *flags] for name, flags in TREATMENTS.items()}
    if args.protocol == "paper":
        commands = PAPER
    outside = {
        name.rpartition(":")[2]: [args.recipe, "--loss", name, *find_loss(name).benchmark_flags]
        for name in args.treatments
        if ".py:" in name
    }
    if unknown := sorted({name for name in args.treatments if ".py:" not in name} - {*commands}):
        parser.error(f"--treatments {unknown[0]}: expected some of {', '.join(commands)}")
    if args.treatments:
        commands = {name: flags for name, flags in commands.items() if name in args.treatments}
    commands |= outside
    run_missing(
        commands,
        args,
        args.output_dir / f"imbalance_{args.protocol}",
        lambda: write_report(args.output_dir, args.protocol),
    )
    write_report(args.output_dir, args.protocol)
    print(f"Table, charts and runs: {args.output_dir.resolve()}")


if __name__ == "__main__":
    main()
