"""What a card may call the data of a run: what they prove to be, or what their user calls them."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from ..data import DEFAULT_SOURCE, LABELS, PUBLISHED_COUNTS, expression_word
from ..record.lineage import HUB_ID, portable


@dataclass(frozen=True)
class Provenance:
    """
    name: what the card calls the data; None: not known.
    type: what a model-index calls them, where Hub ids are preferred; None: not known.
    hub_ids: data sets on the Hub that the images come from.
    fer2013: whether the images are FER-2013's. ferplus: whether the labels are FER+'s majority.
    """

    name: str | None
    type: str | None
    hub_ids: tuple[str, ...] = ()
    fer2013: bool = False
    ferplus: bool = False
    synthetic: bool = False


def provenance(options: Mapping, data_report: Mapping) -> Provenance:
    """
    Args:
        options: the run's flags by name.
        data_report: content of data_report.json.
    """
    source, given = options["dataset"], (options["dataset_name"] or "").strip()
    if source == "synthetic":
        return Provenance("synthetic faces drawn by code", "synthetic", synthetic=True)
    named = given if HUB_ID.fullmatch(given) else None
    hub_id = named or (None if is_local(source) else source)
    ferplus = options["label_source"] == "ferplus"
    if _is_fer2013(data_report, ferplus):
        # a local copy is of the same data as the default source
        ids, name = (hub_id or DEFAULT_SOURCE,), "FER-2013"
        if ferplus:
            return Provenance(f"{name} with FER+ labels", "ferplus", ids, True, True)
        return Provenance(name, "fer2013", ids, True)
    ids = (hub_id,) if hub_id else ()
    if name := given or hub_id:
        slug = re.sub(r"[^\w.-]+", "-", name.lower()).strip("-")
        return Provenance(name, hub_id or slug, ids, ferplus=ferplus)
    return Provenance(None, None, ferplus=ferplus)


def is_local(source: str) -> bool:
    """Whether --dataset, as run.yaml has it, is a file or folder: a Hub id has a slash."""
    return source != "synthetic" and "/" not in portable(source)


def _is_fer2013(data_report: Mapping, ferplus: bool) -> bool:
    """
    Whether every split has FER-2013's published counts: of its classes, whatever their order and
    synonyms; with FER+ labels, which leave images out, of all images.
    """
    left_out = data_report.get("images_without_ferplus_majority", {})
    for name, split in data_report["splits"].items():
        published = PUBLISHED_COUNTS.get(name, [])
        counts = {expression_word(word): n for word, n in split["class_counts"].items()}
        if ferplus and split["images"] + left_out.get(name, 0) != sum(published):
            return False
        if not ferplus and counts != dict(zip(LABELS, published)):
            return False
    return bool(data_report["splits"])
