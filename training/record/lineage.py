"""
The runs that led to a run: it may start from weights that another run left, average them with those
of others, or have others as teachers.

A *stage* is one of these runs in short, as `stages` of run.yaml holds it. `started_from` (a name),
`averaged_with` and `taught_by` (lists) refer to other stages by name; in the lists, a word with a
slash is a model outside the chain. `fine_tuned` is there if it started from the model that ships.
"""

import re
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path

# flag that names folders of other runs -> key that names their stages
LINKS = {
    "model_name_or_path": "started_from",
    "average_with": "averaged_with",
    "teachers": "taught_by",
}
SHIPPED = "model"  # the repository's folder: who reproduces a run that started from it has it
TREATMENT = {"sampling": "none", "loss": "cross_entropy"}  # the defaults, as in the next
LABELS_OF = {"classes": "fer2013", "label_names": [], "label_source": "dataset"}
OF_ONE_MACHINE = ("output_dir", "resume_from_checkpoint", "overwrite", "disable_tqdm")
FILE_FLAGS = ("pretrained", "ferplus_csv")  # what has a slash there is never a Hub id
KEPT = ("epoch", "train_runtime", "changed_on_resume", "versions")
HUB_ID = re.compile(r"[\w.-]*\w/[\w.-]+")
WEIGHTS_SUFFIXES = (".safetensors", ".pth", ".pt", ".bin")


def flags_of(run: Mapping) -> dict:
    """Every resolved argument of run.yaml by name, whichever group holds it."""
    return {name: value for group in run["arguments"].values() for name, value in group.items()}


def portable(word: str) -> str:
    """
    A file or folder of this machine -> its name; other words, Hub ids too, as they are. Decided by
    the word alone, so that the answer is the same on every machine: "a/b" is a Hub id.
    """
    is_path = Path(word).is_absolute() or word.startswith(("./", "../", "~")) or word.count("/") > 1
    return Path(word).name if is_path and Path(word).name else word


def unmistakable(word: str) -> str:
    """A path that exists here and could be taken for a Hub id ("data/faces") -> "./data/faces"."""
    return f"./{word}" if HUB_ID.fullmatch(word) and Path(word).exists() else word


def is_weights_file(pretrained: str) -> bool:
    """Whether --pretrained names a file and not a network of timm."""
    return "/" in pretrained or Path(pretrained).suffix in WEIGHTS_SUFFIXES


def recipe_of(command: str) -> str | None:
    """The recipe's path in the repository, or its name if it lies elsewhere."""
    _, _, *recipes = _split(command)[0]  # after "python train.py"
    if not recipes:
        return None
    elsewhere = Path(recipes[0]).is_absolute() or recipes[0].startswith(("../", "~"))
    return Path(recipes[0]).name if elsewhere else recipes[0]


def short(run: Mapping) -> dict:
    """
    A run, as `read_run` gives it, as a stage: its `flags` are what differs from the recipe, its
    `versions` all of them.
    """
    options, flags = flags_of(run), _split(run["command"])[1]
    flags = {name: values for name, values in flags.items() if name not in OF_ONE_MACHINE}
    if "dataset" in flags:  # as the arguments have it, where it is not mistaken for a Hub id
        flags["dataset"] = [portable(options["dataset"])]
    stage = {"recipe": run["recipe"], "flags": ""}
    stage |= {name: run[name] for name in ("seed", "data_fingerprint")}
    for name, usual in (LABELS_OF | TREATMENT).items():
        if options.get(name, usual) != usual:
            stage[name] = options[name]
    for flag, key in LINKS.items():
        given = as_list(options[flag])
        if names := run.get(key):
            stage[key] = names
            folders = _folders(names)
            if flag == "model_name_or_path" and _is_shipped(given[0], run):
                stage["fine_tuned"], folders = SHIPPED, [SHIPPED]
        elif given:  # --model_name_or_path of a model outside the chain
            stage[flag] = portable(given[0])
            folders = [portable(given[0])]
        if given and (flag in flags or given != folders):
            flags[flag] = folders
    if "averaged_with" in stage:
        stage["average_weight"] = options["average_weight"]
    pretrained = options["pretrained"]
    if pretrained and not options["model_name_or_path"]:
        name = Path(pretrained).name if is_weights_file(pretrained) else pretrained
        stage |= {"pretrained": name, "backbone": options["backbone"]}
    for name in FILE_FLAGS:
        if name in flags:
            flags[name] = [Path(word).name for word in flags[name]]
    return stage | {"flags": join_flags(flags)} | {name: run[name] for name in KEPT if name in run}


def _is_shipped(folder: str, run: Mapping) -> bool:
    """Whether a run on other data started from the model of the repository, by its chain."""
    before = run.get("stages", {}).values()
    by_chain = any((stage.get("recipe") or "").startswith("configs/model/") for stage in before)
    other_data = run["data_fingerprint"] not in [stage["data_fingerprint"] for stage in before]
    return portable(folder) == SHIPPED and by_chain and other_data


def add(stages: dict[str, dict], name: str, stage: Mapping) -> str:
    """Adds a stage unless an equal one is there. Returns its name, which may get a number."""
    for known, other in stages.items():
        if other == stage:
            return known
    unique, number = name, 2
    while unique in stages:
        unique, number = f"{name}_{number}", number + 1
    stages[unique] = dict(stage)
    return unique


def merge(stages: dict[str, dict], chain: Mapping[str, Mapping]) -> str:
    """Adds a chain in its order. Returns the name that its last stage has in `stages`."""
    names: dict[str, str] = {}
    for name, stage in chain.items():
        names[name] = add(stages, name, _renamed(stage, names))
    return names[name]


def _renamed(stage: Mapping, names: Mapping[str, str]) -> dict:
    """`stage` with the new names of the stages that it needs, which its recipe does not know."""
    stage, flags = dict(stage), _flags(stage)
    for flag, key in LINKS.items():
        before = as_list(stage.get(key))
        after = [names.get(name, name) for name in before]
        if after != before:
            stage[key] = after if isinstance(stage[key], list) else after[0]
            flags[flag] = _folders(after)
    return stage | {"flags": join_flags(flags)}


def stage_name(run: Mapping) -> str:
    """The name of the recipe, or of the folder that the run wrote to."""
    if run["recipe"]:
        return Path(run["recipe"]).stem
    return Path(flags_of(run)["output_dir"]).name or "train"


def outside(word: str) -> str:
    """A model that is no stage -> its Hub id, or "./" and the name of its folder."""
    name = portable(unmistakable(word))
    return name if "/" in name else f"./{name}"


def mark_paths(arguments: Mapping[str, dict], links: Mapping) -> None:
    """
    Changes run.yaml's arguments in place, so that a path can be told from a Hub id by its form
    alone. Models that are stages, which `links` names, stay as they are.
    """
    names = ["dataset"] if "started_from" in links else ["dataset", "model_name_or_path"]
    for group in arguments.values():
        for name in names:
            if group.get(name):
                group[name] = unmistakable(group[name])


def abridged(stages: Mapping[str, Mapping], versions: Mapping) -> dict[str, dict]:
    """Stages as run.yaml holds them, each with only those versions that differ from the run's."""
    result = {}
    for name, stage in stages.items():
        own = stage["versions"]
        other = {
            package: own.get(package)
            for package in {**versions, **own}
            if own.get(package) != versions.get(package)
        }
        kept = {key: value for key, value in stage.items() if value not in ("", None)}
        result[name] = {key: value for key, value in kept.items() if key != "versions"}
        result[name] |= {"versions": other} if other else {}
    return result


def in_full(stages: Mapping[str, Mapping], versions: Mapping) -> dict[str, dict]:
    """Stages of run.yaml, each with all its versions and flags: the inverse of `abridged`."""
    result = {}
    for name, stage in stages.items():
        own = dict(versions) | stage.get("versions", {})
        own = {package: version for package, version in own.items() if version is not None}
        result[name] = {"recipe": None, "flags": "", **stage, "versions": own}
    return result


def before_shipped(stages: Mapping[str, Mapping]) -> set[str]:
    """The names of the stages that led to the model that ships, where a later one is tuned on."""
    open_, found = [s["started_from"] for s in stages.values() if "fine_tuned" in s], set()
    while open_:
        name = open_.pop()
        found.add(name)
        needed = [entry for key in LINKS.values() for entry in as_list(stages[name].get(key))]
        open_ += [entry for entry in needed if entry in stages and entry not in found]
    return found


def on_same_data(stages: Mapping[str, Mapping]) -> dict[str, Mapping]:
    """The stages that were trained on the last one's data, with its labels."""
    *_, last = stages.values()
    return {
        name: stage
        for name, stage in stages.items()
        # where images are read in colour, the fingerprint alone differs
        if stage["data_fingerprint"] == last["data_fingerprint"]
        or _data_flags(stage) == _data_flags(last)
    }


def _data_flags(stage: Mapping) -> dict:
    return {"dataset": _flags(stage).get("dataset")} | {name: stage.get(name) for name in LABELS_OF}


def commands(stages: Mapping[str, Mapping]) -> list[str]:
    """
    The command of each stage, for a clone of this repository. Data that are the same as the last
    stage's are named as there. Each run writes to runs/<name>, where those that need it find it.
    """
    last, lines = [*stages.values()][-1], []
    dataset = _flags(last).get("dataset")
    for name, stage in stages.items():
        flags = _flags(stage)
        if dataset and stage["data_fingerprint"] == last["data_fingerprint"]:
            flags["dataset"] = dataset
        recipe = [stage["recipe"]] if stage["recipe"] else []
        if name != (Path(*recipe).stem if recipe else "train"):
            flags["output_dir"] = [f"runs/{name}"]
        head = shlex.join(["python", "train.py", *recipe])
        lines.append(f"{head} {join_flags(flags)}".rstrip())
    return lines


def _folders(names: str | Sequence[str]) -> list[str]:
    """Where the commands find stages; models outside the chain are named as they are."""
    return [name.removeprefix("./") if "/" in name else f"runs/{name}" for name in as_list(names)]


def as_list(value: str | Sequence[str] | None) -> list[str]:
    """One word, several or none -> a list."""
    return [value] if isinstance(value, str) else list(value or ())


def _split(command: str) -> tuple[list[str], dict[str, list[str]]]:
    """The words of `python train.py RECIPE`, and the values of each flag."""
    words = shlex.split(command)
    first = next((i for i, word in enumerate(words) if word.startswith("--")), len(words))
    return words[:first], parse_flags(words[first:])


def _flags(stage: Mapping) -> dict[str, list[str]]:
    """The flags in which a stage differs from its recipe."""
    return parse_flags(shlex.split(stage["flags"]))


def parse_flags(words: Sequence[str]) -> dict[str, list[str]]:
    """["--seed", "1", ...] -> the values of each flag, paths shortened as by `portable`."""
    flags: dict[str, list[str]] = {}
    for word in words:
        if word.startswith("--"):
            name, equals, value = word[2:].partition("=")
            values = flags[name.replace("-", "_")] = [portable(value)] if equals else []
        else:
            values.append(portable(word))
    return flags


def join_flags(flags: Mapping[str, Sequence[str]]) -> str:
    """The inverse of `parse_flags`, as on a command line."""
    return shlex.join([word for name, values in flags.items() for word in (f"--{name}", *values)])
