"""A photo of any kind -> upright uint8 RGB array, within limits, or one error that names it."""

import contextlib
import functools
import http.client
import io
import ipaddress
import os
import socket
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps, UnidentifiedImageError

from .image_processing_fer_efficientnet import FerEfficientNetImageProcessor
from .names import PHOTO_FORMATS

try:
    import pillow_heif
except ImportError:  # HEIC alone needs it
    pillow_heif = None

MAX_PIXELS = 50_000_000
MAX_BYTES = 50 * 2**20  # of a download
TIMEOUT = 20.0  # seconds for a whole download
NAT64 = ipaddress.ip_network("64:ff9b::/96")  # IPv6 that stands for any IPv4 address
Image.init()
if pillow_heif is not None:
    pillow_heif.register_heif_opener()
# others of Pillow's unpack before their size is known, or start Ghostscript
FORMATS = tuple(name for name in PHOTO_FORMATS if name in Image.OPEN)

_quiet = threading.Lock()  # what catch_warnings changes and puts back belongs to all threads
HEIF_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")
_TO_RGB = FerEfficientNetImageProcessor(num_channels=3)


class PhotoError(ValueError):
    """An input that is no usable photo; the message names it."""


def read_photo(source, name: str | None = None, allow_private_urls: bool = True) -> np.ndarray:
    """
    Args:
        source: path of a file in one of `FORMATS` (HEIC where pillow-heif is installed), its bytes
            (any buffer), or a binary file object, read to its end; http(s) URL, of at most
            `MAX_BYTES` within `TIMEOUT`; `PIL.Image`; uint8, uint16 or float array or tensor
            (H, W), (H, W, C) or (C, H, W) with C 1, 3 or 4; or a dict of
            `datasets.Image(decode=False)`. Of an animation, the first frame; EXIF's rotation is
            applied.
        name: what errors call it. Default: its path or URL.
        allow_private_urls: whether a URL, or a redirect of it, may lead to an address that is not
            public, such as the machine's own or one of its network. False where strangers give the
            URLs; they are then fetched without a proxy.

    Returns:
        uint8 array (H, W, 3), RGB.

    Raises:
        PhotoError: it is missing (None or NaN), cannot be read, is no image, is empty or broken, or
            has more than `MAX_PIXELS` pixels (which is found out before they are unpacked).
        TypeError: it is nothing that could be a photo.
    """
    name = name or _name(source)
    if isinstance(source, dict) and {"bytes", "path"} <= set(source):
        source = source["bytes"] or source["path"]
    if _is_missing(source):
        raise PhotoError(f"{name}: missing (found {source}).")
    if is_array(source):
        return _to_rgb(source if isinstance(source, torch.Tensor) else np.asarray(source), name)
    if isinstance(source, Image.Image):
        with _errors_named(name):
            return _to_rgb(_upright(source, name), name)
    if hasattr(source, "read"):
        source = _content(source, name)
    elif isinstance(source, (bytearray, memoryview)):
        source = bytes(source)
    elif isinstance(source, os.PathLike):
        source = Path(source)
    if isinstance(source, str) and _is_url(source):
        source = _download(source, allow_private_urls)
    if isinstance(source, (str, Path)) and not _is_file(source):
        raise PhotoError(f"{name}: no such file.")
    if not isinstance(source, (str, Path, bytes)):
        raise TypeError(
            f"{name}: expected a path, URL, bytes, binary file, PIL image or array, but found "
            f"{type(source).__name__}."
        )
    with open_photo(source, name) as image:
        return _to_rgb(image, name)


@contextlib.contextmanager
def open_photo(source: str | Path | bytes, name: str) -> Iterator[Image.Image]:
    """
    The image in a file or its bytes, upright, before its pixels are unpacked where they need no
    turning. Whatever is raised inside becomes a PhotoError.
    """
    with _errors_named(name), _opened(source, name) as image:
        yield _upright(image, name)


def is_array(source) -> bool:
    """An array of pixels, or several: of numpy, torch, or what turns into numpy's."""
    if isinstance(source, np.ndarray):
        return source.ndim > 1 or source.dtype.kind not in "OUS"  # of paths: a list of them
    return isinstance(source, torch.Tensor) or (
        hasattr(source, "__array__") and getattr(source, "ndim", 0) > 1
    )


def _is_missing(source) -> bool:
    """As lists, pandas (NaN or NA) and cv2.imread have it where there is no photo."""
    is_nan = isinstance(source, float) and source != source
    return source is None or is_nan or type(source).__name__ == "NAType"


def _content(file, name: str) -> bytes:
    with _errors_named(name):
        content = file.read()
    if not isinstance(content, bytes):
        raise TypeError(
            f"{name}: expected a file object that reads bytes (opened in mode 'rb'), but this one "
            f"reads {type(content).__name__}."
        )
    return content


def _is_url(text: str) -> bool:
    return text.lower().startswith(("http://", "https://"))


def _is_file(path: str | Path) -> bool:
    try:
        return Path(path).is_file()
    except OSError:  # longer than a name may be
        return False


def _name(source) -> str:
    if isinstance(source, (str, os.PathLike)):
        source = os.fsdecode(source)
        return source if len(source) <= 200 else f"{source[:200]}..."
    return f"a photo given as {type(source).__name__}"


@contextlib.contextmanager
def _errors_named(name: str) -> Iterator[None]:
    """Whatever Pillow raises for a broken file, which may be any kind, as a PhotoError."""
    try:
        yield
    except (PhotoError, MemoryError):
        raise
    except UnidentifiedImageError:
        known = ", ".join(sorted(FORMATS))
        raise PhotoError(f"{name}: not an image; expected one of {known}.") from None
    except Image.DecompressionBombError:
        raise PhotoError(f"{name}: more than {MAX_PIXELS:,} pixels.") from None
    except Exception as error:
        raise PhotoError(f"{name}: broken or cut off ({error}).") from error


def _opened(source: str | Path | bytes, name: str) -> Image.Image:
    with _quiet, warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # MAX_PIXELS is lower
        try:
            file = io.BytesIO(source) if isinstance(source, bytes) else source
            return Image.open(file, formats=FORMATS)
        except UnidentifiedImageError:
            start = source if isinstance(source, bytes) else _start(source)
            if "HEIF" not in FORMATS and start[4:8] == b"ftyp" and start[8:12] in HEIF_BRANDS:
                raise PhotoError(
                    f"{name}: HEIC, which needs another package: pip install pillow-heif."
                ) from None
            raise


def _start(path: str | Path) -> bytes:
    with open(path, "rb") as file:
        return file.read(12)


def _upright(image: Image.Image, name: str) -> Image.Image:
    width, height = image.size
    if width * height > MAX_PIXELS:
        raise PhotoError(
            f"{name}: {width} x {height} pixels, but at most {MAX_PIXELS:,} are read. Make it "
            "smaller."
        )
    return ImageOps.exif_transpose(image)


def _to_rgb(image, name: str) -> np.ndarray:
    try:
        rgb = _TO_RGB.to_uint8(image)  # (3, H, W)
    except (TypeError, ValueError) as error:
        raise PhotoError(f"{name}: {error}") from error
    if rgb.shape[1] * rgb.shape[2] > MAX_PIXELS:
        raise PhotoError(f"{name}: more than {MAX_PIXELS:,} pixels.")
    return np.ascontiguousarray(rgb.permute(1, 2, 0).cpu().numpy())


def _download(url: str, allow_private: bool) -> bytes:
    """transformers' own `load_image` has no limit of size and, by default, none of time."""
    end, parts, size = time.monotonic() + TIMEOUT, [], 0
    handlers: list = [_CheckedRedirects]
    if not allow_private:  # a proxy would look the name up itself
        handlers += [urllib.request.ProxyHandler({}), _PublicHTTP, _PublicHTTPS]
    try:
        request = urllib.request.Request(_encoded(url), headers={"User-Agent": "fer-efficientnet"})
        with urllib.request.build_opener(*handlers).open(request, timeout=TIMEOUT) as response:
            while part := response.read1(2**16):
                parts.append(part)
                size += len(part)
                if size > MAX_BYTES:
                    raise PhotoError(f"{url}: larger than {MAX_BYTES / 2**20:.0f} MB.")
                if time.monotonic() > end:
                    raise PhotoError(f"{url}: not there within {TIMEOUT:.0f} seconds.")
    except urllib.error.HTTPError as error:
        raise PhotoError(f"{url}: answered {error.code} {error.reason}.") from None
    except PhotoError:
        raise
    except (
        OSError,
        http.client.HTTPException,
        ValueError,
    ) as error:  # ValueError: not a URL after all
        raise PhotoError(f"{url}: {getattr(error, 'reason', None) or error}.") from None
    return b"".join(parts)


def _encoded(url: str) -> str:
    """As browsers send it: spaces and letters beyond ASCII encoded, what is encoded left alone."""
    parts = urllib.parse.urlsplit(url.strip())
    host = parts.netloc if parts.netloc.isascii() else parts.netloc.encode("idna").decode()
    keep = "%/:=&?~+!$,;'@()*[]"
    path, query = (urllib.parse.quote(part, keep) for part in (parts.path, parts.query))
    return urllib.parse.urlunsplit((parts.scheme, host, path, query, ""))


class _CheckedRedirects(urllib.request.HTTPRedirectHandler):
    """Follows redirects to http and https alone; urllib would go on to ftp."""

    def redirect_request(self, req, fp, code, msg, headers, newurl):
        if not _is_url(newurl):
            raise PhotoError(f"{req.full_url}: leads to {newurl}, which is no http(s) address.")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _connect_public(address: tuple[str, int], timeout=None, source_address=None) -> socket.socket:
    """
    As `socket.create_connection`, to public addresses alone. What is checked is what is connected
    to, so a name that changes its address in between gains nothing.
    """
    host, port = address
    found = [entry[4][0] for entry in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]
    for number in found:
        ip = ipaddress.ip_address(number)
        if not ip.is_global or ip.is_multicast or ip in NAT64:
            raise PhotoError(
                f"{host}: leads to {number}, which is no public address; allow_private_urls is off."
            )
    for number in found[:-1]:
        with contextlib.suppress(OSError):
            return socket.create_connection((number, port), timeout, source_address)
    return socket.create_connection((found[-1], port), timeout, source_address)


def _public(kind: type[http.client.HTTPConnection], *args, **kwargs) -> http.client.HTTPConnection:
    connection = kind(*args, **kwargs)
    connection._create_connection = _connect_public
    return connection


class _PublicHTTP(urllib.request.HTTPHandler):
    def http_open(self, req):
        return self.do_open(functools.partial(_public, http.client.HTTPConnection), req)


class _PublicHTTPS(urllib.request.HTTPSHandler):
    def https_open(self, req):
        return self.do_open(functools.partial(_public, http.client.HTTPSConnection), req)
