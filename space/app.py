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
from live import live_tab  # noqa: E402
from operations import note, observed  # noqa: E402
from serving import (  # noqa: E402
    MAX_FACES,
    MAX_PHOTO_BYTES,
    MAX_PHOTO_PIXELS,
    InputRefused,
    Served,
)
from starlette.middleware import Middleware  # noqa: E402
from uploads import FileInput, PhotoInput, Uploads, VideoInput  # noqa: E402

from prediction.output import CsvWriter, describe_box  # noqa: E402

MAX_PHOTOS = 50  # at a time
PHOTOS_TOGETHER, BYTES_TOGETHER = 8, 2**25  # of one request, unpacked at a time
LIMITS = operations.Limits.of(os.environ, operations.cores(), operations.memory_mb())
VIDEOS_AT_ONCE = 1
DELETE_AFTER_USE, DELETE_AT_AGE = 60, 600  # seconds
SESSIONS = 200  # whose pages Gradio remembers
PRIORS = [("training", "train"), ("uniform", "uniform")]
TOO_MANY = f"At most {MAX_PHOTOS} photos at a time, but these are {{}}."
TO_THE_FACES = """() => {
    const faces = document.querySelector("#photo-shown .result, #photo-shown .message");
    if (innerWidth <= 640 && document.querySelector("#photo-shown img"))
        faces.scrollIntoView({behavior: "smooth"});
}"""  # on a phone they are below
PRIVACY = (
    "Photos and videos are read, answered and forgotten: an upload is deleted about a minute after "
    "its use, the clip and the tables that are made from it within ten minutes. No photo, name or "
    "address is logged, none is sent anywhere else, and nothing is used for training."
)


class Page:
    """What the events do: text in, text out; what a visitor got wrong is a sentence."""

    def __init__(self, served: Served, report: panels.Report):
        self.served, self.report = served, report
        self.uploads = Uploads(UPLOADS, DELETE_AFTER_USE, DELETE_AT_AGE)

    def photo(self, path: str) -> np.ndarray:
        return self.served.read(self.content(path, MAX_PHOTO_BYTES + 1), Path(path).name)

    def content(self, path: str, most: int) -> bytes:
        try:
            return self.uploads.read(path, most)
        except FileNotFoundError:
            raise InputRefused(f"{Path(path).name}: no longer here. Send it again.") from None

    @observed("photo")
    def show(self, path: str | None) -> str:
        if not path:
            return panels.WAITING
        try:
            photo = self.photo(path)
            by_prior = {
                prior: self.served.faces([photo], prior=prior, explain=True)[0]
                for _, prior in PRIORS
            }
        except InputRefused as error:
            note(outcome="refused")
            return panels.message(str(error))
        note(photos=1, faces=len(next(iter(by_prior.values()))))
        return panels.result(photo, by_prior, self.report.certainty())

    @observed("photos")
    def show_many(self, paths: list[str] | None, prior: str) -> tuple:
        """Gallery, table, CSV and a sentence."""
        if not paths:
            return [], [], None, ""
        if len(paths) > MAX_PHOTOS:
            return [], [], None, TOO_MANY.format(len(paths))
        folder = Path(tempfile.mkdtemp(dir=UPLOADS))
        pictures, rows, refused, count = [], [], [], 0
        with (folder / "faces.csv").open("w", newline="") as file:
            writer = CsvWriter(file, self.served.labels)
            for path in paths:
                name = Path(path).name
                try:
                    photo = self.photo(path)
                except InputRefused as error:
                    refused.append(f"- Left out: {error}")
                    continue
                (faces,) = self.served.faces([photo], prior=prior, on_error="skip")
                if faces is None:
                    refused.append(f"- Left out: {name}: the face detector fails on it.")
                    continue
                writer.write(name, faces)
                count += len(faces)
                pictures.append((panels.draw(photo, faces, 640), f"{name}: {_words(faces)}"))
                rows += [
                    [name, number, face["label"], f"{face['score']:.2f}",
                     "uncertain" if face["uncertain"] else "", describe_box(face["box"])]
                    for number, face in enumerate(faces, 1)
                ]  # fmt: skip
        note(photos=len(pictures), faces=count)
        words = f"{len(pictures)} photos, {count} faces."
        return pictures, rows, str(folder / "faces.csv"), "\n".join([words, "", *refused])

    @observed("video")
    def show_video(self, path: str | None, progress=gr.Progress()) -> tuple:  # noqa: B008
        """Clip, timeline's plot and CSV, and a sentence."""
        if not path:
            return None, None, None, ""
        try:
            check_container(self.content(path, 12), Path(path).name)
            folder = Path(tempfile.mkdtemp(dir=UPLOADS))
            clip, plot, table, words = follow_faces(self.served, path, folder, progress)
        except InputRefused as error:
            note(outcome="refused")
            return None, None, None, str(error)
        return str(clip), str(plot), str(table), words

    # The API

    @observed("predict")
    def predict(self, image: str | None, prior: str) -> list[dict]:
        return self.answers([image], prior)[0]

    @observed("predict_batch")
    def predict_batch(self, images: list[str] | None, prior: str) -> list[list[dict]]:
        return self.answers(images or [], prior)

    def answers(self, paths: list[str | None], prior: str) -> list[list[dict]]:
        if not paths or not all(paths):
            raise gr.Error("No photo was sent.", print_exception=False)
        if len(paths) > MAX_PHOTOS:
            raise gr.Error(TOO_MANY.format(len(paths)), print_exception=False)
        try:
            answers = [
                faces
                for photos in self.a_few_at_a_time(paths)
                for faces in self.served.faces(photos, prior=prior)
            ]
        except InputRefused as error:
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


def _words(faces: list[dict]) -> str:
    return ", ".join(f"{face['label']} {face['score']:.0%}" for face in faces) or "no face"


def build(served: Served) -> gr.Blocks:
    report = panels.Report(served.report)
    page = Page(served, report)
    with gr.Blocks(title="Facial expressions", analytics_enabled=False) as demo:
        gr.Markdown(
            "# Which expression does a face show?\n"
            f"Drop a photo: each face gets a probability for {len(served.labels)} words. "
            "They describe an expression, not what a person feels."
        )
        with gr.Tab("One photo"):
            _photo_tab(page)
        with gr.Tab("Many photos"):
            _many_tab(page)
        with gr.Tab("Video"):
            _video_tab(page)
        with gr.Tab("Live"):
            live_tab(served)
        with gr.Tab("How it was trained"):
            story.show(report, served.labels, HERE)
        with gr.Tab("What it is not"):
            _limits_tab(report)
        _api(page)
    return demo.queue(max_size=LIMITS.queue, default_concurrency_limit=LIMITS.photos_at_once)


def _prior_choice(page: Page, **where) -> gr.Radio:
    shares = dict(zip(page.served.labels, page.served.config.train_distribution or []))
    rare, common = (pick(shares, key=shares.get, default="") for pick in (min, max))
    words = "Uniform: all seven equally likely, which finds more of the rare ones."
    if shares:
        words = (
            f"Training: {shares[common]:.0%} {common} and {shares[rare]:.1%} {rare}, as in the "
            f"training images. {words}"
        )
    return gr.Radio(
        PRIORS,
        value="train",
        label="Assume the classes to be spread as",
        info=words,
        interactive=True,
        **where,
    )


def _photo_tab(page: Page) -> None:
    with gr.Row(elem_id="photo-row"):
        with gr.Column(scale=2, min_width=280, elem_id="photo-side"):
            photo = PhotoInput(
                label="Photo",
                sources=["upload", "webcam", "clipboard"],
                height=200,
                buttons=[],
                placeholder="Drop a photo here\nor click to choose one",
                alt_text="The photo you sent",
            )
            examples = make_examples(EXAMPLES)
            gr.set_static_paths([str(path) for path in examples])
            gr.Examples(
                [str(path) for path in examples],
                photo,
                label="Or take one of these",
                example_labels=list(examples.values()),
                api_visibility="private",
            )
            with gr.Group(elem_id="options"):
                gr.Checkbox(
                    label="Heat map",
                    info="Which parts of a face spoke for its label.",
                    elem_id="heat",
                    interactive=True,
                )
                _prior_choice(page, elem_id="prior")
        with gr.Column(scale=5, min_width=320, elem_id="photo-shown"):
            shown = gr.HTML(panels.WAITING)
    photo.change(
        page.show,
        photo,
        shown,
        api_visibility="private",
        concurrency_id="photos",
        trigger_mode="always_last",
    ).then(None, js=TO_THE_FACES)


def _many_tab(page: Page) -> None:
    with gr.Row():
        with gr.Column(scale=2, min_width=280):
            photos = FileInput(
                label=f"Photos, up to {MAX_PHOTOS} and {MAX_UPLOAD >> 20} MB together",
                file_count="multiple",
                file_types=["image"],
                height=200,
            )
            prior = _prior_choice(page)
            table_file = gr.DownloadButton("Download the table as CSV")
        with gr.Column(scale=5, min_width=320):
            words = gr.Markdown(elem_id="many-words")
            gallery = gr.Gallery(show_label=False, columns=3, format="jpeg", buttons=["fullscreen"])
            table = gr.Dataframe(
                headers=["file", "face", "label", "score", "note", "box"],
                label="Faces",
                interactive=False,
                wrap=True,
            )
    gr.on(
        [photos.change, prior.input], page.show_many, [photos, prior],
        [gallery, table, table_file, words], api_visibility="private", concurrency_id="photos",
        trigger_mode="always_last",
    )  # fmt: skip


def _video_tab(page: Page) -> None:
    with gr.Row():
        with gr.Column(scale=2, min_width=280):
            video = VideoInput(
                label=f"Video, up to {MAX_SECONDS} seconds and {MAX_VIDEO_BYTES >> 20} MB",
                sources=["upload", "webcam"],
                height=200,
                buttons=[],
            )
            table_file = gr.DownloadButton("Download the timeline as CSV")
        with gr.Column(scale=5, min_width=320):
            words = gr.Markdown(elem_id="video-words")
            clip = gr.Video(label="Faces followed", interactive=False, buttons=["download"])
            plot = gr.Image(
                label="Timeline",
                interactive=False,
                buttons=["download"],
                alt_text="Probabilities of each person over time",
            )
    video.change(
        page.show_video, video, [clip, plot, table_file, words], api_visibility="private",
        concurrency_id="videos", concurrency_limit=VIDEOS_AT_ONCE, trigger_mode="always_last",
    )  # fmt: skip


def _limits_tab(report: panels.Report) -> None:
    for title in ("What it is bad at", "What it must not be used for"):
        if text := report.section(title):
            gr.Markdown(f"## {title}\n\n{text}")
    gr.Markdown(f"## Your photo\n\n{PRIVACY}")


def _api(page: Page) -> None:
    with gr.Accordion("From a program", open=False):
        gr.Markdown(panels.sections((HERE / "README.md").read_text()).get("From a program", ""))
    with gr.Column(visible=False):
        image = PhotoInput(label="Image: an upload")
        images = FileInput(
            label=f"Images: up to {MAX_PHOTOS} uploaded files", file_count="multiple"
        )
        prior = gr.Radio(PRIORS, value="train", label="Class distribution to assume")
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
        head=panels.STYLE + story.STYLE,
        max_threads=2 * LIMITS.photos_at_once,
        max_file_size=MAX_VIDEO_BYTES,
        footer_links=["api", "settings"],
        run_history=False,
        ssr_mode=False,
        share=False,
        state_session_capacity=SESSIONS,
        app_kwargs={
            "middleware": [Middleware(Guard, uploads=UPLOADS)],
            "routes": [operations.health(served.alive)],
        },
    )


if __name__ == "__main__":
    main()
