"""README.md and RESULTS.md hold what was measured, and their links lead somewhere."""

import re

import pytest

from benchmarks.pages import README, RESULTS_PAGE, ROOT, blocks, fill

PAGES = [README, RESULTS_PAGE]


def test_text_between_the_marks_is_replaced_and_the_rest_stays(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("a\n<!-- t -->\nold\n<!-- /t -->\nb\n")
    assert fill(page, "t", "new\n") == "a\n<!-- t -->\nnew\n<!-- /t -->\nb\n"
    assert fill(page, "other", "new\n") == page.read_text()


def test_every_text_is_shown_as_it_is_or_linked():
    """Run python -m benchmarks.pages."""
    pages = [page.read_text() for page in PAGES]
    for name, text in blocks().items():
        assert all(fill(page, name, text) == page.read_text() for page in PAGES), name
        assert any(f"<!-- {name} -->" in page or f"{name}.md" in page for page in pages), name


@pytest.mark.parametrize(
    "page",
    [
        *PAGES,
        ROOT / "CONTRIBUTING.md",
        ROOT / "benchmarks" / "LOG.md",
        *(ROOT / "docs").glob("*.md"),
    ],
    ids=lambda page: page.name,
)
def test_no_page_links_to_what_is_not_there(page):
    for target in re.findall(r"\]\((?!http)([^)\s]+)\)|src=\"([^\"]+)\"", page.read_text()):
        file, _, heading = "".join(target).partition("#")
        linked = (page.parent / file).resolve() if file else page
        assert linked.exists(), target
        headings = re.findall(r"^#+ (.*)$", linked.read_text(), re.M) if heading else []
        anchors = [re.sub(r"[^\w -]", "", h.lower()).replace(" ", "-") for h in headings]
        assert not heading or heading in anchors, target


def test_the_pages_are_short():
    assert len(README.read_text().split()) <= 1500
    assert len(RESULTS_PAGE.read_text().split()) <= 3500
