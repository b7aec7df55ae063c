"""The tabs in which a visitor sends photos and videos: what is where, and what asks the server."""

import gradio as gr
import panels
from clips import MAX_SECONDS, MAX_VIDEO_BYTES
from examples import CREDITS, Example
from guard import MAX_UPLOAD
from serving import MAX_PHOTOS
from uploads import FileInput, PhotoInput, VideoInput

TO_THE_RESULT = """() => {
    const shown = document.querySelector("#photo-shown");
    if (shown.getBoundingClientRect().top < 0) shown.scrollIntoView({behavior: "smooth"});
}"""
MANY = "Every photo comes back with its boxes, and all faces in one table."
VIDEO = (
    "Each person is followed through the video: it comes back with boxes, and with the "
    "probabilities over time."
)
PRIORS = [("As common as in the training photos", "train"),
          ("All expressions equally likely", "uniform")]  # fmt: skip


def photo_tab(page, opening: str, examples: list[Example]) -> None:
    """
    Args:
        opening: HTML of an answered example. examples: offered as buttons.
    """
    shown = gr.HTML(opening, elem_id="photo-shown", apply_default_css=False)
    with gr.Row(elem_id="send"):
        with gr.Column(scale=2, min_width=260, elem_id="photo-side"):
            photo = PhotoInput(
                label="Your photo",
                show_label=False,
                sources=["upload", "webcam", "clipboard"],
                height=132,
                buttons=[],
                placeholder="Drop a photo here\nor click to choose one",
                alt_text="The photo you sent",
            )
        with gr.Column(scale=3, min_width=300):
            with gr.Row(elem_id="examples"):
                buttons = [
                    gr.Button(example.name, icon=str(example.path), min_width=50)
                    for example in examples
                ]
            gr.Markdown(CREDITS, elem_classes="hint")
    with gr.Row(elem_id="options"):
        if page.priors:
            _prior_choice(page, elem_id="prior")
        gr.Checkbox(
            label="Heat map",
            info="What the model looked at for its label. Not what a person feels, nor a proof.",
            elem_id="heat",
            interactive=True,
        )
    if page.served.detector == "Haar":
        gr.Markdown(panels.HAAR, elem_classes="hint")
    options = {"api_visibility": "private", "concurrency_id": "photos"}
    photo.upload(
        page.show,
        photo,
        [shown, photo],
        trigger_mode="always_last",
        show_progress_on=shown,
        **options,
    ).then(None, js=TO_THE_RESULT)
    for button, example in zip(buttons, examples):
        button.click(
            lambda path=str(example.path): page.show(path)[0], None, shown, **options
        ).then(None, js=TO_THE_RESULT)


def many_tab(page) -> None:
    with gr.Row():
        with gr.Column(scale=2, min_width=280):
            photos = FileInput(
                label=f"Photos, up to {MAX_PHOTOS} and {MAX_UPLOAD >> 20} MB together",
                file_count="multiple",
                file_types=["image"],
                height=200,
            )
            prior = _prior_choice(page, visible=bool(page.priors))
            table_file = gr.DownloadButton("Download the table as CSV", interactive=False)
        with gr.Column(scale=5, min_width=300):
            words = gr.Markdown(MANY, elem_id="many-words")
            gallery = gr.HTML(elem_id="many-shown")
    gr.on(
        [photos.change, prior.input], page.show_many, [photos, prior],
        [gallery, table_file, words], api_visibility="private", concurrency_id="photos",
        trigger_mode="always_last", show_progress_on=gallery,
    )  # fmt: skip


def video_tab(page, at_once: int) -> None:
    """
    Args:
        at_once: videos in work; others wait.
    """
    with gr.Row():
        with gr.Column(scale=2, min_width=280):
            video = VideoInput(
                label=f"Video, up to {MAX_SECONDS} seconds and {MAX_VIDEO_BYTES >> 20} MB",
                sources=["upload", "webcam"],
                height=260,
                buttons=[],
                elem_id="video",
            )
            table_file = gr.DownloadButton("Download the timeline as CSV", interactive=False)
        with gr.Column(scale=5, min_width=300):
            words = gr.Markdown(VIDEO, min_height=140, elem_id="video-words")
            clip = gr.Video(
                label="Faces followed",
                interactive=False,
                buttons=["download"],
                elem_classes="made",
            )
            plot = gr.Image(
                show_label=False,
                interactive=False,
                buttons=["download"],
                alt_text="Probabilities of each person over time",
                elem_classes="made",
            )
    video.change(
        page.show_video, video, [clip, plot, table_file, words], api_visibility="private",
        concurrency_id="videos", concurrency_limit=at_once, trigger_mode="always_last",
        show_progress_on=words,
    )  # fmt: skip


def limits_tab(report: panels.Report, privacy: str) -> None:
    for title in ("What it is bad at", "What it must not be used for"):
        if text := report.section(title):
            gr.Markdown(f"## {title}\n\n{text}", elem_classes="plain")
    gr.Markdown(f"## Your photo\n\n{privacy}", elem_classes="plain")


def _prior_choice(page, **where) -> gr.Radio:
    words = "The second finds more of the rare ones."
    if page.priors:
        shares = dict(zip(page.served.labels, page.served.config.train_distribution))
        rare, common = (pick(shares, key=shares.get) for pick in (min, max))
        words = f"There, {shares[common]:.0%} are {common} and {shares[rare]:.1%} {rare}. {words}"
    return gr.Radio(
        PRIORS, value="train", label="How common is each expression?", info=words,
        interactive=True, **where,
    )  # fmt: skip
