"""
Puts benchmarks/results/NAME.md between <!-- NAME --> and <!-- /NAME --> of README and RESULTS, and
the comparison of treatments into the Space.

    python benchmarks/pages.py
"""

import shutil
from pathlib import Path

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results"
README, RESULTS_PAGE = ROOT / "README.md", ROOT / "benchmarks" / "RESULTS.md"


def tables() -> dict[str, str]:
    """Every text of benchmarks/results by its name."""
    return {file.stem: file.read_text() for file in sorted(RESULTS.glob("*.md"))}


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
    for suffix in (".md", ".json"):
        made = RESULTS / f"imbalance_official{suffix}"
        shutil.copyfile(made, ROOT / "space" / f"imbalance{suffix}")


if __name__ == "__main__":
    main()
