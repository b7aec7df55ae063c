"""The losses that `--loss` chooses from: one for each file of this room, and files from outside."""

import dataclasses
import difflib
import functools
import importlib
import importlib.util
import pkgutil
import sys
from pathlib import Path
from types import ModuleType

from .loss import Loss

BASELINE = "cross_entropy"


@functools.cache
def losses() -> dict[str, type[Loss]]:
    """Every loss by name, the baseline first: a file of this room that holds a subclass of Loss."""
    package = importlib.import_module(__package__)
    found = {}
    for info in pkgutil.iter_modules(package.__path__):
        for loss in _losses_in(importlib.import_module(f"{__package__}.{info.name}")):
            loss.name = info.name
            found[info.name] = loss
    return {BASELINE: found.pop(BASELINE), **found}


def find_loss(name: str) -> type[Loss]:
    """
    Args:
        name: of a loss in this room, or `path/to/file.py:ClassName`. Such a file may import from
            `training` or, like a file of this room, from its siblings.

    Raises:
        ValueError: there is none; the message says what there is.
    """
    if ".py:" in name:
        return _outside(name)
    if name not in losses():
        near = difflib.get_close_matches(name, losses(), n=1)
        hint = f" Did you mean {near[0]}?" if near else ""
        raise ValueError(
            f"--loss must be one of {', '.join(losses())}, or path/to/file.py:ClassName, but it is "
            f"{name!r}.{hint}"
        )
    return losses()[name]


def soft_label_losses() -> list[str]:
    return [name for name, loss in losses().items() if loss.takes_soft_labels]


def flag_fields(chosen: type[Loss] | None = None) -> list[tuple[str, type, dataclasses.Field]]:
    """
    The flags of all losses, each once, as `dataclasses.make_dataclass` takes them.

    Args:
        chosen: a loss from outside, whose flags are wanted as well.

    Raises:
        ValueError: two losses have a flag of one name, but of another type or default value.
    """
    every = list(losses().values())
    if chosen is not None and chosen not in every:
        every.append(chosen)
    owners: dict[str, list[type[Loss]]] = {}
    for loss in every:
        for name in loss.flags():
            owners.setdefault(name, []).append(loss)
    return [_flag(name, of) for name, of in owners.items()]


def _flag(name: str, owners: list[type[Loss]]) -> tuple[str, type, dataclasses.Field]:
    found = [next(f for f in dataclasses.fields(loss) if f.name == name) for loss in owners]
    first, default = found[0], _default(found[0])
    for loss, field in zip(owners, found):
        if field.type != first.type or _default(field) != default:
            raise ValueError(
                f"The flag --{name} of the loss {loss.name} ({field.type}, default "
                f"{_default(field)!r}) is another one than that of {owners[0].name} ({first.type}, "
                f"default {default!r}). Rename it, or make both the same."
            )
    help_line = f"{first.metadata['help']} (--loss {', '.join(loss.name for loss in owners)})"
    field = dataclasses.field(
        default=first.default,
        default_factory=first.default_factory,
        metadata={**first.metadata, "help": help_line},
    )
    return name, first.type, field


def _default(field: dataclasses.Field):
    made = field.default_factory
    return field.default if made is dataclasses.MISSING else made()


def _losses_in(module: ModuleType) -> list[type[Loss]]:
    return [
        value
        for value in vars(module).values()
        if isinstance(value, type)
        and issubclass(value, Loss)
        and value is not Loss
        and value.__module__ == module.__name__
    ]


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
    spec.loader.exec_module(module)
    found = {loss.__name__: loss for loss in _losses_in(module)}
    if class_name not in found:
        raise ValueError(
            f"--loss {name}: {file} has no class {class_name} that is a training.treatments.Loss; "
            f"found {', '.join(found) or 'none'}."
        )
    found[class_name].name = name
    return found[class_name]
