"""run.yaml as earlier versions wrote it, where each run held those that led to it in full."""

from collections.abc import Mapping

from .lineage import (
    LINKS,
    abridged,
    add,
    flags_of,
    mark_paths,
    outside,
    own_name,
    recipe_of,
    short,
    words,
)


def renewed(old: Mapping) -> dict:
    """The content of such a file in today's form."""
    stages: dict[str, dict] = {}
    run = _with_names(old, stages)
    versions = run.get("versions", {})
    kept = [name for name in run if name not in ("arguments", "versions")]
    return (
        {"command": run["command"], "recipe": recipe_of(run["command"])}
        | {name: run[name] for name in kept}
        | {"arguments": run["arguments"], "versions": versions}
        | {"stages": abridged(stages, versions)}
    )


def _with_names(old: Mapping, stages: dict[str, dict]) -> dict:
    """`old` with names in place of the runs it needs, which are added to `stages`."""
    run = {name: value for name, value in old.items() if name not in LINKS.values()}
    run["arguments"] = {name: dict(group) for name, group in old["arguments"].items()}
    options = flags_of(run)
    for flag, key in LINKS.items():
        given, needed = words(options.get(flag)), old.get(key) or []
        needed = [needed] if isinstance(needed, Mapping) else needed
        names = []
        for word, one in zip(given, needed or [None] * len(given)):
            if one is None:
                names.append(outside(word))
                continue
            one = _with_names(one, stages)
            names.append(add(stages, own_name(one), short(one)))
        if key != "started_from" and names:
            run[key] = names
        elif needed:
            run[key] = names[0]
    mark_paths(run["arguments"], run)
    return run
