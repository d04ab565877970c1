"""What one malformed input is, and how the plain parts of a request are written."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from grpc import StatusCode

__all__ = [
    *("COUNTS", "CUT", "GOOD", "IMAGE_PATH", "INFER", "PREDICT", "SEED", "TENSOR", "Case", "RpcCase"),
    *("dumped", "head", "message", "numbered"),
]

SEED = 1000
CUT = 0
COUNTS = {"A": 110, "B": 60, "C": 110, "D": 60, "E": 200, "F": 60, "G": 120, "H": 210, "I": 70}

INFER = "/v2/models/tiny/infer"
PREDICT = "/v1/models/tiny:predict"
IMAGE_PATH = "/v1/models/tinyimg:predict"
TENSOR: Mapping[str, Any] = {"name": "x", "shape": [1, 4], "datatype": "FP32", "data": [0, 1, 2, 3]}
GOOD = json.dumps({"inputs": [dict(TENSOR)]}).encode()


@dataclass(frozen=True)
class Case:
    """Bytes for the data port; with `ends` the client closes its side after them."""

    group: str
    name: str
    data: bytes
    expected: frozenset[int]
    ends: bool = False
    field: str = ""


@dataclass(frozen=True)
class RpcCase:
    """A call, or with `frames` bytes for the gRPC port as they are; there, any end but a crash is right."""

    name: str
    raw: bytes
    expected: frozenset[StatusCode]
    method: str = "/inference.GRPCInferenceService/ModelInfer"
    timeout_s: float = 60.0
    frames: bool = False


def message(
    body: bytes = GOOD,
    *headers: str,
    path: str = INFER,
    method: str = "POST",
    kind: str | None = "application/json",
    length: bool = True,
) -> bytes:
    """Write a request that closes its connection."""
    lines = [f"{method} {path} HTTP/1.1", "Host: h", "Connection: close", *headers]
    if kind is not None:
        lines.append(f"Content-Type: {kind}")
    if length:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


def head(*lines: str) -> bytes:
    """Write a head of lines as they are."""
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


def dumped(document: Any) -> bytes:
    """Write JSON as the clients of most people do."""
    return json.dumps(document).encode()


def numbered(group: str, cases: Iterable[tuple[Any, ...]], *expected: int, **more: Any) -> list[Case]:
    """Make cases of (name, bytes) or (name, bytes, statuses), with the statuses that hold for the others."""
    found = []
    for name, data, *own in cases:
        found.append(Case(group, name, data, frozenset(own[0] if own else expected), **more))
    return found
