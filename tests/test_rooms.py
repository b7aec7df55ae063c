"""Who may import whom."""

import ast
import importlib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ROOMS = ("modeling", "training", "publishing", "prediction", "space", "benchmarks")
# What each package must not import, of this repository.
FORBIDDEN = {
    "modeling": {*ROOMS, "train"} - {"modeling"},
    "prediction": {"training", "publishing", "space", "benchmarks", "train"},
    "training": {"publishing", "prediction", "space", "benchmarks", "train"},
    "publishing": {"space", "benchmarks", "prediction"},
}
# In training, data flows one way: a room imports only those before it.
ORDER = ("data", "treatments", "targets", "evaluation", "report")


def imported(file: Path) -> set[str]:
    """Dotted names of this repository that a file imports, absolute."""
    package, names = file.relative_to(ROOT).parts[:-1], set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            names.add(".".join([*base, *([node.module] if node.module else [])]))
    return names


@pytest.mark.parametrize("room", FORBIDDEN)
def test_a_room_imports_only_what_it_may(room):
    files = sorted((ROOT / room).rglob("*.py"))
    assert files
    for file in files:
        roots = {name.split(".")[0] for name in imported(file)}
        assert not roots & FORBIDDEN[room], file


def test_what_is_published_is_flat():
    for file in (ROOT / "modeling").glob("[!_]*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.ImportFrom) and node.level:
                assert node.level == 1 and node.module, file


def test_data_flows_one_way_through_the_rooms_of_training():
    for number, room in enumerate(ORDER):
        later = {f"training.{name}" for name in ORDER[number + 1 :]}
        for file in (ROOT / "training" / room).rglob("*.py"):
            found = {".".join(name.split(".")[:2]) for name in imported(file)}
            assert not found & later, file


def test_rooms_import_each_other_in_no_circle():
    """Between rooms and files of training's own level."""
    graph = {}
    for file in (ROOT / "training").rglob("*.py"):
        parts = file.relative_to(ROOT / "training").with_suffix("").parts
        if parts[0] == "__init__":
            continue
        found = {name.split(".")[1] for name in imported(file) if name.startswith("training.")}
        graph.setdefault(parts[0], set()).update(found - {parts[0]})

    def walk(node, path):
        assert node not in path, " -> ".join([*path, node])
        for following in graph.get(node, ()):
            walk(following, [*path, node])

    for node in graph:
        walk(node, [])


def test_every_room_says_what_it_is_for():
    for init in (ROOT / "training").glob("*/__init__.py"):
        assert ast.get_docstring(ast.parse(init.read_text())), init


@pytest.mark.parametrize("file", sorted((ROOT / "benchmarks").glob("*.py")), ids=lambda f: f.stem)
def test_every_benchmark_finds_what_it_imports(file):
    importlib.import_module(f"benchmarks.{file.stem}")
