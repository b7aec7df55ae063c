"""What must not work: each is refused, and the next visitor is served."""

import http.client
import http.server
import threading
from pathlib import Path

import httpx
import numpy as np
import pytest
from PIL import Image
from space_client import astronaut, call, file_data, predict, upload
from starlette.responses import PlainTextResponse
from starlette.testclient import TestClient

from tests.images import png_header, saved

ROOT = Path(__file__).parents[2]
NOISE = np.random.default_rng(0).integers(0, 256, (60, 50, 3), dtype=np.uint8)


@pytest.fixture(autouse=True)
def the_next_visitor_is_served(space):
    yield
    (face,) = predict(space.url, saved(astronaut()[:220, 130:330], "JPEG"))
    assert face["label"] == "happy"


REFUSED = {
    "text.jpg": (b"no picture", "text.jpg: not an image"),
    "empty.jpg": (b"", "empty.jpg: not an image"),
    "page.svg": (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "page.svg: not an image"),
    "cut.jpg": (saved(astronaut(), "JPEG")[:9000], "cut.jpg: broken or cut off"),
    "large.png": (png_header(9000, 6000), "large.png: 9000 x 6000 pixels, but at most 51,000,000"),
    "bomb.png": (png_header(60_000, 60_000), "bomb.png: more than 51,000,000 pixels"),
    "heavy.jpg": (saved(astronaut(), "JPEG") + bytes(20 * 2**20), "heavy.jpg: larger than 20 MB"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_files_that_are_no_usable_photo(space, name):
    content, words = REFUSED[name]
    assert words in predict(space.url, content, name)


def test_odd_photos_are_answered_as_the_pipeline_does(space, shipped_onnx):
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was held a quarter turned
    wide = Image.fromarray(astronaut()).resize((512, 512))
    odd = [
        saved(Image.new("RGB", (1, 1))),
        saved(Image.new("L", (3000, 1))),
        saved(np.tile(np.arange(500, dtype=np.uint16) * 131, (400, 1))),
        saved(Image.fromarray(np.rot90(astronaut())), "JPEG", exif=exif),
        saved(wide.convert("CMYK"), "JPEG"),
        saved(wide.convert("P")),
        saved(wide, "GIF", save_all=True, append_images=[Image.new("RGB", (512, 512))]),
        saved(Image.fromarray(NOISE)),
    ]
    for content in odd:
        found, expected = predict(space.url, content), shipped_onnx(content)
        assert [face["box"] for face in found] == [face["box"] for face in expected]
        for face, other in zip(found, expected):
            assert face["scores"] == pytest.approx(other["scores"], abs=1e-5)


def test_a_bad_photo_of_a_batch_has_a_reason_in_its_place(space):
    images = [upload(space.url, saved(NOISE)), upload(space.url, b"no picture", "text.jpg")]
    event, found = call(space.url, "predict_batch", images, "train")
    assert event == "complete"
    faces, refused = found[0]
    assert faces == [] and "text.jpg: not an image" in refused["error"]


@pytest.mark.parametrize(
    "path",
    [
        "/etc/passwd",
        "file:///etc/passwd",
        "../../../../etc/passwd",
        "UPLOADS/../../../../../../etc/passwd",
        "SPACE/app.py",
        "/proc/self/environ",
        "MODEL/model.safetensors",
    ],
)
def test_only_uploads_are_read(space, path):
    folder = str(Path(upload(space.url, b"mine")["path"]).parents[1])
    path = path.replace("UPLOADS", folder).replace("SPACE", str(space.folder))
    path = path.replace("MODEL", str(ROOT / "model"))
    event, found = call(space.url, "predict", file_data(path), "train")
    assert event == "error" and "not an image" not in str(found)
    event, found = call(space.url, "predict_batch", [file_data(path)], "train")
    assert event == "error" and "not an image" not in str(found)
    for door in ("file=", "file/"):
        assert httpx.get(f"{space.url}/gradio_api/{door}{path}").status_code in (403, 404)


def test_no_address_is_asked(space):
    asked = []

    class Internal(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            self.send_response(200)
            self.end_headers()
            self.wfile.write(saved(astronaut()))

        do_HEAD = do_POST = do_GET

        def log_message(self, *args):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Internal) as internal:
        threading.Thread(target=internal.serve_forever, daemon=True).start()
        secret = f"http://127.0.0.1:{internal.server_port}/secret.png"
        for data in (file_data(secret), file_data("x") | {"path": None, "url": secret}):
            event, _ = call(space.url, "predict", data, "train")
            assert event == "error"
        event, found = call(space.url, "predict", file_data(secret), "train")
        assert "Addresses are not fetched here" in found["error"]
        event, _ = call(space.url, "predict_batch", [file_data(secret)], "train")
        assert event == "error"
        for door in ("file=", "proxy="):
            assert httpx.get(f"{space.url}/gradio_api/{door}{secret}").status_code == 404
        internal.shutdown()
    assert asked == []


@pytest.mark.parametrize(
    "door",
    ["process_recording", "component_server", "deep_link", "run-history/connect", "vibe-edit",
     "proxy=https://huggingface.co/", "file=https://huggingface.co/"],
)  # fmt: skip
def test_doors_that_are_not_needed_are_shut(space, door):
    assert httpx.get(f"{space.url}/gradio_api/{door}").status_code == 404
    assert httpx.post(f"{space.url}/gradio_api/{door}", json={}).status_code in (404, 405)


def refused_as_too_large(url: str, **body) -> bool:
    """By a status, or by hanging up while it is still sent."""
    try:
        return httpx.post(url, timeout=120, **body).status_code == 413
    except httpx.TransportError:
        return True


def test_a_hundred_megabytes_are_not_taken(space):
    url = f"{space.url}/gradio_api/upload"
    assert refused_as_too_large(url, files={"files": ("large.mp4", bytes(100 * 2**20))})
    announced = http.client.HTTPConnection(space.url.removeprefix("http://"), timeout=60)
    announced.putrequest("POST", "/gradio_api/upload")
    announced.putheader("Content-Length", str(2**40))
    announced.endheaders()
    assert announced.getresponse().status == 413
    kept = Path(upload(space.url, b"mine")["path"]).parents[1]
    assert sum(file.stat().st_size for file in kept.rglob("*") if file.is_file()) < 90 * 2**20


def test_a_full_disk_takes_no_upload_and_goes_on_answering(modules, tmp_path, monkeypatch):
    guard = modules("guard")
    visitor = TestClient(guard.Guard(PlainTextResponse("taken"), uploads=tmp_path))
    monkeypatch.setattr(guard, "LEAST_FREE", 2**80)
    answer = visitor.post("/gradio_api/upload", files={"files": b"photo"})
    assert (answer.status_code, "No room just now" in answer.text) == (503, True)
    assert visitor.get("/config").text == "taken"
    monkeypatch.setattr(guard, "LEAST_FREE", 0)
    assert visitor.post("/gradio_api/upload", files={"files": b"photo"}).text == "taken"


def test_long_bodies_are_refused_announced_or_not(space):
    url = f"{space.url}/gradio_api/call/predict"
    long = b'{"data": ["' + b"x" * 2**21 + b'"]}'
    headers = {"Content-Type": "application/json"}
    assert refused_as_too_large(url, content=long, headers=headers)
    assert refused_as_too_large(url, content=iter([long[:9], long[9:]]), headers=headers)


@pytest.mark.parametrize(
    "data",
    [[], [None, "train"], ["text", "train"], [{"path": 3}, "train"], [[], "train"],
     [{"url": "data:image/png;base64,AAAA", "meta": {"_type": "gradio.FileData"}}, "train"]],
)  # fmt: skip
def test_payloads_of_another_shape(space, data):
    event, _ = call(space.url, "predict", *data)
    assert event == "error"
