"""
Puts benchmarks/results/NAME.md between <!-- NAME --> and <!-- /NAME --> of README and RESULTS, and
the comparison of treatments into the Space.

    python benchmarks/pages.py
"""

import shutil
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGES = (ROOT / "README.md", ROOT / "benchmarks" / "RESULTS.md")


def fill(page: Path, name: str, text: str) -> str:
    """The page's text with `text` between the marks, if it has them."""
    begin, end = f"<!-- {name} -->\n", f"\n<!-- /{name} -->"
    content = page.read_text()
    if begin not in content:
        return content
    before, rest = content.split(begin)
    return before + begin + text.strip() + end + rest.split(end, 1)[1]


def main() -> None:
    for page in PAGES:
        for table in sorted((ROOT / "benchmarks" / "results").glob("*.md")):
            page.write_text(fill(page, table.stem, table.read_text()))
    for made in (ROOT / "benchmarks" / "results").glob("imbalance_official.*"):
        shutil.copyfile(made, ROOT / "space" / f"imbalance{made.suffix}")


if __name__ == "__main__":
    main()
