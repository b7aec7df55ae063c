"""Recipes: YAML files of `flag: value`, of which one may extend another."""

from collections.abc import Collection
from pathlib import Path
from typing import Any

import yaml

from .wording import unknown_name

ROOT = Path(__file__).parents[1]
PATHS = ("dataset", "ferplus_csv", "model_name_or_path", "teachers", "average_with")


def read_recipe(path: str | Path, known: Collection[str] | None = None) -> dict[str, Any]:
    """
    The recipe's keys and values, over those of the recipe that it extends.

    `extends: FILE`, relative to the recipe's own folder, names a recipe that is read first. A value
    replaces the extended recipe's as a whole; null takes the key out. Data and models are looked
    for from the current folder on and, if they are not there, from this repository.

    Args:
        known: keys that a recipe may have, besides `extends`; None for any.

    Raises:
        ValueError: a file is not there or not a recipe, a key is not known, or recipes extend each
            other in a circle. The message names the file at fault.
    """
    values = _read(Path(path), ())
    for key, (_, file) in values.items():
        if known is not None and key not in known:
            raise ValueError(f"{file}: " + unknown_name(str(key), known, "key"))
    return {
        key: _found(value) if key in PATHS else value
        for key, (value, _) in values.items()
        if value is not None
    }


def _found(value: Any) -> Any:
    if isinstance(value, list):
        return [_found(entry) for entry in value]
    here = isinstance(value, str) and not Path(value).exists() and ROOT / value
    return str(here) if here and here.exists() else value


def _read(path: Path, extended_by: tuple[Path, ...]) -> dict[str, tuple[Any, Path]]:
    """Values by key, each with the file in which it stands."""
    if not path.is_file():
        if extended_by:
            raise ValueError(f"{extended_by[-1]}: extends {path}, but there is no such file.")
        raise ValueError(
            f"{path}: no such recipe; expected a YAML file such as configs/quickstart.yaml."
        )
    if path.resolve() in [other.resolve() for other in extended_by]:
        circle = " -> ".join(str(other) for other in (*extended_by, path))
        raise ValueError(f"{extended_by[-1]}: extends {path}, which makes a circle: {circle}.")
    try:
        recipe = yaml.safe_load(path.read_bytes()) or {}
    except yaml.YAMLError as error:
        raise ValueError(f"{path}: not valid YAML ({error}).") from error
    if not isinstance(recipe, dict):
        raise ValueError(
            f"{path}: expected lines of `flag: value`, but found a {type(recipe).__name__}."
        )
    inherited = {}
    if "extends" in recipe:
        name = recipe.pop("extends")
        if not isinstance(name, str):
            raise ValueError(
                f"{path}: expected the file name of one recipe after `extends`, but found {name!r}."
            )
        inherited = _read(path.parent / name, (*extended_by, path))
    taken_out = {key for key, value in recipe.items() if value is None and key in inherited}
    merged = inherited | {key: (value, path) for key, value in recipe.items()}
    return {key: value for key, value in merged.items() if key not in taken_out}
