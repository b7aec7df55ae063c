"""What a source is, as far as its name tells: a photo or a video, a file, a stream or a device."""

from pathlib import Path
from urllib.parse import urlsplit

VIDEO_SUFFIXES = {
    *(".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm", ".mpg", ".mpeg", ".wmv", ".3gp", ".3g2"),
    *(".mts", ".m2ts", ".ts", ".flv", ".f4v", ".vob", ".asf", ".ogv", ".mjpeg", ".mjpg"),
}
CAMERA_SUFFIXES = {".mjpeg", ".mjpg"}  # by http(s), they are cameras that never end
PLAYLIST_SUFFIXES = {".m3u8", ".mpd"}  # of streams by http(s)
STREAM_SCHEMES = {"rtsp", "rtsps", "rtmp", "rtmps", "rtp", "udp", "tcp", "srt", "mms"}


def is_video(source: str) -> bool:
    """A URL is a video by its scheme or by the suffix of its path; pipes and devices are videos."""
    if is_stream(source) or is_pipe(source):
        return True
    if is_url(source):
        return _url_suffix(source) in VIDEO_SUFFIXES | PLAYLIST_SUFFIXES
    return Path(source).suffix.lower() in VIDEO_SUFFIXES


def is_url(source: str | int) -> bool:
    return isinstance(source, str) and "://" in source


def is_recording(source: str | int) -> bool:
    """Whether it is a URL whose path ends like that of a video file."""
    return is_url(source) and _url_suffix(source) in VIDEO_SUFFIXES - CAMERA_SUFFIXES


def is_stream(source: str | int) -> bool:
    """Whether it has no end of its own: a webcam, a device, or the address of a stream."""
    if isinstance(source, int):
        return True
    if is_url(source):
        return urlsplit(source).scheme.lower() in STREAM_SCHEMES
    return Path(source).is_char_device()


def is_pipe(source: str) -> bool:
    path = Path(source)
    return path.is_fifo() or path.is_char_device()


def _url_suffix(url: str) -> str:
    return Path(urlsplit(url).path).suffix.lower()
