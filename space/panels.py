"""What the page shows, as HTML and Markdown: faces with their bars, the report."""

import base64
import html
import io
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from prediction.annotation import COLORS, annotate, heat_picture

SHOWN_SIDE = 1000  # pixels of the longer side of a picture in the page

# Both priors and the heat maps are in the page from the start, so that switching needs no photo.
STYLE = """<style>
.result {display: flex; flex-wrap: wrap; gap: 16px; align-items: flex-start}
.result figure {flex: 3 1 280px; margin: 0}
.result figure img {width: 100%; border-radius: 8px; display: block}
.result .side {flex: 2 1 230px}
.result .faces {display: grid; gap: 12px; max-height: 72vh; overflow-y: auto}
.face {border: 1px solid var(--border-color-primary); border-radius: 8px; padding: 8px 12px}
.result .face h3 {margin: 0 0 4px !important; font-size: 1.1em}
.face .unsure {font-weight: 400; font-style: normal; border: 1px dashed currentColor;
               border-radius: 6px; padding: 0 6px; margin-left: 6px; font-size: .8em}
.face .row {display: grid; grid-template-columns: 5.2em 1fr 2.8em; gap: 8px; align-items: center;
            font-size: .9em; line-height: 1.45}
.face .bar {height: .75em; border-radius: 4px; background: var(--border-color-primary);
            overflow: hidden}
.face .bar i {display: block; height: 100%}
.face .share {text-align: right; font-variant-numeric: tabular-nums}
.face .heat img {width: 100%; max-width: 200px; border-radius: 6px; margin: 8px 0 2px}
.hint {font-size: .85em; color: var(--body-text-color-subdued); margin: 8px 0 0 !important}
.message {padding: 14px; border-radius: 8px; border: 1px solid var(--border-color-primary)}
.message + figure {margin: 12px 0 0} .message + figure img {max-width: 100%; border-radius: 8px}
.face, .face h3, .face .row span, .message {color: var(--body-text-color)}
.heat, body:has(#prior input[value=uniform]:checked) .prior-train,
body:not(:has(#prior input[value=uniform]:checked)) .prior-uniform {display: none}
body:has(#heat input:checked) .heat {display: block}
.report img {background: white; border-radius: 8px}
@media (max-width: 640px) {
.result .faces {max-height: none}
#photo-side {display: contents} #photo-shown {order: 2} #options {order: 3}
h1 {font-size: 1.4em !important}
}
</style>"""

WAITING = '<p class="message">The faces of your photo, and seven bars for each, will be here.</p>'


def message(text: str) -> str:
    return f'<p class="message" role="status">{html.escape(text)}</p>'


def result(photo: np.ndarray, by_prior: Mapping[str, Sequence[dict]], hint: str) -> str:
    """
    Args:
        photo: uint8 (H, W, 3). by_prior: faces of the pipeline, explained, under each prior.
        hint: a sentence under the bars.

    Returns:
        HTML that holds the pictures in itself: none is stored.
    """
    if not any(by_prior.values()):
        words = "No face was found. A face should be at least 16 pixels wide and mostly visible."
        return message(words) + f"<figure>{_img(fit(photo), 'The photo without a face')}</figure>"
    variants = "".join(
        f'<div class="result prior-{prior}"><figure>{_annotated(photo, faces)}</figure>'
        f'<div class="side"><div class="faces" role="list" aria-label="Faces" tabindex="0">'
        f"{''.join(_card(number, face) for number, face in enumerate(faces, 1))}</div>"
        f'<p class="hint">{html.escape(hint)}</p></div></div>'
        for prior, faces in by_prior.items()
    )
    return f'<div role="status">{variants}</div>'


def _annotated(photo: np.ndarray, faces: Sequence[dict]) -> str:
    words = "; ".join(
        f"{number}: {face['label']} {face['score']:.0%}" for number, face in enumerate(faces, 1)
    )
    alt = f"The photo with {len(faces)} numbered face{'s' * (len(faces) > 1)}. {words}"
    return _img(draw(photo, faces), alt)


def draw(photo: np.ndarray, faces: Sequence[dict], side: int = SHOWN_SIDE) -> np.ndarray:
    """The photo with numbered boxes, at the size at which it is shown."""
    small = fit(photo, side)
    scale = small.shape[1] / photo.shape[1]
    scaled = [
        face | {"box": {edge: round(at * scale) for edge, at in face["box"].items()}}
        for face in faces
    ]
    return annotate(small, scaled, numbers=True)


def _card(number: int, face: dict) -> str:
    label = html.escape(face["label"])
    unsure = '<em class="unsure">uncertain</em>' if face["uncertain"] else ""
    rows = "".join(_bar(name, share) for name, share in face["scores"].items())
    alt = f"Heat map of {face['label']} on face {number}"
    return (
        f'<section class="face" role="listitem"><h3>{number} · {label} {face["score"]:.0%}{unsure}'
        f'</h3>{rows}<div class="heat">{_img(heat_picture(face), alt)}'
        f'<p class="hint">Bright: what spoke for {label}</p></div></section>'
    )


def _bar(label: str, share: float) -> str:
    color = {"neutral": "#8A8A8A"}.get(label, COLORS.get(label, "#8A8A8A"))
    return (
        f'<div class="row"><span>{html.escape(label)}</span><span class="bar" aria-hidden="true">'
        f'<i style="width:{share:.1%};background:{color}"></i></span>'
        f'<span class="share">{share:.0%}</span></div>'
    )


def fit(photo: np.ndarray, side: int = SHOWN_SIDE) -> np.ndarray:
    """The picture, made smaller where its longer side is more than `side` pixels."""
    scale = side / max(photo.shape[:2])
    if scale >= 1:
        return photo
    size = max(1, round(photo.shape[1] * scale)), max(1, round(photo.shape[0] * scale))
    return cv2.resize(photo, size, interpolation=cv2.INTER_AREA)


def _img(picture: np.ndarray, alt: str) -> str:
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "JPEG", quality=88)
    data = base64.b64encode(file.getvalue()).decode()
    return f'<img src="data:image/jpeg;base64,{data}" alt="{html.escape(alt, quote=True)}">'


def sections(text: str) -> dict[str, str]:
    """Of a card or README: heading -> Markdown, without the header between lines of ---."""
    parts = re.split(r"(?m)^## ", re.sub(r"(?s)\A---\n.*?\n---\n", "", text))
    return {part.split("\n")[0]: part.split("\n", 1)[1] for part in parts[1:]}


class Report:
    """
    The model's own report, as train.py wrote it: card and figures.

    Attributes:
        figures: of the training. test_figures: of the test split, {} unless the card quotes them.
    """

    def __init__(self, folder: Path):
        self.folder = folder
        card = folder / "README.md"
        text = card.read_text(encoding="utf-8") if card.is_file() else ""
        results, test = folder / "all_results.json", folder / "test_results.json"
        self.figures = json.loads(results.read_text()) if results.is_file() else {}
        quoted = test.is_file() and f"`{test.name}`" in text
        self.test_figures = json.loads(test.read_text()) if quoted else {}
        self._sections = sections(text)

    def section(self, title: str) -> str:
        """Of the card, as Markdown, without pictures: the page has them beside it. "" without."""
        return re.sub(r"(?m)^!\[.*\)\s*$", "", self._sections.get(title, "")).strip()

    def certainty(self) -> str:
        """What "uncertain" means, in the report's figures."""
        figures = self.test_figures or self.figures
        if not figures.get("eval_certain_accuracy"):
            return ""
        learned_another = "eval_train_prior_accuracy" in figures
        return (
            f"Uncertain: under {figures['uncertain_below']:.0%}. Of the labels over it "
            f"{figures['eval_certain_accuracy']:.0%} were right on FER-2013's "
            f"{figures['eval_split']} split, under the "
            f"{'distribution that the network learned' if learned_another else 'training prior'}."
        )
