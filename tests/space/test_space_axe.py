"""The Space's tabs under axe-core, which looks for what keeps people out."""

import shutil

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect, sync_playwright
from space_client import astronaut, saved

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
def test_no_tab_has_a_serious_violation(space, scheme, tmp_path):
    face, large = tmp_path / "face.png", tmp_path / "large.png"
    face.write_bytes(saved(astronaut()))
    large.write_bytes(bytes(50 * 2**20 + 1))
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
        page.get_by_role("tab", name="Many photos").click()
        photos = page.locator("input[type=file]:not(#photo-side *)").first
        photos.set_input_files(face)
        page.get_by_text("1 photo, 1 face.").wait_for()
        found["photos answered"] = serious_violations(page)
        page.get_by_label("Clear").filter(visible=True).click()
        photos.set_input_files(large)
        expect(page.get_by_test_id("toast-body")).to_have_css("opacity", "1")  # it fades in
        found["a message"] = serious_violations(page)
        browser.close()
    assert len(found) == 8
    assert found == dict.fromkeys(found, [])
