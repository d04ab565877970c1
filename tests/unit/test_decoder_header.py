"""Formats and sizes are read off the first bytes as Pillow reads them, and refused in the words of the decoder."""

import contextlib
import io
import struct

import numpy as np
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


def progressive() -> bytes:
    pixels = np.random.default_rng(11).integers(0, 256, (96, 128, 3), dtype=np.uint8)
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "JPEG", progressive=True)
    return stream.getvalue()


def scans_of(body: bytes) -> int:
    return body.count(b"\xff\xda")


def many_scans(count: int) -> bytes:
    """Make a JPEG of so many scans: the last one of a usual file, again and again."""
    body = progressive()
    # A refinement may come twice; with its own table before it, as encoders write them.
    start = body.rindex(b"\xff\xc4", 0, body.rindex(b"\xff\xda"))
    assert body.endswith(b"\xff\xd9")
    again = body[start:-2]
    return body[:-2] + again * (count - scans_of(body)) + b"\xff\xd9"


def segment(marker: int, content: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, 2 + len(content)) + content


@pytest.mark.parametrize("count", [33, 300])
def test_a_jpeg_that_is_gone_over_too_often_is_refused(count: int) -> None:
    body = many_scans(count)
    with pytest.raises(InputError, match=f"^the image has {count} scans, and at most 32 are decoded$"):
        check_header(body)
    # It is a real one: a decoder goes over it as often as that.
    assert DIGITS.decode(body).shape == (1, 28, 28)


def test_a_usual_progressive_jpeg_and_one_at_the_limit_are_taken() -> None:
    assert 6 <= scans_of(progressive()) <= 14
    assert check_header(progressive()) == "JPEG"
    assert check_header(many_scans(32)) == "JPEG"


@pytest.mark.parametrize("marker", [0xE1, 0xE2, 0xFE], ids=["thumbnail", "profile", "comment"])
def test_what_looks_like_scans_in_a_thumbnail_or_a_comment_is_none(marker: int) -> None:
    body = progressive()
    held = body[:2] + segment(marker, b"Exif\0\0" + many_scans(100)[:60_000]) + body[2:]
    held += many_scans(100)
    assert scans_of(held) > 100
    assert check_header(held) == "JPEG"
    assert header._scans(held) == scans_of(body)


@pytest.mark.parametrize(
    "hiding",
    [
        b"\xff\x02\xff\xff",
        b"\xff\xd0\xff\xff",
        b"\xff\xfe\0\0",
        b"\xff\x00\xff\xff\xff\xff\xff",
        b"nothing that is a marker",
    ],
    ids=["reserved", "restart", "no-length", "data", "garbage"],
)
def test_scans_are_not_hidden_behind_what_a_decoder_passes_over(hiding: bytes) -> None:
    body = many_scans(40)
    at = body.rindex(b"\xff\xc4", 0, body.rindex(b"\xff\xda"))
    first = body.index(b"\xff\xda")
    for place in (first, at):
        with pytest.raises(InputError, match="scans, and at most 32"):
            check_header(body[:place] + hiding + body[place:])


def test_counting_ends_with_a_jpeg_of_no_end_of_pieces() -> None:
    body = b"\xff\xd8\xff\xfe\0\2" + b"\xff\xfe\0\2" * 5000 + b"\xff\xda\0\2" * 40
    with pytest.raises(InputError, match="has 40 scans"):
        check_header(body)
    assert check_header(b"\xff\xd8" + b"\xff" * 1_000_000 + b"\xff\xda" * 30) == "JPEG"
