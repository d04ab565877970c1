"""What an encoded image says of itself, read without a decoder: its format, its size, and of a JPEG its scans.

It refuses what is none of our formats, says that it is too large, or would be gone over too often. Where the bytes say
nothing clear the decoder's process decides, which reads the header again, and the frames, before it decodes a pixel.
"""

import re
import struct
from typing import Final

from predictors.errors import InputError
from predictors.imaging import MAX_PIXELS, MAX_SIDE

__all__ = ["check_header", "format_of"]

_PNG: Final = b"\x89PNG\r\n\x1a\n"
_WEBP_KINDS: Final = (b"VP8 ", b"VP8L", b"VP8X")
# Frames of JPEG: all but the tables of Huffman and arithmetic coding, and what is reserved.
_JPEG_FRAMES: Final = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_JPEG_BARE: Final = frozenset({0x01, *range(0xD0, 0xD9)})
_MOST_SEGMENTS: Final = 256
# A decoder goes over the whole image for each, be it empty; what is in use has 6 to 14.
_MOST_SCANS: Final = 32
_SCAN: Final = b"\xff\xda"
# What has a length or ends the image. In the data of a scan a zero is put behind each 255, so that none of it is there.
_JPEG_PIECE: Final = re.compile(rb"\xff([\xc0-\xcf\xd8-\xfe])")
_MOST_PIECES: Final = 4096


def format_of(body: bytes) -> str | None:
    """Return the format that the first bytes stand for: JPEG, PNG or WEBP; None for any other."""
    if body.startswith(b"\xff\xd8\xff"):
        return "JPEG"
    if body.startswith(_PNG):
        return "PNG"
    if body.startswith(b"RIFF") and body[8:12] == b"WEBP" and body[12:16] in _WEBP_KINDS:
        return "WEBP"
    return None


def check_header(body: bytes) -> str:
    """Return the format of an image.

    Raises:
        InputError: It is none that is decoded here, or says that it is larger or has more scans than the limits.
    """
    form = format_of(body)
    if form is None:
        raise InputError("the body is no readable JPEG, PNG or WebP image", "send one whole image file as the body")
    if form == "JPEG" and (scans := _scans(body)) > _MOST_SCANS:
        raise InputError(
            f"the image has {scans} scans, and at most {_MOST_SCANS} are decoded", "send it as a plain JPEG"
        )
    try:
        width, height = _READERS[form](body)
    except (struct.error, IndexError):
        # It ends too soon, which the decoder says better.
        return form
    if width > MAX_SIDE or height > MAX_SIDE or width * height > MAX_PIXELS:
        raise InputError(
            f"the image is larger than {MAX_PIXELS // 1_000_000} megapixels or {MAX_SIDE} pixels a side",
            "send a smaller image",
        )
    return form


def _png(body: bytes) -> tuple[int, int]:
    width, height = struct.unpack_from(">II", body, 16)
    return width, height


def _webp(body: bytes) -> tuple[int, int]:
    kind = body[12:16]
    if kind == b"VP8X":
        low_width, high_width, low_height, high_height = struct.unpack_from("<HBHB", body, 24)
        return 1 + low_width + (high_width << 16), 1 + low_height + (high_height << 16)
    if kind == b"VP8L":
        (bits,) = struct.unpack_from("<I", body, 21)
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    width, height = struct.unpack_from("<HH", body, 26)
    return width & 0x3FFF, height & 0x3FFF


def _jpeg(body: bytes) -> tuple[int, int]:
    at = 2
    for _ in range(_MOST_SEGMENTS):
        if body[at] != 0xFF:
            break
        marker = body[at + 1]
        if marker in _JPEG_FRAMES:
            height, width = struct.unpack_from(">HH", body, at + 5)
            return width, height
        if marker == 0xFF:
            at += 1
        elif marker in _JPEG_BARE:
            at += 2
        else:
            at += 2 + int(struct.unpack_from(">H", body, at + 2)[0])
    return 0, 0


def _scans(body: bytes) -> int:
    """Count the scans of a JPEG that a decoder may meet: never fewer, and more only where it has no end of pieces."""
    most = body.count(_SCAN)
    if most <= _MOST_SCANS:
        return most
    # Comments and thumbnails may hold the same two bytes, which takes a closer look.
    found, at = 0, 2
    for _ in range(_MOST_PIECES):
        piece = _JPEG_PIECE.search(body, at)
        if piece is None or piece[1] in (b"\xd8", b"\xd9"):
            return found
        found += piece[1] == _SCAN[1:]
        # The length counts its own two bytes; decoders read these whatever they say.
        at = piece.end() + max(2, int.from_bytes(body[piece.end() : piece.end() + 2]))
    return most


_READERS: Final = {"JPEG": _jpeg, "PNG": _png, "WEBP": _webp}
