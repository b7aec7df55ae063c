"""The Space's tabs under axe-core, which looks for what keeps people out."""

import shutil

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import sync_playwright

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
SIZES = {
    "light": {"width": 1280, "height": 800},
    "dark": {"width": 390, "height": 844},
}

pytestmark = pytest.mark.skipif(not CHROMIUM, reason="Chromium is not installed")


def serious_violations(page):
    return [
        (found["id"], *(node["html"] for node in found["nodes"]))
        for found in Axe().run(page).response["violations"]
        if found["impact"] in ("serious", "critical")
    ]


@pytest.mark.parametrize("scheme", SIZES)
def test_no_tab_has_a_serious_violation(space, scheme):
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page(viewport=SIZES[scheme], color_scheme=scheme)
        page.goto(space.url)
        page.get_by_role("tab").first.wait_for()
        found = {}
        for tab in page.get_by_role("tab").all():
            tab.click()
            page.get_by_role("tabpanel").filter(visible=True).wait_for()
            found[tab.inner_text()] = serious_violations(page)
        browser.close()
    assert len(found) == 6
    assert found == dict.fromkeys(found, [])
