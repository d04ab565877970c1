"""Files that are whole or not there: whoever reads sees the former file or the new one, after a power cut too.

A draft beside the place is written, brought to the disk, and renamed; then the folder is brought to the disk, because
the new name stands there. Only the operating system's errors come out: what they mean is known to the caller.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["draft_of", "write_whole"]


@contextmanager
def draft_of(path: Path) -> Iterator[Path]:
    """Give the place of a draft to write; at the end of the block it becomes `path`, and on an error it is gone.

    Raises:
        OSError: the disk is full, or the folder cannot be written.
    """
    draft = path.parent / f".{path.name}-{secrets.token_hex(4)}.draft"
    try:
        yield draft
        _sync(draft)
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
    _sync(path.parent)


def write_whole(path: Path, content: str | bytes) -> None:
    """Write a file, text as UTF-8; its folder must exist.

    Raises:
        OSError: the disk is full, or the folder cannot be written.
    """
    with draft_of(path) as draft:
        if isinstance(content, bytes):
            draft.write_bytes(content)
        else:
            draft.write_text(content, encoding="utf-8")


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
