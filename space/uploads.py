"""
What visitors send: the path of an upload and nothing else, read once, soon deleted.

Gradio's own inputs open, convert and copy what is sent, and fetch an address in its place. Here the
model's own reader opens a file, with its limits, and an address is refused.
"""

import threading
import time
from pathlib import Path
from typing import Any

import gradio as gr
from gradio_client.utils import is_http_url_like


def upload_only(component: gr.Image | gr.Video | gr.File) -> gr.Image | gr.Video | gr.File:
    """The same input, which now hands on the path of an upload, or the paths of several."""
    move, info = component.async_move_resource_to_block_cache, component.api_info()
    multiple = getattr(component, "file_count", "single") == "multiple"

    def preprocess(payload: Any) -> str | list[str] | None:
        if payload is None:
            return None
        files = getattr(payload, "root", payload)
        return [file.path for file in files] if isinstance(files, list) else files.path

    async def move_upload(path: str | None) -> Any:
        if path is not None and is_http_url_like(str(path)):
            raise gr.Error("Addresses are not fetched here: send the file.", print_exception=False)
        return await move(path)

    def example():
        file = {"path": "PATH_THAT_UPLOAD_ANSWERED", "meta": {"_type": "gradio.FileData"}}
        return [file] if multiple else file

    component.preprocess, component.async_move_resource_to_block_cache = preprocess, move_upload
    component.api_info = lambda: info | {"additional_description": "an upload; no address"}
    component.example_payload = component.example_value = example
    return component


class Uploads:
    """
    Deletes files of a folder `after_use` seconds after their last use, and in any case at an age of
    `at_age` seconds.

    Not at once after use: the same file sent by two visitors is one file on disk, and the second
    may wait in the queue. (Gradio's `delete_cache` knows ages alone, and not what an upload that
    broke off has left.)
    """

    def __init__(self, folder: Path, after_use: float, at_age: float):
        self.folder, self.after_use, self.at_age = folder, after_use, at_age
        self._used: dict[Path, float] = {}
        threading.Thread(target=self._run, daemon=True).start()

    def read(self, path: str, most: int) -> bytes:
        """
        Its content, or the first `most` + 1 bytes of it; the file will be forgotten.

        Raises:
            FileNotFoundError: it has been forgotten.
        """
        with Path(path).open("rb") as file:
            if Path(path).is_relative_to(self.folder):  # an example stays
                self._used[Path(path)] = time.time()
            return file.read(most + 1)

    def forget(self, now: float) -> None:
        for path in list(self.folder.rglob("*")):
            try:
                changed = path.stat().st_ctime  # of a file that is sent again: new
                if path.is_dir():
                    if now - changed > self.at_age:
                        path.rmdir()
                    continue
                used = self._used.get(path)
                idle = used is not None and now - max(used, changed) > self.after_use
                if idle or now - changed > self.at_age:
                    path.unlink()
                    self._used.pop(path, None)
            except OSError:  # gone already, or a folder in use
                continue

    def _run(self) -> None:
        while True:
            time.sleep(self.after_use / 6)
            self.forget(time.time())
