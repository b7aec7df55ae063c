"""The page of space/browser/, in Chromium: as Python says, and nothing leaves it."""

import functools
import hashlib
import json
import re
import tarfile
import threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch
from axe_playwright_python.sync_playwright import Axe
from camera import WALL, a_face
from page_sizes import DESKTOP, PHONE, show_tab
from PIL import Image
from playwright.sync_api import expect
from space_client import astronaut
from transformers import pipeline

from modeling import FerEfficientNetConfig, FerEfficientNetForImageClassification
from tests.images import saved

MODEL = Path(__file__).parents[2] / "model"
EXAMPLES = Path(__file__).parents[2] / "space" / "examples"
SLOW = 120_000  # ms until an answer, on a machine with other work
REMEMBER = """
    window.answers = [];
    document.addEventListener("faces", event => answers.push(event.detail.faces));
    window.tracks = [];
    const cameras = navigator.mediaDevices, ask = cameras?.getUserMedia.bind(cameras);
    if (cameras) cameras.getUserMedia = async wanted => {
        const stream = await ask(wanted);
        tracks.push(...stream.getTracks());
        return stream;
    };
"""


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The page for model/, assembled."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(MODEL.parent / "space"))
        from assemble import NotAssembled, assemble

        folder = tmp_path_factory.mktemp("page")
        try:
            assemble(MODEL, folder)
        except NotAssembled as error:
            pytest.skip(str(error))
    return folder


@pytest.fixture(scope="module")
def url(folder):
    handler = functools.partial(Quiet, directory=str(folder))
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.fixture
def open_at(open_page, url):
    """viewport, scheme, ... -> the page, and the addresses that it asks for."""

    def open(*options, script="", **more):
        page = open_page(*options, script=REMEMBER + script, url=url, tab=None, **more)
        asked = []
        page.on("request", lambda request: asked.append(request.url))
        page.set_default_timeout(SLOW)
        expect.set_options(timeout=SLOW)
        return page, asked

    return open


def until(page, condition):
    """Playwright's own waiting compiles strings, which the page's policy forbids."""
    page.evaluate(
        "new Promise((done, fail) => {"
        f"setTimeout(() => fail(Error('never: ' + {json.dumps(condition)})), {SLOW});"
        f"const look = () => ({condition}) ? done() : setTimeout(look, 50);"
        "look();})"
    )


def photo(pixels):
    return {"name": "photo.png", "mimeType": "image/png", "buffer": saved(pixels)}


def labelled(page, pixels):
    """The faces that the page finds in a photo."""
    page.evaluate("answers.length = 0")
    page.locator("input[type=file]").set_input_files(photo(pixels))
    until(page, "answers.length")
    return page.evaluate("answers[0]")


@pytest.fixture(scope="module")
def find():
    """The pipeline with the detector that the page has."""
    return pipeline(
        "facial-emotion", str(MODEL), trust_remote_code=True, device="cpu",
        detector="yunet", detector_path=str(MODEL / "face_detection_yunet.onnx"),
    )  # fmt: skip


def turned(pixels, degrees):
    height, width = pixels.shape[:2]
    turn = cv2.getRotationMatrix2D((width / 2, height / 2), degrees, 1)
    return cv2.warpAffine(pixels, turn, (width, height), borderMode=cv2.BORDER_REPLICATE)


def photos():
    face, room = a_face(220), ((0, 200), (0, 200), (0, 0))
    dim = (face * 0.6).astype(np.uint8)
    return {
        "one": astronaut(),
        "three": np.concatenate([face, dim, face[:, ::-1]], 1),
        "turned": turned(astronaut(), 20),
        "a large one": cv2.resize(astronaut(), (1500, 1500)),
        "a close-up": astronaut()[60:180, 165:285],
        "at the edge": astronaut()[90:400, :400],
        "drawn": np.asarray(Image.open(EXAMPLES / "4_drawn_group.jpg")),
        "enlarged": cv2.resize(astronaut(), (190, 190), interpolation=cv2.INTER_AREA),
        "a small face": np.pad(cv2.resize(astronaut(), (110, 110)), room, mode="edge"),
        "none": np.full((300, 400, 3), WALL, np.uint8),
    }


def test_boxes_labels_and_scores_are_those_of_python(open_at, find):
    page, _ = open_at()
    for name, pixels in photos().items():
        found, expected = labelled(page, pixels), find(pixels)
        assert len(found) == len(expected), name
        for face, other in zip(found, expected):
            assert np.abs(np.subtract(face["box"], [*other["box"].values()])).max() <= 2, name
            shares = np.subtract(face["shares"], [*other["scores"].values()])
            assert np.abs(shares).max() < 0.03, name
            assert (face["label"], face["uncertain"]) == (other["label"], other["uncertain"]), name
    assert expected == []
    expect(page.get_by_role("status")).to_have_text("No face was found.")
    assert len(labelled(page, np.tile(a_face(80), (6, 10, 1)))) == 50
    expect(page.get_by_role("status")).to_have_text("50 faces. 10 smaller ones are not labelled.")
    drawn, other = photos()["drawn"], find(photos()["drawn"], prior="uniform")[0]
    labelled(page, drawn)
    assert labelled(page, np.zeros((*drawn.shape[:2], 4), np.uint8)) == []  # nothing of the last
    labelled(page, drawn)
    page.evaluate("answers.length = 0")
    page.locator(".prior").select_option("uniform")
    until(page, "answers.length")
    face = page.evaluate("answers[0][0]")
    assert face["shares"] == pytest.approx([*other["scores"].values()], abs=0.03)
    page.evaluate("answers.length = 0")
    page.get_by_label("Only the largest face").check()
    until(page, "answers.length")  # about the photo that is shown
    assert len(labelled(page, photos()["three"])) == 1


@pytest.mark.parametrize(
    ("viewport", "scheme"), [(DESKTOP, "light"), (PHONE, "dark")], ids=["desktop", "phone"]
)
def test_frames_are_looked_at_without_a_request(open_at, screenshot, viewport, scheme):
    page, asked = open_at(viewport, scheme, permissions=["camera"])
    start, stop = (page.get_by_role("button", name=name) for name in ("Start the camera", "Stop"))
    start.click()
    person, box = page.locator(".person").first, page.locator(".boxes div").first
    expect(person.get_by_role("heading")).to_have_text(re.compile(r"Person \d · happy \d+%"))
    loaded = len(asked)
    assert {"/model.onnx", "/face_detection_yunet.onnx", "/model.json"} <= {
        "/" + address.rsplit("/", 1)[1] for address in asked
    }
    page.evaluate("answers.length = 0")
    until(page, "answers.length > 3")
    assert len(asked) == loaded
    around, inside = page.locator(".scene").bounding_box(), box.bounding_box()
    middle = (inside["x"] + inside["width"] / 2 - around["x"]) / around["width"]
    assert 0.65 < middle < 0.85  # in the left half of the camera's picture, mirrored
    page.get_by_label("Mirrored").uncheck()
    until(page, "parseFloat(document.querySelector('.boxes div').style.left) < 40")
    page.get_by_label("Mirrored").check()
    expect(person.get_by_role("img", name=re.compile("the last 30 seconds"))).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= viewport["width"]
    screenshot(page, f"live_{'phone' if viewport == PHONE else 'desktop'}")
    violations = Axe().run(page).response["violations"]
    assert [one["id"] for one in violations if one["impact"] in ("serious", "critical")] == []
    stop.click()  # forgets what was seen
    expect(page.locator(".person, .boxes div")).to_have_count(0)
    assert page.evaluate("tracks.map(track => track.readyState)") == ["ended"]
    expect(page.locator(".rate")).to_be_empty()


def test_nothing_can_be_sent_to_another_origin(open_at, hub):
    page, _ = open_at()
    page.locator("input[type=file]").set_input_files(photo(astronaut()))
    page.locator(".person").wait_for()
    ask = f"() => fetch('{hub.url}', {{mode: 'no-cors'}}).then(() => 'sent', () => 'refused')"
    assert page.evaluate(ask) == "refused"
    (worker,) = page.workers
    assert worker.evaluate(ask) == "refused"


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("delete window.WebAssembly", "This browser has no WebAssembly, which the networks need."),
        (
            "navigator.mediaDevices.getUserMedia = "
            "async () => { throw new DOMException('no', 'NotAllowedError') }",
            "The camera was not allowed.",
        ),
        (
            "Object.defineProperty(navigator, 'mediaDevices', {value: undefined})",
            "No camera: browsers give one only to pages that come by HTTPS",
        ),
    ],
)
def test_what_is_missing_is_a_sentence(open_at, script, words):
    page, _ = open_at(script=script)
    start = page.get_by_role("button", name="Start the camera")
    start.click()
    expect(page.get_by_role("status")).to_contain_text(words)
    expect(start).to_be_enabled()
    broken = {"name": "broken.png", "mimeType": "image/png", "buffer": b"no picture"}
    page.locator("input[type=file]").set_input_files(broken)
    expect(page.get_by_role("status")).to_contain_text("broken.png: not an image")


def test_leaving_the_tab_releases_the_camera_and_forgets(open_page, folder):
    page = open_page(script=REMEMBER, permissions=["camera"])
    live = page.frame_locator("iframe.live")
    start = live.get_by_role("button", name="Start the camera")

    def load_late(script):
        expect(start).to_be_disabled()  # while nothing would answer a click
        script.continue_()

    page.route("**/people.js", load_late)
    show_tab(page, "Live")
    start.click()
    live.locator(".person").first.wait_for(timeout=SLOW)
    show_tab(page, "What it is not")
    (frame,) = [frame for frame in page.frames if "browser/" in frame.url]
    until(frame, "tracks.every(track => track.readyState === 'ended')")
    until(frame, "!document.querySelector('.person, .boxes div')")
    show_tab(page, "Live")
    expect(start).to_be_visible()


def test_webgpu_answers_as_the_network_does(open_at, folder):
    page, _ = open_at()
    if not page.evaluate("navigator.gpu?.requestAdapter().then(Boolean)"):
        pytest.skip("needs a Chromium with WebGPU")
    network = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.SiLU()).eval()
    pixels = torch.linspace(-1, 1, 192).view(1, 3, 8, 8)
    torch.onnx.export(network, (pixels,), folder / "small.onnx", external_data=False, verbose=False)
    ask = """async ([wanted, data]) => {
        const {opener} = await import("/engine.js"), dims = [1, 3, 8, 8];
        const {engine, run} = await (await opener(wanted))("small.onnx", dims, 1);
        const [output] = Object.values(await run({data: Float32Array.from(data), dims}));
        return [engine, [...output.data]];
    }"""
    expected = network(pixels).flatten().tolist()
    for wanted, used in ("wasm", "wasm"), ("webgpu", "webgpu"), (None, "wasm"):  # in software: no
        engine, found = page.evaluate(ask, [wanted, pixels.flatten().tolist()])
        assert engine == used
        assert found == pytest.approx(expected, abs=1e-4)


def test_webgpu_that_errs_or_goes_away_is_replaced(open_at):
    page, _ = open_at()
    ask = """async () => {
        const {better} = await import("/engine.js");
        const one = (engine, answer) =>
            ({engine, run: async () => ({y: {data: [answer()]}}), release: () => 0});
        const wasm = one("wasm", () => 1);
        const chosen = answer => better(wasm, async () => one("webgpu", answer), {}, "webgpu");
        let gone = false;
        const lost = await chosen(() => { if (gone) throw Error("device lost"); return 1.001; });
        gone = true;
        const answers = [() => 1.001, () => 2, () => NaN, () => { throw Error("no shader"); }];
        const found = await Promise.all(answers.map(chosen));
        return [...found.map(({engine}) => engine), (await lost.run()).y.data[0]];
    }"""
    assert page.evaluate(ask) == ["webgpu", "wasm", "wasm", "wasm", 1]


def test_the_runtime_is_the_pinned_one_or_none(modules, tmp_path, monkeypatch):
    assemble = modules("assemble")
    content = b"altered"
    monkeypatch.setattr(assemble, "RUNTIME", {"ort.mjs": hashlib.sha256(b"as it was").hexdigest()})
    monkeypatch.setenv("npm_config_registry", (tmp_path / "registry").as_uri())
    package = tmp_path / "registry" / "onnxruntime-web" / "-"
    package.mkdir(parents=True)
    with pytest.raises(assemble.NotAssembled, match="Connect to the network once"):
        assemble.bring_runtime(tmp_path / "runtime")
    (tmp_path / "ort.mjs").write_bytes(content)
    with tarfile.open(package / f"onnxruntime-web-{assemble.VERSION}.tgz", "w:gz") as archive:
        archive.add(tmp_path / "ort.mjs", "package/dist/ort.mjs")
    with pytest.raises(assemble.NotAssembled, match="ort.mjs is not the file it should be"):
        assemble.bring_runtime(tmp_path / "runtime")
    assert not (tmp_path / "runtime" / "ort.mjs").exists()
    right = {"ort.mjs": hashlib.sha256(content).hexdigest()}
    monkeypatch.setattr(assemble, "RUNTIME", right)
    assemble.bring_runtime(tmp_path / "runtime")
    assert (tmp_path / "runtime" / "ort.mjs").read_bytes() == content


def test_the_shifts_of_priors_are_the_networks_own(modules):
    config = FerEfficientNetConfig.from_pretrained(MODEL)
    network = SimpleNamespace(config=config, num_labels=config.num_labels)
    shift = functools.partial(FerEfficientNetForImageClassification.prior_shift, network)
    names = {"own": config.prior_in_use, "train": "train", "uniform": "uniform"}
    for name, found in modules("assemble").model_facts(MODEL)["priors"].items():
        assert torch.allclose(torch.tensor(found), shift(names[name]), atol=1e-5)
