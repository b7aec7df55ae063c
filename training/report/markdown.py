"""Markdown, as the model card, the data card and the benchmarks write it."""

import re
from collections.abc import Iterable, Sequence


def markdown_table(header: Sequence[object], rows: Iterable[Sequence[object]]) -> str:
    """Cells are written as `str` gives them, bars escaped. Ends without a line break."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(map(_cell, line)) + " |" for line in lines)


def plain(words: str) -> str:
    """Somebody's own words, shown as they are where Markdown or HTML would read something else."""
    return re.sub(r"[\\`*<&\[\]]", r"\\\g<0>", words)


def _cell(content: object) -> str:
    return str(content).replace("|", "\\|")
