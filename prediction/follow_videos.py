"""The videos and the webcam of the command line: faces followed, a timeline, an annotated copy."""

import argparse
import logging
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TextIO

import numpy as np
from tqdm import tqdm

from .annotation import annotate
from .following import Follower
from .output import free_path
from .timeline import Timeline
from .video import Frame, Video, VideoError, VideoFile

TOGETHER = 8  # frames that wait for a batch, those between the frames that are looked at included
logger = logging.getLogger(__name__)


def follow_videos(
    args: argparse.Namespace, find: Callable, sources: Sequence[str | int], screen: TextIO
) -> tuple[list[Path], int]:
    """
    Args:
        args: the flags of `arguments.make_parser`.
        find: the pipeline.
        sources: paths, URLs and webcams. Every frame of args.webcam is looked at.
        screen: takes a line for each person.

    Returns:
        The files written, and how many sources could not be read to their end.
    """
    written, failed = [], 0
    for source in sources:
        every = 1 if source == args.webcam else args.every
        try:
            video = Video(source, 1 if args.annotate else every)  # all frames are drawn
            written += follow_video(args, find, video, every, screen)
        except VideoError as error:
            logger.warning(f"Skipped: {error}")
            failed += 1
        else:
            if video.problem:
                logger.warning(f"Incomplete: {video.name}: {video.problem}")
                failed += 1
    return written, failed


def follow_video(
    args: argparse.Namespace, find: Callable, video: Video, every: int, screen: TextIO
) -> list[Path]:
    """
    Follows faces through every Nth frame; until the end, or Ctrl-C.

    Returns:
        Paths of timeline, plot and, if args.annotate is given, annotated video.
    """
    label_names = find.config.label_names
    timeline = Timeline(free_path(args.timeline, f"{video.stem}_timeline", ".csv"), label_names)
    copy = None
    if args.annotate:
        copy = VideoFile(free_path(args.annotate, video.stem, ".webm"), video.rate)
    waiting: deque[Frame] = deque()

    def photos() -> Iterator[np.ndarray]:
        for frame in video:
            waiting.append(frame)
            if frame.number % every == 0:
                yield frame.photo

    def draw(frame: Frame, people: Sequence[dict]) -> None:
        if copy:
            copy.add(annotate(frame.photo, people), frame.time)

    follower, people = Follower(find.certain_from), []
    batch_size = 1 if video.live else min(args.batch_size, TOGETHER // every if copy else TOGETHER)
    answers = find(photos(), batch_size=max(1, batch_size), crop=True, on_error="skip")
    looked_at = video.length and -(-video.length * video.every // every)
    bar = tqdm(answers, total=looked_at, unit="frame", desc=video.name, disable=args.disable_tqdm)
    try:
        for faces in bar:
            while (frame := waiting.popleft()).number % every:
                draw(frame, people)
            people = follower.follow(faces or [], frame.time)
            timeline.add(frame, people)
            bar.set_postfix_str(", ".join(f"{p['person']}: {p['label']}" for p in people)[:60])
            draw(frame, people)
        for frame in waiting:
            draw(frame, people)
    except KeyboardInterrupt:
        bar.write("Stopped.")
    finally:
        bar.close()
        if copy:
            copy.end()
        written = timeline.end(f"{video.name}: faces followed, probabilities smoothed")
    for line in timeline.summary():
        print(f"{video.name}: {line}", file=screen)
    return written + ([copy.path] if copy else [])
