"""Group E: JSON that parses and means nothing to the model; the refusal names the field."""

import itertools
import json
import random
from collections.abc import Iterator
from typing import Any

from tests.contract.malformed.case import IMAGE_PATH, PREDICT, SEED, TENSOR, Case, dumped, message, numbered

__all__ = ["meanings"]

V2 = "/v2/models/tiny/infer"
SHAPES: tuple[Any, ...] = (
    *([], [0, 4], [1, 0], [-1, 4], [1, -4], [1.0, 4], ["1", 4], [True, 4], [None, 4], [[1], 4], [1, 4, 1], [4], [2, 2]),
    *([2**63, 4], [2**64 + 32, 4], [1, 2**64], [2**32, 2**32], [9, 4], [2, 4], [1, 5], "1,4", 4, {}, None, [1e300, 4]),
)
DATATYPES: tuple[Any, ...] = (
    "FP31",
    "fp32",
    "FP64",
    "INT32",
    "BYTES",
    "BOOL",
    "",
    " FP32",
    "float32",
    32,
    None,
    [],
    {},
    "FP32\u0000",
)
DATA: tuple[Any, ...] = (
    *(
        [],
        [0, 1, 2],
        [0, 1, 2, 3, 4],
        [[0, 1], [2, 3]],
        [[0, 1, 2, 3], [0, 1, 2, 3]],
        [[0, 1], [2]],
        [[[[0, 1, 2, 3]]]],
    ),
    *(["0", "1", "2", "3"], [0, True, 2, 3], [0, None, 2, 3], [0, [1], 2, 3], [0, {}, 2, 3], [0, 1, 2, 1e39], "0123"),
    *(
        0,
        None,
        {"0": 1},
        [2**200, 0, 0, 0],
        [-(2**200), 0, 0, 0],
        [[0, 1, 2, "3"]],
        [[True, 1, 2, 3]],
        [3e38, -3e38, 3e38, -3e38],
    ),
)
NAMES: tuple[Any, ...] = (
    "y",
    "X",
    "",
    " x",
    "x ",
    "x\u0000",
    "../x",
    "x/../x",
    1,
    None,
    [],
    {},
    ["x"],
    "logits",
    "x" * 5000,
)
IDS: tuple[Any, ...] = (1, None, [], {}, True, "i" * 1025, "i" * 60_000)
OUTPUTS: tuple[Any, ...] = (
    *(
        [{"name": "x"}],
        [{"name": "LOGITS"}],
        [{"name": ""}],
        [{"name": None}],
        [{}],
        [None],
        ["logits"],
        {"name": "logits"},
    ),
    *("logits", 1, True, [{"name": "logits"}] * 2, [{"name": "logits", "parameters": []}], [[{"name": "logits"}]]),
    *(
        [{"name": "logits", "parameters": {"binary_data": 1}}],
        [{"name": "logits", "parameters": {"binary_data": "no"}}],
    ),
)
PARAMETERS: tuple[Any, ...] = (
    [],
    "x",
    1,
    {"binary_data_output": 1},
    {"binary_data_output": "true"},
    {"binary_data_output": None},
)
MODELS = (
    *(
        "other",
        "Tiny",
        "tiny ",
        "..",
        "../tiny",
        "tiny/..",
        "%2e%2e",
        "tiny%00",
        "tiny%2F",
        "tiny;x",
        "",
        "tiny.json",
        "tiny?x",
    ),
    *(
        "tiny/versions/9",
        "tiny/versions/0",
        "tiny/versions/-1",
        "tiny/versions/",
        "tiny/versions/1.0",
        "tiny/versions/latest",
    ),
    *("....//tiny", "..%5ctiny", "%c0%ae", "etc/passwd", "tiny/versions/../1"),
)
INSTANCES: tuple[Any, ...] = (
    *(
        [],
        None,
        {},
        "x",
        1,
        [[]],
        [[0, 1, 2]],
        [[0, 1, 2, 3, 4]],
        [0, 1, 2, 3],
        [[0, 1, 2, 3], [0]],
        [["0", 1, 2, 3]],
        [None],
    ),
    *(
        [[0, 1, 2, 3]] * 9,
        [{"x": [0, 1, 2]}],
        [{"y": [0, 1, 2, 3]}],
        [{"x": [0, 1, 2, 3], "y": 1}],
        [{}],
        [{"x": None}],
    ),
    *([{"b64": "AAAA"}], [[True, 1, 2, 3]], [[[0, 1, 2, 3]]], [[2**200, 0, 0, 0]], [{"x": [0, 1, 2, 3]}, [0, 1, 2, 3]]),
    *([[1e39, 0, 0, 0]], [[3e38, -3e38, 3e38, -3e38]], ["0123"], [[0, 1, 2, [3]]], [[{}, 1, 2, 3]], [[None, 1, 2, 3]]),
)
PICTURES: tuple[Any, ...] = (
    *([{"b64": ""}], [{"b64": None}], [{"b64": 1}], [{"b64": "~~~~"}], [{"b64": "AAA"}], [{"b64": "AAAA", "x": 1}]),
    *([{"b64": "AAAA"}], [{"b64": "AAAA"}, [0]], [{"b64": []}], [{"B64": "AAAA"}], [{"b64": "AA AA"}], ["AAAA"]),
)


def changed(**changes: Any) -> bytes:
    return message(dumped({"inputs": [dict(TENSOR) | changes]}))


def rooted(**root: Any) -> bytes:
    return message(dumped({"inputs": [dict(TENSOR)], **root}))


def _plain() -> Iterator[tuple[str, bytes, str]]:
    for name, values in (("shape", SHAPES), ("datatype", DATATYPES), ("data", DATA), ("name", NAMES)):
        for number, value in enumerate(values):
            yield f"{name} {number} {json.dumps(value)[:40]}", changed(**{name: value}), "inputs"
    for name in ("name", "datatype", "shape", "data"):
        missing = {key: value for key, value in TENSOR.items() if key != name}
        yield f"no {name}", message(dumped({"inputs": [missing]})), "inputs"
    for value in (
        None,
        {},
        "x",
        1,
        [],
        [None],
        ["x"],
        [[]],
        [dict(TENSOR)] * 2,
        [dict(TENSOR), {}],
        [dict(TENSOR)] * 100,
    ):
        yield f"inputs {json.dumps(value)[:40]}", message(dumped({"inputs": value})), "inputs"
    yield "no inputs", message(b"{}"), "inputs"
    for value in IDS:
        yield f"id {json.dumps(value)[:20]}", rooted(id=value), "id"
    for number, value in enumerate(OUTPUTS):
        yield f"outputs {number}", rooted(outputs=value), "outputs"
    yield "10,000 outputs", rooted(outputs=[{"name": "logits"}] * 3000), "outputs"
    for number, value in enumerate(PARAMETERS):
        yield f"parameters {number}", rooted(parameters=value), "parameters"
    for number, value in enumerate(
        ([], "x", 1, {"binary_data_size": -1}, {"binary_data_size": "4"}, {"binary_data_size": 16})
    ):
        yield f"input parameters {number}", changed(parameters=value), "parameters"
    for number, value in enumerate(INSTANCES):
        yield f"instances {number}", message(dumped({"instances": value}), path=PREDICT), "instances"
    for number, value in enumerate(PICTURES):
        yield f"pictures {number}", message(dumped({"instances": value}), path=IMAGE_PATH), ""
    for number, value in enumerate(("0", "-1", "soon", "1.5", "99999999", "1e3", "", "+5")):
        yield (
            f"time-out {number}",
            message(dumped({"inputs": [dict(TENSOR)]}), f"X-Podium-Timeout-Ms: {value}"),
            "timeout",
        )


def meanings() -> list[Case]:
    """Group E: all of the plain kinds, filled up with two of them wrong at once."""
    routes = [(f"model {name!r}", message(path=f"/v2/models/{name}/infer"), {400, 404, 405}) for name in MODELS]
    found = numbered("E", routes)
    for name, data, field in _plain():
        found += [Case("E", name, data, frozenset({400, 413}), field=field)]
    pairs = list(itertools.product(SHAPES, DATA))
    chance = random.Random(SEED + 5)
    for shape, data in chance.sample(pairs, 40):
        if len(found) == 200:
            break
        wrong = changed(shape=shape, data=data)
        found.append(
            Case(
                "E",
                f"shape {json.dumps(shape)[:20]}, data {json.dumps(data)[:20]}",
                wrong,
                frozenset({400}),
                field="inputs",
            )
        )
    return found[:200] if len(found) < 200 else _spread(found, chance)


def _spread(found: list[Case], chance: random.Random) -> list[Case]:
    kept = set(chance.sample(range(len(found)), 200))
    return [case for number, case in enumerate(found) if number in kept]
