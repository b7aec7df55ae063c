"""Markdown, as the model card, the data card and the benchmarks write it."""

import functools
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import jinja2


def markdown_table(header: Sequence[object], rows: Iterable[Sequence[object]]) -> str:
    """Cells are written as `str` gives them, bars escaped. Ends without a line break."""
    lines = [header, ["---"] * len(header), *rows]
    escaped_lines = ([str(cell).replace("|", "\\|") for cell in line] for line in lines)
    return "\n".join(f"| {' | '.join(line)} |" for line in escaped_lines)


def escaped(text: str) -> str:
    """Somebody's own words, shown as they are where Markdown or HTML would read something else."""
    return re.sub(r"[\\`*<&|\[\]]", r"\\\g<0>", text)


def listed(words: Iterable[object]) -> str:
    """["a", "b", "c"] -> "a, b and c"."""
    *others, last = map(str, words)
    return f"{', '.join(others)} and {last}" if others else last


def rounded(value: float | None, digits: int = 3) -> str:
    return "–" if value is None else f"{value:.{digits}f}"


FILTERS = {
    "escaped": escaped,
    "grouped": "{:,}".format,  # 1234 -> 1,234
    "listed": listed,
    "rounded": rounded,
}


def render(template: Path, **facts: object) -> str:
    """
    A Jinja template with facts. It may include templates of its folder, and has the filters above.
    A line that is a statement leaves no line break.

    Raises:
        jinja2.UndefinedError: the template names a fact that is not given.
    """
    text = _environment(template.parent).get_template(template.name).render(**facts)
    return re.sub(r"\n{3,}", "\n\n", text).strip() + "\n"


@functools.cache
def _environment(folder: Path) -> "jinja2.Environment":
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(folder),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,  # it is Markdown
    )
    environment.filters |= FILTERS
    return environment
