"""What is wrong with a command can often be said before torch is imported, which takes seconds."""

import argparse
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

from .errors import DataError
from .recipes import read_recipe

USAGE = "train.py [RECIPE.yaml] [--flag value ...]"
SINGLE = ("dataset", "model_name_or_path")
LISTS = ("teachers", "average_with", "evaluate_only")  # flags of any number of values
CSV_SUFFIXES = (".csv", ".csv.gz")
HUB_ID = re.compile(r"[\w-][\w.-]*/[\w.-]+")


def exit_with_usage(message: str) -> NoReturn:
    """As argparse ends a program: status 2, usage and message on stderr."""
    argparse.ArgumentParser(usage=USAGE).error(message)


def check_paths(argv: Sequence[str]) -> None:
    """
    Looks for the recipe, the data and the saved models that a command names, with the standard
    library and PyYAML alone.

    Args:
        argv: the words after `python train.py`.

    Raises:
        SystemExit: the recipe is not there or is no recipe, or a saved model is not there.
        DataError: the data are not there.
    """
    if {"-h", "--help", "--help_all"} & {*argv}:
        return
    try:
        values = _paths_in(argv)
    except ValueError as error:
        exit_with_usage(str(error))
    except argparse.ArgumentError:  # the whole parser words it better
        return
    if problem := dataset_problem(str(values.get("dataset") or "synthetic")):
        raise DataError(problem)
    evaluates_alone = values.get("evaluate_only") not in (None, False, ["false"])
    for name in ("model_name_or_path", *(() if evaluates_alone else ("teachers", "average_with"))):
        models = values.get(name) or []
        for model in [models] if isinstance(models, str) else models:
            if problem := saved_model_problem(str(model)):
                raise SystemExit(problem)


def _paths_in(argv: Sequence[str]) -> Mapping[str, Any]:
    """The values of the flags that name data and models: the recipe's, and over them argv's."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    for name in (*SINGLE, *LISTS):
        names, number = (f"--{name}", f"--{name.replace('_', '-')}"), "*" if name in LISTS else None
        parser.add_argument(*names, dest=name, nargs=number)
    given = vars(parser.parse_known_args(argv)[0])
    recipe = read_recipe(argv[0]) if argv and not argv[0].startswith("-") else {}
    return recipe | {name: value for name, value in given.items() if value is not None}


def dataset_problem(source: str) -> str | None:
    """Why `--dataset` can be neither a file nor a folder here nor on the Hub; None if it can."""
    path = Path(source).expanduser()
    if source == "synthetic" or path.is_dir():
        return None
    if path.suffix == ".safetensors":
        if path.is_file():
            return None
        return f"{path}: no such file; `python -m training.data.pack` writes one."
    if path.exists():
        if path.name.lower().endswith((*CSV_SUFFIXES, ".parquet")):
            return None
        return (
            f"{path}: expected a .csv, .csv.gz or .parquet file or a folder, but found a "
            f"{path.suffix or 'plain'} file."
        )
    if HUB_ID.fullmatch(source) and not source.endswith((*CSV_SUFFIXES, ".parquet")):
        return None
    return (
        f"{source}: no such file or folder, and not a Hub data set id (owner/name). Give "
        "fer2013.csv, a folder of images by class, a folder of parquet files, a Hub id, or "
        f"'synthetic'. Relative paths start at {Path.cwd()}."
    )


def saved_model_problem(source: str) -> str | None:
    """Why there is no saved model under this name; None if there may be."""
    of_runs = source.startswith("runs/")  # where train.py writes: no owner on the Hub
    if Path(source).is_dir() or (HUB_ID.fullmatch(source) or "/" not in source) and not of_runs:
        return None
    return missing_model(source, "there is no such folder")


def missing_model(source: str, why: str) -> str:
    return (
        f"train.py: no saved model {source}: expected its folder, or a Hub id that can be reached "
        f"({why}). Relative paths start at {Path.cwd()}. If a recipe names it, run the recipe of "
        "that name first."
    )
