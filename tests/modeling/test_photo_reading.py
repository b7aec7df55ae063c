"""Photos of every kind and every kind of broken, from files, memory and a server on loopback."""

import base64
import http.server
import io
import struct
import threading
import warnings
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import certifi
import numpy as np
import pytest
import torch
from PIL import Image

from modeling import photo_reading
from modeling.photo_reading import PhotoError, read_photo
from tests.images import png_header, saved

RNG = np.random.default_rng(0)
RGB = RNG.integers(0, 256, (30, 20, 3), dtype=np.uint8)


class Entry:
    """A path that is no `pathlib.Path`, as os.scandir gives."""

    def __init__(self, path):
        self.path = path

    def __fspath__(self):
        return str(self.path)


class ArrayOfAnotherLibrary:
    ndim = 3

    def __array__(self, dtype=None, copy=None):
        return RGB


def test_every_source_of_a_photo(tmp_path):
    path, content = tmp_path / "a.png", saved(Image.fromarray(RGB))
    path.write_bytes(content)
    with path.open("rb") as file:
        for source in (
            *(path, str(path), Entry(path), {"bytes": None, "path": str(path)}),
            *(file, io.BytesIO(content), content, bytearray(content), memoryview(content)),
            *(Image.fromarray(RGB), RGB, RGB.transpose(2, 0, 1), ArrayOfAnotherLibrary()),
        ):
            np.testing.assert_array_equal(read_photo(source), RGB)
    with pytest.raises(PhotoError, match="photo 3: broken or cut off .*closed file"):
        read_photo(file, "photo 3")
    with pytest.raises(PhotoError, match="photo 3: not an image"):
        read_photo(io.BytesIO(b"no picture"), "photo 3")
    with pytest.raises(TypeError, match="photo 3: expected a file .* mode 'rb'.* reads str"):
        read_photo(io.StringIO("text"), "photo 3")
    with pytest.raises(PhotoError, match="none.png: no such file"):
        read_photo(Entry(tmp_path / "none.png"))


def test_exif_turns_the_picture_upright():
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was held a quarter turned
    turned = saved(Image.fromarray(np.rot90(RGB)), exif=exif)
    np.testing.assert_array_equal(read_photo(turned), RGB)


def test_an_animation_gives_its_first_frame():
    frames = [Image.new("RGB", (9, 7), color) for color in ("red", "blue")]
    animated = saved(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert read_photo(animated).shape == (7, 9, 3)
    assert (read_photo(animated) == [255, 0, 0]).all()


@pytest.mark.parametrize("size", [(1, 1), (7, 1), (7, 3), (3, 7), (7, 4)])
def test_tiny_pictures_are_not_taken_for_channels(size):
    photo = read_photo(Image.new("RGB", size, (1, 2, 3)))
    assert photo.shape == (size[1], size[0], 3) and (photo == [1, 2, 3]).all()


@pytest.mark.parametrize(
    "side", [10_000, 60_000]
)  # Pillow warns of the first, raises at the second
def test_too_many_pixels_are_refused_before_they_are_unpacked(tmp_path, side, recwarn):
    (tmp_path / "bomb.png").write_bytes(png_header(side, side))
    with pytest.raises(PhotoError, match="bomb.png: .*51,000,000"):
        read_photo(tmp_path / "bomb.png")
    assert not recwarn


def test_formats_that_unpack_before_their_size_is_known_are_refused():
    picture = saved(Image.new("L", (256, 256)), "PNG")
    entry = struct.pack("<BBBBHHII", 16, 16, 0, 0, 1, 8, len(picture), 22)
    for content in (struct.pack("<HHH", 0, 1, 1) + entry + picture, b"%!PS-Adobe-3.0 EPSF-3.0\n"):
        with pytest.raises(PhotoError, match="not an image; expected one of .*JPEG"):
            read_photo(content)


def test_heic_without_its_package_says_what_is_missing(tmp_path, monkeypatch):
    monkeypatch.setattr(photo_reading, "FORMATS", ("JPEG", "PNG"))
    for brand in (b"heic", b"mif1"):
        content = b"\x00\x00\x00\x1cftyp" + brand + bytes(99)
        (tmp_path / "phone.HEIC").write_bytes(content)
        for source, name in ((content, "photo 3"), (tmp_path / "phone.HEIC", "phone.HEIC")):
            with pytest.raises(PhotoError, match=f"{name}.*: HEIC.*pip install pillow-heif"):
                read_photo(source, None if isinstance(source, Path) else name)


def test_heic_is_read_within_the_limits_where_its_package_is():
    pytest.importorskip("pillow_heif")
    heic = saved(Image.new("RGB", (64, 48), (200, 40, 40)), "HEIF")
    photo = read_photo(heic)
    assert photo.shape == (48, 64, 3)
    np.testing.assert_allclose(photo.mean((0, 1)), (200, 40, 40), atol=4)
    with pytest.raises(PhotoError, match="64 x 48 pixels, but at most 1,000"):
        read_photo(heic, max_pixels=1000)


def test_whatever_pillow_raises_names_the_photo(tmp_path):
    (tmp_path / "a.gif").write_bytes(saved(Image.new("L", (99, 99)), "GIF")[:40])
    with pytest.raises(PhotoError, match="a.gif: broken or cut off"):
        read_photo(tmp_path / "a.gif")


def png_chunk(kind, data, checksum=None):
    checksum = zlib.crc32(kind + data) if checksum is None else checksum
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", checksum)


@pytest.mark.parametrize(
    "chunk",
    [
        png_chunk(b"eXIf", b"no TIFF at all"),
        png_chunk(b"tEXt", b"comment\0hello", checksum=7),
        png_chunk(b"zTXt", b"comment\0\0" + zlib.compress(bytes(2**21))),
        png_chunk(b"iCCP", b"profile\0\0" + zlib.compress(bytes(2**21))),
        png_chunk(b"eXIf", b"MM\0*\0\0\0\x08\0\1\1\x12\0\3\0\0\0\1\0\1\0\0\0\0\0\0", checksum=7),
        png_chunk(b"acTL", b"") + png_chunk(b"fcTL", b"short"),
    ],
)
@pytest.mark.parametrize("at_end", [False, True])
def test_damaged_metadata_of_a_png_cost_no_pixels(chunk, at_end, caplog):
    whole = saved(Image.fromarray(RGB))
    place = len(whole) - 12 if at_end else 33  # before IEND or after IHDR
    content = whole[:place] + chunk + whole[place:]
    np.testing.assert_array_equal(read_photo(content), RGB)
    with pytest.raises(PhotoError, match="broken or cut off"):
        read_photo(content[: len(whole) // 2] if at_end else content[:-99])


@pytest.mark.parametrize("format", ["JPEG", "WEBP", "PNG"])
@pytest.mark.parametrize("exif", [b"Exif\0\0some words instead", b"Exif\0\0II*\0\xff\xff\xff\xff"])
def test_damaged_exif_is_taken_as_upright(format, exif, caplog):
    content = saved(Image.fromarray(RGB), format, exif=exif)
    assert read_photo(content, "photo 3").shape == RGB.shape
    assert all(message.startswith("photo 3: its EXIF") for message in caplog.messages)


@pytest.mark.parametrize("options", [{}, {"progressive": True}])
def test_a_jpeg_without_its_end_is_read_with_a_warning(options, caplog):
    noise = RNG.integers(0, 256, (80, 80, 3), dtype=np.uint8)
    whole = saved(Image.fromarray(noise), "JPEG", **options)
    for missing in (1, 2):
        caplog.clear()
        np.testing.assert_array_equal(read_photo(whole[:-missing], "photo 3"), read_photo(whole))
        assert caplog.messages == ["photo 3: its end is missing; the pixels are read all the same."]
    for missing in (12, 200, len(whole) // 2):
        with pytest.raises(PhotoError, match="broken or cut off"):
            read_photo(whole[:-missing])


def test_photos_as_base64_text(tmp_path, monkeypatch):
    text = base64.b64encode(saved(Image.fromarray(RGB))).decode()
    lines = "\n".join(text[start : start + 76] for start in range(0, len(text), 76))
    for source in (text, lines, f"data:image/png;base64,{text}", f"DATA:image/PNG;base64,{lines}"):
        np.testing.assert_array_equal(read_photo(source), RGB)
    with pytest.raises(PhotoError, match=r"^data:image/png;base64,AAAA.{0,9}\.\.\.: not an image"):
        read_photo("data:image/png;base64," + "A" * 5000)
    monkeypatch.chdir(tmp_path)
    for text in ("photos/a", "Zm9v", "data:text/plain,hello", "a\0b"):
        with pytest.raises(PhotoError, match="no such file"):
            read_photo(text)


def test_a_buffer_that_was_just_written_is_read_from_its_start():
    Image.fromarray(RGB).save(buffer := io.BytesIO(), "PNG")
    np.testing.assert_array_equal(read_photo(buffer), RGB)
    with pytest.raises(PhotoError, match="not an image"):
        read_photo(io.BytesIO())


@pytest.mark.parametrize("size", [(8192, 6144), (8160, 6144), (6120, 8160)])
def test_phones_photos_of_50_megapixels_are_within_the_limit(size):
    assert size[0] * size[1] <= photo_reading.MAX_PIXELS


def test_certificates_are_those_that_requests_would_use(tmp_path, monkeypatch):
    first, *_ = Path(certifi.where()).read_text().partition("-----END CERTIFICATE-----\n")
    (tmp_path / "own.pem").write_text(first + "-----END CERTIFICATE-----\n")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "own.pem"))
    assert photo_reading._trusted().cert_store_stats()["x509"] == 1
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path))  # of hashed names
    assert photo_reading._trusted().cert_store_stats()["x509"] == 0
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "none.pem")
    with pytest.raises(PhotoError, match="REQUESTS_CA_BUNDLE none.pem: no such file"):
        read_photo("https://127.0.0.1:1/a.png")


def test_the_limit_of_pixels_can_be_set():
    for source in (RGB, Image.fromarray(RGB), saved(Image.fromarray(RGB))):
        assert read_photo(source, max_pixels=600).shape == RGB.shape
        with pytest.raises(PhotoError, match="photo 2: .*(more than|at most) 599"):
            read_photo(source, "photo 2", max_pixels=599)


def test_a_photo_is_a_copy_that_can_be_written_to():
    for source in (RGB, torch.from_numpy(RGB), Image.fromarray(RGB)):
        read_photo(source)[:] = 0
    assert RGB.any()


def test_broken_files_are_named(tmp_path):
    whole = saved(Image.fromarray(RNG.integers(0, 256, (80, 80, 3), dtype=np.uint8)), "JPEG")
    (tmp_path / "cut.jpg").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "text.jpg").write_text("not a picture")
    (tmp_path / "empty.jpg").touch()
    with pytest.raises(PhotoError, match="cut.jpg: broken or cut off"):
        read_photo(tmp_path / "cut.jpg")
    for name in ("text.jpg", "empty.jpg"):
        with pytest.raises(PhotoError, match=f"{name}: not an image"):
            read_photo(tmp_path / name)
    with pytest.raises(PhotoError, match=f"{tmp_path.name}: no such file"):
        read_photo(tmp_path)


def test_an_array_that_is_no_photo_is_named():
    with pytest.raises(PhotoError, match=r"photo 7: .*found shape \(5, 5, 2\)"):
        read_photo(np.zeros((5, 5, 2), np.uint8), "photo 7")


def test_what_can_be_no_photo():
    with pytest.raises(TypeError, match="expected a path, .* PIL image or array, but found int"):
        read_photo(3)
    for missing in (None, float("nan"), {"bytes": None, "path": None}):
        with pytest.raises(PhotoError, match="photo 3: missing"):
            read_photo(missing, "photo 3")


class Handler(http.server.BaseHTTPRequestHandler):
    picture = saved(Image.fromarray(RGB))
    types = {"/page": "text/html", "/untyped": None, "/text": "text/plain"}
    leads = {"/moved": "/good.png", "/ftp": "ftp://127.0.0.1/a.png", "/file": "file:///etc/passwd"}

    def do_GET(self):
        self.server.asked.append(self.path)
        if self.path in self.leads:
            self.send_response(302)
            self.send_header("Location", self.leads[self.path])
            return self.end_headers()
        self.send_response(404 if self.path == "/none.png" else 200)
        if kind := self.types.get(self.path, "image/png"):
            self.send_header("Content-Type", kind)
        self.end_headers()
        try:
            while self.path == "/endless.png":
                self.wfile.write(bytes(2**16))
            self.wfile.write(b"<html>" if self.path == "/page" else self.picture)
        except OSError:
            pass  # the client had enough

    def log_message(self, *args):
        pass


@pytest.fixture(scope="module")
def asked():
    """The paths that the server was asked for."""
    return []


@pytest.fixture(scope="module")
def server(asked):
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as serving:
        threading.Thread(target=serving.serve_forever, daemon=True).start()
        serving.asked = asked
        yield f"http://127.0.0.1:{serving.server_port}"
        serving.shutdown()


def test_urls(server, monkeypatch):
    np.testing.assert_array_equal(read_photo(f"{server}/good.png"), RGB)
    np.testing.assert_array_equal(read_photo(f"{server}/moved"), RGB)
    with pytest.raises(PhotoError, match="/none.png: answered 404"):
        read_photo(f"{server}/none.png")
    with pytest.raises(PhotoError, match="/page: not an image; expected one of"):
        read_photo(f"{server}/page")
    monkeypatch.setattr(photo_reading, "MAX_BYTES", 2**20)
    with pytest.raises(PhotoError, match="/endless.png: larger than 1 MB"):
        read_photo(f"{server}/endless.png")
    monkeypatch.setattr(photo_reading, "MAX_BYTES", 2**40)
    monkeypatch.setattr(photo_reading, "TIMEOUT", 0.2)
    with pytest.raises(PhotoError, match="/endless.png: not there within"):
        read_photo(f"{server}/endless.png")
    with pytest.raises(PhotoError, match="http://127.0.0.1:1/a.png: .*refused"):
        read_photo("http://127.0.0.1:1/a.png")


def test_threads_leave_the_warning_filters_as_they_were(tmp_path):
    Image.fromarray(RGB).save(tmp_path / "a.png")
    before = list(warnings.filters)
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(read_photo, [tmp_path / "a.png"] * 200))
    assert warnings.filters == before


@pytest.mark.parametrize("path", ["/untyped", "/text"])
def test_bytes_say_what_is_an_image_and_not_the_server(server, path):
    np.testing.assert_array_equal(read_photo(server + path), RGB)


@pytest.mark.parametrize(
    "path, sent",
    [
        ("/my photo.png", "/my%20photo.png"),
        ("/my%20photo.png", "/my%20photo.png"),
        ("/Bücher/é.png?q=ü b&r=1#top", "/B%C3%BCcher/%C3%A9.png?q=%C3%BC%20b&r=1"),
    ],
)
def test_urls_are_encoded_as_browsers_do(server, asked, path, sent):
    np.testing.assert_array_equal(read_photo(server + path), RGB)
    assert asked[-1] == sent
    np.testing.assert_array_equal(read_photo(server.replace("http", "HTTP") + path), RGB)


def test_hosts_beyond_ascii_are_encoded():
    assert photo_reading._encoded("https://bücher.de:81/a") == "https://xn--bcher-kva.de:81/a"


@pytest.mark.parametrize("path", ["/ftp", "/file"])
def test_redirects_lead_to_http_alone(server, path):
    with pytest.raises(PhotoError, match=f"{path}: (leads to .*, which is no http|.*not allowed)"):
        read_photo(server + path)


def test_private_addresses_are_not_even_connected_to_if_so_asked(server, asked, monkeypatch):
    del asked[:]
    for url in (server, server.replace("127.0.0.1", "localhost")):
        with pytest.raises(PhotoError, match="which is no public address; allow_private_urls"):
            read_photo(f"{url}/good.png", allow_private_urls=False)
    assert asked == []
    monkeypatch.setenv("http_proxy", server)  # which would fetch anything
    with pytest.raises(PhotoError, match="10.0.0.1: leads to 10.0.0.1"):
        read_photo("http://10.0.0.1/a.png", allow_private_urls=False)
    assert asked == []


@pytest.mark.parametrize(
    "number",
    ["127.0.0.1", "10.1.2.3", "169.254.169.254", "100.64.0.1", "0.0.0.0", "224.0.1.1", "::1",
     "::ffff:127.0.0.1", "fe80::1", "fd00::1", "64:ff9b::7f00:1"],
)  # fmt: skip
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_what_is_not_public(monkeypatch, number, scheme):
    def answer(host, port, **kwargs):
        assert host == "photos.example"
        return [(0, 0, 0, "", (address, port)) for address in ("93.184.215.14", number)]

    def connected(address, *args):
        pytest.fail(f"connected to {address}")

    monkeypatch.setattr(photo_reading.socket, "getaddrinfo", answer)
    monkeypatch.setattr(photo_reading.socket, "create_connection", connected)
    with pytest.raises(PhotoError, match=f"leads to {number}, which is no public address"):
        read_photo(f"{scheme}://photos.example/a.png", allow_private_urls=False)


def test_each_redirect_is_checked(server, asked, monkeypatch):
    """The first address counts as public here; where it leads does not."""
    real, port = photo_reading.socket.create_connection, int(server.rsplit(":", 1)[1])
    look_up = photo_reading.socket.getaddrinfo

    def answer(host, *args, **kwargs):
        if host == "photos.example":
            return [(0, 0, 0, "", ("93.184.215.14", 80))]
        return look_up(host, *args, **kwargs)

    def connected(address, *args):
        assert address[0] == "93.184.215.14"
        return real(("127.0.0.1", port), *args)

    monkeypatch.setattr(photo_reading.socket, "getaddrinfo", answer)
    monkeypatch.setattr(photo_reading.socket, "create_connection", connected)
    photo = read_photo("http://photos.example/moved", allow_private_urls=False)
    np.testing.assert_array_equal(photo, RGB)
    monkeypatch.setitem(Handler.leads, "/inside", f"{server}/good.png")
    with pytest.raises(PhotoError, match="leads to 127.0.0.1"):
        read_photo("http://photos.example/inside", allow_private_urls=False)
    assert asked[-1] == "/inside"
