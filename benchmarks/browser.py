"""
The page that runs in the visitor's browser: frames a second before a camera that plays a face.

    python space/assemble.py model page
    python -m benchmarks.browser page --seconds 30

Chromium, its fake camera (640 x 480) and the two networks share this machine's cores. Memory is
that of all of Chromium's processes at the start and at the end: 600 seconds show whether it is
steady.
"""

import argparse
import functools
import shutil
import tempfile
import threading
import time
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import cv2
import numpy as np
import psutil
import skimage.data
from playwright.sync_api import Page, sync_playwright

FLAGS = ["--no-sandbox", "--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream"]
COUNT = "window.count = 0; document.addEventListener('faces', () => count++)"


def write_camera(path: Path, faces: int, frames: int = 60) -> None:
    """A Motion JPEG of 640 x 480 in which faces move about; Chromium repeats it."""
    side = 240 if faces == 1 else 160
    face = cv2.resize(skimage.data.astronaut()[:220, 120:340, ::-1], (side, side))
    with path.open("wb") as file:
        for number in range(frames):
            picture = np.full((480, 640, 3), 180, np.uint8)
            moved = round(20 * np.sin(2 * np.pi * number / frames))
            for place in range(faces):
                left, top = 40 + moved + 300 * (place % 2), 20 + 240 * (place // 2)
                picture[top : top + side, left : left + side] = face
            file.write(cv2.imencode(".jpg", picture)[1].tobytes())


def serve(folder: Path) -> str:
    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=folder))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return f"http://127.0.0.1:{server.server_port}"


def megabytes() -> float:
    """Of the processes that this one started."""
    started = psutil.Process().children(recursive=True)
    return sum(process.memory_info().rss for process in started) / 2**20


def measure(page: Page, seconds: float) -> tuple[float, float]:
    """Seconds from the click to the first answer, and frames a second after a warm-up."""
    clicked = time.perf_counter()
    page.get_by_role("button", name="Start the camera").click()
    page.locator(".boxes div").first.wait_for(timeout=120_000)
    ready = time.perf_counter() - clicked
    page.wait_for_timeout(3000)
    before, started = page.evaluate("count"), time.perf_counter()
    page.wait_for_timeout(1000 * seconds)
    return ready, (page.evaluate("count") - before) / (time.perf_counter() - started)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("page", type=Path, help="the folder that space/assemble.py wrote")
    parser.add_argument("--seconds", type=float, default=30)
    args = parser.parse_args()
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    for faces in (1, 4):
        with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
            camera = Path(folder) / "faces.mjpeg"
            write_camera(camera, faces)
            flags = [*FLAGS, f"--use-file-for-fake-video-capture={camera}"]
            browser = playwright.chromium.launch(executable_path=chromium, args=flags)
            page = browser.new_page()
            page.add_init_script(COUNT)
            page.goto(serve(args.page))
            measure(page, 0)
            page.get_by_role("button", name="Stop").click()
            before = megabytes()
            ready, rate = measure(page, args.seconds)
            found = page.locator(".boxes div").count()
            print(f"{found} of {faces} faces  {rate:.1f} frames/s, the first after {ready:.1f} s; "
                  f"{before:.0f} MB, {megabytes():.0f} MB at the end")  # fmt: skip
            browser.close()


if __name__ == "__main__":
    main()
