"""
Finished runs side by side: results, recall of each class, and the differences to the first run.

    python train.py ... --save_predictions --output_dir runs/a
    python train.py ... --save_predictions --output_dir runs/b
    python compare.py runs/a runs/b

A saved model has predictions by `train.py --evaluate_only --model_name_or_path DIR
--save_predictions --output_dir runs/c`. Brackets are 95 % bootstrap intervals over the images that
all runs share, paired with the first run; differences that Holm's correction confirms, over all of
a table, are bold. One training each says nothing about another seed: train each with several, or
see benchmarks/imbalance.py.

Writes compare.md and compare.png to --output_dir.
"""

import argparse
from pathlib import Path


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="two or more folders")
    parser.add_argument(
        "--output_dir", type=Path, default=Path("runs", "compare"), help="default: %(default)s"
    )
    args = parser.parse_args(argv)
    if len({folder.resolve() for folder in args.runs}) < max(2, len(args.runs)):
        parser.error("expected two or more runs, each once.")
    if missing := [str(folder) for folder in args.runs if not folder.is_dir()]:
        parser.error(f"no such folder: {', '.join(missing)}")
    from training.comparison import compare  # here, so that --help does not wait for PyTorch

    print(compare(args.runs, args.output_dir))
    print(f"Table and picture: {args.output_dir.resolve()}")


if __name__ == "__main__":
    main()
