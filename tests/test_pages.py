"""README.md and RESULTS.md hold the tables that were measured."""

import pytest

from benchmarks.pages import PAGES, fill

TABLES = sorted((PAGES[1].parent / "results").glob("*.md"))


def test_text_between_the_marks_is_replaced_and_the_rest_stays(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("a\n<!-- t -->\nold\n<!-- /t -->\nb\n")
    assert fill(page, "t", "new\n") == "a\n<!-- t -->\nnew\n<!-- /t -->\nb\n"
    assert fill(page, "other", "new\n") == page.read_text()


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.stem)
def test_every_table_is_shown_as_it_is(table):
    assert table.read_text().strip() in PAGES[1].read_text()
    for page in PAGES:
        assert fill(page, table.stem, table.read_text()) == page.read_text()
