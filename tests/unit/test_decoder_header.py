"""Formats and sizes are read off the first bytes as Pillow reads them, and refused in the words of the decoder."""

import contextlib
import io
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from predictors.errors import InputError
from predictors.imaging import FORMATS, MAX_SIDE, preprocessing
from predictors.server.decoder import header
from predictors.server.decoder.header import check_header, format_of

DIGITS = preprocessing("mnist-28")
EXIF = b"Exif\0\0II*\0\x08\0\0\0\0\0\0\0\0\0"
STARTS = {"JPEG": b"\xff\xd8\xff", "PNG": b"\x89PNG\r\n\x1a\n", "WEBP": b"RIFF\0\0\0\0WEBPVP8X"}


def encoded(kind: str, mode: str = "RGB", size: tuple[int, int] = (70, 30), **options: object) -> bytes:
    stream = io.BytesIO()
    Image.new(mode, size).save(stream, kind, **options)
    return stream.getvalue()


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("JPEG", {}),
        ("JPEG", {"progressive": True, "comment": "x" * 1000}),
        ("PNG", {}),
        ("WEBP", {}),
        ("WEBP", {"lossless": True}),
        ("WEBP", {"exif": EXIF}),
    ],
)
@pytest.mark.parametrize("size", [(70, 30), (1, 1), (3000, 2)])
def test_size_and_format_are_those_that_pillow_finds(
    kind: str, options: dict[str, object], size: tuple[int, int]
) -> None:
    body = encoded(kind, "RGB", size, **options)
    assert check_header(body) == kind
    assert header._READERS[kind](body) == size


@pytest.mark.parametrize("kind", ["BMP", "GIF", "TIFF", "PPM", "ICO"])
def test_other_formats_are_refused_in_the_same_words(kind: str) -> None:
    body = encoded(kind)
    with pytest.raises(InputError) as here:
        check_header(body)
    with pytest.raises(InputError) as there:
        DIGITS.decode(body)
    assert (str(here.value), here.value.hint) == (str(there.value), there.value.hint)


@pytest.mark.parametrize(("width", "height"), [(MAX_SIDE + 1, 1), (1, MAX_SIDE + 1), (8000, 8000)])
@pytest.mark.parametrize("kind", FORMATS)
def test_what_says_that_it_is_too_large_is_refused_in_the_same_words(kind: str, width: int, height: int) -> None:
    body = bytearray(encoded(kind, exif=EXIF))
    if kind == "PNG":
        body[16:24] = struct.pack(">II", width, height)
    elif kind == "WEBP":
        body[24:30] = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    else:
        at = body.index(b"\xff\xc0")
        body[at + 5 : at + 9] = struct.pack(">HH", height, width)
    with pytest.raises(InputError, match="20 megapixels or 8192 pixels a side") as here:
        check_header(bytes(body))
    assert here.value.hint == "send a smaller image"


@given(kind=st.sampled_from(FORMATS), rest=st.binary(max_size=200))
def test_any_bytes_are_a_format_or_a_refusal(kind: str, rest: bytes) -> None:
    with contextlib.suppress(InputError):
        assert check_header(STARTS[kind] + rest) == kind
    assert format_of(rest) in (None, *FORMATS)


def test_a_jpeg_of_tiny_pieces_is_left_to_the_decoder() -> None:
    assert check_header(b"\xff\xd8\xff" + b"\xff\xd0" * 1_000_000) == "JPEG"
    assert check_header(b"\xff\xd8" + b"\xff\xfe\0\0" * 1_000_000) == "JPEG"
