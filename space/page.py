"""The page and the API: what a visitor may ask, and what is answered."""

import json
import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np
import one_request
import operations
import panels
import story
from browser_page import files_in_browser, live_tab, route
from clips import MAX_SECONDS, MAX_VIDEO_BYTES, check_container, follow_faces
from guard import MAX_UPLOAD, Guard
from operations import note, observed
from pydantic import ValidationError
from serving import (
    MAX_FACES,
    MAX_PHOTO_BYTES,
    MAX_PHOTO_PIXELS,
    MAX_PHOTOS,
    InputRefused,
    Served,
    load,
)
from sharing import TITLE, Sharing, thumbnail
from starlette.middleware import Middleware
from tabs import MANY, VIDEO, limits_tab, many_tab, photo_tab, video_tab
from uploads import Uploads, upload_only

from prediction.output import CsvWriter

HERE = Path(__file__).resolve().parent
EXAMPLES = HERE / "examples"  # the first one opens the page
PHOTOS_TOGETHER, BYTES_TOGETHER = 8, 2**25  # of one request, unpacked at a time
VIDEOS_AT_ONCE = 1
DELETE_AFTER_USE, DELETE_AT_AGE = 60, 600  # seconds
SESSIONS = 200  # whose pages Gradio remembers
TOO_MANY = f"At most {MAX_PHOTOS} photos at a time, but these are {{}}."
PRIVACY = (
    "Photos and videos are read, answered and forgotten: an upload is deleted about a minute after "
    "its use, the clip and the tables that are made from it within ten minutes. No photo, name or "
    "address is logged, none is sent anywhere else, and nothing is used for training."
)
LIMITS = {
    "photo_bytes": MAX_PHOTO_BYTES,
    "photo_pixels": MAX_PHOTO_PIXELS,
    "photos": MAX_PHOTOS,
    "upload_bytes": MAX_UPLOAD,
    "faces_of_a_photo": MAX_FACES,
    "video_bytes": MAX_VIDEO_BYTES,
    "video_seconds": MAX_SECONDS,
}
NUMBER = {"type": "number"}
FACES = {
    "type": "array",
    "description": "faces from left to right",
    "items": {
        "type": "object",
        "properties": {
            "box": {
                "type": "object",
                "description": "pixels of the upright photo",
                "properties": dict.fromkeys(("xmin", "ymin", "xmax", "ymax"), {"type": "integer"}),
            },
            "face_score": NUMBER | {"description": "of the detector"},
            "label": {"type": "string"},
            "score": NUMBER | {"description": "probability of the label"},
            "scores": {
                "type": "object",
                "description": "probability of each class",
                "additionalProperties": NUMBER,
            },
            "uncertain": {"type": "boolean", "description": "the score is below the threshold"},
        },
    },
}
NOT_UPLOADED = (
    "Expected an uploaded file, but found something else. In Python, send handle_file('photo.jpg') "
    "of gradio_client, not its name alone; over HTTP, upload it first."
)
REFUSED = {"type": "object", "properties": {"error": {"type": "string"}}}
UPLOAD_FIRST = (
    "Upload first: POST the file as form field `files` to /gradio_api/upload; the answer lists "
    'its path, to be sent as {"path": PATH, "meta": {"_type": "gradio.FileData"}}. The '
    "Python and JavaScript clients do it themselves (handle_file)."
)


class Page:
    """What the events do. A visitor's mistake is answered by a sentence."""

    def __init__(self, served: Served, report: panels.Report, folder: Path):
        """folder: of the uploads, and of what is made from them."""
        self.served, self.report, self.folder = served, report, folder
        # nothing to choose where the training's shares are not known, or all the same
        shares = served.config.train_distribution or [1]
        self.priors = ["train", "uniform"] if max(shares) > 1.01 * min(shares) else []
        self.uploads = Uploads(folder, DELETE_AFTER_USE, DELETE_AT_AGE)

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
        (faces,) = self.served.faces([photo], explain=True, **self.assuming(self.priors))
        note(photos=1, faces=len(faces))
        by_prior = {
            prior: [face | face["by_prior"][prior] for face in faces] for prior in self.priors
        }
        return panels.result(photo, by_prior or {"train": faces}, self.report.certainty())

    def assuming(self, prior: str | list[str]) -> dict[str, str | list[str]]:
        """An option of the pipeline, for a model that has it."""
        return {"prior": prior} if self.priors else {}

    @observed("photos")
    def show_many(
        self, paths: list[str] | None, prior: str, progress: gr.Progress = gr.Progress()
    ) -> tuple:
        """HTML, CSV and a sentence."""
        if not paths:
            return "", _download(), MANY
        if len(paths) > MAX_PHOTOS:
            note(outcome="refused", reason="too_many")
            return "", _download(), TOO_MANY.format(len(paths))
        table = Path(tempfile.mkdtemp(dir=self.folder), "faces.csv")
        answered, refused = [], []
        with table.open("w", newline="") as file:
            writer = CsvWriter(file, self.served.labels)
            for number, path in enumerate(paths):
                progress((number, len(paths)), unit="photos")
                name = Path(path).name
                try:
                    photo = self.photo(path)
                    options = self.assuming(prior) | {"on_error": "skip"}
                    (faces,) = self.served.faces([photo], **options)
                    if faces is None:
                        raise _undetected(name)
                except InputRefused as error:
                    refused.append(f"- Left out: {error}")
                    note(left_out=1, reason=error.reason)
                    continue
                writer.write(name, faces)
                answered.append((name, faces, panels.figure(name, photo, faces)))
        count = sum(len(faces) for _, faces, _ in answered)
        note(outcome="ok" if answered else "refused", photos=len(answered), faces=count)
        summary = f"{_counted(len(answered), 'photo')}, {_counted(count, 'face')}."
        return panels.photos(answered), _download(table), "\n".join([summary, "", *refused])

    @observed("video")
    def show_video(self, path: str | None, progress: gr.Progress = gr.Progress()) -> tuple:
        """Clip, timeline's plot and CSV, and a sentence."""
        if not path:
            return None, None, _download(), VIDEO
        try:
            clip, plot, table, summary = self.followed(path, progress)
        except InputRefused as error:
            note(outcome="refused", reason=error.reason)
            return None, None, _download(), str(error)
        if plot is None:
            return None, None, _download(), summary
        return str(clip), str(plot), _download(table), summary

    def followed(self, path: str, progress: Callable[[float], Any]) -> tuple[Path, ...]:
        check_container(self.content(path, 12), Path(path).name)
        folder = Path(tempfile.mkdtemp(dir=self.folder))
        return follow_faces(self.served, path, folder, progress)

    # The API

    @observed("predict")
    def predict(self, image: str | None, prior: str) -> list[dict]:
        (answer,) = self.answers([image], prior)
        if isinstance(answer, InputRefused):
            raise gr.Error(str(answer), print_exception=False)
        return answer

    @observed("predict_batch")
    def predict_batch(self, images: list[str] | None, prior: str) -> list[list[dict] | dict]:
        answers = self.answers(images or [], prior)
        return [{"error": str(a)} if isinstance(a, InputRefused) else a for a in answers]

    def answers(self, paths: Sequence[str | None], prior: str) -> list[list[dict] | InputRefused]:
        """The faces of each photo, or why there are none."""
        if not paths or not all(paths):
            note(reason="empty")
            raise gr.Error("No photo was sent.", print_exception=False)
        if len(paths) > MAX_PHOTOS:
            note(reason="too_many")
            raise gr.Error(TOO_MANY.format(len(paths)), print_exception=False)
        options, answers = self.assuming(prior) | {"on_error": "skip"}, []
        for photos in self.a_few_at_a_time(paths):
            read = [photo for photo in photos if not isinstance(photo, InputRefused)]
            found = iter(self.served.faces(read, **options))
            for photo in photos:
                answer = photo if isinstance(photo, InputRefused) else next(found)
                if answer is None:
                    answer = _undetected(Path(paths[len(answers)]).name)
                answers.append(answer)
        refused = [answer for answer in answers if isinstance(answer, InputRefused)]
        faces = sum(len(answer) for answer in answers if not isinstance(answer, InputRefused))
        if refused:
            note(reason=refused[0].reason)
        if len(refused) < len(answers):
            note(photos=len(answers) - len(refused), faces=faces)
        return answers

    @observed("predict_video")
    def predict_video(self, video: str | None) -> tuple[str, str, str]:
        """Timeline as CSV, annotated clip, and a sentence."""
        if not video:
            note(reason="empty")
            raise gr.Error("No video was sent.", print_exception=False)
        try:
            clip, _, table, summary = self.followed(video, lambda share: None)
        except InputRefused as error:
            note(reason=error.reason)
            raise gr.Error(str(error), print_exception=False) from None
        return str(table), str(clip), summary

    def a_few_at_a_time(self, paths: Sequence[str]) -> Iterator[list[np.ndarray | InputRefused]]:
        """Up to `PHOTOS_TOGETHER` photos, or fewer large ones; they are forgotten one by one."""
        photos: list[np.ndarray | InputRefused] = []
        for path in paths:
            try:
                photos.append(self.photo(path))
            except InputRefused as error:
                photos.append(error)
            large = sum(getattr(photo, "size", 0) for photo in photos) > BYTES_TOGETHER
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
            "results": self.report.results,
            "test_results": self.report.test_results,
            "limits": LIMITS,
        }


def _download(file: Path | None = None) -> gr.DownloadButton:
    """An update of the button for this file; nothing to download without one."""
    return gr.DownloadButton(value=file and str(file), interactive=file is not None)


def _undetected(name: str) -> InputRefused:
    return InputRefused(f"{name}: the face detector fails on it.")


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}{'s' * (count != 1)}"


class Blocks(gr.Blocks):
    """What Gradio itself refuses (an address, a file that is no upload) has its log line too."""

    async def preprocess_data(self, block_fn: Any, *args: Any, **kwargs: Any) -> Any:
        try:
            return await super().preprocess_data(block_fn, *args, **kwargs)
        except Exception as error:
            operations.refused(getattr(block_fn.fn, "request", "other"), "input")
            if isinstance(error, ValidationError):  # a name in the place of a file
                raise gr.Error(NOT_UPLOADED, print_exception=False) from None
            if isinstance(error, gr.Error):  # a prior that there is not
                error.print_exception = False
            raise


def build(served: Served, limits: operations.Limits, uploads: Path, *, live: bool) -> gr.Blocks:
    """
    Args:
        uploads: the folder of what visitors send.
        live: whether the page of browser/ is served.
    """
    report = panels.Report(served.report)
    page = Page(served, report, uploads)
    examples = sorted(EXAMPLES.iterdir())
    gr.set_static_paths([str(EXAMPLES)])
    with Blocks(title=TITLE, analytics_enabled=False) as demo:
        gr.Markdown(
            f"# {TITLE}\nDrop a photo for the probability of {len(served.labels)} expressions: "
            "what a face shows, not what a person feels.",
            elem_id="title",
        )
        with gr.Tabs(overflow_behavior="wrap"):
            with gr.Tab("One photo"):
                photo_tab(page, page.answered(str(examples[0])), examples)
            with gr.Tab("Many photos"):
                many_tab(page)
            with gr.Tab("Video"):
                video_tab(page, VIDEOS_AT_ONCE)
            with gr.Tab("Live"):
                live_tab(live)
            with gr.Tab("How it was trained"):
                story.show(report, served.labels, HERE)
            with gr.Tab("What it is not"):
                limits_tab(report, PRIVACY)
        _api(page)
    return demo.queue(max_size=limits.queue, default_concurrency_limit=limits.photos_at_once)


def _api(page: Page) -> None:
    with gr.Accordion("From a program", open=False, elem_id="from-a-program"):
        gr.Markdown(panels.sections((HERE / "README.md").read_text()).get("From a program", ""))
    with gr.Column(visible=False):
        image = upload_only(gr.Image(label="Image: an upload"))
        label = f"Images: up to {MAX_PHOTOS} uploaded files"
        images = upload_only(gr.File(label=label, file_count="multiple"))
        prior = gr.Radio(["train", "uniform"], value="train", label="Class distribution to assume")
        faces = _answer(FACES, "faces")
        each = {"anyOf": [FACES, REFUSED]}
        many = _answer({"type": "array", "items": each}, "faces of each image, or an error")
        video = upload_only(gr.Video(label="Video: an upload"))
        followed = gr.File(label="timeline.csv"), gr.File(label="clip"), gr.Textbox(label="summary")
        about = _answer({"type": "object"}, "about")
        button = gr.Button()
    button.click(
        page.predict, [image, prior], faces, api_name="predict", concurrency_id="photos",
        api_description="The faces of one image, from left to right, [] without one. "
        + UPLOAD_FIRST,
    )  # fmt: skip
    button.click(
        page.predict_batch, [images, prior], many, api_name="predict_batch",
        concurrency_id="photos",
        api_description="The faces of several images; for one that cannot be read, why. "
        + UPLOAD_FIRST,
    )  # fmt: skip
    button.click(
        page.predict_video, video, followed, api_name="predict_video", concurrency_id="videos",
        api_description="Faces followed through a short video: their timeline as CSV, the "
        "annotated clip as WebM, and a summary. " + UPLOAD_FIRST,
    )  # fmt: skip
    button.click(
        page.info, None, about, api_name="info",
        api_description="The model's id and revision (null for a folder), results and limits.",
    )  # fmt: skip


def _answer(schema: dict, label: str) -> gr.JSON:
    """An output whose schema is in the API's documentation; Gradio's own says "any JSON"."""
    output = gr.JSON(label=label)
    output.api_info = lambda: schema
    return output


def theme() -> gr.themes.Base:
    """Fonts of the visitor's own machine, and greys that can be read."""
    return gr.themes.Default(font="system-ui", font_mono="monospace").set(
        block_info_text_color="*neutral_600",
        block_info_text_color_dark="*neutral_300",
        body_text_color_subdued="*neutral_600",
        body_text_color_subdued_dark="*neutral_300",
    )


def serve(uploads: Path) -> None:
    """
    Until the process is ended.

    Raises:
        SystemExit: a variable is wrong, or the model's is missing.
    """
    model = HERE.parent / "model"
    source = os.environ.get("MODEL_ID") or (str(model) if model.is_dir() else "")
    if not source:
        raise SystemExit(
            "MODEL_ID is not set and there is no ../model. Set it to a folder or a Hub id, and "
            "MODEL_REVISION to a commit of the Hub id."
        )
    limits = operations.Limits.from_environment(
        os.environ, operations.cores(), operations.memory_mb()
    )
    served = load(
        source,
        os.environ.get("MODEL_REVISION", ""),
        os.environ.get("DETECTOR_PATH") or None,
        workers=limits.workers,
        threads=limits.threads,
    )
    files = files_in_browser(served.report)
    faces = one_request.route(served, limits.photos_at_once)
    demo = build(served, limits, uploads, live=bool(files))
    operations.METRICS.gauges |= {
        "waiting_requests": lambda: len(demo._queue),
        "waiting_photos": served.waiting,
    }
    operations.serve_metrics(limits.metrics_port)
    demo.launch(
        theme=theme(),
        head=f"<script>const LIMITS = {json.dumps(LIMITS)}</script>{panels.HEAD}",
        max_threads=2 * limits.photos_at_once,
        max_file_size=MAX_VIDEO_BYTES,
        footer_links=["api", "settings"],
        run_history=False,
        ssr_mode=False,
        share=False,
        state_session_capacity=SESSIONS,
        app_kwargs={
            "middleware": [Middleware(Sharing), Middleware(Guard, uploads=uploads)],
            "routes": [operations.health(served.alive), thumbnail(), route(files), faces],
        },
    )
