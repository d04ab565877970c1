"""Group G: messages that are none, messages that mean nothing, and frames that no client sends."""

import random
import struct
from collections.abc import Iterator
from typing import Any

from grpc import StatusCode

from predictors.server.rpc import messages
from tests.contract import http2
from tests.contract.malformed.case import SEED, RpcCase

__all__ = ["calls", "good_call"]

REFUSED = frozenset({StatusCode.INVALID_ARGUMENT})
EITHER = frozenset({StatusCode.OK, StatusCode.INVALID_ARGUMENT, StatusCode.NOT_FOUND})
VALUES = struct.pack("<4f", 0, 1, 2, 3)


def good_call(*, raw: bool = True, **changes: Any) -> bytes:
    """Write a ModelInferRequest of the vector model, with fields of its one input changed."""
    tensor = messages.ModelInferRequest.InferInputTensor(
        **{"name": "x", "datatype": "FP32", "shape": [1, 4], **changes}
    )
    request = messages.ModelInferRequest(model_name="tiny", inputs=[tensor])
    if raw:
        request.raw_input_contents.append(VALUES)
    elif not tensor.HasField("contents"):
        request.inputs[0].contents.fp32_contents.extend([0, 1, 2, 3])
    return bytes(request.SerializeToString())


def _changed(change: Any) -> bytes:
    request = messages.ModelInferRequest.FromString(good_call())
    change(request)
    return bytes(request.SerializeToString())


def _raws(*raws: bytes) -> bytes:
    def change(request: Any) -> None:
        del request.raw_input_contents[:]
        request.raw_input_contents.extend(raws)

    return _changed(change)


def _meanings() -> Iterator[tuple[str, bytes]]:
    for shape in (
        [],
        [0, 4],
        [1, 0],
        [-1, 4],
        [4],
        [1, 4, 1],
        [2, 4],
        [9, 4],
        [1, 5],
        [2**62, 4],
        [2**32, 2**32],
        [-(2**63), 4],
    ):
        yield f"shape {shape}", good_call(shape=shape)
    for datatype in ("", "FP31", "fp32", "FP64", "INT32", "BYTES", "BOOL", "FP16", "FP32 "):
        yield f"datatype {datatype!r}", good_call(datatype=datatype)
        yield f"datatype {datatype!r}, typed", good_call(datatype=datatype, raw=False)
    for name in ("", "y", "X", "x ", "../x", "x\u0000", "x" * 5000):
        yield f"name {name[:10]!r}", good_call(name=name)
    for size in (0, 1, 15, 17, 32, 1000):
        yield f"{size} raw bytes", _raws(bytes(size))
    yield "two raws for one input", _raws(VALUES, VALUES)
    yield "raw NaN", _raws(struct.pack("<4f", 0, float("nan"), 2, 3))
    yield "raw infinity", _raws(struct.pack("<4f", 0, float("inf"), 2, 3))
    yield "no inputs", _changed(lambda request: request.ClearField("inputs"))
    yield "no values", _changed(lambda request: request.ClearField("raw_input_contents"))
    yield "raw and typed", _changed(lambda request: request.inputs[0].contents.fp32_contents.extend([0, 1, 2, 3]))
    yield "two of one input", _changed(lambda request: request.inputs.append(request.inputs[0]))
    yield "id of 60,000", _changed(lambda request: setattr(request, "id", "i" * 60_000))
    yield "unknown output", _changed(lambda request: request.outputs.add(name="other"))
    yield "output twice", _changed(lambda request: [request.outputs.add(name="logits") for _ in range(2)])
    yield "1,000 outputs", _changed(lambda request: [request.outputs.add(name="logits") for _ in range(1000)])
    contents = messages.ModelInferRequest.InferInputTensor().contents
    for field, values in (
        ("int_contents", [1] * 4),
        ("bool_contents", [True] * 4),
        ("fp64_contents", [0.5] * 4),
        ("bytes_contents", [b"1234"]),
    ):
        other = type(contents)(**{field: values})
        yield f"values in {field}", good_call(raw=False, contents=other)
    for count in (0, 3, 5, 1000):
        yield f"{count} typed values", good_call(raw=False, contents=type(contents)(fp32_contents=[0.5] * count))
    yield "typed NaN", good_call(raw=False, contents=type(contents)(fp32_contents=[float("nan")] * 4))


def _bytes(chance: random.Random) -> Iterator[tuple[str, bytes]]:
    whole = good_call()
    for number in range(12):
        yield f"random bytes {number}", chance.randbytes(chance.randint(1, 300))
    for number in range(10):
        yield f"cut message {number}", whole[: chance.randint(1, len(whole) - 1)]
    for number, raw in enumerate(
        (b"\x0f", b"\x08\xff" * 6, b"\x0b\x0c", b"\x2a\xff\xff\xff\xff\x0f", b"\x0a\x80", b"\x0a\x02\xff\xfe", b"\x00")
    ):
        yield f"wrong wire type {number}", raw
    yield "depth 200", b"\x0b" * 200 + b"\x0c" * 200
    yield "unknown fields", whole + b"\xf8\x07\x01" * 100
    yield "nested to 200", _nested(200)
    yield "empty", b""


def _nested(depth: int) -> bytes:
    body = b""
    for _ in range(depth):
        size, prefix = len(body), b""
        while size >= 128:
            prefix += bytes([size % 128 + 128])
            size //= 128
        body = b"\x2a" + prefix + bytes([size]) + body
    return body


def _frames() -> Iterator[tuple[str, bytes]]:
    opened, call = http2.opened(), http2.headers(1)
    message = good_call()
    yield "HTTP/1.1", b"GET / HTTP/1.1\r\nHost: h\r\n\r\n"
    yield "junk", b"\x00\xff" * 200
    yield "half a preface", http2.PREFACE[:10]
    yield "frame of 16 MB", opened + http2.frame(0, b"x", stream=1, length=(1 << 24) - 1)
    yield "data on stream 0", opened + http2.frame(0, b"x")
    yield "data on no stream", opened + http2.frame(0, b"x", stream=5)
    yield "continuation alone", opened + http2.frame(9, b"x", stream=1)
    yield "headers on an even stream", opened + http2.headers(2)
    yield "half-closed at once", opened + http2.headers(1, flags=5)
    yield "headers of junk", opened + http2.frame(1, b"\xff" * 50, flags=4, stream=1)
    yield "settings with a bad size", opened + http2.frame(4, b"12345")
    yield "window of zero", opened + http2.frame(8, struct.pack(">I", 0))
    yield "window beyond 2^31", opened + http2.frame(8, struct.pack(">I", 2**31 - 1)) * 2
    yield "compressed without a coding", opened + call + http2.data(1, message, compressed=1)
    yield "message longer than it says", opened + call + http2.data(1, message, length=3)
    yield "message of 4 GB", opened + call + http2.data(1, message, length=2**32 - 1)
    yield "flag of 255", opened + call + http2.data(1, message, compressed=255)
    yield "content type of JSON", opened + http2.headers(1, content_type="application/json") + http2.data(1, message)
    yield "no path", opened + http2.headers(1, path="") + http2.data(1, message)
    yield "path without a slash", opened + http2.headers(1, path="inference") + http2.data(1, message)
    yield "no authority", opened + http2.headers(1, pseudo_authority="") + http2.data(1, message)
    yield "method GET", opened + http2.headers(1, pseudo_method="GET") + http2.data(1, message)
    yield "deadline of nonsense", opened + http2.headers(1, grpc_timeout="soon") + http2.data(1, message)
    yield "coding unknown", opened + http2.headers(1, grpc_encoding="br") + http2.data(1, message, compressed=1)
    yield "1,000 pings", opened + http2.frame(6, bytes(8)) * 1000
    yield (
        "1,000 resets",
        opened + b"".join(http2.headers(2 * n + 1) + http2.frame(3, bytes(4), stream=2 * n + 1) for n in range(1000)),
    )


def calls() -> list[RpcCase]:
    """Group G."""
    chance = random.Random(SEED + 7)
    other = "/inference.GRPCInferenceService/"
    found = [RpcCase(name, raw, frozenset(), frames=True) for name, raw in _frames()]
    found += [
        RpcCase(
            name,
            raw,
            REFUSED | EITHER
            if name in ("unknown fields", "empty") or "random" in name
            else REFUSED | EITHER - {StatusCode.OK},
        )
        for name, raw in _bytes(chance)
    ]
    found += [
        RpcCase(
            "other model",
            _changed(lambda request: setattr(request, "model_name", "other")),
            frozenset({StatusCode.NOT_FOUND}),
        ),
        RpcCase(
            "other version",
            _changed(lambda request: setattr(request, "model_version", "9")),
            frozenset({StatusCode.NOT_FOUND}),
        ),
        RpcCase("1e6 values", good_call(raw=False, shape=[1] * 1_000_000), frozenset({StatusCode.RESOURCE_EXHAUSTED})),
        RpcCase(
            "deadline of nothing",
            good_call(),
            frozenset({StatusCode.DEADLINE_EXCEEDED, StatusCode.OK}),
            timeout_s=0.0001,
        ),
    ]
    for method in ("RepositoryModelLoad", "RepositoryModelUnload", "ModelStreamInfer", "", "modelinfer"):
        found.append(
            RpcCase(f"method {method}", good_call(), frozenset({StatusCode.UNIMPLEMENTED}), method=other + method)
        )
    found.append(RpcCase("other service", good_call(), frozenset({StatusCode.UNIMPLEMENTED}), method="/x.y/ModelInfer"))
    found += [RpcCase(name, raw, REFUSED) for name, raw in _meanings()]
    return found[:120] if len(found) >= 120 else found + _mutated(chance, 120 - len(found))


def _mutated(chance: random.Random, count: int) -> list[RpcCase]:
    found = []
    for number in range(count):
        raw = bytearray(good_call())
        raw[chance.randrange(len(raw))] ^= 1 << chance.randrange(8)
        found.append(RpcCase(f"flipped bit {number}", bytes(raw), EITHER | {StatusCode.RESOURCE_EXHAUSTED}))
    return found
