"""
Puts benchmarks/results/NAME.md between <!-- NAME --> and <!-- /NAME --> of RESULTS, an excerpt of
the comparison of treatments into README, and the whole of it into the Space.

    python benchmarks/pages.py
"""

import itertools
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))
from training.report import markdown_table  # noqa: E402

RESULTS = ROOT / "benchmarks" / "results"
README, RESULTS_PAGE = ROOT / "README.md", ROOT / "benchmarks" / "RESULTS.md"
EXCERPT_ROWS = (
    "cross-entropy (baseline)",
    "undersampling (paper)",
    "weighted binary cross-entropy (paper)",
    "focal loss (paper)",
    "logit-adjusted loss",
    "weighted sampling",
)
EXCERPT_COLUMNS = (
    "treatment",
    "accuracy",
    "balanced accuracy",
    "macro-F1",
    "recall of disgust",
)


def tables() -> dict[str, str]:
    """Every table of benchmarks/results by its name, and the excerpt that README shows."""
    found = {file.stem: file.read_text() for file in sorted(RESULTS.glob("*.md"))}
    text = excerpt(found["imbalance_official"], EXCERPT_ROWS, EXCERPT_COLUMNS)
    return found | {"imbalance_excerpt": text}


def excerpt(text: str, rows: Sequence[str], columns: Sequence[str]) -> str:
    """
    Some rows and columns of the Markdown table that `text` begins with, in its own order.

    Args:
        rows: by the first cell. columns: by the header.

    Raises:
        KeyError: the table does not have all of them.
    """
    lines = itertools.takewhile(lambda line: line.startswith("|"), text.splitlines())
    header, _, *body = ([cell.strip() for cell in line.split("|")[1:-1]] for line in lines)
    if missing := {*columns} - {*header} | {*rows} - {cells[0] for cells in body}:
        raise KeyError(f"expected in the table: {', '.join(sorted(missing))}")
    places = [i for i, name in enumerate(header) if name in columns]
    kept = [[cells[i] for i in places] for cells in body if cells[0] in rows]
    return markdown_table([header[i] for i in places], kept)


def fill(page: Path, name: str, text: str) -> str:
    """The page's text with `text` between the marks, if it has them."""
    begin, end = f"<!-- {name} -->\n", f"<!-- /{name} -->"
    content = page.read_text()
    if begin not in content:
        return content
    before, rest = content.split(begin)
    return before + begin + text.strip() + "\n" + end + rest.split(end, 1)[1]


def main() -> None:
    for page in (README, RESULTS_PAGE):
        for name, text in tables().items():
            page.write_text(fill(page, name, text))
    for made in RESULTS.glob("imbalance_official.*"):
        shutil.copyfile(made, ROOT / "space" / f"imbalance{made.suffix}")


if __name__ == "__main__":
    main()
