"""What a request looks like in each protocol: its path, its headers, and how many items it asks about.

Needs nothing but the bytes of a body. Whether an answer is right is checked by `loadtest/k6/lib/protocol.js` and, for
gRPC, by `loadtest/xk6-hdr`, where the answers arrive. A payload for gRPC is one of `v2-binary`: the same tensors, which
`loadtest/xk6-hdr` puts into a message.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from loadtest.errors import ScheduleError

__all__ = ["PROTOCOLS", "RequestAs", "path_of", "request_as"]

PROTOCOLS = ("v1-json", "v1-image", "v2-json", "v2-binary", "grpc")

_IMAGE_TYPES = {".jpg": "image/jpeg", ".jpeg": "image/jpeg", ".png": "image/png", ".webp": "image/webp"}
_JSON = "application/json"
_GRPC = "/inference.GRPCInferenceService/ModelInfer"


@dataclass(frozen=True, slots=True)
class RequestAs:
    """How one payload is sent.

    Attributes:
        headers: HTTP headers that depend on the payload.
        items: how many results a right answer holds.
    """

    headers: dict[str, str]
    items: int


def path_of(protocol: str, model: str) -> str:
    """Return the path of an inference request; for gRPC its method.

    Raises:
        ScheduleError: a protocol that the generator does not speak.
    """
    if protocol not in PROTOCOLS:
        raise ScheduleError(f"protocol {protocol!r} cannot be played", f"use one of {', '.join(PROTOCOLS)}")
    if protocol == "grpc":
        return _GRPC
    return f"/v1/models/{model}:predict" if protocol.startswith("v1") else f"/v2/models/{model}/infer"


def request_as(protocol: str, name: str, body: bytes) -> RequestAs:
    """Return how a payload is sent.

    Args:
        protocol: one of `PROTOCOLS`.
        name: the payload's file name; an image's type follows from its ending.
        body: the payload.

    Raises:
        ScheduleError: the payload is not one of this protocol.
    """
    try:
        if protocol == "v1-image":
            return RequestAs({"content-type": _IMAGE_TYPES[Path(name).suffix.lower()]}, 1)
        if protocol == "v1-json":
            return RequestAs({"content-type": _JSON}, len(json.loads(body)["instances"]))
        if protocol == "v2-json":
            return RequestAs({"content-type": _JSON}, _batch(json.loads(body)))
        if protocol in {"v2-binary", "grpc"}:
            text = body.decode("latin-1")
            header, length = json.JSONDecoder().raw_decode(text)
            headers = {
                "content-type": "application/octet-stream",
                "inference-header-content-length": str(length),
            }
            return RequestAs({} if protocol == "grpc" else headers, _batch(header))
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise ScheduleError(
            f"payload {name} is not a {protocol} request", "choose payloads of the profile's protocol"
        ) from error
    raise ScheduleError(f"protocol {protocol!r} cannot be played", f"use one of {', '.join(PROTOCOLS)}")


def _batch(request: dict[str, list[dict[str, list[int]]]]) -> int:
    return int(request["inputs"][0]["shape"][0])
