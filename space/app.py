"""
The Space: facial expressions in photos and videos, as a page and as an API.

    python space/app.py                     the model that ships, at http://127.0.0.1:7860

Variables: MODEL_ID (a folder or a Hub id; default: ../model), MODEL_REVISION (of a Hub id: the
commit, since the model's code is run), DETECTOR_PATH (a local YuNet file; default: from the Hub, or
OpenCV's own detector without network), GRADIO_SERVER_NAME, GRADIO_SERVER_PORT; limits and metrics
are in operations.py.
"""

import atexit
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

HERE = Path(__file__).resolve().parent
if (HERE / "prediction").is_file():
    raise SystemExit(
        f"{HERE / 'prediction'}: expected a link, but found a text file that names its target, as "
        "git writes it where symbolic links are off. Run: git config core.symlinks true && git "
        "checkout -- model space"
    )
UPLOADS = Path(tempfile.mkdtemp(prefix="space-")).resolve()
EXAMPLES = Path(tempfile.mkdtemp(prefix="space-examples-"))
for folder in (UPLOADS, EXAMPLES):
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
os.environ |= {
    "GRADIO_TEMP_DIR": str(UPLOADS),
    "GRADIO_ANALYTICS_ENABLED": "False",
    "GRADIO_ANALYTICS_MAX_EVENTS": "64",  # requests that it keeps a record of
    "HF_HUB_DISABLE_TELEMETRY": "1",
}

import gradio as gr  # noqa: E402
import numpy as np  # noqa: E402
import operations  # noqa: E402
import panels  # noqa: E402
import story  # noqa: E402
from answers import FACES, answer  # noqa: E402
from clips import MAX_SECONDS, MAX_VIDEO_BYTES, check_container, follow_faces  # noqa: E402
from examples import make_examples  # noqa: E402
from guard import MAX_UPLOAD, Guard  # noqa: E402
from live import live_tab, places  # noqa: E402
from operations import note, observed  # noqa: E402
from serving import (  # noqa: E402
    MAX_FACES,
    MAX_PHOTO_BYTES,
    MAX_PHOTO_PIXELS,
    MAX_PHOTOS,
    InputRefused,
    Served,
)
from sharing import TITLE, Sharing, picture  # noqa: E402
from starlette.middleware import Middleware  # noqa: E402
from tabs import MANY, VIDEO, limits_tab, many_tab, photo_tab, video_tab  # noqa: E402
from uploads import FileInput, PhotoInput, Uploads  # noqa: E402

from prediction.output import CsvWriter  # noqa: E402

PHOTOS_TOGETHER, BYTES_TOGETHER = 8, 2**25  # of one request, unpacked at a time
LIMITS = operations.Limits.of(os.environ, operations.cores(), operations.memory_mb())
VIDEOS_AT_ONCE = 1
DELETE_AFTER_USE, DELETE_AT_AGE = 60, 600  # seconds
SESSIONS = 200  # whose pages Gradio remembers
API_PRIORS = [("training", "train"), ("uniform", "uniform")]
TOO_MANY = f"At most {MAX_PHOTOS} photos at a time, but these are {{}}."
PRIVACY = (
    "Photos and videos are read, answered and forgotten: an upload is deleted about a minute after "
    "its use, the clip and the tables that are made from it within ten minutes. No photo, name or "
    "address is logged, none is sent anywhere else, and nothing is used for training."
)


class Page:
    """What the events do: text in, text out; what a visitor got wrong is a sentence."""

    def __init__(self, served: Served, report: panels.Report):
        self.served, self.report = served, report
        self.priors = ["train", "uniform"] if served.config.train_distribution else []
        self.uploads = Uploads(UPLOADS, DELETE_AFTER_USE, DELETE_AT_AGE)

    def photo(self, path: str) -> np.ndarray:
        return self.served.read(self.content(path, MAX_PHOTO_BYTES + 1), Path(path).name)

    def content(self, path: str, most: int) -> bytes:
        try:
            return self.uploads.read(path, most)
        except FileNotFoundError:
            gone = f"{Path(path).name}: no longer here. Send it again."
            raise InputRefused(gone, "gone") from None

    @observed("photo")
    def show(self, path: str) -> tuple[str, None]:
        """HTML, and nothing in place of the photo: it stands in the HTML."""
        try:
            return self.answered(path), None
        except InputRefused as error:
            note(outcome="refused", reason=error.reason)
            return panels.message(str(error)), None

    def answered(self, path: str) -> str:
        photo = self.photo(path)
        by_prior = {
            prior: self.served.faces([photo], explain=True, **self.assuming(prior))[0]
            for prior in self.priors or ["train"]
        }
        note(photos=1, faces=len(next(iter(by_prior.values()))))
        return panels.result(photo, by_prior, self.report.certainty())

    def assuming(self, prior: str) -> dict[str, str]:
        """An option of the pipeline; none for a model that does not know the training's shares."""
        return {"prior": prior} if self.priors else {}

    @observed("photos")
    def show_many(self, paths: list[str] | None, prior: str, progress=gr.Progress()) -> tuple:  # noqa: B008
        """HTML, CSV and a sentence."""
        if not paths:
            return "", gr.DownloadButton(value=None, interactive=False), MANY
        if len(paths) > MAX_PHOTOS:
            note(outcome="refused", reason="too_many")
            return "", gr.DownloadButton(value=None, interactive=False), TOO_MANY.format(len(paths))
        folder = Path(tempfile.mkdtemp(dir=UPLOADS))
        figures, found, refused = [], [], []
        with (folder / "faces.csv").open("w", newline="") as file:
            writer = CsvWriter(file, self.served.labels)
            for number, path in enumerate(paths):
                progress((number, len(paths)), unit="photos")
                name = Path(path).name
                try:
                    photo = self.photo(path)
                except InputRefused as error:
                    refused.append(f"- Left out: {error}")
                    note(left_out=1, reason=error.reason)
                    continue
                (faces,) = self.served.faces([photo], on_error="skip", **self.assuming(prior))
                if faces is None:
                    refused.append(f"- Left out: {name}: the face detector fails on it.")
                    note(left_out=1, reason="unreadable")
                    continue
                writer.write(name, faces)
                figures.append(panels.figure(name, photo, faces))
                found.append((name, faces))
        count = sum(len(faces) for _, faces in found)
        note(outcome="ok" if found else "refused", photos=len(found), faces=count)
        words = f"{len(found)} photo{'s' * (len(found) != 1)}, {count} face{'s' * (count != 1)}."
        table = gr.DownloadButton(value=str(folder / "faces.csv"), interactive=True)
        return panels.photos(figures, found), table, "\n".join([words, "", *refused])

    @observed("video")
    def show_video(self, path: str | None, progress=gr.Progress()) -> tuple:  # noqa: B008
        """Clip, timeline's plot and CSV, and a sentence."""
        nothing = gr.DownloadButton(value=None, interactive=False)
        if not path:
            return None, None, nothing, VIDEO
        try:
            check_container(self.content(path, 12), Path(path).name)
            folder = Path(tempfile.mkdtemp(dir=UPLOADS))
            clip, plot, table, words = follow_faces(self.served, path, folder, progress)
        except InputRefused as error:
            note(outcome="refused", reason=error.reason)
            return None, None, nothing, str(error)
        return str(clip), str(plot), gr.DownloadButton(value=str(table), interactive=True), words

    # The API

    @observed("predict")
    def predict(self, image: str | None, prior: str) -> list[dict]:
        return self.answers([image], prior)[0]

    @observed("predict_batch")
    def predict_batch(self, images: list[str] | None, prior: str) -> list[list[dict]]:
        return self.answers(images or [], prior)

    def answers(self, paths: list[str | None], prior: str) -> list[list[dict]]:
        if not paths or not all(paths):
            note(reason="empty")
            raise gr.Error("No photo was sent.", print_exception=False)
        if len(paths) > MAX_PHOTOS:
            note(reason="too_many")
            raise gr.Error(TOO_MANY.format(len(paths)), print_exception=False)
        try:
            answers = [
                faces
                for photos in self.a_few_at_a_time(paths)
                for faces in self.served.faces(photos, **self.assuming(prior))
            ]
        except InputRefused as error:
            note(reason=error.reason)
            raise gr.Error(str(error), print_exception=False) from None
        note(photos=len(answers), faces=sum(map(len, answers)))
        return answers

    def a_few_at_a_time(self, paths: list[str]) -> Iterator[list[np.ndarray]]:
        """Up to `PHOTOS_TOGETHER` photos, or fewer large ones; they are forgotten one by one."""
        photos: list[np.ndarray] = []
        for path in paths:
            photos.append(self.photo(path))
            large = sum(photo.size for photo in photos) > BYTES_TOGETHER
            if large or len(photos) == PHOTOS_TOGETHER:
                yield photos
                photos.clear()
        if photos:
            yield photos

    @observed("info")
    def info(self) -> dict:
        return {
            "model_id": self.served.name,
            "revision": self.served.revision or None,
            "labels": self.served.labels,
            "detector": self.served.detector,
            "figures": self.report.figures,
            "test_figures": self.report.test_figures,
            "limits": {
                "photo_bytes": MAX_PHOTO_BYTES,
                "photo_pixels": MAX_PHOTO_PIXELS,
                "photos": MAX_PHOTOS,
                "upload_bytes": MAX_UPLOAD,
                "faces_of_a_photo": MAX_FACES,
                "video_bytes": MAX_VIDEO_BYTES,
                "video_seconds": MAX_SECONDS,
            },
        }


class Blocks(gr.Blocks):
    """What Gradio itself refuses (an address, a file that is no upload) has its log line too."""

    async def preprocess_data(self, block_fn, *args, **kwargs):
        try:
            return await super().preprocess_data(block_fn, *args, **kwargs)
        except Exception:
            operations.refused(getattr(block_fn.fn, "request", "other"), "input")
            raise


def build(served: Served) -> gr.Blocks:
    report = panels.Report(served.report)
    page = Page(served, report)
    examples = make_examples(EXAMPLES)
    gr.set_static_paths([str(EXAMPLES)])
    with Blocks(title=TITLE, analytics_enabled=False) as demo:
        gr.Markdown(
            f"# {TITLE}\nDrop a photo for the probability of {len(served.labels)} expressions: "
            "what a face shows, not what a person feels.",
            elem_id="title",
        )
        with gr.Tabs(overflow_behavior="wrap"):
            with gr.Tab("One photo"):
                photo_tab(page, page.answered(str(examples[0].path)), examples)
            with gr.Tab("Many photos"):
                many_tab(page)
            with gr.Tab("Video"):
                video_tab(page, VIDEOS_AT_ONCE)
            with gr.Tab("Live"):
                live_tab(served)
            with gr.Tab("How it was trained"):
                story.show(report, served.labels, HERE)
            with gr.Tab("What it is not"):
                limits_tab(report, PRIVACY)
        _api(page)
    return demo.queue(max_size=LIMITS.queue, default_concurrency_limit=LIMITS.photos_at_once)


def _api(page: Page) -> None:
    with gr.Accordion("From a program", open=False):
        gr.Markdown(panels.sections((HERE / "README.md").read_text()).get("From a program", ""))
    with gr.Column(visible=False):
        image = PhotoInput(label="Image: an upload")
        images = FileInput(
            label=f"Images: up to {MAX_PHOTOS} uploaded files", file_count="multiple"
        )
        prior = gr.Radio(API_PRIORS, value="train", label="Class distribution to assume")
        faces = answer(FACES, "faces")
        many = answer({"type": "array", "items": FACES}, "faces of each image")
        about = answer({"type": "object"}, "about")
        button = gr.Button()
    how = (
        "Upload first: POST the file as form field `files` to /gradio_api/upload; the answer lists "
        'its path, to be sent as {"path": PATH, "meta": {"_type": "gradio.FileData"}}. The '
        "Python and JavaScript clients do it themselves (handle_file)."
    )
    button.click(
        page.predict, [image, prior], faces, api_name="predict", concurrency_id="photos",
        api_description=f"The faces of one image, from left to right, [] without one. {how}",
    )  # fmt: skip
    button.click(
        page.predict_batch, [images, prior], many, api_name="predict_batch",
        concurrency_id="photos",
        api_description=f"The faces of several images. One that cannot be read is an error. {how}",
    )  # fmt: skip
    button.click(
        page.info, None, about, api_name="info",
        api_description="The model's id and revision (null for a folder), figures and limits.",
    )  # fmt: skip


def theme() -> gr.themes.Base:
    """Fonts of the visitor's own machine, and greys that can be read."""
    return gr.themes.Default(font="system-ui", font_mono="monospace").set(
        block_info_text_color="*neutral_600",
        block_info_text_color_dark="*neutral_300",
        body_text_color_subdued="*neutral_600",
        body_text_color_subdued_dark="*neutral_300",
    )


def main() -> None:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # by way of atexit
    here = HERE.parent / "model"
    source = os.environ.get("MODEL_ID") or (str(here) if here.is_dir() else "")
    if not source:
        raise SystemExit(
            "MODEL_ID is not set and there is no ../model. Set it to a folder or a Hub id, and "
            "MODEL_REVISION to a commit of the Hub id."
        )
    served = Served(
        source,
        os.environ.get("MODEL_REVISION", ""),
        os.environ.get("DETECTOR_PATH") or None,
        workers=LIMITS.workers,
        threads=LIMITS.threads,
    )
    demo = build(served)
    operations.METRICS.gauges |= {
        "waiting_requests": lambda: len(demo._queue),
        "waiting_photos": lambda: len(served._jobs),
    }
    operations.serve_metrics(LIMITS.metrics_port)
    demo.launch(
        theme=theme(),
        head=panels.HEAD + story.STYLE,
        max_threads=2 * LIMITS.photos_at_once,
        max_file_size=MAX_VIDEO_BYTES,
        footer_links=["api", "settings"],
        run_history=False,
        ssr_mode=False,
        share=False,
        state_session_capacity=SESSIONS,
        app_kwargs={
            "middleware": [Middleware(Sharing), Middleware(Guard, uploads=UPLOADS)],
            "routes": [operations.health(served.alive), picture(), places(demo)],
        },
    )


if __name__ == "__main__":
    main()
