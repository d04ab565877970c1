"""A head has one reading or none."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from predictors.server.head import Head, HeadReader, HttpError, WireLimits

LIMITS = WireLimits(head_bytes=2048, target_bytes=256, headers=10, body_bytes=1000)


def read(*lines: str) -> Head:
    return HeadReader(LIMITS).read("\r\n".join(lines).encode("latin-1"))


def refused(*lines: str) -> tuple[int, str]:
    with pytest.raises(HttpError) as caught:
        read(*lines)
    return caught.value.status, caught.value.code


def test_a_usual_head_is_read() -> None:
    head = read(
        "POST /v2/models/m/infer?a=b HTTP/1.1", "Host: h:80", "Content-Length: 12", "X-Thing:  a b \t", "x-thing:c"
    )
    assert (head.method, head.path, head.query) == ("POST", "/v2/models/m/infer", "a=b")
    assert head.length == 12
    assert head.headers["x-thing"] == "a b, c"
    assert head.keeps_alive
    assert not head.is_chunked
    assert not head.expects_continue


def test_a_head_that_repeats_is_read_once() -> None:
    reader = HeadReader(LIMITS)
    raw = b"GET / HTTP/1.1\r\nHost: h"
    assert reader.read(raw) is reader.read(raw)


def test_the_memory_of_heads_is_bounded() -> None:
    reader = HeadReader(LIMITS)
    for number in range(1000):
        reader.read(b"GET /%d HTTP/1.1\r\nHost: h" % number)
    assert len(reader._known) <= 256
    reader.read(b"GET / HTTP/1.1\r\nHost: h\r\nX: " + b"a" * 1100)
    assert all(len(raw) <= 1024 for raw in reader._known)


@pytest.mark.parametrize(
    ("line", "keeps_alive"),
    [
        ("GET / HTTP/1.1", True),
        ("GET / HTTP/1.0", False),
    ],
)
def test_the_version_decides_whether_a_connection_stays(line: str, keeps_alive: bool) -> None:
    assert read(line, "Host: h").keeps_alive is keeps_alive


def test_the_connection_header_decides_before_the_version() -> None:
    assert not read("GET / HTTP/1.1", "Host: h", "Connection: Upgrade, CLOSE").keeps_alive
    assert read("GET / HTTP/1.0", "Connection: keep-alive").keeps_alive


def test_an_absolute_target_is_taken_by_its_path() -> None:
    assert read("GET http://other:1/v2?x HTTP/1.1", "Host: h").path == "/v2"


def test_chunked_and_expect_are_noticed() -> None:
    head = read("POST / HTTP/1.1", "Host: h", "Transfer-Encoding: Chunked", "Expect: 100-Continue")
    assert head.is_chunked
    assert head.expects_continue


@pytest.mark.parametrize(
    "line",
    [
        "GET / HTTP/2.0",
        "GET / HTTP/0.9",
        "GET / HTTP/9.9",
        "GET /",
        "GET  / HTTP/1.1",
        "GET / HTTP/1.1 ",
        " GET / HTTP/1.1",
        "G(T / HTTP/1.1",
        "GET /\x00 HTTP/1.1",
        "GET /\x7f HTTP/1.1",
        "GET /caf\xe9 HTTP/1.1",
        "GET v2 HTTP/1.1",
        "GET * HTTP/1.1",
        "GET /a#b HTTP/1.1",
        "GET https://h/v2 HTTP/1.1",
        "PRI * HTTP/2.0",
    ],
)
def test_a_malformed_request_line_is_refused(line: str) -> None:
    assert refused(line, "Host: h")[0] == 400


@pytest.mark.parametrize(
    "header",
    [
        ": empty",
        "Name : space before the colon",
        " folded: line",
        "X: a\x00b",
        "X: a\nY: b",
        "X: a\rY: b",
        "no colon",
        "X\xe9: a",
        "Content-Length: -1",
        "Content-Length: +5",
        "Content-Length: 5, 5",
        "Content-Length: 0x5",
        "Content-Length: 99999999999999999999",
        "Content-Length:",
        "Host: again",
        "Expect: 200-ok",
    ],
)
def test_a_malformed_header_is_refused(header: str) -> None:
    assert refused("POST / HTTP/1.1", "Host: h", header)[0] == 400


@pytest.mark.parametrize(
    "headers",
    [
        ("Content-Length: 5", "Transfer-Encoding: chunked"),
        ("Content-Length: 5", "Content-Length: 5"),
        ("Content-Length: 5", "Content-Length: 6"),
        ("Content-Type: a/b", "Content-Type: c/d"),
    ],
)
def test_two_readings_of_one_message_are_refused(headers: tuple[str, ...]) -> None:
    assert refused("POST / HTTP/1.1", "Host: h", *headers)[0] == 400


def test_chunks_on_an_old_version_are_refused() -> None:
    assert refused("POST / HTTP/1.0", "Host: h", "Transfer-Encoding: chunked") == (400, "framing")


@pytest.mark.parametrize("coding", ["gzip", "gzip, chunked", "chunked, chunked", "identity", "xchunked", ""])
def test_another_transfer_coding_is_not_implemented(coding: str) -> None:
    assert refused("POST / HTTP/1.1", "Host: h", f"Transfer-Encoding: {coding}") == (501, "transfer_coding")


def test_host_must_be_there() -> None:
    assert refused("GET / HTTP/1.1") == (400, "no_host")
    assert refused("GET / HTTP/1.1", "Host:") == (400, "no_host")
    assert read("GET / HTTP/1.0").path == "/"


def test_limits_have_their_own_codes() -> None:
    assert refused("GET /" + "a" * 300 + " HTTP/1.1", "Host: h")[0] == 414
    assert refused("GET / HTTP/1.1", *["a: b"] * 11)[0] == 431
    assert refused("GET / HTTP/1.1", "Host: h", "X: " + "a" * 3000)[0] == 431
    assert refused("POST / HTTP/1.1", "Host: h", "Content-Length: 1001") == (413, "body_too_large")
    assert read("POST / HTTP/1.1", "Host: h", "Content-Length: 1000").length == 1000


@pytest.mark.parametrize(
    ("part", "status"),
    [
        (b"GET / HTTP/1.1\nHost: h\n\n", 400),
        (b"\r\nGET / HTTP/1.1", 400),
        (b"GET /" + b"a" * 300, 414),
        (b"GET / HTTP/1.1\r\nX: " + b"a" * 3000, 431),
    ],
)
def test_what_cannot_become_right_is_refused_before_it_ends(part: bytes, status: int) -> None:
    with pytest.raises(HttpError) as caught:
        HeadReader(LIMITS).check_part(part)
    assert caught.value.status == status


def test_a_good_beginning_may_go_on() -> None:
    HeadReader(LIMITS).check_part(b"GET / HTTP/1.1\r\nHost: h\r\n")


@given(st.binary(max_size=400))
def test_any_bytes_are_read_or_refused_with_a_client_error(raw: bytes) -> None:
    status = 200
    try:
        HeadReader(LIMITS).read(raw)
    except HttpError as error:
        status = error.status
    assert status in (200, 400, 413, 414, 431, 501)


TOKEN = st.text("abcXYZ019-_!", min_size=1, max_size=12)
VALUE = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), max_size=20)


@given(st.dictionaries(TOKEN.map(lambda name: "x" + name.lower()), VALUE, max_size=8))
def test_every_well_formed_header_arrives_as_sent(headers: dict[str, str]) -> None:
    head = read("GET / HTTP/1.1", "Host: h", *(f"{name}:{value}" for name, value in headers.items()))
    assert {name: value for name, value in head.headers.items() if name != "host"} == headers
