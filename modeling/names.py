"""The names of classes, detectors and kinds of photos. Imports nothing."""

EXPRESSIONS = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")
DETECTORS = ("auto", "yunet", "haar", "none")
# What is read: Pillow's name of a format, and the suffixes that its files have.
PHOTO_FORMATS = {
    "JPEG": (".jpg", ".jpeg", ".jpe", ".jfif", ".mpo"),
    "PNG": (".png", ".apng"),
    "WEBP": (".webp",),
    "GIF": (".gif",),
    "BMP": (".bmp",),
    "TIFF": (".tif", ".tiff"),
    "AVIF": (".avif", ".avifs"),
    "JPEG2000": (".jp2", ".j2k", ".j2c", ".jpc", ".jpf", ".jpx"),
    "PPM": (".ppm", ".pgm", ".pbm", ".pnm", ".pfm"),
    "HEIF": (".heic", ".heics", ".heif", ".heifs", ".hif"),  # where pillow-heif is installed
}
PHOTO_SUFFIXES = {suffix for suffixes in PHOTO_FORMATS.values() for suffix in suffixes}

__all__ = ["DETECTORS", "EXPRESSIONS", "PHOTO_FORMATS", "PHOTO_SUFFIXES"]
