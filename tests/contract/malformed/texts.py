"""Groups C (JSON syntax), D (JSON bombs) and F (binary tensors)."""

import json
import random
import struct
from typing import Any

from tests.contract.malformed.case import CUT, GOOD, IMAGE_PATH, PREDICT, SEED, TENSOR, Case, dumped, message, numbered

__all__ = ["binaries", "bombs", "syntax"]


def syntax() -> list[Case]:
    """Group C."""
    chance = random.Random(SEED)
    plain = b'{"instances":[[0,1,2,3]]}'
    texts: list[tuple[str, bytes]] = [
        ("empty", b""),
        ("white space", b" \r\n\t "),
        ("byte order mark", b"\xef\xbb\xbf" + GOOD),
        ("UTF-16", GOOD.decode().encode("utf-16")),
        ("UTF-32", GOOD.decode().encode("utf-32")),
        ("NUL at the end", GOOD + b"\x00"),
        ("trailing bytes", GOOD + b"x"),
        ("two documents", GOOD + GOOD),
        ("line comment", b"// x\n" + GOOD),
        ("block comment", b"/* x */" + GOOD),
        ("single quotes", GOOD.replace(b'"', b"'")),
        ("no quotes", GOOD.replace(b'"', b"")),
        ("equals signs", GOOD.replace(b":", b"=")),
        ("double colon", GOOD.replace(b":", b"::")),
        ("trailing comma", GOOD.replace(b"3]", b"3,]")),
        ("double comma", GOOD.replace(b"1, 2", b"1,, 2")),
        ("leading zero", GOOD.replace(b"[0, 1", b"[00, 01")),
        ("control character", GOOD.replace(b"FP32", b"FP\x0132")),
        ("new line in a string", GOOD.replace(b"FP32", b"FP\n32")),
        ("unknown escape", GOOD.replace(b"FP32", b"FP\\x32")),
        ("cut escape", GOOD.replace(b"FP32", b"FP\\u00")),
        ("duplicate key", b'{"inputs":[],"inputs":[]}'),
        ("duplicate inner key", GOOD.replace(b'"shape"', b'"name":"x","shape"')),
        ("duplicate escaped key", GOOD.replace(b'"shape"', b'"n\\u0061me":"x","shape"')),
    ]
    texts += [
        (f"number {value}", GOOD.replace(b"2, 3", value.encode()))
        for value in (
            "NaN",
            "Infinity",
            "-Infinity",
            "nan, 3",
            "+2, 3",
            ".5, 3",
            "2., 3",
            "0x10, 3",
            "1e, 3",
            "--1, 3",
            "1_0, 3",
            "2 3",
            "-, 3",
        )
    ]
    bad = (
        b"\xff",
        b"\xc0\xaf",
        b"\xed\xa0\x80",
        b"\xf4\x90\x80\x80",
        b"\xc3",
        b"\x80",
        b"\xf8\x88\x80\x80\x80",
        b"\xe2\x28\xa1",
    )
    texts += [(f"bad UTF-8 {value!r}", GOOD.replace(b"FP32", value)) for value in bad]
    lone = (b"\\ud800", b"\\udfff", b"\\ud800\\ud800", b"\\udc00\\ud800", b"\\ud800x")
    texts += [(f"lone surrogate {value!r}", GOOD.replace(b"FP32", value)) for value in lone]
    tops = ("null", "true", "1", "1.5", '"x"', "[]", "[[]]", "{}", "[{}]", '"{}"')
    cases: list[tuple[str, bytes]] = [(name, message(text)) for name, text in texts]
    cases += [
        (f"top {top} {path[:3]}", message(top.encode(), path=path))
        for top in tops
        for path in (PREDICT, "/v2/models/tiny/infer")
    ]
    cuts = [
        (f"cut {path[:3]} at {place}", message(text[:place], path=path))
        for text, path in ((GOOD, "/v2/models/tiny/infer"), (plain, PREDICT))
        for place in range(1, len(text))
    ]
    return numbered("C", cases + chance.sample(cuts, 110 - len(cases)), 400)


def bombs() -> list[Case]:
    """Group D, most of it to the model of images, whose limit lets 10 MiB of JSON reach the parser."""
    deep: list[tuple[str, bytes]] = []
    for depth in (33, 101, 1000, 10_000, 250_000):
        deep += [
            (f"{depth} arrays", b"[" * depth + b"]" * depth),
            (f"{depth} arrays, open", b"[" * depth),
            (f"{depth} objects", b'{"a":' * depth + b"1" + b"}" * depth),
            (f"{depth} mixed", b'[{"a":' * depth + b"1" + b"}]" * depth),
            (
                f"{depth} in data",
                dumped({"inputs": [dict(TENSOR)]}).replace(b"[0, 1, 2, 3]", b"[" * depth + b"]" * depth),
            ),
            (f"{depth} closings", b"]" * depth),
        ]
    many = [
        ("5,000,000 objects", b"[" + b"{}," * 5_000_000 + b"{}]"),
        ("1,000,000 objects", b"[" + b"{}," * 1_000_000 + b"{}]"),
        ("20,000 arrays", b"[" + b"[]," * 20_000 + b"[]]"),
        ("11,000 instances", dumped({"instances": [{"b64": ""}] * 11_000})),
        ("1,000,000 numbers", b'{"instances":[' + b"1," * 1_000_000 + b"1]}"),
        ("1,000,000 nulls", b'{"instances":[' + b"null," * 1_000_000 + b"1]}"),
        ("700,000 keys", b"{" + b",".join(b'"%d":1' % number for number in range(700_000)) + b"}"),
        ("equal hashes", b"{" + b",".join(b'"%d":1' % (number * ((1 << 61) - 1)) for number in range(50_000)) + b"}"),
        ("1 MB key", b'{"' + b"k" * 1_000_000 + b'":1}'),
        ("1 MB string", b'{"instances":["' + b"s" * 1_000_000 + b'"]}'),
        ("1 MB escapes", b'{"instances":["' + b"\\u0041" * 170_000 + b'"]}'),
        ("1 MB quotes", b'{"instances":["' + b'\\"' * 500_000 + b'"]}'),
        ("1 MB backslashes", b'{"instances":["' + b"\\\\" * 500_000 + b'"]}'),
        ("1 MB of open strings", b'{"instances":[' + b'"' * 1_000_000),
        ("1 MB white space", b" " * 1_000_000 + b"x"),
        ("10,000 digits", b'{"instances":[[' + b"9" * 10_000 + b"]]}"),
        ("1,000,000 digits", b'{"instances":[[' + b"9" * 1_000_000 + b"]]}"),
        ("10,000 decimals", b'{"instances":[[0.' + b"3" * 10_000 + b"]]}"),
        ("1e400", b'{"instances":[[1e400]]}'),
        ("-1e400", b'{"instances":[[-1e400]]}'),
        ("1e-400", b'{"instances":[[1e-400]]}'),
        ("exponent of 10,000 digits", b'{"instances":[[1e' + b"9" * 10_000 + b"]]}"),
        ("brackets in a string", dumped({"instances": ["[{" * 200_000]})),
        ("base64 of 9 MB", dumped({"instances": [{"b64": "A" * 9_000_000}]})),
        ("bad base64 of 9 MB", dumped({"instances": [{"b64": "~" * 9_000_000}]})),
        ("1,000 small images", dumped({"instances": [{"b64": "AAAA"}] * 1000})),
        ("commas", b"," * 1_000_000),
        ("colons", b":" * 1_000_000),
        ("strings of colons", dumped({"instances": [":" * 1_000_000]})),
        ("empty keys", b'{"instances":{' + b'"":1,' * 100_000 + b'"":1}}'),
    ]
    paths = {"in data": "/v2/models/tinyimg/infer"}
    cases = [
        (
            name,
            message(text, path=paths.get(name.partition(" ")[2], IMAGE_PATH)),
            {400, 413, CUT} if len(text) > 10 << 20 else {400, 413},
        )
        for name, text in deep + many
    ]
    return numbered("D", cases)


def binaries() -> list[Case]:
    """Group F."""
    chance = random.Random(SEED + 6)
    values = struct.pack("<4f", 0, 1, 2, 3)

    def binary(entry: dict[str, Any], rest: bytes, size: int | None = None, **root: Any) -> bytes:
        text = json.dumps({"inputs": [entry], **root}).encode()
        return message(
            text + rest, f"Inference-Header-Content-Length: {len(text) if size is None else size}", kind=None
        )

    def sized(size: Any, **changes: Any) -> dict[str, Any]:
        plain = {"name": "x", "shape": [1, 4], "datatype": "FP32", "parameters": {"binary_data_size": size}}
        return plain | changes

    odd_sizes: tuple[Any, ...] = (0, 1, 8, 15, 17, 32, -1, -16, 2**31, 2**63, 2**64, "16", 16.0, True, [], {}, [16])
    cases: list[tuple[str, bytes]] = [(f"size {size!r}", binary(sized(size), values)) for size in odd_sizes]
    cases += [
        (f"{count} bytes for 16", binary(sized(16), bytes(count))) for count in (0, 1, 8, 15, 17, 32, 1000, 60_000)
    ]
    shapes: tuple[Any, ...] = (
        [2, 4],
        [1, 3],
        [1, 5],
        [0, 4],
        [4],
        [1, 4, 1],
        [-1, 4],
        [2**62, 4],
        [1, 2**63],
        [2**32, 2**32],
        [],
        None,
        "1,4",
    )
    cases += [(f"shape {shape}", binary(sized(16, shape=shape), values)) for shape in shapes]
    kinds = ("FP64", "INT32", "BYTES", "BOOL", "fp32", "", None, "UINT8", "FP16")
    cases += [(f"datatype {kind}", binary(sized(16, datatype=kind), values)) for kind in kinds]
    odd = (float("nan"), float("inf"), float("-inf"))
    cases += [(f"value {value}", binary(sized(16), struct.pack("<4f", 0, value, 2, 3))) for value in odd]
    cases += [
        ("NaN with a payload", binary(sized(16), b"\x01\x00\xa0\x7f" + values[4:])),
        ("data beside bytes", binary(sized(16, data=[0, 1, 2, 3]), values)),
        (
            "two inputs on one tensor",
            message(dumped({"inputs": [sized(16)] * 2}) + values, "Inference-Header-Content-Length: 200", kind=None),
        ),
        ("JSON part cut", binary(sized(16), values, size=20)),
        ("JSON part too long", binary(sized(16), values, size=110)),
        ("JSON part of nothing", binary(sized(16), values, size=0)),
        ("parameters as a list", binary(sized(16, parameters=[16]), values)),
        ("parameters as a text", binary(sized(16, parameters="16"), values)),
        ("no size, but bytes", binary({"name": "x", "shape": [1, 4], "datatype": "FP32"}, values)),
        ("binary output as a text", binary(sized(16), values, parameters={"binary_data_output": "yes"})),
    ]
    return numbered("F", chance.sample(cases, 60) if len(cases) > 60 else cases, 400)
