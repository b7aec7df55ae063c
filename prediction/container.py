"""Whether a video file was cut off, by the lengths that its container declares."""

import os
from pathlib import Path
from typing import BinaryIO


def is_cut(path: str) -> bool:
    """
    Whether an MP4, MOV, AVI, MKV or WebM file ends before the end that its container declares.
    (Counts of frames do not tell: those of MKV are guessed from the duration.)
    """
    if not Path(path).is_file():
        return False
    with open(path, "rb") as file:
        length = os.fstat(file.fileno()).st_size
        return _declared(file, length) > length


def _declared(file: BinaryIO, length: int) -> int:
    """The bytes that the container's outermost parts take; 0 for an unknown container."""
    start = file.read(12)
    end = 0
    if start[4:8] in (b"ftyp", b"moov", b"mdat", b"wide", b"free"):
        while end + 8 <= length:
            file.seek(end)
            size, kind = int.from_bytes(file.read(4), "big"), file.read(4)
            if size == 1:  # too large for 32 bits
                size = int.from_bytes(file.read(8), "big")
            # 0 is up to the end of the file; cameras append things of their own
            if size < 8 or (end + size > length and kind not in (b"mdat", b"moov", b"moof")):
                return 0
            end += size
    elif start[:4] == b"RIFF":
        while end + 8 <= length:
            file.seek(end)
            if file.read(4) != b"RIFF":
                break
            end += 8 + int.from_bytes(file.read(4), "little")
    elif start[:4] == b"\x1a\x45\xdf\xa3":
        file.seek(4)
        header = _ebml_size(file)
        file.seek(header, os.SEEK_CUR)
        if file.read(4) == b"\x18\x53\x80\x67":
            end = _ebml_size(file)
            end += file.tell() if end else 0
    return end


def _ebml_size(file: BinaryIO) -> int:
    """0 where it is unknown, as in a recording that was never finished."""
    first = (file.read(1) or b"\0")[0]
    more = 8 - first.bit_length()
    bits = 7 * (more + 1)
    size = int.from_bytes(bytes([first]) + file.read(more), "big") & ((1 << bits) - 1)
    return 0 if size == (1 << bits) - 1 else size
