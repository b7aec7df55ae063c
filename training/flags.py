"""What the dataclasses of flags are made with, one in each room."""

from dataclasses import field
from typing import Any


def arg(default: Any, help: str, **metadata) -> Any:
    """A dataclass field that is a flag of train.py, with its default and its line in `--help`."""
    if isinstance(default, list):
        return field(default_factory=lambda: list(default), metadata={"help": help, **metadata})
    return field(default=default, metadata={"help": help, **metadata})


def check_range(
    arguments: object, name: str, low: float, high: float, *, closed: bool = False
) -> None:
    """Raises ValueError unless `low` <= value < `high` (`closed`: <= `high`)."""
    value = getattr(arguments, name)
    if not (low <= value < high or (closed and value == high)):
        bracket = "]" if closed else ")"
        raise ValueError(f"--{name} must be in [{low}, {high}{bracket}, but it is {value}.")
