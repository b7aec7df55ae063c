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
"""

import argparse
import asyncio
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


def bare(photos: list[bytes], count: int, detector_path: str) -> tuple[float, list]:
    """The pipeline alone: photos per second, and its answers."""
    find = pipeline(
        "facial-emotion", str(ROOT / "model"), trust_remote_code=True,
        detector_path=detector_path or None,
    )  # fmt: skip
    answers = find(photos)
    many = list(itertools.islice(itertools.cycle(photos), count))
    started = time.perf_counter()
    find(many)
    return count / (time.perf_counter() - started), answers


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

    def clients(self, go_on: GoOn) -> list[Callable]:
        numbers = range(len(self.photos))
        return [lambda session, i=i: self.client(session, i, go_on) for i in numbers]


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


def same(faces: list[dict], expected: list[dict]) -> bool:
    """Answers of other photos differ in their boxes."""
    return [face["box"] for face in faces] == [face["box"] for face in expected] and all(
        abs(face["scores"][label] - score) < 1e-3
        for face, other in zip(faces, expected)
        for label, score in other["scores"].items()
    )


def megabytes(server: subprocess.Popen) -> float:
    return psutil.Process(server.pid).memory_info().rss / 2**20


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--clients", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument(
        "--flat_over", type=int, default=2000, help="answers before the next reading"
    )
    parser.add_argument("--bare_photos", type=int, default=256, help="for the bare pipeline")
    parser.add_argument("--detector_path", default="", help="a local YuNet file")
    args = parser.parse_args()
    photos = make_photos(args.clients)
    alone, expected = bare(photos, args.bare_photos, args.detector_path)
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
    finally:
        server.terminate()
        server.wait(30)
    rate, hundredths = len(latencies) / took, statistics.quantiles(latencies, n=100)
    print(f"bare pipeline        {alone:.1f} photos/s")
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
