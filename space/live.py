"""
The tab Live: the frames of a visitor's camera come one by one, faces are followed from one to the
next, and nothing is kept but where they were a moment ago.

Gradio's streaming carries the frames: it holds the newest frame of each visitor and forgets those
before it, gives out places, and ends turns. The camera itself is in live.js: Gradio's own sends
frames of full size at a fixed pace, whether or not they are answered, and stopping it leaves the
camera on.
"""

import base64
import binascii
import json
import time
from collections.abc import Sequence
from pathlib import Path

import gradio as gr
from operations import METRICS, refused
from serving import InputRefused, Served
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from prediction.colors import colors
from prediction.following import Follower

HERE = Path(__file__).resolve().parent
LIVE_AT_ONCE = 4  # visitors; those beyond wait for a place
TURN = 60  # seconds of the server's time, after which those who wait come first
FRAME_SIDE = 480  # pixels of a frame's longer side
FRAME_BYTES = 2**18
FACES_FOLLOWED = 8  # of a frame; the largest are kept
PATIENCE = 3  # seconds a person may be out of sight; a busy server answers a frame a second
FORGOTTEN_AFTER = 60  # seconds without a frame
JPEG = "data:image/jpeg;base64,"
TEMPLATE = """<div class="live">
<div class="scene">
<video playsinline muted aria-hidden="true"></video>
<div class="boxes" aria-hidden="true"></div>
<p class="invitation">Your camera, looked at live</p>
</div>
<div class="side">
<div class="controls">
<button type="button" class="switch">Start the camera</button><span class="rate"></span>
</div>
<p class="words" role="status"></p>
<div class="people"></div>
</div>
</div>"""
PROMISE = (
    "Frames are looked at in memory, one at a time, and forgotten with the next one. The camera is "
    "released when you stop, when you leave this tab, and when the page is out of sight. At most "
    f"{LIVE_AT_ONCE} visitors are live at once; another one gets a place as soon as one stops or "
    "has had a turn of a minute or two."
)


def look(served: Served, frame: str, follower: Follower | None, now: float) -> tuple[str, Follower]:
    """
    Args:
        frame: a JPEG file as data URL. now: seconds, of any clock.
        follower: all that is remembered of the frames before; None at the first.

    Returns:
        JSON of the frame's size (width, height) and of the faces followed: person, box (left, top,
        right, bottom), label, score, uncertain, and shares in the order of the classes.

    Raises:
        gr.Error: it is no frame of the page's own.
    """
    follower = follower or Follower(served.find.certain_from, PATIENCE)
    try:
        photo = _photo(served, frame)
    except InputRefused as error:
        raise gr.Error(str(error), print_exception=False) from None
    (faces,) = served.faces([photo], live=True, most=FACES_FOLLOWED, on_error="skip")
    people = follower.follow(faces or [], now)
    answer = {
        "size": [photo.shape[1], photo.shape[0]],
        "faces": [_described(person, served.labels) for person in people],
    }
    return json.dumps(answer), follower


def _photo(served: Served, frame: str):
    if not isinstance(frame, str) or not frame.startswith(JPEG) or len(frame) > FRAME_BYTES:
        raise InputRefused(f"Expected a JPEG frame of at most {FRAME_BYTES >> 10} KB as data URL.")
    try:
        content = base64.b64decode(frame.removeprefix(JPEG), validate=True)
    except binascii.Error:
        raise InputRefused("Expected a frame in base64.") from None
    photo = served.read(content, "The frame")
    if max(photo.shape[:2]) > FRAME_SIDE:
        raise InputRefused(f"The frame: expected at most {FRAME_SIDE} pixels on a side.")
    return photo


def _described(face: dict, labels: Sequence[str]) -> dict:
    edges = [face["box"][edge] for edge in ("xmin", "ymin", "xmax", "ymax")]
    shares = [round(face["scores"][label], 3) for label in labels]
    named = {name: face[name] for name in ("person", "label", "uncertain")}
    return named | {"box": edges, "score": round(face["score"], 3), "shares": shares}


def places(demo: gr.Blocks) -> Route:
    """GET /live-places: how many visitors are live, and how many wait for a place."""

    def answer(request: Request) -> JSONResponse:
        queue = demo._queue.event_queue_per_concurrency_id["live"]
        return JSONResponse({"live": queue.current_concurrency, "waiting": len(queue.queue)})

    return Route("/live-places", answer)


def live_tab(served: Served) -> None:
    """Fills the tab that is open."""
    shades = colors(served.labels)

    def answer(frame: str, follower: Follower | None) -> tuple[str, Follower]:
        started = time.monotonic()
        try:
            faces, follower = look(served, frame, follower, started)
        except gr.Error:
            refused("live_frame", "unreadable", time.monotonic() - started)
            raise
        METRICS.add("live_frame", "ok", time.monotonic() - started, {})
        return faces, follower

    camera = gr.HTML(
        "",
        html_template=TEMPLATE,
        css_template=(HERE / "live.css").read_text(),
        js_on_load=(HERE / "live.js").read_text(),
        elem_id="live",
        labels=served.labels,
        colors=[
            {"#FFFFFF": "#8A8A8A"}.get(shades[label], shades[label]) for label in served.labels
        ],
        most=LIVE_AT_ONCE,
        side=FRAME_SIDE,
    )
    gr.Markdown(PROMISE, elem_classes="hint")
    follower = gr.State(time_to_live=FORGOTTEN_AFTER)
    camera.stream(
        answer,
        [camera, follower],
        [camera, follower],
        time_limit=TURN,
        concurrency_id="live",
        concurrency_limit=LIVE_AT_ONCE,
        show_progress="hidden",
        api_visibility="private",
    )
