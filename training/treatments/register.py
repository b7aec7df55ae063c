"""Finds the losses: the files of this room, and files from outside."""

import contextlib
import dataclasses
import functools
import importlib
import importlib.util
import inspect
import pkgutil
import sys
import typing
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from ..flags import arg
from ..wording import unknown_name
from .loss import Loss

BASELINE = "cross_entropy"


@functools.cache
def losses() -> dict[str, type[Loss]]:
    """
    Every loss of this room by name, the baseline first.

    Raises:
        ValueError: a file cannot be imported, or its class is not made as it should be.
    """
    by_name = {}
    for info in pkgutil.iter_modules(importlib.import_module(__package__).__path__):
        with _named_in_errors(f"training/treatments/{info.name}.py"):
            classes = _losses_in(importlib.import_module(f"{__package__}.{info.name}"))
            if len(classes) > 1:
                raise ValueError(f"expected one loss, but found {', '.join(classes)}")
            for loss in classes.values():
                loss.name = info.name
                by_name[info.name] = _checked(loss)
    return {BASELINE: by_name.pop(BASELINE), **by_name}


def find_loss(name: str) -> type[Loss]:
    """
    Args:
        name: of a loss in this room, or `path/to/file.py:ClassName`. Such a file imports from
            `training.treatments`, or from siblings as if it lay in this room.

    Raises:
        ValueError: there is none; the message names those that there are.
    """
    if ".py:" in name:
        return _outside(name)
    if name not in losses():
        raise ValueError(
            f"--loss must be one of {', '.join(losses())}, or path/to/file.py:ClassName: "
            + unknown_name(name, losses(), "loss")
        )
    return losses()[name]


def soft_label_losses() -> list[str]:
    return [name for name, loss in losses().items() if loss.takes_soft_labels]


def flag_fields(outside: Sequence[type[Loss]] = ()) -> list[tuple[str, type, dataclasses.Field]]:
    """
    The flags of all losses, each once, as `dataclasses.make_dataclass` takes them.

    Args:
        outside: losses of other files, whose flags are wanted as well.

    Raises:
        ValueError: two losses have a flag of one name, but of another type or default value.
    """
    owners: dict[str, list[type[Loss]]] = {}
    for loss in dict.fromkeys([*losses().values(), *outside]):
        for name in loss.flags():
            owners.setdefault(name, []).append(loss)
    return [_flag(name, of) for name, of in owners.items()]


def _flag(name: str, owners: list[type[Loss]]) -> tuple[str, type, dataclasses.Field]:
    fields = [next(f for f in dataclasses.fields(loss) if f.name == name) for loss in owners]
    types = [typing.get_type_hints(loss)[name] for loss in owners]
    first, default = fields[0], _default(fields[0])
    for loss, field, of_type in zip(owners, fields, types):
        if of_type != types[0] or _default(field) != default:
            raise ValueError(
                f"The flag --{name} of the loss {loss.name} ({of_type}, default "
                f"{_default(field)!r}) differs from that of {owners[0].name} ({types[0]}, default "
                f"{default!r}). Rename it, or make both the same."
            )
    text = first.metadata["help"].replace("%", "%%")  # argparse formats it
    text = f"{text} (--loss {', '.join(loss.name for loss in owners)})"
    return name, types[0], arg(default, **first.metadata | {"help": text})


def _default(field: dataclasses.Field) -> Any:
    made = field.default_factory
    return field.default if made is dataclasses.MISSING else made()


def _losses_in(module: ModuleType) -> dict[str, type[Loss]]:
    """The losses that a module defines, by class name; not those that it imports."""
    return {
        name: value
        for name, value in vars(module).items()
        if isinstance(value, type)
        and issubclass(value, Loss)
        and value is not Loss
        and value.__module__ == module.__name__
    }


def _checked(loss: type[Loss]) -> type[Loss]:
    """Raises ValueError unless the class is made as docs/treatments.md says."""
    without_help = [f.name for f in dataclasses.fields(loss) if "help" not in f.metadata]
    expected = {
        "@dataclass above the class": dataclasses.is_dataclass(loss)
        and "__dataclass_fields__" in vars(loss),
        "a title": isinstance(getattr(loss, "title", None), str),
        "the method __call__(logits, labels)": not inspect.isabstract(loss),
        "arg(default, help) for each flag": not without_help,
    }
    for what, is_there in expected.items():
        if not is_there:
            raise ValueError(f"{loss.__name__}: expected {what}; see docs/treatments.md")
    return loss


@contextlib.contextmanager
def _named_in_errors(file: str) -> Iterator[None]:
    """Turns whatever goes wrong with a loss's file into a ValueError that names the file."""
    try:
        yield
    except Exception as error:  # of code that somebody writes, of any kind
        kind = "" if type(error) is ValueError else f"{type(error).__name__}: "
        raise ValueError(f"{file}: {kind}{error}.") from error


@functools.cache
def _outside(name: str) -> type[Loss]:
    file, _, class_name = name.rpartition(":")
    path = Path(file).expanduser()
    if not path.is_file():
        raise ValueError(f"--loss {name}: no such file {file}; expected path/to/file.py:ClassName.")
    # a name in this package, so that `from .loss import Loss` works as it does in this folder
    module_name = f"{__package__}.outside_{path.stem}"
    spec = importlib.util.spec_from_file_location(module_name, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[module_name] = module
    with _named_in_errors(file):
        spec.loader.exec_module(module)
        classes = _losses_in(module)
        if class_name not in classes:
            raise ValueError(
                f"it has no class {class_name} that is a training.treatments.Loss; "
                f"found {', '.join(classes) or 'none'}"
            )
        classes[class_name].name = name
        return _checked(classes[class_name])
