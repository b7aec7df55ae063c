"""What whoever runs the Space needs: curl as printed, health, logs, metrics, limits, Dockerfile."""

import http.client
import inspect
import json
import re
import shutil
import subprocess
from pathlib import Path

import gradio
import httpx
import pytest
import yaml
from space_client import astronaut, call, file_data, predict, upload
from starlette.applications import Starlette
from starlette.testclient import TestClient

from tests.images import saved

ROOT = Path(__file__).parents[2]
SPACE = ROOT / "space"
README = (SPACE / "README.md").read_text()


@pytest.fixture
def operations(modules, monkeypatch):
    """The module, with counts of its own."""
    operations = modules("operations")
    monkeypatch.setattr(operations, "METRICS", operations.Metrics())
    return operations


@pytest.mark.skipif(not shutil.which("curl"), reason="needs curl")
def test_curl_as_the_page_prints_it(space, tmp_path):
    (printed,) = re.findall(r"```bash\n(curl .*?)```", README, flags=re.DOTALL)
    (tmp_path / "photo.jpg").write_bytes(saved(astronaut(), "JPEG"))
    script = printed.replace("http://127.0.0.1:7860", space.url)
    done = subprocess.run(["bash", "-c", script], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (face,) = json.loads(done.stdout)
    assert face["label"] == "happy" and len(face["scores"]) == 7
    config = httpx.get(f"{space.url}/config").json()
    assert any("curl --data" in json.dumps(part["props"]) for part in config["components"])


def test_a_photo_in_one_request_is_answered_as_the_api_does_and_logged_alike(space):
    def ask(content, prior="train"):
        return httpx.post(f"{space.url}/faces?prior={prior}", content=content, timeout=60)

    before, photo = len(space.log.read_text()), saved(astronaut())
    for prior in ("train", "uniform"):
        assert ask(photo, prior).json() == predict(space.url, photo, prior=prior)
    refused = {
        status: ask(content, prior)
        for status, content, prior in (
            (415, b"no picture", "train"),
            (400, photo, "even"),
            (413, bytes(20 * 2**20 + 1), "train"),
        )
    }
    assert [*refused] == [answer.status_code for answer in refused.values()]
    assert "not an image" in refused[415].json()["error"]
    assert "expected train or uniform" in refused[400].json()["error"]
    written = space.log.read_text()[before:]
    lines = [json.loads(line) for line in written.splitlines() if line[0] == "{"]
    assert [line.get("reason") for line in lines] == [
        *[None] * 4, "unreadable", "http_400", "http_413"
    ]  # fmt: skip


def test_each_request_is_a_line_without_photo_name_or_address(space):
    before = len(space.log.read_text())
    assert predict(space.url, saved(astronaut()), name="anna_in_her_garden.png")
    assert "not an image" in predict(space.url, b"no picture", name="broken_by_anna.png")
    written = space.log.read_text()[before:]
    answered, refused = (json.loads(line) for line in written.splitlines() if line[0] == "{")
    assert answered.pop("time").endswith("+00:00") and answered.pop("seconds") > 0
    assert answered == {"request": "predict", "outcome": "ok", "photos": 1, "faces": 1}
    assert refused.pop("time") and refused.pop("seconds") >= 0
    assert refused == {"request": "predict", "outcome": "refused", "reason": "unreadable"}
    for private in ("anna", "127.0.0.1", "/tmp", "png"):
        assert private not in written


def test_what_is_refused_is_a_line_too(space):
    before = len(space.log.read_text())
    photo = upload(space.url, b"no picture")
    predict(space.url, bytes(20 * 2**20 + 1))
    _, answer = call(space.url, "predict_batch", [photo] * 51, "train")
    assert answer["error"] == "At most 50 photos at a time, but these are 51."
    for images in ([], [file_data("http://127.0.0.1/photo.png")]):
        call(space.url, "predict_batch", images, "train")
    _, answer = call(space.url, "predict", photo, "another prior")
    assert "another prior" in answer["error"]
    large = http.client.HTTPConnection(space.url.removeprefix("http://"))
    large.request("POST", "/gradio_api/upload", headers={"Content-Length": str(2**40)})
    assert large.getresponse().status == 413
    httpx.get(f"{space.url}/gradio_api/run-history/connect")
    written = space.log.read_text()[before:]
    assert "Traceback" not in written
    lines = [json.loads(line) for line in written.splitlines() if line[0] == "{"]
    assert {line["outcome"] for line in lines} == {"refused"}
    assert [(line["request"], line["reason"]) for line in lines] == [
        ("predict", "too_large"), ("predict_batch", "too_many"), ("predict_batch", "empty"),
        ("predict_batch", "input"), ("predict", "input"), ("upload", "http_413"),
        ("other", "http_404"),
    ]  # fmt: skip


def test_health(space, operations):
    answer = httpx.get(f"{space.url}/healthz")
    assert answer.status_code == 200 and answer.json() == {"status": "ok"}
    client = TestClient(Starlette(routes=[operations.health(lambda: False)]))
    assert client.get("/healthz").status_code == 503


def test_what_happens_to_a_request_is_counted_and_written(operations, capsys):
    @operations.observed("photo")
    def answer(photos, progress=gradio.Progress()):  # noqa: B008
        operations.note(photos=1)
        operations.note(photos=1, faces=photos)
        if photos > 3:
            raise gradio.Error("too many")
        return 12 // photos

    operations.note(photos=100)  # of no request
    assert isinstance(inspect.signature(answer).parameters["progress"].default, gradio.Progress)
    assert answer(3) == 4
    with pytest.raises(gradio.Error):
        answer(4)
    with pytest.raises(ZeroDivisionError):
        answer(0)
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["outcome"] for line in lines] == ["ok", "refused", "failed"]
    assert lines[0] | {"time": 0, "seconds": 0} == {
        "time": 0, "request": "photo", "outcome": "ok", "seconds": 0, "photos": 2, "faces": 3,
    }  # fmt: skip
    assert operations.METRICS.requests["photo", "ok"] == 1
    assert operations.METRICS.totals == {"photos": 6, "faces": 7}


def test_metrics_are_off_unless_a_port_is_given(operations, monkeypatch):
    assert operations.Limits.from_environment({}, 2, 16_000).metrics_port is None
    monkeypatch.setattr(operations, "ThreadingHTTPServer", lambda *_: pytest.fail("it listens"))
    assert operations.serve_metrics(None) is None


def test_metrics_are_read_from_this_machine_alone(operations):
    operations.METRICS.add("photo", "ok", 0.25, {"photos": 1, "faces": 3})
    operations.METRICS.add("photo", "refused", 0.25, {})
    operations.METRICS.gauges["waiting_requests"] = lambda: 7
    server = operations.serve_metrics(0)  # any free port
    try:
        host, port = server.server_address
        assert host == "127.0.0.1"
        answer = httpx.get(f"http://127.0.0.1:{port}/metrics")
        assert httpx.get(f"http://127.0.0.1:{port}/").status_code == 404
        with pytest.raises(SystemExit, match=f"FACES_METRICS_PORT={port}: Address already in use"):
            operations.serve_metrics(port)
    finally:
        server.shutdown()
        server.server_close()
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    lines = answer.text.splitlines()
    assert {
        'space_requests_total{request="photo",outcome="ok"} 1',
        'space_requests_total{request="photo",outcome="refused"} 1',
        'space_request_seconds_total{request="photo"} 0.500000',
        "space_photos_total 1",
        "space_faces_total 3",
        "space_waiting_requests 7",
    } <= set(lines)


@pytest.mark.parametrize(
    "env, cores, memory_mb, expected",
    [
        ({}, 1, 2_000, (1, 1, 5, 40)),  # memory for 5 requests of 192 MB
        ({}, 2, 16_000, (2, 1, 32, 256)),
        ({}, 16, 64_000, (4, 4, 166, 1328)),
        ({}, 2, 100, (2, 1, 1, 8)),
        ({"FACES_WORKERS": "1", "FACES_MEMORY_MB": "512"}, 4, 64_000, (1, 4, 2, 16)),
        ({"FACES_THREADS": "3", "FACES_PHOTOS_AT_ONCE": "5"}, 2, 16_000, (2, 3, 5, 40)),
        ({"FACES_QUEUE": "9", "FACES_WORKERS": ""}, 2, 16_000, (2, 1, 32, 9)),
    ],
)
def test_limits_by_the_size_of_the_machine(operations, env, cores, memory_mb, expected):
    limits = operations.Limits.from_environment(env, cores, memory_mb)
    found = limits.workers, limits.threads, limits.photos_at_once, limits.queue
    assert found == expected


@pytest.mark.parametrize("text", ["0", "-1", "two", "1.5"])
def test_a_limit_that_is_none_is_refused(operations, text):
    with pytest.raises(SystemExit, match="FACES_QUEUE: expected a whole number of at least 1, but"):
        operations.Limits.from_environment({"FACES_QUEUE": text}, 2, 16_000)


def test_the_readme_has_every_variable():
    code = "".join(file.read_text() for file in SPACE.glob("*.py"))
    names = {f"FACES_{name}" for name in re.findall(r'number\("(\w+)"', code)}
    of_others = {"SPACE_HOST", "npm_config_registry"}
    names |= {*re.findall(r'environ\.get\("(\w+)"', code)} - of_others
    assert len(names) == 9 and all(f"`{name}`" in README for name in names)


@pytest.mark.parametrize(
    "quota, allowed, expected",
    [("150000 100000", 8, 2), ("max 100000", 8, 8), ("50000 100000", 8, 1), (None, 3, 3),
     ("400000 100000", 2, 2)],
)  # fmt: skip
def test_cores_are_those_of_the_container(
    operations, monkeypatch, tmp_path, quota, allowed, expected
):
    monkeypatch.setattr(operations, "CGROUP", tmp_path)
    monkeypatch.setattr(operations.os, "sched_getaffinity", lambda _: range(allowed))
    if quota:
        (tmp_path / "cpu.max").write_text(quota + "\n")
    assert operations.cores() == expected


def test_memory_is_that_of_the_container(operations, monkeypatch, tmp_path):
    monkeypatch.setattr(operations, "CGROUP", tmp_path)
    whole = operations.memory_mb()
    assert whole > 100
    (tmp_path / "memory.max").write_text("max\n")
    assert operations.memory_mb() == whole
    (tmp_path / "memory.max").write_text(f"{64 * 2**20}\n")
    assert operations.memory_mb() == 64


def test_the_dockerfile_takes_all_that_the_page_needs(tmp_path):
    """Its steps by hand: what it copies holds the page, the model and what their links name."""
    lines = (SPACE / "Dockerfile").read_text().splitlines()
    steps = dict(line.split(maxsplit=1) for line in lines if re.match("(FROM|CMD|USER)", line))
    header = yaml.safe_load(README.split("---\n")[1])
    assert steps["FROM"] == f"python:{header['python_version']}-slim"
    for line in lines:
        if match := re.match(r"COPY (\S+) /(faces/\S+)$", line):
            source, target = match.groups()
            shutil.copytree(ROOT / source, tmp_path / target, symlinks=True)
    (program, script) = json.loads(steps["CMD"])
    assert program == "python" and (tmp_path / script.lstrip("/")).is_file()
    links = [path for path in tmp_path.rglob("*") if path.is_symlink()]
    assert len(links) > 5 and all(
        path.resolve().exists() and path.resolve().is_relative_to(tmp_path) for path in links
    )
    assert (tmp_path / "faces/model/model.safetensors").is_file()
    checks = [line for line in lines if "/healthz" in line]
    assert len(checks) == 1 and int(steps["USER"]) > 0
