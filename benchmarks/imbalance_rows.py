"""
The rows of benchmarks/imbalance.py: what is trained in each protocol, with which flags, and what is
tried on the development split.
"""

import argparse
from collections.abc import Mapping, Sequence

from training.treatments import SAMPLINGS, BenchmarkRow, find_loss, losses
from training.treatments.register import BASELINE

CHOSEN_BY = {"official": "macro_f1", "paper": "accuracy"}  # on the development split
DEVELOPMENT = {"official": "0.1", "paper": "0.25"}  # shares of the training images
PAPER = {
    "undersampling": "configs/paper_undersampling.yaml",
    "weighted_bce": "configs/paper_weighted.yaml",
    "focal": "configs/paper_focal.yaml",
    "focal_alpha": "configs/paper_focal_alpha.yaml",
}
# Image size and learning rate, which the paper leaves open. Undersampling has an eighth of the
# steps.
PAPER_TRIES = (("160", "4e-4"), ("160", "8e-4"), ("192", "4e-4"))
UNDERSAMPLING_TRIES = (("160", "8e-4"), ("160", "1.6e-3"), ("192", "8e-4"))


def _rows() -> dict[str, BenchmarkRow]:
    """The rows of the official protocol, the baseline first; flags with the loss."""
    rows = {}
    for name, loss in losses().items():
        for suffix, row in loss.benchmark_rows.items():
            flags = () if name == BASELINE else ("--loss", name)
            rows[name + suffix] = BenchmarkRow(
                row.title or loss.title, flags + row.flags, row.tries
            )
    return rows | {of.row: of.benchmark for of in SAMPLINGS.values() if of.row}


ROWS = _rows()


def title(row: str) -> str:
    """A loss from outside is called by its name."""
    return ROWS[row].title if row in ROWS else row


def row_of(name: str) -> BenchmarkRow:
    """`name` as `--treatments` has it: a row, or a loss from outside."""
    if name in ROWS:
        return ROWS[name]
    row = find_loss(name).benchmark_rows[""]
    return BenchmarkRow(row.title, ("--loss", name, *row.flags), row.tries)


def tries_of(name: str, protocol: str) -> list[tuple[str, ...]]:
    """The flags of each trial of a row."""
    if protocol == "official":
        return list(row_of(name).tries)
    tries = UNDERSAMPLING_TRIES if name == "undersampling" else PAPER_TRIES
    return [("--image_size", size, "--learning_rate", rate) for size, rate in tries]


def arguments_of(name: str, args: argparse.Namespace) -> list[str]:
    """Arguments of train.py for a row, without what its trials choose."""
    start = [] if args.no_pretrained else ["--pretrained"]
    if args.protocol == "paper":
        return [PAPER[name], *(["--no_pretrained"] if args.no_pretrained else [])]
    held_out = ["--development_share", DEVELOPMENT["official"]]
    return [args.recipe, *start, *held_out, *row_of(name).flags]


def trial_name(row: str, flags: Sequence[str]) -> str:
    """What a trial is called in the table of runs."""
    return " ".join([row, *flags])


def trials_of(row: str, trials: Mapping[str, Sequence[Mapping]]) -> dict[str, Mapping]:
    """The trials of a row, by name; each has one seed."""
    return {name: runs[0] for name, runs in trials.items() if name.split(" ")[0] == row}


def best_trial(row: str, trials: Mapping[str, Sequence[Mapping]], protocol: str) -> str | None:
    """
    The name of a row's best trial, by `CHOSEN_BY`; None without any.

    Args:
        trials: by name, as `read_runs` gives them. What is no longer tried is left out.
    """
    known = trials_of(row, trials)
    if row in ROWS:
        tried = [trial_name(row, flags) for flags in tries_of(row, protocol)]
        known = {name: run for name, run in known.items() if name in tried}
    key = f"eval_{CHOSEN_BY[protocol]}"
    return max(known, key=lambda name: known[name][key], default=None)
