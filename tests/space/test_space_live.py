"""The tab Live: in Chromium with a camera that plays a face, and by what it streams."""

import base64
import json
import re
from types import SimpleNamespace

import gradio
import httpx
import numpy as np
import pytest
from camera import WALL, a_face
from page_sizes import DESKTOP, PHONE, show_tab
from playwright.sync_api import expect
from space_client import LiveVisitor, frame_of

REMEMBER_TRACKS = """
    window.tracks = [];
    const ask = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
    navigator.mediaDevices.getUserMedia = async wanted => {
        const stream = await ask(wanted);
        tracks.push(...stream.getTracks());
        return stream;
    };
"""


@pytest.fixture
def open_live(open_page):
    """viewport, colour scheme -> the page with the tab open."""

    def open(viewport, scheme="light"):
        options = {"tab": "Live", "script": REMEMBER_TRACKS, "permissions": ["camera"]}
        return open_page(viewport, scheme, **options)

    return open


STRIP = """picture => {
    const {data} = picture.getContext("2d").getImageData(0, 0, picture.width, picture.height);
    return data.filter((value, place) => place % 4 === 3 && value === 255).length > picture.height;
}"""  # the shares add up to the whole height


@pytest.mark.parametrize(
    ("viewport", "scheme"), [(DESKTOP, "light"), (PHONE, "dark")], ids=["desktop", "phone"]
)
def test_a_face_is_followed_until_the_camera_is_released(open_live, screenshot, viewport, scheme):
    page = open_live(viewport, scheme)
    live = page.locator("#live")
    start, stop = (live.get_by_role("button", name=name) for name in ("Start the camera", "Stop"))
    start.click()
    person = live.locator(".person").first
    expect(person.get_by_role("heading")).to_have_text(re.compile(r"Person 1 · \w+ \d+%"))
    assert len(person.locator(".row").all()) == 7
    scene, box = live.locator(".scene"), live.locator(".boxes div").first
    expect(box).to_have_text(re.compile(r"1\s+\w+ \d+%"))
    around, inside = scene.bounding_box(), box.bounding_box()
    middle = (inside["x"] + inside["width"] / 2 - around["x"]) / around["width"]
    assert 0.65 < middle < 0.85  # in the left half of the camera's picture, mirrored
    expect(live.locator(".rate")).to_have_text(re.compile(r"\d+ frames? a second"))
    expect(live.get_by_role("img", name="Person 1, the last 30 seconds")).to_be_visible()
    page.wait_for_function(f"({STRIP})(document.querySelector('#live canvas'))")
    assert page.evaluate("document.documentElement.scrollWidth") <= viewport["width"]
    screenshot(page, f"live_{'phone' if viewport == PHONE else 'desktop'}")
    assert page.evaluate("tracks.map(track => track.readyState)") == ["live"]
    stop.click()
    assert page.evaluate("tracks.map(track => track.readyState)") == ["ended"]
    expect(live.locator(".boxes div")).to_have_count(0)
    start.click()
    expect(box).to_be_visible()
    show_tab(page, "What it is not")
    page.wait_for_function("tracks.every(track => track.readyState === 'ended')")


def test_a_camera_that_is_refused_is_a_sentence(open_live):
    page = open_live(DESKTOP)
    refuse = "throw new DOMException('no', 'NotAllowedError')"
    page.evaluate(f"void (navigator.mediaDevices.getUserMedia = async () => {{ {refuse} }})")
    page.get_by_role("button", name="Start the camera").click()
    expect(page.locator("#live [role=status]")).to_contain_text("The camera was not allowed.")
    expect(page.get_by_role("button", name="Start the camera")).to_be_enabled()


def test_places_are_limited_and_of_waiting_frames_the_newest_counts(space, open_live):
    face = np.full((360, 480, 3), WALL, np.uint8)
    wall = frame_of(face)
    face[60:300, 100:340] = a_face()
    seated = [LiveVisitor(space.url, f"seated {number}") for number in range(4)]
    for visitor in seated:
        visitor.send(frame_of(face))
        assert [found["person"] for found in visitor.answer()["faces"]] == [1]
    waiting = LiveVisitor(space.url, "waiting")
    waiting.send(wall)
    place = next(told for told in waiting.messages() if told["msg"] == "estimation")
    assert place["rank"] == 0
    assert httpx.get(f"{space.url}/live-places").json() == {"live": 4, "waiting": 1}
    page = open_live(PHONE)
    page.get_by_role("button", name="Start the camera").click()
    expect(page.locator("#live [role=status]")).to_contain_text(
        "All 4 places are taken, you are one of 2 who wait."
    )
    page.close()
    waiting.send(wall)
    waiting.send(frame_of(face))
    seated.pop().leave()
    answer = waiting.answer()
    assert answer["size"] == [480, 360] and len(answer["faces"]) == 1
    for visitor in (*seated, waiting):
        visitor.leave()


def test_nothing_of_a_stream_is_kept(space):
    def files():
        return {path for path in space.folder.parent.glob("space-*/**/*") if path.is_file()}

    before, visitor = files(), LiveVisitor(space.url, "nobody")
    for _ in range(3):
        visitor.send(frame_of(a_face()))
        visitor.answer()
    visitor.leave()
    assert files() <= before
    kept = httpx.get(f"{space.url}/gradio_api/stream/nobody/1/1/playlist.m3u8", timeout=60)
    assert (kept.status_code, kept.text) == (404, "Not here.")


def face_at(left, **scores):
    box = {"xmin": left, "ymin": 0, "xmax": left + 100, "ymax": 100}
    best = max(scores, key=scores.get)
    return {"box": box, "label": best, "score": scores[best], "scores": scores, "uncertain": False}


@pytest.fixture
def served():
    """Answers what `found` says; reads frames of 64 x 48."""
    asked = []

    def faces(photos, **options):
        asked.append(options)
        return [served.found.pop(0)]

    served = SimpleNamespace(
        labels=["happy", "sad"],
        find=SimpleNamespace(certain_from=lambda box: 0.9),
        read=lambda content, name: np.zeros((48, 64, 3), np.uint8),
        faces=faces,
        asked=asked,
    )
    return served


def test_a_face_keeps_its_number_and_its_shares_are_smoothed(modules, served):
    live = modules("live")
    happy, sad = {"happy": 1.0, "sad": 0.0}, {"happy": 0.0, "sad": 1.0}
    served.found = [[face_at(0, **happy)], [face_at(10, **sad)], [face_at(20, **happy)]]
    follower, told = None, []
    for now in (0.0, 0.5, 4.0):
        answer, follower = live.look(served, live.JPEG, follower, now)
        told.append(json.loads(answer))
    assert [found["faces"][0]["person"] for found in told] == [1, 1, 2]  # out of sight for 3.5 s
    left = round(float(np.exp(-1)), 3)  # after one time constant
    assert told[1]["faces"][0] == {
        "person": 1, "label": "sad", "uncertain": True, "box": [10, 0, 110, 100],
        "score": round(1 - left, 3), "shares": [left, round(1 - left, 3)],
    }  # fmt: skip
    assert told[0]["size"] == [64, 48]
    assert all(asked["live"] and asked["most"] == live.FACES_FOLLOWED for asked in served.asked)
    assert len(follower.people) == 1  # those gone are forgotten


@pytest.mark.parametrize(
    ("frame", "words"),
    [
        (None, "Expected a JPEG frame"),
        ("https://example.org/face.jpg", "Expected a JPEG frame"),
        ("data:image/jpeg;base64,####", "Expected a frame in base64"),
        ("data:image/jpeg;base64," + "A" * 2**18, "at most 256 KB"),
        ("data:image/jpeg;base64," + base64.b64encode(b"text").decode(), "no image"),
        ("data:image/jpeg;base64,AAAA", "at most 480 pixels"),
    ],
)
def test_what_is_no_frame_is_refused(modules, served, frame, words):
    live, serving = modules("live"), modules("serving")

    def read(content, name):
        if content == b"text":
            raise serving.InputRefused("no image")
        return np.zeros((481, 10, 3), np.uint8)

    served.read = read
    with pytest.raises(gradio.Error, match=words):
        live.look(served, frame, None, 0.0)
    assert served.asked == []
