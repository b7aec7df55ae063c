"""The Space's API by plain HTTP, as its documentation shows."""

import base64
import json
from collections.abc import Iterator

import httpx
import numpy as np
import skimage.data
from PIL import Image

from tests.images import saved


def astronaut() -> np.ndarray:
    return skimage.data.astronaut()


def file_data(path: str) -> dict:
    return {"path": path, "meta": {"_type": "gradio.FileData"}}


def upload(url: str, content: bytes, name: str = "photo.jpg") -> dict:
    answer = httpx.post(f"{url}/gradio_api/upload", files={"files": (name, content)}, timeout=60)
    (path,) = answer.raise_for_status().json()
    return file_data(path)


def call(url: str, endpoint: str, *data) -> tuple[str, object]:
    """The last event, `complete` or `error`, and what it brings."""
    body = {"data": list(data)}
    posted = httpx.post(f"{url}/gradio_api/call/{endpoint}", json=body, timeout=60)
    event = posted.raise_for_status().json()["event_id"]
    answer = httpx.get(f"{url}/gradio_api/call/{endpoint}/{event}", timeout=120).text
    name, content = answer.strip().split("\n\n")[-1].split("\n")
    return name.removeprefix("event: "), json.loads(content.removeprefix("data: "))


def predict(url: str, content: bytes, name: str = "photo.jpg", prior: str = "train"):
    """Faces, or the error's text."""
    event, found = call(url, "predict", upload(url, content, name), prior)
    return found[0] if event == "complete" else found["error"]


class LiveVisitor:
    """A camera of the tab Live, as Gradio's page streams it."""

    def __init__(self, url: str, name: str):
        self.api, self.name = f"{url}/gradio_api", name
        config = httpx.get(f"{url}/config", timeout=60).json()
        streams = [event for event in config["dependencies"] if event["connection"] == "stream"]
        (self.function,) = (event["id"] for event in streams)
        self.event = None

    def send(self, frame: str) -> None:
        body = {"data": [frame, None], "session_hash": self.name, "fn_index": self.function}
        if self.event:
            httpx.post(f"{self.api}/stream/{self.event}", json=body, timeout=60).raise_for_status()
            return
        joined = httpx.post(f"{self.api}/queue/join", json=body, timeout=60)
        self.event = joined.raise_for_status().json()["event_id"]
        self.listening = httpx.stream(
            "GET", f"{self.api}/queue/data", params={"session_hash": self.name}, timeout=60
        )
        self.lines = self.listening.__enter__().iter_lines()

    def messages(self) -> Iterator[dict]:
        for line in self.lines:
            if line.startswith("data: "):
                yield json.loads(line.removeprefix("data: "))

    def answer(self) -> dict:
        """What is found in the newest frame."""
        for message in self.messages():
            if message["msg"] in ("process_streaming", "process_completed"):
                assert message["success"], message["output"]
                return json.loads(message["output"]["data"][0])
        raise AssertionError("the stream ended")

    def leave(self) -> None:
        httpx.post(f"{self.api}/stream/{self.event}/close", timeout=60).raise_for_status()
        self.listening.__exit__(None, None, None)


def frame_of(photo, side: int = 480) -> str:
    """A photo, made smaller where it is larger than `side` -> what the page streams."""
    image = Image.fromarray(photo)
    image.thumbnail((side, side))
    return "data:image/jpeg;base64," + base64.b64encode(saved(image, "JPEG")).decode()
