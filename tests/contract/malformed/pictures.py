"""Group H: images that are damaged, disguised, huge once decoded, or no images at all."""

import io
import random
import struct
import warnings
import zlib
from typing import Any

from PIL import Image, PngImagePlugin

from tests.artifacts import jpeg
from tests.contract.malformed.case import IMAGE_PATH, SEED, Case, message, numbered

__all__ = ["blank_png", "pictures", "png_chunk", "resized_jpeg"]

MAGICS = (
    *(
        b"BM",
        b"GIF87a",
        b"GIF89a",
        b"II*\x00",
        b"MM\x00*",
        b"II+\x00",
        b"8BPS",
        b"\x00\x00\x01\x00",
        b"\x00\x00\x02\x00",
        b"DDS ",
    ),
    *(
        b"SIMPLE",
        b"FORM",
        b"P1\n",
        b"P4\n",
        b"P5\n",
        b"P6\n",
        b"P7\n",
        b"PF\n",
        b"\x76\x2f\x31\x01",
        b"\x01\xda",
        b"\x0a\x05\x01\x08",
    ),
    *(
        b"%!PS-Adobe",
        b"%PDF-1.4",
        b"\xc5\xd0\xd3\xc6",
        b"GRIB",
        b"\x89HDF\r\n\x1a\n",
        b"\x00\x00\x00\x0cjP  \r\n\x87\n",
        b"\xffO\xffQ",
    ),
    *(
        b"\x00\x00\x00\x20ftypavif",
        b"\x00\x00\x00\x20ftypheic",
        b"icns",
        b"qoif",
        b"BLP2",
        b"gimp",
        b"#define",
        b"/* XPM */",
        b"\xd7\xcd\xc6\x9a",
    ),
    *(
        b"PK\x03\x04",
        b"\x1f\x8b\x08",
        b"<svg xmlns='http://www.w3.org/2000/svg'/>",
        b"<?xml version='1.0'?>",
        b"<html>",
        b"\x7fELF",
        b"MZ",
    ),
)
CUTS = (1, 2, 3, 5, 10, 20, 30, 40, 50, 60, 70, 80, 85, 90, 95, 97, 98, 99)


def png_chunk(kind: bytes, body: bytes) -> bytes:
    """Write one chunk of a PNG."""
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def blank_png(width: int, height: int, *, before: bytes = b"", depth: int = 8, most_bytes: int = 1 << 40) -> bytes:
    """Write a gray PNG of zeros without holding its pixels, of which it has `most_bytes`; `before` are chunks ahead."""
    squeeze = zlib.compressobj(9)
    block = bytes(1 << 20)
    left = min((1 + (width * depth + 7) // 8) * height, most_bytes)
    parts = []
    while left > 0:
        parts.append(squeeze.compress(block[: min(left, len(block))]))
        left -= len(block)
    parts.append(squeeze.flush())
    header = png_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + before + png_chunk(b"IDAT", b"".join(parts)) + png_chunk(b"IEND", b"")


def _saved(image: Image.Image, form: str, **options: Any) -> bytes | None:
    stream = io.BytesIO()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            image.save(stream, form, **options)
    except (OSError, ValueError, KeyError, RuntimeError, AttributeError, TypeError, struct.error):
        return None
    return stream.getvalue()


def _colored(mode: str = "RGB", size: int = 40) -> Image.Image:
    return Image.open(io.BytesIO(jpeg(3, size=size))).convert("RGB").convert(mode)


def _modes() -> list[tuple[str, bytes | None]]:
    found: list[tuple[str, bytes | None]] = [
        (f"PNG {mode}", _saved(_colored("L").convert(mode), "PNG"))
        for mode in ("1", "L", "LA", "P", "RGB", "RGBA", "I;16")
    ]
    found += [(f"JPEG {mode}", _saved(_colored(mode), "JPEG")) for mode in ("L", "RGB", "CMYK", "YCbCr")]
    found += [(f"WebP {mode}", _saved(_colored(mode), "WEBP")) for mode in ("RGB", "RGBA")]
    found += [("TIFF Lab", _saved(Image.new("LAB", (40, 40)), "TIFF"))]
    return found


def _turned() -> list[tuple[str, bytes | None]]:
    found = []
    for value in (*range(1, 9), 0, 9, 255, 65535):
        exif = Image.Exif()
        exif[0x0112] = value
        found += [(f"orientation {value} {form}", _saved(_colored(), form, exif=exif)) for form in ("JPEG", "PNG")]
    whole = _saved(_colored(), "JPEG", exif=b"Exif\x00\x00MM\x00*\x00\x00\x00\x08\xff\xff") or b""
    return [
        *found,
        ("false Exif", whole),
        ("Exif beyond the file", whole.replace(b"\x00\x08\xff\xff", b"\xff\xff\xff\xff")),
    ]


def _many_frames() -> list[tuple[str, bytes | None]]:
    others = [_colored(size=40).rotate(90)] * 3
    return [
        ("APNG", _saved(_colored(), "PNG", save_all=True, append_images=others)),
        ("animated WebP", _saved(_colored(), "WEBP", save_all=True, append_images=others)),
        ("MPO", _saved(_colored(), "MPO", save_all=True, append_images=others)),
        ("GIF of frames", _saved(_colored(), "GIF", save_all=True, append_images=others)),
        ("TIFF of pages", _saved(_colored(), "TIFF", save_all=True, append_images=others)),
    ]


def _bombs() -> list[tuple[str, bytes]]:
    text = PngImagePlugin.PngInfo()
    text.add_text("Comment", "a" * 3_000_000, zip=True)
    deep = png_chunk(b"iCCP", b"x\x00\x00" + zlib.compress(bytes(8_000_000), 9))
    sizes = (
        (9459, 9459),
        (13_300, 13_300),
        (65_535, 1),
        (1, 65_535),
        (8193, 10),
        (2**31 - 1, 1),
        (2**31 - 1, 2**31 - 1),
        (5000, 5000),
    )
    found = [
        (f"PNG of {width} × {height}", blank_png(width, height, depth=1, most_bytes=1 << 20)) for width, height in sizes
    ]
    found += [
        ("PNG of 8,000 × 8,000, whole", blank_png(8000, 8000, depth=1)),
        ("PNG of no width", blank_png(0, 10)),
        ("PNG of no height", blank_png(10, 0)),
        ("PNG with a text of 3 MB", _saved(_colored(), "PNG", pnginfo=text) or b""),
        ("PNG with a profile of 8 MB", blank_png(40, 40, before=deep)),
        ("PNG with 10,000 chunks", blank_png(40, 40, before=png_chunk(b"tEXt", b"a\x00b") * 10_000)),
        ("PNG with a long length", b"\x89PNG\r\n\x1a\n\xff\xff\xff\xffIHDR" + bytes(40)),
        (
            "PNG without pixels",
            b"\x89PNG\r\n\x1a\n"
            + png_chunk(b"IHDR", struct.pack(">IIBBBBB", 40, 40, 8, 2, 0, 0, 0))
            + png_chunk(b"IEND", b""),
        ),
        ("JPEG of 13,300 × 13,300", resized_jpeg(13_300, 13_300)),
        ("JPEG of 65,535 × 65,535", resized_jpeg(65_535, 65_535)),
        ("JPEG of no height", resized_jpeg(40, 0)),
        ("JPEG with a profile of 9 MB", _saved(_colored(), "JPEG", icc_profile=bytes(9_000_000)) or b""),
        ("JPEG with a comment in every gap", jpeg(3)[:2] + b"\xff\xfe\xff\xff" * 3 + jpeg(3)[2:]),
        ("1 × 1", blank_png(1, 1)),
    ]
    return found


def resized_jpeg(width: int, height: int) -> bytes:
    """Change the size that a JPEG says it has."""
    whole = jpeg(3)
    place = whole.index(b"\xff\xc0")
    return whole[: place + 5] + struct.pack(">HH", height, width) + whole[place + 9 :]


def _disguised() -> list[tuple[str, bytes]]:
    whole = jpeg(3)
    return [
        ("JPEG, then a zip", whole + b"PK\x03\x04" + bytes(500)),
        ("JPEG, then HTML", whole + b"<html><script>alert(1)</script></html>"),
        ("HTML, then a JPEG", b"<html>" + whole),
        ("PDF, then a JPEG", b"%PDF-1.4\n" + whole),
        ("SVG with an image", b"<svg><image href='file:///etc/passwd'/></svg>"),
        ("SVG bomb", b"<!DOCTYPE a [<!ENTITY b '" + b"x" * 1000 + b"'>]><svg>&b;&b;</svg>"),
        ("PNG head, JPEG body", b"\x89PNG\r\n\x1a\n" + whole),
        ("JPEG head, PNG body", whole[:20] + blank_png(40, 40)),
        ("WebP head, JPEG body", b"RIFF\x00\x10\x00\x00WEBPVP8 " + whole),
        ("two JPEGs", whole * 2),
        ("pickle", b"\x80\x04\x95\x10\x00\x00\x00\x00\x00\x00\x00\x8c\x05posix\x94."),
        ("zeros", bytes(1000)),
        ("path", b"/etc/passwd"),
        ("address", b"http://127.0.0.1:8082/debug/state"),
    ]


def pictures() -> list[Case]:
    """Group H."""
    chance = random.Random(SEED + 8)
    wholes = {"JPEG": jpeg(4, size=90), "PNG": jpeg(4, size=90, form="PNG"), "WEBP": jpeg(4, size=90, form="WEBP")}
    kept: list[tuple[str, bytes | None]] = [*_bombs(), *_disguised(), *_modes(), *_turned(), *_many_frames()]
    Image.init()
    kept += [
        (f"saved as {form}", _saved(_colored(), form)) for form in sorted(Image.SAVE) if form not in ("PDF", *wholes)
    ]
    more: list[tuple[str, bytes]] = [(f"magic {magic[:12]!r}", magic + bytes(64)) for magic in MAGICS]
    for name, whole in wholes.items():
        more += [(f"{name} cut at {share} %", whole[: len(whole) * share // 100]) for share in CUTS]
        for number in range(12):
            damaged = bytearray(whole)
            for _ in range(chance.randint(1, 5)):
                damaged[chance.randrange(len(damaged))] ^= 1 << chance.randrange(8)
            more.append((f"{name} with flipped bits {number}", bytes(damaged)))
    found = [(name, body) for name, body in kept if body is not None]
    # What this build of the library cannot write is made up for by more of the others.
    found += chance.sample(more, 210 - len(found))
    cases = [(name, message(body, path=IMAGE_PATH, kind="image/jpeg")) for name, body in found]
    return numbered("H", cases, 200, 400, 413, 415)
