"""However the bytes are cut, the same requests come out, and the limits hold."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from predictors.server.head import HeadReader, HttpError, WireLimits
from predictors.server.receiver import Receiver, Request

LIMITS = WireLimits(body_bytes=5000)
POST = b"POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n"
CHUNKED = b"POST /a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"


def receiver() -> Receiver:
    return Receiver(HeadReader(LIMITS))


def receive(*parts: bytes) -> list[Request]:
    """Feed the parts as a connection does: what is left over is read after each answer."""
    reader = receiver()
    found = []
    for part in parts:
        request = reader.feed(part)
        while request is not None:
            found.append(request)
            request = reader.next()
    return found


def refused(*parts: bytes) -> tuple[int, str]:
    with pytest.raises(HttpError) as caught:
        receive(*parts)
    return caught.value.status, caught.value.code


def chunks(*parts: bytes) -> bytes:
    return b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in (*parts, b""))


def test_a_whole_request_comes_out_at_once() -> None:
    (request,) = receive(POST % 5 + b"hello")
    assert request.body == b"hello"
    assert request.head.path == "/a"


def test_a_request_without_a_body_needs_no_length() -> None:
    (request,) = receive(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
    assert request.body == b""


def test_pipelined_requests_come_one_after_the_other() -> None:
    found = receive(POST % 1 + b"1" + POST % 0 + b"GET / HTTP/1.1\r\nHost: h\r\n\r\n" + POST % 2 + b"22")
    assert [request.body for request in found] == [b"1", b"", b"", b"22"]


def test_what_comes_while_an_answer_is_pending_is_kept() -> None:
    reader = receiver()
    assert reader.is_idle
    assert reader.feed(POST % 1 + b"1") is not None
    reader.keep(POST % 1)
    reader.keep(b"2")
    assert reader.buffered == len(POST % 1) + 1
    request = reader.next()
    assert request is not None
    assert request.body == b"2"
    assert reader.is_idle
    assert reader.next() is None


def test_chunks_are_joined() -> None:
    (request,) = receive(CHUNKED + chunks(b"hello", b" ", b"world"))
    assert request.body == b"hello world"


def test_an_empty_chunked_body_is_a_body() -> None:
    found = receive(CHUNKED + chunks() + POST % 1 + b"x")
    assert [request.body for request in found] == [b"", b"x"]


def test_progress_is_visible_while_a_body_comes() -> None:
    reader = receiver()
    assert reader.feed(POST % 10 + b"12345") is None
    assert reader.head is not None
    assert reader.received == 5
    assert not reader.is_idle


@pytest.mark.parametrize(
    "body",
    [
        b"z\r\n",
        b"-1\r\n",
        b" 5\r\nhello\r\n0\r\n\r\n",
        b"5 \r\nhello\r\n0\r\n\r\n",
        b"5;ext=1\r\nhello\r\n0\r\n\r\n",
        b"0x5\r\nhello\r\n0\r\n\r\n",
        b"\r\n",
        b"5\nhello\n0\n\n",
        b"5\r\nhelloX\r\n",
        b"5\r\nhello\nX",
        b"000000000005\r\nhello\r\n",
        b"0\r\nTrailer: 1\r\n\r\n",
    ],
)
def test_a_malformed_chunk_is_refused(body: bytes) -> None:
    assert refused(CHUNKED + body) == (400, "framing")


def test_a_chunked_body_stops_at_the_limit() -> None:
    assert receive(CHUNKED + chunks(b"x" * 5000))[0].body == b"x" * 5000
    assert refused(CHUNKED + chunks(b"x" * 5001)) == (413, "body_too_large")
    assert refused(CHUNKED, chunks(b"x" * 3000)[:-5], chunks(b"x" * 2001)) == (413, "body_too_large")


def test_a_size_that_lies_about_the_future_is_refused_at_once() -> None:
    assert refused(CHUNKED + b"ffffffff\r\n") == (413, "body_too_large")


def test_a_flood_of_tiny_chunks_is_refused() -> None:
    assert len(receive(CHUNKED + chunks(*[b"x"] * 1000))) == 1
    assert refused(CHUNKED + chunks(*[b"x"] * 1100)) == (400, "chunks_too_small")


@given(st.lists(st.binary(min_size=1, max_size=300), max_size=12), st.data())
def test_cutting_the_bytes_elsewhere_changes_nothing(bodies: list[bytes], data: st.DataObject) -> None:
    stream = b"".join(
        CHUNKED + chunks(body[:7], *([body[7:]] if body[7:] else [])) if number % 2 else POST % len(body) + body
        for number, body in enumerate(bodies)
    )
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=20)))
    parts = [stream[a:b] for a, b in zip([0, *cuts], [*cuts, len(stream)], strict=True) if a < b]
    assert [request.body for request in receive(*parts)] == bodies


@given(st.lists(st.binary(max_size=60), max_size=20))
def test_any_bytes_end_in_requests_or_a_client_error(parts: list[bytes]) -> None:
    status = 200
    try:
        receive(*parts)
    except HttpError as error:
        status = error.status
    assert status in (200, 400, 413, 414, 431, 501)
