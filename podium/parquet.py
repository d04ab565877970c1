"""A small writer of Parquet: one flat table, optional columns of text, integers, floats and booleans, uncompressed.

For notebooks, and for nothing else: a table of a race has some hundred rows, and a library of a hundred megabytes is no
fair price for writing them. The format is that of apache/parquet-format 2.x: one row group, one data page a column,
PLAIN values, definition levels as RLE runs, the footer in Thrift's compact protocol.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from typing import Final, TypeAlias

__all__ = ["Value", "parquet_bytes"]

Value: TypeAlias = "str | int | float | bool | None"

_MAGIC: Final = b"PAR1"
_BOOLEAN, _INT64, _DOUBLE, _BYTES = 0, 2, 5, 6
_UTF8, _OPTIONAL, _PLAIN, _RLE = 0, 1, 0, 3
# Types of Thrift's compact protocol.
_I32, _I64, _TEXT, _LIST, _STRUCT = 5, 6, 8, 9, 12


def parquet_bytes(rows: Sequence[Mapping[str, Value]]) -> bytes:
    """Return a table as the bytes of a Parquet file; its columns are the keys of all rows, in their order.

    A column of integers and floats is one of floats, any other mixture is one of texts. Missing values are null.
    """
    names = list(dict.fromkeys(name for row in rows for name in row))
    body = bytearray(_MAGIC)
    chunks: list[bytes] = []
    elements = [_struct((4, _TEXT, _text("schema")), (5, _I32, _number(len(names))))]
    for name in names:
        values = [row.get(name) for row in rows]
        kind = _kind(values)
        page = _levels(values) + _plain(kind, [value for value in values if value is not None])
        header = _page_header(len(values), len(page))
        chunks.append(_chunk(name, kind, len(values), len(body), len(header) + len(page)))
        body += header + page
        elements.append(_element(name, kind))
    group = _struct(
        (1, _LIST, _list(_STRUCT, chunks)),
        (2, _I64, _number(len(body) - len(_MAGIC))),
        (3, _I64, _number(len(rows))),
    )
    footer = _struct(
        (1, _I32, _number(1)),
        (2, _LIST, _list(_STRUCT, elements)),
        (3, _I64, _number(len(rows))),
        (4, _LIST, _list(_STRUCT, [group])),
        (6, _TEXT, _text("podium")),
    )
    return bytes(body) + footer + struct.pack("<I", len(footer)) + _MAGIC


def _kind(values: Iterable[Value]) -> int:
    kinds = {type(value) for value in values if value is not None}
    if kinds == {bool}:
        return _BOOLEAN
    if kinds == {int}:
        return _INT64
    return _DOUBLE if kinds and kinds <= {int, float} else _BYTES


def _plain(kind: int, values: Sequence[Value]) -> bytes:
    if kind == _BOOLEAN:
        packed = bytearray((len(values) + 7) // 8)
        for number, value in enumerate(values):
            packed[number // 8] |= bool(value) << number % 8
        return bytes(packed)
    if kind == _INT64:
        return b"".join(struct.pack("<q", value) for value in values)
    if kind == _DOUBLE:
        return b"".join(struct.pack("<d", value) for value in values)
    texts = (str(value).encode() for value in values)
    return b"".join(struct.pack("<I", len(text)) + text for text in texts)


def _levels(values: Iterable[Value]) -> bytes:
    """Return which values are there: runs of equal levels, each its length and one byte."""
    runs = b"".join(
        _varint(len(list(run)) << 1) + bytes([is_there])
        for is_there, run in groupby(value is not None for value in values)
    )
    return struct.pack("<I", len(runs)) + runs


def _page_header(count: int, size: int) -> bytes:
    data = _struct(
        (1, _I32, _number(count)), (2, _I32, _number(_PLAIN)), (3, _I32, _number(_RLE)), (4, _I32, _number(_RLE))
    )
    return _struct((1, _I32, _number(0)), (2, _I32, _number(size)), (3, _I32, _number(size)), (5, _STRUCT, data))


def _element(name: str, kind: int) -> bytes:
    fields = [(1, _I32, _number(kind)), (3, _I32, _number(_OPTIONAL)), (4, _TEXT, _text(name))]
    return _struct(*fields, *([(6, _I32, _number(_UTF8))] if kind == _BYTES else []))


def _chunk(name: str, kind: int, count: int, offset: int, size: int) -> bytes:
    described = _struct(
        (1, _I32, _number(kind)),
        (2, _LIST, _list(_I32, [_number(_PLAIN), _number(_RLE)])),
        (3, _LIST, _list(_TEXT, [_text(name)])),
        (4, _I32, _number(0)),
        (5, _I64, _number(count)),
        (6, _I64, _number(size)),
        (7, _I64, _number(size)),
        (9, _I64, _number(offset)),
    )
    return _struct((2, _I64, _number(offset)), (3, _STRUCT, described))


def _struct(*fields: tuple[int, int, bytes]) -> bytes:
    found, last = bytearray(), 0
    for identifier, kind, content in fields:
        found += bytes([(identifier - last) << 4 | kind]) + content
        last = identifier
    return bytes(found) + b"\0"


def _list(kind: int, items: Sequence[bytes]) -> bytes:
    count = len(items)
    head = bytes([count << 4 | kind]) if count < 15 else bytes([0xF0 | kind]) + _varint(count)
    return head + b"".join(items)


def _text(value: str) -> bytes:
    content = value.encode()
    return _varint(len(content)) + content


def _number(value: int) -> bytes:
    # Zigzag: small numbers of either sign are short.
    return _varint(value << 1 if value >= 0 else (-value << 1) - 1)


def _varint(value: int) -> bytes:
    found = bytearray()
    while value > 0x7F:
        found.append(value & 0x7F | 0x80)
        value >>= 7
    found.append(value)
    return bytes(found)
