"""The tabs in which a visitor sends photos and videos: what is where, and what asks the server."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gradio as gr
import panels
from clips import MAX_SECONDS, MAX_VIDEO_BYTES
from guard import MAX_UPLOAD
from serving import MAX_PHOTOS
from uploads import upload_only

if TYPE_CHECKING:
    from page import Page

TO_THE_RESULT = """() => {
    const shown = document.querySelector("#photo-shown");
    const top = shown.getBoundingClientRect().top;
    if (top < 0 || top > innerHeight / 2) shown.scrollIntoView({behavior: "smooth"});
}"""
CREDITS = (
    "Examples: Eileen Collins (photo: NASA, public domain); people drawn by code; a cat (photo: "
    "Stéfan van der Walt, CC0)."
)
MANY = "Every photo comes back with its boxes, and all faces in one table."
VIDEO = (
    "Each person is followed through the video: it comes back with boxes, and with the "
    "probabilities over time."
)
PRIORS = [("As common as in the training photos", "train"),
          ("All expressions equally likely", "uniform")]  # fmt: skip


def photo_tab(page: "Page", opening: str, examples: Sequence[Path]) -> None:
    """
    Args:
        opening: HTML of an answered example. examples: offered as buttons, by their names.
    """
    with gr.Row(elem_id="send"):
        with gr.Column(scale=2, min_width=260, elem_id="photo-side"):
            photo = upload_only(gr.Image(
                label="Your photo", show_label=False, sources=["upload", "webcam", "clipboard"],
                height=132, buttons=[], placeholder="Drop a photo here\nor click to choose one",
                alt_text="The photo you sent",
            ))  # fmt: skip
        with gr.Column(scale=3, min_width=300):
            with gr.Row(elem_id="examples"):
                names = [path.stem.partition("_")[2].replace("_", " ") for path in examples]
                buttons = [
                    gr.Button(name.capitalize(), icon=str(path), min_width=50)
                    for name, path in zip(names, examples)
                ]
            gr.Markdown(CREDITS, elem_classes="hint")
    shown = gr.HTML(opening, elem_id="photo-shown", apply_default_css=False)
    with gr.Row(elem_id="options"):
        if page.priors:
            _prior_choice(page, elem_id="prior")
        gr.Checkbox(
            label="Heat map", elem_id="heat", interactive=True,
            info="What the model looked at for its label. Not what a person feels, nor a proof.",
        )  # fmt: skip
    if page.served.detector == "Haar":
        gr.Markdown(panels.HAAR, elem_classes="hint")
    options = {"api_visibility": "private", "concurrency_id": "photos"}
    photo.upload(
        page.show, photo, [shown, photo], trigger_mode="always_last", show_progress_on=shown,
        **options,
    ).then(None, js=TO_THE_RESULT)  # fmt: skip
    for button, path in zip(buttons, examples):
        button.click(
            lambda path=str(path): page.show(path)[0], None, shown, **options
        ).then(None, js=TO_THE_RESULT)  # fmt: skip


def many_tab(page: "Page") -> None:
    with gr.Row():
        with gr.Column(scale=2, min_width=280):
            photos = upload_only(gr.File(
                label=f"Photos, up to {MAX_PHOTOS} and {MAX_UPLOAD >> 20} MB together",
                file_count="multiple", file_types=["image"], height=200,
            ))  # fmt: skip
            prior = _prior_choice(page, visible=bool(page.priors))
            table_file = gr.DownloadButton("Download the table as CSV", interactive=False)
        with gr.Column(scale=5, min_width=300):
            summary = gr.Markdown(MANY, elem_id="many-summary")
            gallery = gr.HTML(elem_id="many-shown")
    gr.on(
        [photos.change, prior.input], page.show_many, [photos, prior],
        [gallery, table_file, summary], api_visibility="private", concurrency_id="photos",
        trigger_mode="always_last", show_progress_on=gallery,
    )  # fmt: skip


def video_tab(page: "Page", at_once: int) -> None:
    """
    Args:
        at_once: videos in work; others wait.
    """
    with gr.Row():
        with gr.Column(scale=2, min_width=280):
            video = upload_only(gr.Video(
                label=f"Video, up to {MAX_SECONDS} seconds and {MAX_VIDEO_BYTES >> 20} MB",
                sources=["upload", "webcam"], height=260, buttons=[], elem_id="video",
            ))  # fmt: skip
            table_file = gr.DownloadButton("Download the timeline as CSV", interactive=False)
        with gr.Column(scale=5, min_width=300):
            summary = gr.Markdown(VIDEO, min_height=140, elem_id="video-summary")
            made: dict[str, Any] = {
                "interactive": False, "buttons": ["download"], "elem_classes": "made",
            }  # fmt: skip
            clip = gr.Video(label="Faces followed", **made)
            alt = "Probabilities of each person over time"
            plot = gr.Image(show_label=False, alt_text=alt, **made)
    video.change(
        page.show_video, video, [clip, plot, table_file, summary], api_visibility="private",
        concurrency_id="videos", concurrency_limit=at_once, trigger_mode="always_last",
        show_progress_on=summary,
    )  # fmt: skip


def limits_tab(report: panels.Report, privacy: str) -> None:
    for title in ("What it is bad at", "What it must not be used for"):
        if text := report.section(title):
            gr.Markdown(f"## {title}\n\n{text}", elem_classes="plain")
    gr.Markdown(f"## Your photo\n\n{privacy}", elem_classes="plain")


def _prior_choice(page: "Page", **where: Any) -> gr.Radio:
    info = "As if all were equally likely, more of the rare ones are found."
    if page.priors:
        shares = dict(zip(page.served.labels, page.served.config.train_distribution))
        rare, common = (pick(shares, key=shares.get) for pick in (min, max))
        shown = f"{shares[common]:.0%} are {common} and {shares[rare]:.1%} {rare}"
        info = f"Of the training photos, {shown}. {info}"
    return gr.Radio(
        PRIORS, value="train", label="How common is each expression?", info=info,
        interactive=True, **where,
    )  # fmt: skip
