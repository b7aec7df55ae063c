"""predict.py, from its flags to its exit status. What takes seconds to import is imported late."""

import argparse
import logging
import re
import sys
import time
from pathlib import Path

from .arguments import PROGRAM, text_outputs
from .inputs import InputError, collect, describe_passed_over, missing_model

logger = logging.getLogger(__name__)

HUB_ID = re.compile(r"([\w-][\w.-]*/)?[\w-][\w.-]*")


def run(args: argparse.Namespace) -> int:
    """
    Looks at everything that `args`, of `arguments.parse`, name.

    Returns:
        The exit status: 0, 1 if a file could not be read, or 2 if the command is wrong.
    """
    try:
        photos, videos = find_inputs(args)
        sources = videos + ([] if args.webcam is None else [args.webcam])
        from .engine import load  # only now: it takes a while

        if photos:
            from .label_photos import label_photos
        if sources:
            from .follow_videos import follow_videos
        find, engine = load(args)
    except ModuleNotFoundError as error:
        print(f"{PROGRAM}: {error}. It needs pip install '.[photos]'.", file=sys.stderr)
        return 2
    except (OSError, ValueError, ImportError, RuntimeError, AssertionError) as error:
        print(f"{PROGRAM}: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    screen = sys.stderr if "-" in text_outputs(args) else sys.stdout
    written, failed = [], 0
    if photos:
        started = time.monotonic()
        counts = label_photos(args, find, photos)
        failed = counts.count(None)
        read, faces = len(photos) - failed, sum(count or 0 for count in counts)
        rate = read / (time.monotonic() - started)
        missing = f"; {failed} could not be read" if failed else ""
        print(f"{read} photo{'s' * (read != 1)}, {faces} face{'s' * (faces != 1)}, "
              f"{rate:.1f} photos/s by {engine}{missing}", file=screen)  # fmt: skip
        files = [Path(name) for name in text_outputs(args) if name != "-"]
        folders = [args.annotate, args.explain, args.crops]
        written += files + [folder for folder in folders if folder and folder.exists()]
    if sources:
        files, incomplete = follow_videos(args, find, sources, screen)
        failed += incomplete
        written += files
    if written:
        paths = ", ".join(str(path.resolve()) for path in written)
        print(f"Written by {engine}: {paths}", file=screen)
    return 1 if failed else 0


def find_inputs(args: argparse.Namespace) -> tuple[list[str], list[str]]:
    """
    Returns:
        Photos and videos, of which there is what the flags need.

    Raises:
        InputError: they are not there, or the model or the detector's file is not.
    """
    photos, videos, passed_over = collect(args.inputs)
    if passed_over:
        logger.warning(describe_passed_over(passed_over))
    if text_outputs(args) and not photos:
        raise InputError(
            "--json, --jsonl and --csv are of photos, and there is none; a video's faces are in "
            "its timeline, in the folder of --timeline."
        )
    for flag in ("explain", "crops"):
        if getattr(args, flag) and not photos:
            raise InputError(f"--{flag} is of photos, and there is none.")
    if args.crops:
        folder = args.crops
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise InputError(
                f"--crops {folder}: expected a new or an empty folder, but found files; a face "
                "that is there twice is learned twice. Choose another folder, or remove this one."
            )
        if videos:
            logger.warning(f"--crops is of photos; passed over: {', '.join(videos)}")
            videos = []
    if not Path(args.model).is_dir() and not HUB_ID.fullmatch(args.model):
        raise missing_model(args.model, args.revision)
    file = args.detector_path if args.detector in ("auto", "yunet") else None
    if file is not None and not Path(file).is_file():
        raise InputError(f"detector_path {file}: no such file.")
    return photos, videos
