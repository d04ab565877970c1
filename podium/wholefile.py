"""Files of a race that are whole or not there, and what a person can do about a disk that refuses."""

import errno
from pathlib import Path

from loadtest import wholefile
from podium.errors import MachineError

__all__ = ["write_whole"]


def write_whole(
    path: Path, content: str | bytes, *, hint: str = "make the folder writable for you", makes_folder: bool = False
) -> None:
    """Write a file, text as UTF-8; a reader sees the former file or the new one.

    Args:
        path: the file.
        content: all of it.
        hint: what helps against anything but a full disk.
        makes_folder: whether a folder that is not there is made.

    Raises:
        MachineError: the disk is full, or the folder cannot be written.
    """
    try:
        if makes_folder:
            path.parent.mkdir(parents=True, exist_ok=True)
        wholefile.write_whole(path, content)
    except OSError as error:
        full = error.errno in {errno.ENOSPC, errno.EDQUOT}
        raise MachineError(
            f"{path} cannot be written: {error.strerror or error}", "free some space on that disk" if full else hint
        ) from error
