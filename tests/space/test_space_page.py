"""The Space's page in a real Chromium, as a visitor uses it."""

import csv
import io
import json
import re
from pathlib import Path

import cv2
import httpx
import numpy as np
import pytest
import skimage.data
from page_sizes import PHONE, show_tab
from PIL import Image
from playwright.sync_api import expect
from space_client import astronaut

from tests.images import saved


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


def assert_opens_well(page):
    """A place to drop a photo is in sight, an answered example is there, and nothing overflows."""
    size, drop = page.viewport_size, page.get_by_text("Drop a photo here")
    drop.wait_for()
    box = drop.bounding_box()
    assert box["y"] + box["height"] < size["height"]
    assert page.evaluate("document.documentElement.scrollWidth") <= size["width"]
    expect(shown(page).locator(".prior-train .face")).to_have_count(1)


def test_a_photo_its_faces_and_what_can_be_done_with_them(open_page, screenshot):
    page = open_page()
    assert_opens_well(page)
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
    with page.expect_download() as download:
        page.get_by_role("button", name="Save the picture").click()
    assert Image.open(download.value.path()).size == (512, 512)
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.get_by_role("button", name="Copy as JSON").click()
    expect(page.get_by_role("button", name="Copied")).to_be_visible()
    (copied,) = json.loads(page.evaluate("navigator.clipboard.readText()"))
    assert copied["label"] == "happy" and "by_prior" not in copied
    train, uniform = (shown(page).locator(f".faces.prior-{name}") for name in ("train", "uniform"))
    expect(uniform).to_be_hidden()
    page.context.set_offline(True)  # the server is not needed for the rest
    page.locator("#prior").get_by_label("All expressions equally likely").check()
    expect(uniform).to_be_visible()
    expect(train).to_be_hidden()
    assert train.text_content() != uniform.text_content()


def test_examples_follow_and_a_broken_file_is_a_sentence(open_page):
    page = open_page()
    page.get_by_role("button", name="Drawn face").first.click()
    expect(shown(page).locator(".prior-train .face h2")).to_contain_text("surprise")
    page.get_by_role("button", name="No face").click()
    expect(shown(page).get_by_text("No face was found.")).to_be_visible()
    send(page, photo_file(b"no picture", "broken.png"))
    status = shown(page).get_by_role("status")
    expect(status).to_contain_text("broken.png: not an image; expected one of ")
    assert "Traceback" not in page.content()
    send_again = page.locator("#photo-side input[type=file]")
    if send_again.count() == 0:
        page.get_by_label("Clear").or_(page.get_by_label("Remove Image")).first.click()
    send(page, photo_file())
    expect(shown(page).locator(".prior-train .face")).to_be_visible()
    show_tab(page, "What it is not")
    expect(page.get_by_text("Not for deciding anything about a person")).to_be_visible()
    expect(page.get_by_text("an upload is deleted about a minute after its use")).to_be_visible()


def test_a_phone(open_page, screenshot):
    page = open_page(PHONE, "dark")
    assert_opens_well(page)
    send(page, photo_file())
    expect(shown(page).locator(".prior-train .face h2")).to_be_in_viewport()
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


def test_many_photos_a_table_and_a_csv(open_page, tmp_path):
    page = open_page(tab="Many photos")
    files = [photo_file(), photo_file(saved(skimage.data.chelsea()), "cat.png"),
             photo_file(b"no picture", "broken.png"),
             photo_file(bytes(2**20 + 1), "heavy.png")]  # fmt: skip
    page.evaluate("LIMITS.photo_bytes = 2 ** 20")
    page.locator("input[type=file]:not(#photo-side *)").first.set_input_files(files)
    words = page.locator("#many-summary")
    expect(words).to_contain_text("2 photos, 1 face.")
    expect(page.locator("#left-out")).to_have_text(
        "Not sent: heavy.png (2 MB). A file may have 1 MB, all together 200 MB."
    )
    expect(words).to_contain_text("Left out: broken.png: not an image")
    expect(page.locator("figcaption").nth(0)).to_contain_text("astronaut.png: happy")
    expect(page.locator("figcaption").nth(1)).to_contain_text("cat.png: no face")
    with page.expect_download() as download:
        page.get_by_role("button", name="Download the table as CSV").click()
    rows = list(csv.DictReader(Path(download.value.path()).open()))
    found = [(row["file"], row["face"], row["label"]) for row in rows]
    assert found == [("astronaut.png", "1", "happy"), ("cat.png", "0", "")]
    page.get_by_role("button", name="From a program").click()
    address = page.evaluate("location.origin")
    expect(page.locator("#from-a-program")).to_contain_text(f'Client("{address}")')


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    """Two seconds; the face moves right."""
    path = tmp_path_factory.mktemp("clip") / "clip.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 5, (400, 240))
    face = cv2.cvtColor(astronaut()[:220, 130:330], cv2.COLOR_RGB2BGR)
    for number in range(10):
        frame = np.zeros((240, 400, 3), np.uint8)
        frame[:220, 8 * number : 8 * number + 200] = face
        writer.write(frame)
    writer.release()
    return path


def test_a_video_and_what_is_none(open_page, clip, tmp_path):
    page = open_page(tab="Video")
    words = page.locator("#video-summary")
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


def test_a_shared_link_has_a_picture_and_words_of_its_own(space):
    page = httpx.get(space.url).text
    tags = dict(re.findall(r'<meta property="(og:\w+)" content="([^"]*)"', page))
    assert tags["og:title"] == "Which expression does a face show?"
    assert tags["og:description"] and "Gradio" not in tags["og:description"]
    picture = httpx.get(tags["og:image"])
    assert Image.open(io.BytesIO(picture.content)).size == (1200, 630)
