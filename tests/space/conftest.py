"""What the Space's tests share: its modules, and its page in a browser with a camera."""

import os
import shutil
from pathlib import Path

import pytest
from camera import write_camera
from page_sizes import DESKTOP, show_tab
from playwright.sync_api import expect, sync_playwright

SPACE = Path(__file__).parents[2] / "space"
CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--use-fake-ui-for-media-stream",
    "--use-fake-device-for-media-stream",
    "--enable-unsafe-webgpu",  # in software
    "--use-webgpu-adapter=swiftshader",
]


@pytest.fixture
def modules(monkeypatch):
    """Imports of space/'s own modules."""
    monkeypatch.syspath_prepend(str(SPACE))
    return __import__


@pytest.fixture(scope="session")
def browser(tmp_path_factory):
    if not CHROMIUM:
        pytest.skip("needs Chromium: apt-get install chromium, or Google's Chrome")
    camera = write_camera(tmp_path_factory.mktemp("camera") / "face.mjpeg")
    flags = [*FLAGS, f"--use-file-for-fake-video-capture={camera}"]
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=CHROMIUM, args=flags)
        yield running
        running.close()


@pytest.fixture
def open_page(browser, request):
    """
    viewport, colour scheme, tab, url (the Space's) -> the page, loaded; at the end no script has
    failed.
    """
    contexts, failures = [], []

    def open(viewport=DESKTOP, scheme="light", tab="One photo", script="", url="", **options):
        context = browser.new_context(viewport=viewport, color_scheme=scheme, **options)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(60_000)
        expect.set_options(timeout=30_000)
        page.on("pageerror", lambda error: failures.append(str(error)))
        page.add_init_script(script)
        page.goto(url or request.getfixturevalue("space").url)
        if tab:
            show_tab(page, tab)
        return page

    yield open
    for context in contexts:
        context.close()
    assert failures == []


@pytest.fixture
def screenshot(tmp_path):
    """SCREENSHOTS=DIR (`make screenshots`) keeps the pictures of the README."""
    folder = Path(os.environ.get("SCREENSHOTS", tmp_path))
    return lambda page, name: page.screenshot(
        path=folder / f"space_{name}.png", animations="disabled"
    )
