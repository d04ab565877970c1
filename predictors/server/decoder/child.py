"""The decoder's process: it shuts itself in, and then turns encoded images into pixels, one after the other.

It is forked off a server that has only begun, which costs neither time nor memory, or started anew by
`predictors.server.decoder.keeper` once there is an engine with threads. It ends when the server does.
"""

import ctypes
import dataclasses
import gc
import io
import json
import os
import sys
import time
from collections.abc import Sequence
from typing import Final, NoReturn, Self

import numpy as np
import numpy.typing as npt
from PIL import Image

from predictors.errors import InputError
from predictors.imaging import FORMATS, Preprocessing, preprocessing
from predictors.server.decoder import sandbox
from predictors.server.decoder.region import Region
from predictors.server.decoder.wire import READY, REQUEST, Outcome, Reply

__all__ = ["Cropping", "live", "main", "serve", "warm_decoders"]

_M_TRIM_THRESHOLD: Final = -1
_M_MMAP_THRESHOLD: Final = -3
_KEPT_BYTES: Final = 16 << 20


class Cropping(Preprocessing):
    """The geometric half of a preprocessing, which notes when it is handed the decoded image and of what format."""

    decoded_ns = 0
    form: str | None = None

    @classmethod
    def of(cls, whole: Preprocessing) -> Self:
        """Take a preprocessing apart."""
        return cls(**{item.name: getattr(whole, item.name) for item in dataclasses.fields(whole)})

    def __call__(self, image: Image.Image) -> npt.NDArray[np.uint8]:  # type: ignore[override]
        """Return the pixels [height, width, channels]."""
        Cropping.decoded_ns = time.monotonic_ns()
        Cropping.form = image.format
        return self.crop(image)


def live(channel: int, region: Region, cropping: Cropping, parent: int) -> NoReturn:
    """Be the decoder of the process `parent`, which holds the other end of `channel`, until it lets go."""
    code = 1
    try:
        sandbox.leave(parent, {channel, region.file})
        _keep_memory()
        warm_decoders(cropping)
        gc.freeze()
        is_filtered = sandbox.shut_in()
        os.write(channel, READY + (b"filtered" if is_filtered else b"open"))
        serve(channel, region, cropping)
        code = 0
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        # Nothing of a server that this may have been forked off is to be run here.
        os._exit(code)


def serve(channel: int, region: Region, cropping: Cropping) -> None:
    """Decode what lies in the region whenever the other end says so."""
    while request := os.read(channel, REQUEST.size):
        region.begin()
        body = region.body(*REQUEST.unpack(request))
        try:
            # By its class the result is what `Cropping` returns.
            region.pixels[...] = cropping.decode(body)
        except InputError as error:
            reply = Reply(Outcome.REFUSED, 0, region.put_text(str(error)), 0)
        else:
            form = FORMATS.index(cropping.form) if cropping.form in FORMATS else len(FORMATS)
            reply = Reply(Outcome.PIXELS, form, 0, cropping.decoded_ns)
        os.write(channel, reply.packed())
        del body


def warm_decoders(images: Preprocessing) -> None:
    """Decode an image of each format, plain and turned: Pillow loads its decoders when it first meets a file.

    Where no file may be opened any more it is too late for that.
    """
    # Registers them; without that Pillow imports all of its forty formats when it first meets one of these.
    import PIL.MpoImagePlugin
    import PIL.TiffImagePlugin
    import PIL.WebPImagePlugin  # noqa: F401

    turned = Image.Exif()
    turned[0x0112] = 6
    for form in FORMATS:
        for mode, exif in (("RGB", None), ("L", turned)):
            stream = io.BytesIO()
            Image.new(mode, (32, 32)).save(stream, form, **({} if exif is None else {"exif": exif}))
            images.decode(stream.getvalue())
    try:
        images.decode(b"\xff\xd8\xff")
    except InputError:
        return


def _keep_memory() -> None:
    """Have the allocator of C keep what a usual image needs, which it would fetch anew, page by page, for each."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, _KEPT_BYTES // 4)
        mallopt(_M_TRIM_THRESHOLD, _KEPT_BYTES)


def main(arguments: Sequence[str], kind: type[Cropping]) -> NoReturn:
    """Start from the words: channel, descriptor of the region, bytes of a body, parent, name and parameters."""
    channel, file, body_bytes, parent = (int(word) for word in arguments[:4])
    whole = preprocessing(arguments[4], json.loads(arguments[5]))
    live(channel, Region(file, whole, body_bytes), kind.of(whole), parent)
