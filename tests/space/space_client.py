"""The Space's API by plain HTTP, as its documentation shows."""

import json

import httpx
import numpy as np
import skimage.data


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
