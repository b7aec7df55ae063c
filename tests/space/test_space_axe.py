"""The Space's tabs under axe-core, which looks for what keeps people out."""

import pytest
from axe_playwright_python.sync_playwright import Axe
from page_sizes import DESKTOP, PHONE
from playwright.sync_api import expect
from space_client import astronaut

from tests.images import saved

AT_REST = """() => document.getAnimations().every(
    one => one.playState !== "running" || one.effect.getComputedTiming().iterations === Infinity)"""


def serious_violations(page):
    page.wait_for_function(AT_REST)  # what fades in or out has too little contrast meanwhile
    return [
        (violation["id"], *(node["html"] for node in violation["nodes"]))
        for violation in Axe().run(page).response["violations"]
        if violation["impact"] in ("serious", "critical")
    ]


@pytest.mark.parametrize("scheme, viewport", [("light", DESKTOP), ("dark", PHONE)])
def test_no_tab_has_a_serious_violation(open_page, scheme, viewport, tmp_path):
    face, large = tmp_path / "face.png", tmp_path / "large.png"
    face.write_bytes(saved(astronaut()))
    large.write_bytes(bytes(50 * 2**20 + 1))
    page, violations = open_page(viewport, scheme), {}
    for tab in page.get_by_role("tab").all():
        tab.click()
        page.get_by_role("tabpanel").filter(visible=True).wait_for()
        violations[tab.inner_text()] = serious_violations(page)
    page.get_by_role("tab", name="Many photos").click()
    photos = page.locator("input[type=file]:not(#photo-side *)").first
    photos.set_input_files(face)
    page.get_by_text("1 photo, 1 face.").wait_for()
    violations["photos answered"] = serious_violations(page)
    page.get_by_label("Clear").filter(visible=True).click()
    photos.set_input_files(large)
    expect(page.get_by_text("Not sent: large.png (51 MB)")).to_be_attached()
    violations["a message"] = serious_violations(page)
    assert len(violations) == 8
    assert violations == dict.fromkeys(violations, [])
