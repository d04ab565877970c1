"""The Parquet writer, against a reader of the format that knows nothing of it."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from podium.parquet import Value, parquet_bytes

BOOLEAN, INT64, DOUBLE, BYTES = 0, 2, 5, 6


class Compact:
    """Thrift's compact protocol, read: structures as dictionaries by field number."""

    def __init__(self, content: bytes, at: int = 0) -> None:
        self.content, self.at = content, at

    def byte(self) -> int:
        self.at += 1
        return self.content[self.at - 1]

    def varint(self) -> int:
        value = shift = 0
        while (byte := self.byte()) & 0x80:
            value |= (byte & 0x7F) << shift
            shift += 7
        return value | byte << shift

    def value(self, kind: int) -> Any:
        if kind in (5, 6):
            raw = self.varint()
            return raw >> 1 ^ -(raw & 1)
        if kind == 8:
            length = self.varint()
            self.at += length
            return self.content[self.at - length : self.at]
        if kind == 9:
            head = self.byte()
            count = head >> 4 if head >> 4 < 15 else self.varint()
            return [self.value(head & 0x0F) for _ in range(count)]
        assert kind == 12, kind
        return self.struct()

    def struct(self) -> dict[int, Any]:
        found: dict[int, Any] = {}
        last = 0
        while head := self.byte():
            last += head >> 4
            found[last] = self.value(head & 0x0F)
        return found


def read(content: bytes) -> list[dict[str, Any]]:
    assert content[:4] == content[-4:] == b"PAR1"
    (length,) = struct.unpack("<I", content[-8:-4])
    reader = Compact(content, len(content) - 8 - length)
    meta = reader.struct()
    assert reader.at == len(content) - 8
    root, *elements = meta[2]
    (group,) = meta[4]
    assert root[5] == len(elements) == len(group[1])
    assert meta[3] == group[3]
    columns = {}
    for element, chunk in zip(elements, group[1], strict=True):
        described = chunk[3]
        assert (element[3], described[4], described[1]) == (1, 0, element[1])
        assert described[3] == [element[4]]
        columns[element[4].decode()] = list(values(content, described))
    return [{name: column[row] for name, column in columns.items()} for row in range(meta[3])]


def values(content: bytes, described: dict[int, Any]) -> Iterator[Any]:
    reader = Compact(content, described[9])
    header = reader.struct()
    data = header[5]
    assert (header[1], data[1], data[2], data[3]) == (0, described[5], 0, 3)
    page = content[reader.at : reader.at + header[3]]
    assert reader.at + header[3] == described[9] + described[7]
    (size,) = struct.unpack("<I", page[:4])
    levels = Compact(page, 4)
    there: list[int] = []
    while levels.at < 4 + size:
        run = levels.varint()
        assert not run & 1
        there += [levels.byte()] * (run >> 1)
    assert len(there) == data[1]
    body, seen = page[4 + size :], 0
    for is_there in there:
        if not is_there:
            yield None
        elif described[1] == BOOLEAN:
            yield bool(body[seen // 8] >> seen % 8 & 1)
            seen += 1
        elif described[1] in (INT64, DOUBLE):
            yield struct.unpack("<q" if described[1] == INT64 else "<d", body[:8])[0]
            body = body[8:]
        else:
            (length,) = struct.unpack("<I", body[:4])
            yield body[4 : 4 + length].decode()
            body = body[4 + length :]


def test_a_table_reads_back_with_its_types_and_its_holes() -> None:
    rows: list[dict[str, Value]] = [
        {"a": 1, "b": True, "c": "é", "d": 1.5},
        {"a": None, "b": False, "d": 2, "e": "x"},
        {"a": -(1 << 40)},
    ]
    found = read(parquet_bytes(rows))
    assert found == [
        {"a": 1, "b": True, "c": "é", "d": 1.5, "e": None},
        {"a": None, "b": False, "c": None, "d": 2.0, "e": "x"},
        {"a": -(1 << 40), "b": None, "c": None, "d": None, "e": None},
    ]
    assert isinstance(found[1]["d"], float)


def test_many_columns_and_rows_and_none_at_all() -> None:
    assert read(parquet_bytes([])) == []
    rows = [{f"c{column}": row * column for column in range(40)} for row in range(300)]
    assert read(parquet_bytes(rows)) == rows


def test_a_mixture_of_kinds_is_text_and_an_empty_column_is_too() -> None:
    assert read(parquet_bytes([{"a": 1, "b": None}, {"a": "x", "b": None}, {"a": True, "b": None}])) == [
        {"a": "1", "b": None},
        {"a": "x", "b": None},
        {"a": "True", "b": None},
    ]


# What a column may hold: of one kind each, with holes.
KINDS: list[st.SearchStrategy[Any]] = [
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False),
    st.booleans(),
    st.text(),
]


@pytest.mark.parametrize("kind", range(len(KINDS)))
@settings(max_examples=25)
@given(data=st.data())
def test_any_column_reads_back(kind: int, data: st.DataObject) -> None:
    column: list[Value] = data.draw(st.lists(st.none() | KINDS[kind], max_size=40))
    rows: list[dict[str, Value]] = [{"row": number, "value": value} for number, value in enumerate(column)]
    assert [row["value"] for row in read(parquet_bytes(rows))] == column
