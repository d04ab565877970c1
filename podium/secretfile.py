"""Files that hold one secret: written once for their owner alone, and read without a word of what is in them."""

import os
import re
from pathlib import Path

from podium.errors import ConfigError, MachineError, UsageError

__all__ = ["read_secret", "write_secret"]

_MOST_BYTES = 4096
# What a header may hold, so that no client has to ask what a line break would do there.
_SECRET = re.compile(r"[!-~]{1,4000}")


def write_secret(path: Path, secret: str) -> None:
    """Write a secret to a new file that only its owner may read.

    Raises:
        UsageError: there is something at that place already.
        MachineError: the folder cannot be written.
    """
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o400)
    except FileExistsError as error:
        raise UsageError(f"{path} is there already", "name a new file: what it holds may still be in use") from error
    except OSError as error:
        raise MachineError(f"{path} cannot be written: {error.strerror or error}", "name another folder") from error
    with os.fdopen(descriptor, "w", encoding="ascii") as stream:
        stream.write(secret + "\n")


def read_secret(path: Path) -> str:
    """Read a secret: one word, with or without a line break behind it.

    Raises:
        ConfigError: the file cannot be read, or holds something else; its content is not repeated.
    """
    try:
        with path.open("rb") as stream:
            content = stream.read(_MOST_BYTES)
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror or error}", "name the file of a key") from error
    text = content.decode("latin-1").strip()
    if not _SECRET.fullmatch(text):
        raise ConfigError(f"{path} does not hold one word, as the file of a key does", "podium keys new makes one")
    return text
