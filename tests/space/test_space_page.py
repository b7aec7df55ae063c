"""
The Space's page in a real Chromium, as a visitor uses it.

SCREENSHOTS=DIR (`make screenshots`) keeps the pictures of the README.
"""

import csv
import io
import json
import os
import re
import shutil
from pathlib import Path

import cv2
import httpx
import numpy as np
import pytest
import skimage.data
from PIL import Image
from playwright.sync_api import expect, sync_playwright
from space_client import astronaut, saved

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]
DESKTOP, PHONE = {"width": 1200, "height": 760}, {"width": 390, "height": 844}

pytestmark = pytest.mark.skipif(
    not CHROMIUM, reason="needs Chromium: apt-get install chromium, or Google's Chrome"
)


@pytest.fixture(scope="module")
def browser():
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield running
        running.close()


@pytest.fixture
def open_page(browser, space):
    """viewport, colour scheme -> the page, loaded; at the end no script has failed."""
    pages, failures = [], []

    def open(viewport=DESKTOP, scheme="light"):
        page = browser.new_page(viewport=viewport, color_scheme=scheme)
        page.set_default_timeout(30_000)
        page.on("pageerror", lambda error: failures.append(str(error)))
        page.goto(space.url)
        page.get_by_role("tab", name="One photo").wait_for()
        pages.append(page)
        return page

    yield open
    for page in pages:
        page.close()
    assert failures == []


@pytest.fixture
def screenshot(tmp_path):
    folder = Path(os.environ.get("SCREENSHOTS", tmp_path))
    return lambda page, name: page.screenshot(
        path=folder / f"space_{name}.png", animations="disabled"
    )


def photo_file(content=None, name="astronaut.png"):
    content = saved(astronaut()) if content is None else content
    return {"name": name, "mimeType": "image/png", "buffer": content}


def send(page, file):
    """To the first tab, until its answer has replaced the one before."""
    answer = shown(page).locator(".html-container")
    before = answer.inner_html()
    page.locator("#photo-side input[type=file]").set_input_files(file)
    expect(answer).not_to_have_js_property("innerHTML", before)
    expect(page.get_by_text("processing")).to_have_count(0)


def shown(page):
    return page.locator("#photo-shown")


def in_sight(page, locator) -> bool:
    box, size = locator.bounding_box(), page.viewport_size
    return box is not None and box["y"] < size["height"] and box["y"] + box["height"] > 0


def test_the_first_thing_on_screen_is_useful(open_page):
    for viewport in (DESKTOP, PHONE):
        page = open_page(viewport)
        drop = page.get_by_text("Drop a photo here")
        drop.wait_for()
        box = drop.bounding_box()
        assert box["y"] + box["height"] < viewport["height"]
        assert page.evaluate("document.documentElement.scrollWidth") <= viewport["width"]


def test_a_photo_its_box_its_bars_and_its_heat_map(open_page, screenshot):
    page = open_page()
    send(page, photo_file())
    face = shown(page).locator(".prior-train .face")
    expect(face.get_by_role("heading")).to_have_text(re.compile(r"happy \d\d%"))
    assert face.locator(".row").first.inner_text().split("\n")[0] == "happy"
    expect(shown(page).locator(".prior-train .box")).to_have_count(1)
    heat = face.get_by_alt_text("Heat map of happy on face 1")
    expect(heat).to_be_hidden()
    page.get_by_label("Heat map").check()
    expect(heat).to_be_visible()
    page.mouse.move(0, 0)
    page.evaluate("scrollTo(0, 0)")
    screenshot(page, "desktop")
    page.get_by_label("Heat map").uncheck()
    expect(heat).to_be_hidden()


def test_the_prior_is_switched_without_the_server(open_page):
    page = open_page()
    send(page, photo_file())
    train, uniform = (shown(page).locator(f".faces.prior-{name}") for name in ("train", "uniform"))
    expect(train).to_be_visible()
    expect(uniform).to_be_hidden()
    page.context.set_offline(True)
    page.locator("#prior").get_by_label("All expressions equally likely").check()
    expect(uniform).to_be_visible()
    expect(train).to_be_hidden()
    assert train.text_content() != uniform.text_content()


def test_the_page_opens_with_an_answer_and_examples_follow(open_page):
    page = open_page()
    expect(shown(page).locator(".prior-train .face")).to_have_count(1)
    page.get_by_role("button", name="Drawn: surprise").click()
    expect(shown(page).locator(".prior-train .face h2")).to_contain_text("surprise")
    page.get_by_role("button", name="No face").click()
    expect(shown(page).get_by_text("No face was found.")).to_be_visible()


def test_a_broken_file_is_a_sentence(open_page):
    page = open_page()
    send(page, photo_file(b"no picture", "broken.png"))
    expect(shown(page).get_by_role("status")).to_contain_text(
        "broken.png: not an image; expected one of "
    )
    assert "Traceback" not in page.content()
    send_again = page.locator("#photo-side input[type=file]")
    if send_again.count() == 0:
        page.get_by_label("Clear").or_(page.get_by_label("Remove Image")).first.click()
    send(page, photo_file())
    expect(shown(page).locator(".prior-train .face")).to_be_visible()


def test_a_phone(open_page, screenshot):
    page = open_page(PHONE, "dark")
    send(page, photo_file())
    heading = shown(page).locator(".prior-train .face h2")
    expect(heading).to_be_in_viewport()
    page.get_by_label("Heat map").check()
    expect(page.get_by_alt_text("Heat map of happy on face 1").first).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    page.mouse.move(0, 0)
    page.evaluate("scrollTo(0, 0)")
    screenshot(page, "phone")


def test_the_keyboard_reaches_everything(open_page):
    page = open_page()
    reached = set()
    for _ in range(40):
        page.keyboard.press("Tab")
        reached.add(page.evaluate("document.activeElement.closest('[id]')?.id"))
        if page.evaluate("document.activeElement.matches('#heat input')"):
            page.keyboard.press("Space")
            expect(page.get_by_label("Heat map")).to_be_checked()
        if page.evaluate("document.activeElement.matches('#prior input[value=uniform]')"):
            page.keyboard.press("Space")
            expect(
                page.locator("#prior").get_by_label("All expressions equally likely")
            ).to_be_checked()
    assert {"heat", "prior"} <= reached


CONTRAST = """node => {
    const light = color => color.match(/[\\d.]+/g).slice(0, 3)
        .map(value => value / 255)
        .map(value => value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4)
        .reduce((sum, value, place) => sum + value * [0.2126, 0.7152, 0.0722][place], 0);
    let behind = node;
    while (behind && /, 0\\)|transparent/.test(getComputedStyle(behind).backgroundColor))
        behind = behind.parentElement;
    const pair = [light(getComputedStyle(node).color),
                  light(getComputedStyle(behind ?? document.body).backgroundColor)];
    return (Math.max(...pair) + 0.05) / (Math.min(...pair) + 0.05);
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_texts_can_be_read(open_page, scheme):
    """A contrast of at least 4.5 (WCAG AA)."""
    page = open_page(scheme=scheme)
    send(page, photo_file())
    train = shown(page).locator(".prior-train")
    train.locator(".face").wait_for()
    texts = [
        page.get_by_role("heading", level=1),
        train.locator("h2"),
        train.locator(".share").first,
        page.get_by_text("Save the picture"),
        page.get_by_text("What the model looked at for its label"),
        page.get_by_text("The second finds more").first,
    ]
    assert min(text.evaluate(CONTRAST) for text in texts) >= 4.5


def test_many_photos_a_table_and_a_csv(open_page, tmp_path):
    page = open_page()
    page.get_by_role("tab", name="Many photos").click()
    files = [photo_file(), photo_file(saved(skimage.data.chelsea()), "cat.png"),
             photo_file(b"no picture", "broken.png")]  # fmt: skip
    page.locator("input[type=file]:not(#photo-side *)").first.set_input_files(files)
    words = page.locator("#many-words")
    expect(words).to_contain_text("2 photos, 1 face.")
    expect(words).to_contain_text("Left out: broken.png: not an image")
    expect(page.locator("figcaption").nth(0)).to_contain_text("astronaut.png: happy")
    expect(page.locator("figcaption").nth(1)).to_contain_text("cat.png: no face")
    with page.expect_download() as download:
        page.get_by_role("button", name="Download the table as CSV").click()
    rows = list(csv.DictReader(Path(download.value.path()).open()))
    found = [(row["file"], row["face"], row["label"]) for row in rows]
    assert found == [("astronaut.png", "1", "happy"), ("cat.png", "0", "")]


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    """Two seconds; the face moves right."""
    path = tmp_path_factory.mktemp("clip") / "clip.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 10, (400, 240))
    face = cv2.cvtColor(astronaut()[:220, 130:330], cv2.COLOR_RGB2BGR)
    for number in range(20):
        frame = np.zeros((240, 400, 3), np.uint8)
        frame[:220, 8 * number : 8 * number + 200] = face
        writer.write(frame)
    writer.release()
    return path


def test_a_video_and_what_is_none(open_page, clip, tmp_path):
    page = open_page()
    page.get_by_role("tab", name="Video").click()
    words = page.locator("#video-words")
    field = page.get_by_role("tabpanel").locator("input[type=file]:visible, input[type=file]").last
    field.set_input_files(clip)
    expect(page.locator("#video video.unplayable")).to_have_count(1)  # this browser plays no AVI
    assert page.get_by_text("Video not playable").count() == 0
    expect(words).to_contain_text("One face was followed.", timeout=60_000)
    made = page.locator("video").last
    seconds = "node => new Promise(done => node.readyState ? done(node.duration) : " \
        "node.onloadedmetadata = () => done(node.duration))"  # fmt: skip
    assert made.evaluate(seconds) == pytest.approx(2, abs=0.3)
    expect(page.get_by_alt_text("Probabilities of each person over time")).to_be_visible()


def test_what_it_is_not(open_page):
    page = open_page()
    page.get_by_role("tab", name="What it is not").click()
    expect(page.get_by_text("Not for deciding anything about a person")).to_be_visible()
    expect(page.get_by_text("an upload is deleted about a minute after its use")).to_be_visible()


def test_the_answer_is_saved_and_copied(open_page):
    page = open_page()
    shown(page).locator(".prior-train .face").wait_for()
    with page.expect_download() as download:
        page.get_by_role("button", name="Save the picture").click()
    assert Image.open(download.value.path()).size == (512, 400)
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.get_by_role("button", name="Copy as JSON").click()
    expect(page.get_by_role("button", name="Copied")).to_be_visible()
    (face,) = json.loads(page.evaluate("navigator.clipboard.readText()"))
    assert face["label"] == "happy"


def test_a_shared_link_has_a_picture_and_words_of_its_own(space):
    page = httpx.get(space.url).text
    tags = dict(re.findall(r'<meta property="(og:\w+)" content="([^"]*)"', page))
    assert tags["og:title"] == "Which expression does a face show?"
    assert tags["og:description"] and "Gradio" not in tags["og:description"]
    picture = httpx.get(tags["og:image"])
    assert Image.open(io.BytesIO(picture.content)).size == (1200, 630)
