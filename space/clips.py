"""A short video -> an annotated clip and a timeline of each person's probabilities."""

import html
import itertools
import math
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import cv2
from panels import fit
from serving import InputRefused, Served

from prediction.annotation import annotate
from prediction.following import Follower
from prediction.timeline import Timeline
from prediction.video import Frame, Video, VideoError, VideoFile

MAX_VIDEO_BYTES = 50 * 2**20
MAX_SECONDS = 30
MAX_FRAME_PIXELS = 4096 * 2304
LOOKED_AT = 8  # frames a second
SHOWN_SIDE = 960  # pixels of the longer side of a frame
TOGETHER = 8  # frames that are sent to the model at a time
SIZE = (cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT)


def check_container(start: bytes, name: str) -> None:
    """
    FFmpeg also opens playlists, which name other files: only real containers come as far as that.

    Args:
        start: the first 12 bytes of the file.

    Raises:
        InputRefused: neither MP4, MOV, WebM, MKV nor AVI.
    """
    mp4, webm = start[4:8] in (b"ftyp", b"moov", b"mdat", b"wide", b"free"), b"\x1a\x45\xdf\xa3"
    avi = start[:4] == b"RIFF" and start[8:12] == b"AVI "
    if not (mp4 or avi or start.startswith(webm)):
        raise InputRefused(f"{name}: not a video. Expected MP4, MOV, WebM, MKV or AVI.")


def follow_faces(
    served: Served, path: str, folder: Path, progress: Callable[[float], None]
) -> tuple[Path, Path | None, Path, str]:
    """
    Args:
        path: of the video. folder: for what is made of it. progress: takes the share that is done.

    Returns:
        Annotated clip, plot (None without a face) and CSV of the timeline, and what to say of it.

    Raises:
        InputRefused: it cannot be read as a video, or its frames are too large.
    """
    name = Path(path).name
    video = _opened(path, name)
    seconds = min(MAX_SECONDS, (video.length or math.inf) / video.rate)
    video.every = max(1, round(video.rate / LOOKED_AT))
    rate = video.rate / video.every
    clip = VideoFile(folder / "annotated.webm", rate)
    timeline = Timeline(folder / "timeline.csv", served.labels)
    follower = Follower(served.find.certain_from)

    longer = False

    def in_time(frame: Frame) -> bool:
        nonlocal longer
        longer = frame.time >= MAX_SECONDS
        return not longer

    def look(frames: list[Frame]) -> None:
        photos = [frame.photo for frame in frames]
        for frame, faces in zip(frames, served.faces(photos, crop=True, on_error="skip")):
            people = follower.follow(faces or [], frame.time)
            timeline.add(frame, people)
            clip.add(annotate(frame.photo, people), frame.time)
        progress(min(1.0, frames[-1].time / seconds))

    try:
        for frames in _batches(itertools.takewhile(in_time, video)):
            look(frames)
    except VideoError:
        raise InputRefused(f"{name}: holds no frame that can be read.") from None
    finally:
        clip.end()
        _, *plots = timeline.end("Faces followed, probabilities smoothed")
    if clip.writer is None:
        raise InputRefused(f"{name}: holds no frame that can be read.")
    people = {0: "No face was found.", 1: "One face was followed."}
    summary = people.get(follower.known, f"{follower.known} faces were followed.")
    if video.problem:
        summary += f" {video.problem}"
    if longer:
        summary += f" Only the first {MAX_SECONDS} seconds were looked at."
    summary += f" {rate:.0f} frames of each second count."
    if plots:
        summary += "".join(f"\n- {html.escape(line)}" for line in timeline.summary())
    return clip.path, plots[0] if plots else None, timeline.path, summary


def _batches(video: Iterable[Frame]) -> Iterator[list[Frame]]:
    frames: list[Frame] = []
    for frame in video:
        frame.photo = fit(frame.photo, SHOWN_SIDE)
        frames.append(frame)
        if len(frames) == TOGETHER:
            yield frames
            frames = []
    if frames:
        yield frames


def _opened(path: str, name: str) -> Video:
    try:
        video = Video(path, 1)
    except VideoError:
        raise InputRefused(f"{name}: cannot be read as a video.") from None
    width, height = (video.capture.get(key) for key in SIZE)
    if width * height > MAX_FRAME_PIXELS:
        video.capture.release()
        large = f"{name}: frames of {width:.0f} x {height:.0f} pixels are too large."
        raise InputRefused(large, "too_large")
    return video
