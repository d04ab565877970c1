"""A decoder that an image can make do anything, as one whose memory an image has corrupted: for tests alone."""

import ctypes
import os
import signal
import socket
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
from PIL import Image

from predictors.server.decoder.child import Cropping

__all__ = ["DEEDS", "Wild", "told"]

_MARK: Final = b"deed:"


def told(image: bytes, deed: str) -> bytes:
    """Make of a good image one that has the decoder do one of the `DEEDS`."""
    return image + _MARK + deed.encode("ascii")


class Wild(Cropping):
    """Decodes as the real one, but for images that say what is to be done."""

    deed = ""

    def decode(self, body: bytes) -> npt.NDArray[np.float32]:
        Wild.deed = body.partition(_MARK)[2].decode("ascii")
        return super().decode(body)

    def crop(self, image: Image.Image) -> npt.NDArray[np.uint8]:
        if Wild.deed:
            DEEDS[Wild.deed]()
        return super().crop(image)


def _for_ever() -> None:
    while True:
        pass


def _hog() -> None:
    kept = [b"\1" * (64 << 20) for _ in range(1024)]
    raise AssertionError(f"{len(kept)} times 64 MiB were there")


def _crash() -> None:
    ctypes.string_at(0)


def _connect() -> None:
    socket.socket(socket.AF_INET, socket.SOCK_STREAM)


def _fork() -> None:
    os.fork()


def _end_parent() -> None:
    os.kill(os.getppid(), signal.SIGKILL)


def _run() -> None:
    os.execv("/bin/true", ["true"])  # noqa: S606


def _read_memory() -> None:
    # process_vm_readv(2) of the server, whose user is the same.
    ctypes.CDLL(None).process_vm_readv(os.getppid(), None, 0, None, 0, 0)


def _map_code() -> None:
    ctypes.CDLL(None).mprotect(ctypes.c_void_p(id(None) & ~4095), 4096, 7)


def _read_file() -> None:
    Path("/proc/self/environ").read_bytes()


def _lie() -> None:
    os.write(_channel(), b"nothing that was asked for")
    _for_ever()


def _channel() -> int:
    # With every file closed but the standard ones and two, these are channel and memory.
    return next(number for number in range(3, 1024) if _is_socket(number))


def _is_socket(number: int) -> bool:
    try:
        return os.fstat(number).st_mode & 0o170000 == 0o140000
    except OSError:
        return False


# What the kernel must not let it do ends it, but for `read-file`, which fails.
DEEDS: Final[Mapping[str, Callable[[], None]]] = {
    "connect": _connect,
    "crash": _crash,
    "end-parent": _end_parent,
    "for-ever": _for_ever,
    "fork": _fork,
    "hog": _hog,
    "lie": _lie,
    "map-code": _map_code,
    "read-file": _read_file,
    "read-memory": _read_memory,
    "run": _run,
}
