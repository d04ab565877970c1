"""JSON bodies: bounded before they are parsed, and of one meaning only.

The parser is fast but builds whatever it is told to, so the number of objects and arrays and their depth
are taken from the raw bytes first. It also keeps the last of two equal keys without a word, which is how a
check and a model come to see different values; such a body is refused.
"""

import re
from collections.abc import Iterable
from typing import Any

import numpy as np
import orjson

from predictors.errors import InputError

__all__ = ["MAX_DEPTH", "load", "may_hold_booleans"]

MAX_DEPTH = 32
_STRINGS = re.compile(rb'"(?:[^"\\]|\\.)*+"')
_CONTAINERS = (dict, list)
_OPENING = (ord("["), ord("{"))
_CLOSING = (ord("]"), ord("}"))


def load(body: bytes, *, max_containers: int) -> Any:
    """Parse a JSON text.

    Raises:
        InputError: It is not JSON, has more objects and arrays than `max_containers`, nests deeper than
            `MAX_DEPTH`, or names a key twice.
    """
    opened = body.count(b"[") + body.count(b"{")
    if opened > MAX_DEPTH:
        # A bracket inside a string counts for nothing, so strings go first; then the count is exact.
        bare = _STRINGS.sub(b"", body)
        opened = bare.count(b"[") + bare.count(b"{")
        if opened > max_containers:
            raise InputError(f"the body has more than {max_containers} JSON objects and arrays")
        if opened > MAX_DEPTH and _depth(bare) > MAX_DEPTH:
            raise InputError(f"the body nests JSON deeper than {MAX_DEPTH}")
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise InputError("the body is not JSON", "send UTF-8 JSON without NaN or Infinity") from error
    if body.count(b":") != _keys(document) and _STRINGS.sub(b"", body).count(b":") != _all_keys(document):
        raise InputError("the body names a JSON key twice")
    return document


def _depth(bare: bytes) -> int:
    codes = np.frombuffer(bare, dtype=np.uint8)
    steps = np.isin(codes, _OPENING).astype(np.int32) - np.isin(codes, _CLOSING)
    return int(steps.cumsum(dtype=np.int32).max(initial=0))


def _keys(value: Any) -> int:
    """Count the keys of all objects, but do not walk an array that begins with a plain value."""
    inner: Iterable[Any]
    if type(value) is dict:
        count = len(value)
        inner = value.values()
    elif type(value) is list and value and type(value[0]) in _CONTAINERS:
        count = 0
        inner = value
    else:
        return 0
    for item in inner:
        if type(item) in _CONTAINERS:
            count += _keys(item)
    return count


def _all_keys(value: Any) -> int:
    if isinstance(value, dict):
        return len(value) + sum(_all_keys(item) for item in value.values())
    if isinstance(value, list):
        return sum(_all_keys(item) for item in value)
    return 0


def may_hold_booleans(body: bytes) -> bool:
    """Whether a boolean, which numpy takes for a number, may stand anywhere in the text."""
    return b"true" in body or b"false" in body
