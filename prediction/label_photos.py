"""The photos of the command line: a table, text files and pictures of their faces."""

import argparse
import logging
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
from PIL import Image
from tqdm import tqdm
from tqdm.contrib.logging import logging_redirect_tqdm

from . import modeling
from .annotation import annotate, heat_picture
from .arguments import text_outputs
from .crops import CropWriter
from .output import free_path, open_writers, readable, table_lines

logger = logging.getLogger(__name__)
SPEAKING = [logging.getLogger(package) for package in (modeling.__name__, __package__)]


def label_photos(
    args: argparse.Namespace, find: Callable, photos: Sequence[str]
) -> list[int | None]:
    """
    Args:
        args: the flags of `arguments.make_parser`.
        find: the pipeline.
        photos: paths and URLs.

    Returns:
        The number of faces in each photo; None for a photo that could not be read.
    """
    counts, width = [], max(len(readable(name)) for name in photos)
    crops = CropWriter(args.crops, args.inputs, photos) if args.crops else None
    bar = tqdm(_answers(args, find, photos), total=len(photos), unit="photo",
               disable=args.disable_tqdm or len(photos) < 2)  # fmt: skip
    label_names = find.config.label_names
    with (
        open_writers(args.json, args.jsonl, args.csv, label_names) as writers,
        logging_redirect_tqdm(SPEAKING),  # the pipeline's warnings do not break the bar
    ):
        for name, (photo, faces) in zip(photos, bar):
            for writer in writers:
                writer.write(name, faces)
            counts.append(None if faces is None else len(faces))
            if faces is None:  # the pipeline has said why
                continue
            if "-" not in text_outputs(args):
                bar.write("\n".join(table_lines(readable(name), faces, width)), file=sys.stdout)
            if args.explain:
                save_heat_maps(args.explain, name, faces)
            if crops:
                crops.write(name, faces)
            if args.annotate:
                drawn = annotate(photo, faces, numbers=len(faces) > 1)
                Image.fromarray(drawn).save(free_path(args.annotate, Path(name).stem[:100], ".png"))
    if crops and (advice := crops.advice()):
        logger.warning(advice)
    return counts


def _answers(
    args: argparse.Namespace, find: Callable, photos: Sequence[str]
) -> Iterator[tuple[np.ndarray | None, list[dict] | None]]:
    """For each photo its pixels, where they are to be drawn into, and its faces."""
    wanted = {"photo": args.annotate, "explain": args.explain, "crop": args.crops}
    wanted = {name: folder is not None for name, folder in wanted.items()}
    for answer in find(iter(photos), on_error="skip", **wanted):
        yield (answer or (None, None)) if args.annotate else (None, answer)


def save_heat_maps(folder: Path, name: str, faces: Sequence[dict]) -> None:
    """A picture for each face of a photo."""
    for number, face in enumerate(faces, 1):
        stem = f"{Path(name).stem[:100]}_{number}_{face['label']}"
        Image.fromarray(heat_picture(face)).save(free_path(folder, stem, ".png"))
