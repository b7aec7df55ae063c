"""A photo of any kind -> upright uint8 RGB array, within limits, or one error that names it."""

import base64
import contextlib
import functools
import http.client
import io
import ipaddress
import logging
import os
import socket
import ssl
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
import warnings
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, UnidentifiedImageError

from .names import PHOTO_FORMATS
from .pixels import is_tensor, to_uint8

try:
    import pillow_heif
except ImportError:  # HEIC alone needs it
    pillow_heif = None

logger = logging.getLogger(__name__)
MAX_PIXELS = 51_000_000  # of phones' 50 megapixels, 8192 x 6144 are the most
PILLOWS_LIMIT = 178_956_970  # pixels from which Pillow itself refuses a file
MAX_BYTES = 50 * 2**20  # of a download
TIMEOUT = 20.0  # seconds for a whole download
NAT64 = ipaddress.ip_network("64:ff9b::/96")  # IPv6 that stands for any IPv4 address
Image.init()
if pillow_heif is not None:
    pillow_heif.register_heif_opener()
# Pillow's other formats unpack before their size is known, or start Ghostscript.
FORMATS = tuple(name for name in PHOTO_FORMATS if name in Image.OPEN)
ORIENTATION = 0x0112  # of EXIF
UPRIGHT = {2: "FLIP_LEFT_RIGHT", 3: "ROTATE_180", 4: "FLIP_TOP_BOTTOM", 5: "TRANSPOSE",
           6: "ROTATE_270", 7: "TRANSVERSE", 8: "ROTATE_90"}  # fmt: skip
HEIF_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")
_filters_lock = threading.Lock()  # the warning filters belong to all threads


class PhotoError(ValueError):
    """An input that is no usable photo; the message names it."""


def read_photo(
    source: Any,
    name: str | None = None,
    allow_private_urls: bool = True,
    max_pixels: int = MAX_PIXELS,
) -> np.ndarray:
    """
    Args:
        source: path of a file in one of `FORMATS` (HEIC where pillow-heif is installed), its bytes
            (any buffer), or a binary file object, read to its end (from its start, if it is there
            already); base64 text, with or without `data:image/...;base64,`; http(s) URL, of at
            most `MAX_BYTES` within `TIMEOUT`; `PIL.Image`; uint8, uint16 or float array or tensor
            (H, W), (H, W, C) or (C, H, W) with C 1, 3 or 4; or a dict of
            `datasets.Image(decode=False)`. Of an animation, the first frame is read; EXIF's
            rotation is applied. Damaged metadata, or a JPEG's missing end, are passed over with a
            warning.
        name: what errors call it. Default: its path or URL.
        allow_private_urls: whether a URL, or a redirect of it, may lead to an address that is not
            public, such as the machine's own or one of its network. Set it to False where strangers
            give the URLs; they are then fetched without a proxy.
        max_pixels: larger photos are refused, before they are unpacked. At most `PILLOWS_LIMIT`.

    Returns:
        uint8 array (H, W, 3), RGB, which shares no memory with the source.

    Raises:
        PhotoError: the photo is missing (None or NaN), cannot be read, is no image, is empty or
            broken, or has too many pixels.
        TypeError: it is nothing that could be a photo.
    """
    name = name or _name(source)
    if isinstance(source, dict) and {"bytes", "path"} <= set(source):
        source = source["bytes"] or source["path"]
    if _is_missing(source):
        raise PhotoError(f"{name}: missing (found {source}).")
    if is_array(source):
        return _to_rgb(source, name, max_pixels)
    if isinstance(source, Image.Image):
        with _errors_named(name, max_pixels):
            return _to_rgb(_upright(source, name, max_pixels), name, max_pixels)
    if hasattr(source, "read"):
        source = _content(source, name)
    elif isinstance(source, (bytearray, memoryview)):
        source = bytes(source)
    elif isinstance(source, os.PathLike):
        source = Path(source)
    if isinstance(source, str) and _is_url(source):
        source = download(source, allow_private_urls)
    if isinstance(source, (str, Path)) and not _is_file(source):
        source = _of_base64(str(source))
        if source is None:
            raise PhotoError(f"{name}: no such file.")
    if not isinstance(source, (str, Path, bytes)):
        raise TypeError(
            f"{name}: expected a path, URL, bytes, binary file, PIL image or array, but found "
            f"{type(source).__name__}."
        )
    with open_photo(source, name, max_pixels) as image:
        return _to_rgb(image, name, max_pixels)


@contextlib.contextmanager
def open_photo(
    source: str | Path | bytes, name: str, max_pixels: int = MAX_PIXELS
) -> Iterator[Image.Image]:
    """
    The image in a file or its bytes, upright. Whatever is raised inside becomes a PhotoError.
    """
    with _errors_named(name, max_pixels):
        try:
            image = _loaded(source, name, max_pixels)
        except (PhotoError, MemoryError, Image.DecompressionBombError):
            raise
        except Exception:  # Pillow raises many kinds
            content = source if isinstance(source, bytes) else Path(source).read_bytes()
            repaired, what = _repaired(content)
            if repaired is None:
                raise
            image = _loaded(repaired, name, max_pixels)
            logger.warning(f"{name}: {what}; the pixels are read all the same.")
        yield image


def is_array(source: Any) -> bool:
    """Whether it is an array of pixels, or of several images: numpy, torch, or alike."""
    if isinstance(source, np.ndarray):
        return source.ndim > 1 or source.dtype.kind not in "OUS"  # an array of paths is a list
    return is_tensor(source) or (hasattr(source, "__array__") and getattr(source, "ndim", 0) > 1)


def _is_missing(source: Any) -> bool:
    """What lists, pandas (NaN or NA) and cv2.imread have in place of a photo."""
    is_nan = isinstance(source, (float, np.floating)) and source != source
    return source is None or is_nan or type(source).__name__ in ("NAType", "NaTType")


def _content(file: Any, name: str) -> bytes:
    with _errors_named(name):
        content = file.read()
        if content == b"" and file.seekable():  # it has just been written to
            file.seek(0)
            content = file.read()
    if not isinstance(content, bytes):
        raise TypeError(
            f"{name}: expected a file object that reads bytes (opened in mode 'rb'), but this one "
            f"reads {type(content).__name__}."
        )
    return content


def _is_url(text: str) -> bool:
    return text.lower().startswith(("http://", "https://"))


def _of_base64(text: str) -> bytes | None:
    """The image that a text holds as base64, `data:` URLs included; None if it holds none."""
    is_data = text[:11].lower() == "data:image/"
    try:
        content = base64.b64decode("".join(text.partition(",")[2 * is_data].split()), validate=True)
        if not is_data:  # a name may look like base64
            _opened(content, "").close()
    except (ValueError, OSError):
        return None
    return content


def _is_file(path: str | Path) -> bool:
    try:
        return Path(path).is_file()
    except (OSError, ValueError):  # longer than a name may be, or with a zero
        return False


def _name(source: Any) -> str:
    if isinstance(source, (str, os.PathLike)):
        source = os.fsdecode(source)
        most = 30 if source.startswith("data:") else 200
        return source if len(source) <= most else f"{source[:most]}..."
    return f"a photo given as {type(source).__name__}"


@contextlib.contextmanager
def _errors_named(name: str, max_pixels: int = MAX_PIXELS) -> Iterator[None]:
    """Turns whatever Pillow raises for a broken file, which may be any kind, into a PhotoError."""
    try:
        yield
    except (PhotoError, MemoryError):
        raise
    except UnidentifiedImageError:
        known = ", ".join(sorted(FORMATS))
        raise PhotoError(f"{name}: not an image; expected one of {known}.") from None
    except Image.DecompressionBombError:
        raise PhotoError(f"{name}: more than {max_pixels:,} pixels.") from None
    except Exception as error:
        raise PhotoError(f"{name}: broken or cut off ({error}).") from error


def _opened(source: str | Path | bytes, name: str) -> Image.Image:
    with _filters_lock, warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # max_pixels decides
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


def _loaded(source: str | Path | bytes, name: str, max_pixels: int) -> Image.Image:
    with _opened(source, name) as image:
        upright = _upright(image, name, max_pixels)
        upright.load()
    return upright


def _repaired(content: bytes) -> tuple[bytes | None, str]:
    """
    A file without what is not needed for its pixels, and what may be wrong with the rest; None if
    there is nothing to try.
    """
    if content.startswith(b"\x89PNG\r\n\x1a\n"):
        return _essential_chunks(content), "its metadata are damaged or too large"
    if content.startswith(b"\xff\xd8"):
        end, content = b"\xff\xd9", content.removesuffix(b"\xff")
        # Of whole picture data, what follows changes nothing: only the mark of the end is missing.
        first, second = (_pixels(content + more + end) for more in (b"", b"\x55" * 64))
        if first is not None and first == second:
            return content + end, "its end is missing"
    return None, ""


def _essential_chunks(content: bytes) -> bytes:
    parts, start = [content[:8]], 8
    while start + 12 <= len(content):
        kind, end = content[start + 4 : start + 8], start + 12
        end += int.from_bytes(content[start : start + 4], "big")
        checked = (
            zlib.crc32(content[start + 4 : end - 4]).to_bytes(4, "big") == content[end - 4 : end]
        )
        if kind[:1].isupper() or kind in (b"tRNS", b"eXIf") and checked:
            parts.append(content[start:end])
        start = end
    return b"".join(parts)


def _pixels(content: bytes) -> bytes | None:
    try:
        with _opened(content, "") as image:
            return image.tobytes()
    except Exception:
        return None


def _upright(image: Image.Image, name: str, max_pixels: int) -> Image.Image:
    width, height = image.size
    if width * height > max_pixels:
        raise PhotoError(
            f"{name}: {width} x {height} pixels, but at most {max_pixels:,} are read. Make it "
            "smaller."
        )
    try:
        turn = UPRIGHT.get(image.getexif().get(ORIENTATION))
    except Exception:  # Pillow raises many kinds
        logger.warning(f"{name}: its EXIF data are damaged; it is taken as upright.")
        turn = None
    return image.transpose(Image.Transpose[turn]) if turn else image


def _to_rgb(image: Any, name: str, max_pixels: int) -> np.ndarray:
    try:
        rgb = to_uint8(image, 3)  # (H, W, 3)
    except (TypeError, ValueError) as error:
        raise PhotoError(f"{name}: {error}") from error
    if rgb.shape[0] * rgb.shape[1] > max_pixels:
        raise PhotoError(f"{name}: more than {max_pixels:,} pixels.")
    return np.array(rgb, order="C")  # OpenCV reads rows; a copy may be kept and written to


def download(url: str, allow_private: bool = True) -> bytes:
    """
    What an http(s) URL leads to, within `MAX_BYTES` and `TIMEOUT`; PhotoError otherwise.
    (transformers' own `load_image` has no limit of size and, by default, none of time.)
    """
    end, parts, size = time.monotonic() + TIMEOUT, [], 0
    handlers: list = [_CheckedRedirects]
    try:
        if allow_private:
            handlers += [urllib.request.HTTPSHandler(context=_trusted())]
        else:  # a proxy would look the name up itself
            https = _PublicHTTPS(context=_trusted())
            handlers += [urllib.request.ProxyHandler({}), _PublicHTTP, https]
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
    except (OSError, http.client.HTTPException, ValueError) as error:  # or not a URL after all
        raise PhotoError(f"{url}: {getattr(error, 'reason', None) or error}.") from None
    return b"".join(parts)


def _trusted() -> ssl.SSLContext:
    """The system's certificates, or those of the variables that requests and transformers read."""
    bundle = os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("CURL_CA_BUNDLE")
    if bundle and not os.path.exists(bundle):
        raise OSError(f"REQUESTS_CA_BUNDLE {bundle}: no such file")
    folder = bool(bundle) and os.path.isdir(bundle)
    return ssl.create_default_context(**{"capath" if folder else "cafile": bundle or None})


def _encoded(url: str) -> str:
    """As browsers send it: encodes spaces and letters beyond ASCII, and nothing twice."""
    parts = urllib.parse.urlsplit(url.strip())
    host = parts.netloc if parts.netloc.isascii() else parts.netloc.encode("idna").decode()
    keep = "%/:=&?~+!$,;'@()*[]"
    path, query = (urllib.parse.quote(part, keep) for part in (parts.path, parts.query))
    return urllib.parse.urlunsplit((parts.scheme, host, path, query, ""))


class _CheckedRedirects(urllib.request.HTTPRedirectHandler):
    """Follows redirects to http and https alone; urllib would go on to ftp."""

    def redirect_request(
        self, req: urllib.request.Request, *answer: Any
    ) -> urllib.request.Request | None:
        newurl = answer[-1]
        if not _is_url(newurl):
            raise PhotoError(f"{req.full_url}: leads to {newurl}, which is no http(s) address.")
        return super().redirect_request(req, *answer)


def _connect_public(
    address: tuple[str, int], timeout: float | None = None, source_address: Any = None
) -> socket.socket:
    """
    Like `socket.create_connection`, but to public addresses alone. The addresses that were checked
    are the ones connected to, so a name that changes its address in between gains nothing.
    """
    host, port = address
    entries = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    addresses = [entry[4][0] for entry in entries]
    for number in addresses:
        ip = ipaddress.ip_address(number)
        if not ip.is_global or ip.is_multicast or ip in NAT64:
            raise PhotoError(
                f"{host}: leads to {number}, which is no public address; allow_private_urls is off."
            )
    *others, last = addresses
    for number in others:
        with contextlib.suppress(OSError):
            return socket.create_connection((number, port), timeout, source_address)
    return socket.create_connection((last, port), timeout, source_address)


def _public(kind: type[http.client.HTTPConnection], *args, **kwargs) -> http.client.HTTPConnection:
    connection = kind(*args, **kwargs)
    connection._create_connection = _connect_public
    return connection


class _PublicHTTP(urllib.request.HTTPHandler):
    def http_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(functools.partial(_public, http.client.HTTPConnection), req)


class _PublicHTTPS(urllib.request.HTTPSHandler):
    def https_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        kind = functools.partial(_public, http.client.HTTPSConnection, context=self._context)
        return self.do_open(kind, req)
