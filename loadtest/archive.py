"""Named contents in one archive, as orders' payloads and results travel: plain files with plain names, nothing else."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Mapping
from pathlib import Path

from loadtest.errors import GeneratorError

__all__ = ["pack", "unpack"]


def pack(files: Mapping[str, bytes]) -> bytes:
    """Put named contents into one archive; the same contents give the same bytes."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name in sorted(files):
            entry = tarfile.TarInfo(name)
            entry.size = len(files[name])
            archive.addfile(entry, io.BytesIO(files[name]))
    return buffer.getvalue()


def unpack(archive: bytes) -> dict[str, bytes]:
    """Return the named contents of an archive.

    Raises:
        GeneratorError: it is none, or holds more than plain files with plain names.
    """
    found: dict[str, bytes] = {}
    try:
        with tarfile.open(fileobj=io.BytesIO(archive)) as opened:
            for entry in opened:
                stream = opened.extractfile(entry) if entry.isreg() else None
                if stream is None or Path(entry.name).name != entry.name:
                    raise GeneratorError(f"an archive of the load generators holds {entry.name!r}")
                found[entry.name] = stream.read()
    except tarfile.TarError as error:
        raise GeneratorError("an archive of the load generators cannot be read") from error
    return found
