"""
The Space under load: many clients at once against the bare pipeline, on the same machine.

    python -m benchmarks.space_load
    python -m benchmarks.space_load --clients 64 --seconds 60 --detector_path yunet.onnx

Each client is a session, like a page or a gradio_client. It sends a photo of its own by plain HTTP
(upload, call, answer), again and again, and compares every answer with what the pipeline said
about that photo before; answers about other clients' photos are counted. The bare pipeline reads
the same files as one list, with PyTorch's own number of threads. Memory is the server's after the
warm-up and `--flat_over` answers later; the clients go on until then. They run on the same cores
as the server.

Then the tab Live, `--live_seconds` each: one visitor alone, 16 clients with photos alone, and 4
visitors beside these. A live visitor sends a frame of 480 px when the one
before it has been answered, as the page does but without its pause, and reads the answers from
Gradio's stream. The bare pipeline reads the same frames one by one.
"""

import argparse
import asyncio
import base64
import io
import itertools
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path

import aiohttp
import numpy as np
import psutil
import skimage.data
from PIL import Image
from transformers import pipeline

ROOT = Path(__file__).parents[1]
WARM_UP = 300  # answers before memory is read
VISITORS, PHOTO_CLIENTS = 4, 16  # of the tab Live, and beside them
GoOn = Callable[[], bool]  # whether a client sends once more


def jpeg(picture: Image.Image, quality: int) -> bytes:
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=quality)
    return file.getvalue()


def make_photos(count: int) -> list[bytes]:
    """JPEG files, each with its face in another place and another light."""
    photos = []
    for number in range(count):
        moved = np.roll(skimage.data.astronaut(), 4 * (number - count // 2), axis=1)
        lit = (moved * (0.6 + 0.4 * (number % 8) / 7)).astype(np.uint8)
        photos.append(jpeg(Image.fromarray(lit), 90))
    return photos


def make_frames(count: int = 32) -> list[bytes]:
    """JPEG files of 480 x 360, in which a face moves to and fro."""
    photo, frames = Image.fromarray(skimage.data.astronaut()).resize((360, 360)), []
    for number in range(count):
        frame = Image.new("RGB", (480, 360), (120, 140, 150))
        frame.paste(photo, (60 + round(40 * np.sin(2 * np.pi * number / count)), 0))
        frames.append(jpeg(frame, 70))
    return frames


def bare(
    photos: list[bytes], frames: list[bytes], count: int, detector_path: str
) -> tuple[float, float, list]:
    """The pipeline alone: photos per second, frames per second one by one, answers to photos."""
    find = pipeline(
        "facial-emotion", str(ROOT / "model"), trust_remote_code=True,
        detector_path=detector_path or None,
    )  # fmt: skip
    answers = find(photos)
    many = list(itertools.islice(itertools.cycle(photos), count))
    started = time.perf_counter()
    find(many)
    rate, started = count / (time.perf_counter() - started), time.perf_counter()
    for frame in itertools.islice(itertools.cycle(frames), count):
        find(frame)
    return rate, count / (time.perf_counter() - started), answers


def start_server(detector_path: str) -> tuple[subprocess.Popen, str]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    env = {"GRADIO_SERVER_PORT": str(port), "DETECTOR_PATH": detector_path}
    server = subprocess.Popen(
        [sys.executable, ROOT / "space" / "app.py"],
        env=os.environ | env,
        stdout=subprocess.DEVNULL,
        stderr=tempfile.TemporaryFile(),
    )
    url = f"http://127.0.0.1:{port}"
    while server.poll() is None:
        try:
            urllib.request.urlopen(f"{url}/config", timeout=10).close()
            return server, url
        except OSError:
            time.sleep(0.2)
    raise SystemExit("The Space ended; python space/app.py says why.")


class Load:
    """Clients that ask one after the other, and what became of it."""

    def __init__(self, url: str, photos: list[bytes], expected: list):
        self.api, self.photos, self.expected = f"{url}/gradio_api", photos, expected
        self.seconds: list[float] = []
        self.errors: list[str] = []
        self.wrong = 0

    async def ask(self, session: aiohttp.ClientSession, number: int) -> None:
        started = time.perf_counter()
        form = aiohttp.FormData()
        form.add_field("files", self.photos[number], filename="photo.jpg")
        async with session.post(f"{self.api}/upload", data=form) as answer:
            (path,) = await answer.json()
        image = {"path": path, "meta": {"_type": "gradio.FileData"}}
        call = f"{self.api}/call/predict"
        body = {"data": [image, "train"], "session_hash": f"client-{number}"}
        async with session.post(call, json=body) as answer:
            event = (await answer.json())["event_id"]
        async with session.get(f"{call}/{event}") as answer:
            name, content = (await answer.text()).strip().split("\n\n")[-1].split("\n")
        if name != "event: complete":
            self.errors.append(content)
            return
        self.seconds.append(time.perf_counter() - started)
        (faces,) = json.loads(content.removeprefix("data: "))
        self.wrong += not same(faces, self.expected[number])

    async def client(self, session: aiohttp.ClientSession, number: int, go_on: GoOn) -> None:
        while go_on():
            try:
                await self.ask(session, number)
            except (aiohttp.ClientError, ValueError, KeyError) as error:
                self.errors.append(f"{type(error).__name__}: {error}")

    def clients(self, go_on: GoOn, count: int | None = None) -> list[Callable]:
        numbers = range(len(self.photos) if count is None else count)
        return [lambda session, i=i: self.client(session, i, go_on) for i in numbers]


class Live:
    """Visitors of the tab Live, and how many of their frames were answered."""

    def __init__(self, url: str, frames: list[bytes], function: int):
        self.api, self.function = f"{url}/gradio_api", function
        start = "data:image/jpeg;base64,"
        self.frames = [start + base64.b64encode(frame).decode() for frame in frames]
        self.answered: dict[str, int] = {}
        self.faceless = 0

    async def visitor(self, session: aiohttp.ClientSession, name: str, go_on: GoOn) -> None:
        event, self.answered[name] = None, 0
        while go_on():  # a turn
            body = {"session_hash": name, "fn_index": self.function, "data": [self.frames[0], None]}
            async with session.post(f"{self.api}/queue/join", json=body) as answer:
                event = (await answer.json())["event_id"]
            listen = session.get(f"{self.api}/queue/data", params={"session_hash": name})
            async with listen as answers:
                await self._turn(session, answers, f"{self.api}/stream/{event}", body, go_on)

    async def _turn(
        self,
        session: aiohttp.ClientSession,
        answers: aiohttp.ClientResponse,
        url: str,
        body: dict,
        go_on: GoOn,
    ) -> None:
        async for line in answers.content:
            message = json.loads(line.removeprefix(b"data: ")) if line.strip() else {}
            if message.get("msg") not in ("process_streaming", "process_completed"):
                continue
            self.answered[body["session_hash"]] += 1
            self.faceless += not json.loads(message["output"]["data"][0])["faces"]
            if message["msg"] == "process_completed":
                return
            number = self.answered[body["session_hash"]] % len(self.frames)
            body["data"] = [self.frames[number], None]
            await session.post(url if go_on() else f"{url}/close", json=body)


def run(clients: list[Callable]) -> float:
    """Seconds until all clients, which are functions of a session, have ended."""

    async def all_clients() -> None:
        limits = aiohttp.TCPConnector(limit=0)
        timeout = aiohttp.ClientTimeout(total=None)
        async with aiohttp.ClientSession(connector=limits, timeout=timeout) as session:
            await asyncio.gather(*(client(session) for client in clients))

    started = time.perf_counter()
    asyncio.run(all_clients())
    return time.perf_counter() - started


def stream_function(url: str) -> int:
    with urllib.request.urlopen(f"{url}/config", timeout=10) as answer:
        events = json.load(answer)["dependencies"]
    (function,) = (event["id"] for event in events if event["connection"] == "stream")
    return function


def same(faces: list[dict], expected: list[dict]) -> bool:
    """Answers of other photos differ in their boxes."""
    return [face["box"] for face in faces] == [face["box"] for face in expected] and all(
        abs(face["scores"][label] - score) < 1e-3
        for face, other in zip(faces, expected)
        for label, score in other["scores"].items()
    )


def megabytes(server: subprocess.Popen) -> float:
    return psutil.Process(server.pid).memory_info().rss / 2**20


def measure_live(
    url: str, load: Load, frames: list[bytes], visitors: int, clients: int, seconds: float
) -> None:
    """Prints frames/s of each visitor beside so many clients with photos, and theirs."""
    live = Live(url, frames, stream_function(url))
    answered, end = len(load.seconds), time.perf_counter() + seconds

    def go_on() -> bool:
        return time.perf_counter() < end

    watching = [
        lambda session, name=f"live-{i}": live.visitor(session, name, go_on)
        for i in range(visitors)
    ]
    took = run(watching + load.clients(go_on, clients))
    rates = " ".join(f"{count / took:.1f}" for count in sorted(live.answered.values()))
    print(f"{visitors} live, {clients} with photos".ljust(21), end="")
    if rates:
        print(f"{rates} frames/s, {live.faceless} without the face", end=", " if clients else "\n")
    if clients:
        latencies = load.seconds[answered:]
        middle, last = statistics.median(latencies), statistics.quantiles(latencies, n=100)[98]
        print(f"{len(latencies) / took:.1f} photos/s, median {middle:.2f} s, 99th {last:.2f}")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--clients", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument(
        "--flat_over", type=int, default=2000, help="answers before the next reading"
    )
    parser.add_argument("--live_seconds", type=float, default=30)
    parser.add_argument("--bare_photos", type=int, default=256, help="for the bare pipeline")
    parser.add_argument("--detector_path", default="", help="a local YuNet file")
    args = parser.parse_args()
    photos = make_photos(args.clients)
    frames = make_frames()
    alone, one_by_one, expected = bare(photos, frames, args.bare_photos, args.detector_path)
    server, url = start_server(args.detector_path)
    try:
        load = Load(url, photos, expected)
        run(load.clients(lambda: len(load.seconds) + len(load.errors) < WARM_UP))
        before, answered = megabytes(server), len(load.seconds)
        end = time.perf_counter() + args.seconds
        took = run(load.clients(lambda: time.perf_counter() < end))
        latencies = load.seconds[answered:]
        run(load.clients(
            lambda: len(load.seconds) - answered < args.flat_over and not load.errors
        ))  # fmt: skip
        after, all_answers = megabytes(server), len(load.seconds) - answered
        for visitors, beside in ((1, 0), (0, PHOTO_CLIENTS), (VISITORS, PHOTO_CLIENTS)):
            measure_live(url, load, frames, visitors, beside, args.live_seconds)
        print(f"memory at the end    {megabytes(server):.0f} MB")
    finally:
        server.terminate()
        server.wait(30)
    rate, hundredths = len(latencies) / took, statistics.quantiles(latencies, n=100)
    print(f"bare pipeline        {alone:.1f} photos/s, {one_by_one:.1f} frames/s one by one")
    print(
        f"{args.clients} clients, {took:.0f} s    {rate:.1f} requests/s, ratio {rate / alone:.2f}"
    )
    print(
        f"latency              median {hundredths[49]:.2f} s, 99th percentile {hundredths[98]:.2f}"
    )
    print(f"errors               {len(load.errors)} {load.errors[:1] or ''}")
    print(f"answers of others    {load.wrong} of {len(load.seconds)}")
    print(f"memory               {before:.0f} MB, {after:.0f} MB after {all_answers} answers more")


if __name__ == "__main__":
    main()
