"""Headers of HTTP/2 (HPACK, RFC 7541): read with all that a client may do, written as plainly as can be.

A block that changes nothing in the dynamic table is a pure function of its bytes and of the table, so one that
repeats is read once; every call of a client but its first is such a block. Ours are literals that no table keeps:
they are the same bytes for every call of a kind, and are made once.
"""

from collections import deque
from collections.abc import Iterable
from typing import Final

from predictors.server.rpc import huffman

__all__ = ["HeaderReader", "HpackError", "header_block"]

Field = tuple[bytes, bytes]

_STATIC: Final[tuple[Field, ...]] = tuple(
    (name.encode(), value.encode())
    for name, value in (
        (":authority", ""),
        (":method", "GET"),
        (":method", "POST"),
        (":path", "/"),
        (":path", "/index.html"),
        (":scheme", "http"),
        (":scheme", "https"),
        (":status", "200"),
        (":status", "204"),
        (":status", "206"),
        (":status", "304"),
        (":status", "400"),
        (":status", "404"),
        (":status", "500"),
        ("accept-charset", ""),
        ("accept-encoding", "gzip, deflate"),
        ("accept-language", ""),
        ("accept-ranges", ""),
        ("accept", ""),
        ("access-control-allow-origin", ""),
        ("age", ""),
        ("allow", ""),
        ("authorization", ""),
        ("cache-control", ""),
        ("content-disposition", ""),
        ("content-encoding", ""),
        ("content-language", ""),
        ("content-length", ""),
        ("content-location", ""),
        ("content-range", ""),
        ("content-type", ""),
        ("cookie", ""),
        ("date", ""),
        ("etag", ""),
        ("expect", ""),
        ("expires", ""),
        ("from", ""),
        ("host", ""),
        ("if-match", ""),
        ("if-modified-since", ""),
        ("if-none-match", ""),
        ("if-range", ""),
        ("if-unmodified-since", ""),
        ("last-modified", ""),
        ("link", ""),
        ("location", ""),
        ("max-forwards", ""),
        ("proxy-authenticate", ""),
        ("proxy-authorization", ""),
        ("range", ""),
        ("referer", ""),
        ("refresh", ""),
        ("retry-after", ""),
        ("server", ""),
        ("set-cookie", ""),
        ("strict-transport-security", ""),
        ("transfer-encoding", ""),
        ("user-agent", ""),
        ("vary", ""),
        ("via", ""),
        ("www-authenticate", ""),
    )
)
_TABLE_BYTES: Final = 4096
_ENTRY_BYTES: Final = 32
_CACHED_BLOCKS: Final = 64
_CACHED_BYTES: Final = 256


class HpackError(ValueError):
    """A block is none, or more than is taken; the connection is of no use after it."""


class HeaderReader:
    """Reads the blocks of one connection, in order."""

    def __init__(self, max_bytes: int) -> None:
        """Take the most bytes that the fields of one block may have, with 32 for each."""
        self._max_bytes = max_bytes
        self._table: deque[Field] = deque()
        self._size = 0
        self._limit = _TABLE_BYTES
        self._known: dict[bytes, list[Field]] = {}

    def read(self, block: bytes) -> list[Field]:
        """Read a block.

        Raises:
            HpackError: It is malformed, or its fields are too large together.
        """
        known = self._known.get(block)
        if known is not None:
            return known
        try:
            fields, is_pure = self._parse(block)
        except (IndexError, huffman.HuffmanError) as error:
            raise HpackError("a header block is malformed") from error
        if not is_pure:
            self._known.clear()
        elif len(block) <= _CACHED_BYTES and len(self._known) < _CACHED_BLOCKS:
            self._known[block] = fields
        return fields

    def _parse(self, block: bytes) -> tuple[list[Field], bool]:
        fields: list[Field] = []
        size = place = 0
        is_pure = True
        while place < len(block):
            first = block[place]
            if first & 0x80:
                index, place = _number(block, place, 7)
                field = self._at(index)
            elif first & 0x60 == 0x20:
                limit, place = _number(block, place, 5)
                if limit > _TABLE_BYTES or fields:
                    raise HpackError("the table's size is changed where it may not be")
                self._limit, is_pure = limit, False
                self._evict()
                continue
            else:
                is_kept = bool(first & 0x40)
                index, place = _number(block, place, 6 if is_kept else 4)
                if index:
                    name = self._at(index)[0]
                else:
                    name, place = _text(block, place, self._max_bytes)
                value, place = _text(block, place, self._max_bytes)
                field = name, value
                if is_kept:
                    is_pure = False
                    self._keep(field)
            size += len(field[0]) + len(field[1]) + _ENTRY_BYTES
            if size > self._max_bytes:
                raise HpackError(f"the headers are above {self._max_bytes} bytes")
            fields.append(field)
        return fields, is_pure

    def _at(self, index: int) -> Field:
        if index <= 0:
            raise IndexError(index)
        return _STATIC[index - 1] if index <= len(_STATIC) else self._table[index - len(_STATIC) - 1]

    def _keep(self, field: Field) -> None:
        self._table.appendleft(field)
        self._size += len(field[0]) + len(field[1]) + _ENTRY_BYTES
        self._evict()

    def _evict(self) -> None:
        while self._size > self._limit:
            name, value = self._table.pop()
            self._size -= len(name) + len(value) + _ENTRY_BYTES


def _number(block: bytes, place: int, bits: int) -> tuple[int, int]:
    """Read a number whose first byte has so many bits of it; give it and the place behind it."""
    most = (1 << bits) - 1
    value = block[place] & most
    place += 1
    if value < most:
        return value, place
    for shift in range(0, 28, 7):
        byte = block[place]
        place += 1
        value += (byte & 0x7F) << shift
        if byte < 0x80:
            return value, place
    raise HpackError("a number in a header block is too large")


def _text(block: bytes, place: int, most: int) -> tuple[bytes, int]:
    is_huffman = bool(block[place] & 0x80)
    size, place = _number(block, place, 7)
    end = place + size
    if end > len(block) or size > most:
        raise HpackError("a text in a header block is longer than the block")
    text = block[place:end]
    return huffman.decode(text) if is_huffman else text, end


def header_block(fields: Iterable[tuple[str, str]]) -> bytes:
    """Write fields as literals that no table keeps; values are printable ASCII."""
    return b"".join(
        b"\x00" + _literal(name.encode("ascii")) + _literal(value.encode("latin-1")) for name, value in fields
    )


def _literal(text: bytes) -> bytes:
    size = len(text)
    if size < 127:
        return bytes((size,)) + text
    size -= 127
    head = bytearray(b"\x7f")
    while size >= 128:
        head.append(size & 0x7F | 0x80)
        size >>= 7
    head.append(size)
    return bytes(head) + text
