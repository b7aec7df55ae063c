"""
Make the card of a run's folder again.

After a change of the template, say, or to name the data:
  python -m training.card model
  python -m training.card runs/mine --dataset_name 'faces of drivers, 2025'
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from ..console import show_messages
from ..record.run_yaml import set_dataset_name
from .card import write_card


def main(argv: Sequence[str] | None = None) -> None:
    show_messages()
    parser = argparse.ArgumentParser(
        prog="python -m training.card",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("folder", type=Path, help="output folder of train.py")
    parser.add_argument("--model_id", help="Hub id for the snippets (default: the run's)")
    parser.add_argument(
        "--dataset_name",
        help="what the data are called, in words or as a Hub id; kept in the folder's run.yaml",
    )
    args = parser.parse_args(argv)
    try:
        if args.dataset_name:
            set_dataset_name(args.folder, args.dataset_name)
        print(write_card(args.folder, args.model_id))
    except (OSError, ValueError) as error:
        parser.error(str(error))


if __name__ == "__main__":
    main()
