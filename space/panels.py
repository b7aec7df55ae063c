"""What the page shows, as HTML and Markdown: photos, faces with their bars, the report."""

import base64
import html
import io
import json
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from prediction.annotation import heat_picture
from prediction.colors import colors

HERE = Path(__file__).resolve().parent
SHOWN_SIDE = 1000  # pixels of the longer side of the picture in the page
THUMBNAIL = 640  # the same, of one of many photos
COMPACT = 4  # faces from which their cards are small
LARGE = 0.05  # probability from which a class is not folded
# Both priors and the heat maps are in the page from the start, so that switching needs no photo.
HEAD = (
    f"<style>{(HERE / 'page.css').read_text()}</style>"
    f"<script>{(HERE / 'page.js').read_text()}</script>"
)
NO_FACE = (
    "No face was found. A face should be at least 16 pixels wide and mostly visible: turned far "
    "aside, covered, or behind dark glasses it is easily missed."
)
HAAR = (
    "Faces are found by OpenCV's simple detector (Haar), since YuNet could not be loaded here: it "
    "misses more of those that are turned, covered or behind glasses."
)


HEAT = (
    '<p class="heat hint">Bright: what the model looked at for the label. It does not show what '
    "the person feels, nor that the label is right.</p>"
)


def message(text: str) -> str:
    return f'<p class="message" role="status">{html.escape(text)}</p>'


def result(photo: np.ndarray, by_prior: Mapping[str, Sequence[dict]], certainty: str) -> str:
    """
    Args:
        photo: uint8 (H, W, 3). by_prior: faces of the pipeline, explained, under each prior.
        certainty: a sentence on what an uncertain label is.

    Returns:
        HTML that holds the pictures in itself: none is stored.
    """
    count = len(next(iter(by_prior.values())))
    if not count:
        return message(NO_FACE) + marked(photo, {}, "The photo without a face")
    attributes = 'class="faces prior-{}" role="list" aria-label="Faces"'
    cards = _for_each(by_prior, attributes, lambda *face: _card(*face, count, certainty))
    spoken = "".join(
        f'<p class="unseen prior-{prior}">{html.escape(described(faces))}</p>'
        for prior, faces in by_prior.items()
    )
    alt = f"The photo with {count} marked face{'s' * (count > 1)}"
    return (
        f'<div class="result{" many" * (count >= COMPACT)}"><div role="status">{spoken}</div>'
        f'<div class="picture">{marked(photo, by_prior, alt)}</div>'
        f'<div class="side">{cards}{HEAT}<div class="tools">'
        '<button type="button" data-do="save">Save the picture</button>'
        '<button type="button" data-do="copy">Copy as JSON</button></div></div>'
        f'<pre hidden class="answer">{html.escape(_answer(by_prior))}</pre></div>'
    )


def described(faces: Sequence[dict]) -> str:
    """Their labels in one line."""
    several = len(faces) > 1
    labels = [
        f"{f'{number} ' * several}{face['label']} {face['score']:.0%}"
        f"{' (uncertain)' * bool(face['uncertain'])}"
        for number, face in enumerate(faces, 1)
    ]
    return ", ".join(labels) or "no face"


def marked(
    photo: np.ndarray,
    by_prior: Mapping[str, Sequence[dict]],
    alt: str,
    side: int = SHOWN_SIDE,
) -> str:
    """The photo, at most `side` pixels large, and over it the boxes of its faces."""
    count = max(map(len, by_prior.values()), default=0)
    boxes = _for_each(by_prior, 'class="prior-{}"', lambda *face: _box(*face, photo.shape, count))
    return f'<div class="marked-photo">{_img(fit(photo, side), alt)}{boxes}</div>'


def _for_each(
    by_prior: Mapping[str, Sequence[dict]], attributes: str, render: Callable[[int, dict], str]
) -> str:
    """An element for each prior, and in it what `render` makes of the faces, numbered from 1."""
    return "".join(
        f"<div {attributes.format(prior)}>"
        + "".join(render(number, face) for number, face in enumerate(faces, 1))
        + "</div>"
        for prior, faces in by_prior.items()
    )


def figure(name: str, photo: np.ndarray, faces: Sequence[dict]) -> str:
    """One of many photos."""
    caption = f"<b>{html.escape(name)}</b>: {html.escape(described(faces))}"
    return (
        f"<figure{' class=many' * (len(faces) > 1)}>{marked(photo, {'': faces}, name, THUMBNAIL)}"
        f"<figcaption>{caption}</figcaption></figure>"
    )


def photos(answered: Sequence[tuple[str, Sequence[dict], str]]) -> str:
    """
    Args:
        answered: of each photo its name, its faces, and its `figure`.
    """
    rows = "".join(
        f"<tr><td>{html.escape(name)}</td><td>{number}</td><td>{html.escape(face['label'])}</td>"
        f"<td>{face['score']:.0%}{' (uncertain)' * bool(face['uncertain'])}</td></tr>"
        for name, faces, _ in answered
        for number, face in enumerate(faces, 1)
    )
    header = "".join(f"<th>{title}</th>" for title in ("photo", "face", "label", "probability"))
    return (
        f'<div class="photos">{"".join(figure for *_, figure in answered)}</div>'
        '<details class="table"><summary>As a table</summary>'
        f"<table><thead><tr>{header}</tr></thead><tbody>{rows}</tbody></table></details>"
    )


def _box(number: int, face: dict, shape: Sequence[int], count: int) -> str:
    height, width = shape[:2]
    left, top, right, bottom = (face["box"][edge] for edge in ("xmin", "ymin", "xmax", "ymax"))
    style = (
        f"left:{left / width:.2%};top:{top / height:.2%};width:{(right - left) / width:.2%};"
        f"height:{(bottom - top) / height:.2%};--own:{colors(face['scores'])[face['label']]}"
    )
    places = " low" * (top < 0.1 * height) + " left" * (left > 0.7 * width)
    label = f"{face['label']} {face['score']:.0%}{' ?' * bool(face['uncertain'])}"
    name = html.escape(f"Face {number}: {label}", quote=True)
    shown = f"{f'{number} ' * (count > 1)}<span class=label>{html.escape(label)}</span>"
    return (
        f'<button type="button" class="box{places}" data-face="{number}" style="{style}" '
        f'aria-label="{name}"><span class="tag">{shown}</span></button>'
    )


def _card(number: int, face: dict, count: int, certainty: str) -> str:
    label, known = html.escape(face["label"]), html.escape(certainty or "The model hesitates.")
    title = f"{number} · " * (count > 1) + f"{label} {face['score']:.0%}"
    badge = f'<details class="unsure"><summary>uncertain</summary><p>{known}</p></details>'
    crop = _img(face["crop"], f"Face {number}", "crop")
    heat = _img(heat_picture(face), f"Heat map of {face['label']} on face {number}")
    return (
        f'<div class="face" role="listitem" data-face="{number}"><div class="head">{crop}'
        f"<div><h2>{title}</h2>{badge * bool(face['uncertain'])}</div></div>"
        f'{_bars(face["scores"], count)}<div class="heat">{heat}</div></div>'
    )


def _bars(scores: Mapping[str, float], count: int) -> str:
    """Classes in the order of their probability; the small ones are folded."""
    ranked = sorted(scores.items(), key=lambda score: -score[1])
    own = colors(scores)
    rows = [_bar(name, share, own[name], i == 0) for i, (name, share) in enumerate(ranked)]
    large = 0 if count >= COMPACT else max(1, sum(share >= LARGE for _, share in ranked))
    rest = sum(share for _, share in ranked[large:])
    summary = f"{len(rows) - large} more, together {rest:.0%}" if large else "all classes"
    folded = f'<details class="rest"><summary>{summary}</summary>{"".join(rows[large:])}</details>'
    return f'<div class="bars">{"".join(rows[:large])}</div>{folded * (large < len(rows))}'


def _bar(label: str, share: float, color: str, first: bool) -> str:
    fill = f'<i style="width:{share:.1%};background:{color}"></i>' * (share >= 0.005)
    return (
        f'<div class="row{" first" * first}"><span>{html.escape(label)}</span>'
        f'<span class="bar" aria-hidden="true">{fill}</span>'
        f'<span class="share">{share:.0%}</span></div>'
    )


def _answer(by_prior: Mapping[str, Sequence[dict]]) -> str:
    """What the API answers, as JSON."""
    left_out = ("by_prior", "crop", "heatmap")
    plain = {
        prior: [{name: face[name] for name in face if name not in left_out} for face in faces]
        for prior, faces in by_prior.items()
    }
    return json.dumps(plain)


def fit(photo: np.ndarray, side: int = SHOWN_SIDE) -> np.ndarray:
    """The picture, made smaller where its longer side is more than `side` pixels."""
    scale = side / max(photo.shape[:2])
    if scale >= 1:
        return photo
    size = max(1, round(photo.shape[1] * scale)), max(1, round(photo.shape[0] * scale))
    return cv2.resize(photo, size, interpolation=cv2.INTER_AREA)


def _img(picture: np.ndarray, alt: str, name: str = "") -> str:
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "JPEG", quality=88)
    data = base64.b64encode(file.getvalue()).decode()
    kind = f' class="{name}"' * bool(name)
    alt = html.escape(alt, quote=True)
    return f'<img{kind} src="data:image/jpeg;base64,{data}" alt="{alt}">'


def sections(text: str) -> dict[str, str]:
    """A card's or README's headings -> Markdown, without the header between lines of ---."""
    parts = re.split(r"(?m)^## ", re.sub(r"(?s)\A---\n.*?\n---\n", "", text))
    return {part.split("\n")[0]: part.split("\n", 1)[1] for part in parts[1:]}


def read_text(file: Path) -> str:
    """ "" where there is none."""
    return file.read_text(encoding="utf-8") if file.is_file() else ""


def read_json(file: Path) -> dict:
    """{} where there is none."""
    return json.loads(read_text(file) or "{}")


class Report:
    """
    What train.py and the benchmarks wrote into the model's folder.

    Attributes:
        folder: of the model. results: of the training, {} without.
        test_results: of the test split, {} unless the card quotes them.
    """

    def __init__(self, folder: Path):
        self.folder, card = folder, read_text(folder / "README.md")
        self.results, test = read_json(folder / "all_results.json"), "test_results.json"
        self.test_results = read_json(folder / test) if f"`{test}`" in card else {}
        self._sections = sections(card)

    def section(self, title: str) -> str:
        """The card's, as Markdown, without pictures: the page has them beside it. "" without."""
        return re.sub(r"(?m)^!\[.*\)\s*$", "", self._sections.get(title, "")).strip()

    def certainty(self) -> str:
        """What "uncertain" means, in few sentences with the results; "" without them."""
        results = self.test_results or self.results
        if not results.get("eval_certain_accuracy"):
            return ""
        threshold, right = results["uncertain_below"], results["eval_certain_accuracy"]
        if threshold:
            said = (
                f"A face is uncertain if its most probable label has less than {threshold:.0%}. "
                f"Of the {results['eval_split']} images with more, {right:.0%} were labelled right."
            )
        else:
            said = (
                f"No large face is uncertain: of all {results['eval_split']} images, {right:.0%} "
                "were labelled right."
            )
        config = read_json(self.folder / "config.json")
        sizes = (config.get("calibration") or {}).get("smaller_faces") or []
        smaller = [
            f"{size['uncertain_below']:.0%} at {size['side']} pixels"
            for size in reversed(sizes)
            if (size.get("uncertain_below") or 0) > threshold
        ]
        return said + f" Smaller faces need more: {', '.join(smaller)}." * bool(smaller)
