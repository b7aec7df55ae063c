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
ORDER = ("data", "treatments", "targets", "evaluation", "record", "card")


def imported(file: Path) -> set[str]:
    """
    Dotted names that a file imports when it runs, absolute; of `from a import b` both `a` and
    `a.b`.
    """
    package, names, tree = file.relative_to(ROOT).parts[:-1], set(), ast.parse(file.read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            node.body = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            base = ".".join([*base, *([node.module] if node.module else [])])
            names |= {base, *(f"{base}.{alias.name}" for alias in node.names)}
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


def module_name(file: Path) -> str:
    return ".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def test_files_import_each_other_in_no_circle():
    """Imports inside functions count, too."""
    files = [*ROOT.glob("*.py"), *(file for room in ROOMS for file in (ROOT / room).rglob("*.py"))]
    modules = {module_name(file): file for file in files if not file.is_symlink()}
    graph = {}
    for name, file in modules.items():
        # files of a script's folder are imported by their own names
        folder = file.parent.name
        wanted = imported(file) | {f"{folder}.{other}" for other in imported(file)}
        graph[name] = wanted & {*modules}
    assert sum(map(len, graph.values())) > 300
    done: set[str] = set()

    def walk(name: str, path: tuple[str, ...]) -> None:
        assert name not in path, " -> ".join([*path[path.index(name) :], name])
        if name not in done:
            for other in sorted(graph[name] - {name}):
                walk(other, (*path, name))
            done.add(name)

    for name in graph:
        walk(name, ())


def test_every_room_says_what_it_is_for():
    for init in (ROOT / "training").glob("*/__init__.py"):
        assert ast.get_docstring(ast.parse(init.read_text())), init


@pytest.mark.parametrize("file", sorted((ROOT / "benchmarks").glob("*.py")), ids=lambda f: f.stem)
def test_every_benchmark_finds_what_it_imports(file):
    importlib.import_module(f"benchmarks.{file.stem}")
