"""README.md and RESULTS.md hold the tables that were measured."""

import re

import pytest

from benchmarks.pages import README, RESULTS_PAGE, ROOT, fill, tables

TABLES = tables()


def test_text_between_the_marks_is_replaced_and_the_rest_stays(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("a\n<!-- t -->\nold\n<!-- /t -->\nb\n")
    assert fill(page, "t", "new\n") == "a\n<!-- t -->\nnew\n<!-- /t -->\nb\n"
    assert fill(page, "other", "new\n") == page.read_text()
    page.write_text("a\n<!-- t -->\n<!-- /t -->\nb\n")
    assert fill(page, "t", "new\n") == "a\n<!-- t -->\nnew\n<!-- /t -->\nb\n"


@pytest.mark.parametrize("name", TABLES)
def test_every_table_is_shown_as_it_is(name):
    page = README if name == "imbalance_excerpt" else RESULTS_PAGE
    assert f"<!-- {name} -->\n{TABLES[name].strip()}\n<!-- /{name} -->" in page.read_text()
    for page in (README, RESULTS_PAGE):
        assert fill(page, name, TABLES[name]) == page.read_text()


def test_no_page_links_to_what_is_not_there():
    pages = [README, RESULTS_PAGE, ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("*.md")]
    for page in pages:
        text = page.read_text()
        for target in re.findall(r"\]\((?!http)([^)\s]+)\)|src=\"([^\"]+)\"", text):
            file, _, heading = "".join(target).partition("#")
            found = (page.parent / file).resolve() if file else page
            assert found.exists(), f"{page.name}: {target}"
            if heading:
                headings = re.findall(r"^#+ (.*)$", found.read_text(), flags=re.MULTILINE)
                anchors = [
                    re.sub(r"[^\w -]", "", words.lower()).replace(" ", "-") for words in headings
                ]
                assert heading in anchors, f"{page.name}: {target}"


def test_the_readme_is_short():
    assert len(README.read_text().split()) <= 1500
