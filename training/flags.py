"""What every room's dataclass of flags is made with."""

from dataclasses import field


def arg(default, help: str, **metadata):
    """A dataclass field that is a flag of train.py: its default value and its line in `--help`."""
    if isinstance(default, list):
        return field(default_factory=lambda: list(default), metadata={"help": help, **metadata})
    return field(default=default, metadata={"help": help, **metadata})


def check_range(arguments, name: str, low: float, high: float, *, closed: bool = False) -> None:
    """Raises ValueError unless `low` <= value < `high` (`closed`: <= `high`)."""
    value = getattr(arguments, name)
    if not (low <= value < high or (closed and value == high)):
        bracket = "]" if closed else ")"
        raise ValueError(f"--{name} must be in [{low}, {high}{bracket}, but it is {value}.")
