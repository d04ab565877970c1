"""The golden requests of a file of faults: read from their files, bounded, and digested."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from podium.chaos.spec import Faults, FaultsError, GoldenSpec
from podium.document import Document

__all__ = ["Request", "digests", "read_requests"]

# All go into one ConfigMap, which holds a mebibyte.
_MOST_BYTES = 700_000
_KINDS = {".png": "image/png", ".webp": "image/webp"}


@dataclass(frozen=True, slots=True)
class Request:
    """A request as it is sent.

    Attributes:
        file: as the file of faults names it.
        path: below the server, `{model}` where the model's name goes.
        kind: its content type.
        body: what is sent.
        golden: what is right.
    """

    file: str
    path: str
    kind: str
    body: bytes
    golden: GoldenSpec


def read_requests(spec: Faults, folder: Path, document: Document | None = None) -> Mapping[str, tuple[Request, ...]]:
    """Read the golden requests of every service.

    Args:
        spec: the file of faults.
        folder: what its paths are relative to.
        document: where it was read from, for the lines of errors.

    Raises:
        FaultsError: a file is missing, too large, or no request.
    """
    found: dict[str, tuple[Request, ...]] = {}
    size = 0
    for place, service in enumerate(spec.services):
        read = []
        for number, golden in enumerate(service.golden):
            keys = ("services", place, "golden", number)
            try:
                request = _request(golden, folder)
            except ValueError as error:
                where = document.place(keys) if document is not None else str(folder)
                sentence, _, hint = str(error).partition("; ")
                raise FaultsError(where, sentence, hint) from error
            size += len(request.body)
            read.append(request)
        found[service.name] = tuple(read)
    if size > _MOST_BYTES:
        origin = document.origin if document is not None else str(folder)
        raise FaultsError(
            origin, f"the golden requests are {size:,} bytes, and {_MOST_BYTES:,} is the most", "name fewer, or smaller"
        )
    return found


def digests(requests: Mapping[str, tuple[Request, ...]]) -> dict[str, str]:
    """Return the digest of each file."""
    return {one.file: hashlib.sha256(one.body).hexdigest() for each in requests.values() for one in each}


def _request(golden: GoldenSpec, folder: Path) -> Request:
    name = golden.image if golden.image is not None else str(golden.json_)
    path = folder / name
    try:
        body = path.read_bytes() if path.stat().st_size <= _MOST_BYTES else None
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror}; check the path") from error
    if not body:
        raise ValueError(f"{path} is {'empty' if body == b'' else 'too large'}; name a file of one request")
    if golden.image is not None:
        kind = _KINDS.get(path.suffix.lower(), "image/jpeg")
        return Request(name, "/v1/models/{model}:predict", kind, body, golden)
    try:
        document = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is no JSON; an image is named with image:") from error
    if isinstance(document, dict) and "instances" in document:
        return Request(name, "/v1/models/{model}:predict", "application/json", body, golden)
    if not isinstance(document, dict) or "inputs" not in document:
        raise ValueError(f"{path} has neither instances (V1) nor inputs (V2); write a request of one protocol")
    if golden.label is not None:
        raise ValueError(f"{path} is a V2 request, whose answer has no label; write largest: with the index instead")
    return Request(name, "/v2/models/{model}/infer", "application/json", body, golden)
