"""Files that hold one secret, written once and for their owner alone."""

import os
from pathlib import Path

from podium.errors import MachineError, UsageError

__all__ = ["write_secret"]


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
