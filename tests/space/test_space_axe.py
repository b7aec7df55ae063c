"""
The Space's tabs under axe-core, which looks for what keeps people out: AXE_CORE=axe.min.js, from
`npm pack axe-core`.
"""

import os
import shutil
from pathlib import Path

import pytest
from playwright.sync_api import sync_playwright
from space_client import astronaut, saved

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
AXE = os.environ.get("AXE_CORE")
SIZES = {
    "light": {"width": 1280, "height": 800},
    "dark": {"width": 390, "height": 844},
}
VIOLATIONS = """async () => (await axe.run()).violations
    .filter(found => ["serious", "critical"].includes(found.impact))
    .map(found => [found.id, ...found.nodes.map(node => node.html)])"""

pytestmark = pytest.mark.skipif(
    not (CHROMIUM and AXE), reason="needs Chromium, and axe.min.js at AXE_CORE"
)


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
        page.evaluate(Path(AXE).read_text())
        found = {}
        for tab in page.get_by_role("tab").all():
            tab.click()
            page.get_by_role("tabpanel").filter(visible=True).wait_for()
            found[tab.inner_text()] = page.evaluate(VIOLATIONS)
        page.get_by_role("tab", name="Many photos").click()
        photos = page.locator("input[type=file]:not(#photo-side *)").first
        photos.set_input_files(face)
        page.get_by_text("1 photo, 1 face.").wait_for()
        found["photos answered"] = page.evaluate(VIOLATIONS)
        page.get_by_label("Clear").filter(visible=True).click()
        photos.set_input_files(large)
        page.get_by_test_id("toast-body").wait_for()
        found["a message"] = page.evaluate(VIOLATIONS)
        browser.close()
    assert len(found) == 8
    assert found == dict.fromkeys(found, [])
