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

TREATMENTS = {
    "cross_entropy": [],
    "undersampling": ["--undersample", "min"],
    "weighted_bce": ["--loss", "weighted_bce"],
    "focal": ["--loss", "focal", "--focal_alpha", "inverse"],
    "weighted_cross_entropy": ["--loss", "weighted_cross_entropy"],
    "class_balanced": ["--loss", "class_balanced"],
    "logit_adjusted": ["--loss", "logit_adjusted"],
    "ldam": ["--loss", "ldam"],
    "oversampling": ["--sampling", "oversample"],
    "weighted_sampling": ["--sampling", "weighted"],
}
PAPER = {
    "undersampling": ["configs/paper_undersampling.yaml"],
    "weighted_bce": ["configs/paper_weighted.yaml"],
    "focal": ["configs/paper_focal.yaml"],
}


def main(argv: list[str] | None = None) -> None:
    parser = argument_parser(__doc__)
    parser.add_argument("--protocol", choices=("official", "paper"), default="official")
    parser.add_argument("--recipe", default="configs/imbalance.yaml", help="of --protocol official")
    parser.add_argument("--treatments", nargs="+", choices=TREATMENTS, help="default: all")
    args = parser.parse_args(argv)
    commands = {name: [args.recipe, *flags] for name, flags in TREATMENTS.items()}
    if args.protocol == "paper":
        commands = PAPER
    if args.treatments:
        commands = {name: flags for name, flags in commands.items() if name in args.treatments}
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
