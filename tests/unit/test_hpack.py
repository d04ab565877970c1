"""Headers as HTTP/2 packs them: the examples of RFC 7541, whatever a client may write, and what none may."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from predictors.server.rpc import huffman
from predictors.server.rpc.hpack import HeaderReader, HpackError, header_block

MOST = 16 << 10
FIELDS = st.lists(
    st.tuples(
        st.text("abcdefghijklmnopqrstuvwxyz-0123456789", min_size=1, max_size=20),
        st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), max_size=300),
    ),
    max_size=8,
)

# RFC 7541, appendix C.3 (without Huffman code) and C.4 (with it): three requests on one connection.
PLAIN = (
    "828684410f7777772e6578616d706c652e636f6d",
    "828684be58086e6f2d6361636865",
    "828785bf400a637573746f6d2d6b65790c637573746f6d2d76616c7565",
)
CODED = (
    "828684418cf1e3c2e5f23a6ba0ab90f4ff",
    "828684be5886a8eb10649cbf",
    "828785bf408825a849e95ba97d7f8925a849e95bb8e8b4bf",
)
EXPECTED = (
    {":method": "GET", ":scheme": "http", ":path": "/", ":authority": "www.example.com"},
    {":method": "GET", ":scheme": "http", ":path": "/", ":authority": "www.example.com", "cache-control": "no-cache"},
    {
        ":method": "GET",
        ":scheme": "https",
        ":path": "/index.html",
        ":authority": "www.example.com",
        "custom-key": "custom-value",
    },
)


def told(fields: list[tuple[bytes, bytes]]) -> dict[str, str]:
    return {name.decode(): value.decode() for name, value in fields}


@pytest.mark.parametrize("blocks", [PLAIN, CODED])
def test_the_examples_of_the_standard_are_read(blocks: tuple[str, ...]) -> None:
    reader = HeaderReader(MOST)
    assert [told(reader.read(bytes.fromhex(block))) for block in blocks] == list(EXPECTED)


@given(FIELDS)
def test_what_is_written_is_read(fields: list[tuple[str, str]]) -> None:
    found = HeaderReader(1 << 20).read(header_block(fields))
    assert [(name.decode(), value.decode("latin-1")) for name, value in found] == fields


@given(st.binary(max_size=200))
def test_every_text_has_a_code(text: bytes) -> None:
    assert huffman.decode(huffman.encode(text)) == text


@given(st.binary(max_size=60))
def test_bytes_that_are_no_block_are_refused_or_read_but_nothing_else(block: bytes) -> None:
    reader = HeaderReader(MOST)
    for _ in range(2):
        try:
            reader.read(block)
        except HpackError:
            continue


def test_a_block_that_repeats_means_the_same_only_while_the_table_is_the_same() -> None:
    reader = HeaderReader(MOST)
    indexed = b"\xbe"
    first = b"\x40\x01a\x01b"
    second = b"\x40\x01c\x01d"
    reader.read(first)
    assert told(reader.read(indexed)) == told(reader.read(indexed)) == {"a": "b"}
    reader.read(second)
    assert told(reader.read(indexed)) == {"c": "d"}


def test_the_table_forgets_the_oldest_and_may_be_made_smaller() -> None:
    reader = HeaderReader(MOST)
    for number in range(200):
        reader.read(b"\x40\x04%04d\x1e" % number + b"v" * 30)
    assert told(reader.read(b"\xbe")) == {"0199": "v" * 30}
    with pytest.raises(HpackError):
        reader.read(b"\xff\x80\x01")
    reader.read(b"\x20")
    with pytest.raises(HpackError):
        reader.read(b"\xbe")


@pytest.mark.parametrize(
    "block",
    [
        b"\x80",
        b"\xbe",
        b"\xff" * 50,
        b"\x00",
        b"\x00\x05ab",
        b"\x82\x20",
        b"\x3f\xe2\x1f",
        b"\x00\x01a\x85\xff\xff\xff\xff\xff",
        b"\x00\x01a\x81\x00",
        b"\x00\x01a\x82\xff\xff",
        b"\x00\x01a\x7f\xff\xff\xff\xff\xff\x01",
    ],
)
def test_a_block_that_is_none_is_refused(block: bytes) -> None:
    with pytest.raises(HpackError):
        HeaderReader(MOST).read(block)


def test_headers_above_the_limit_are_refused() -> None:
    fields = [("a", "b" * 100)] * 5
    assert len(HeaderReader(5 * 133).read(header_block(fields))) == 5
    with pytest.raises(HpackError, match="above 664 bytes"):
        HeaderReader(5 * 133 - 1).read(header_block(fields))
