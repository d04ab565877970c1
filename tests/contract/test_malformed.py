"""Malformed input of every kind gets a client error, and a good request right after it a good answer."""

import json
import random
from collections import Counter
from typing import Any

import pytest

from tests.contract.malformed.case import GOOD, INFER, PREDICT, TENSOR, dumped, head, message
from tests.contract.server import Server, read_to_end


def v2(**changes: Any) -> bytes:
    return message(dumped({"inputs": [{**TENSOR, **changes}]}))


def v1(text: str) -> bytes:
    return message(text.encode(), path=PREDICT)


def binary(size: str, body: bytes = GOOD) -> bytes:
    return message(body, f"Inference-Header-Content-Length: {size}", kind=None)


def chunked(body: bytes) -> bytes:
    return message(b"", "Transfer-Encoding: chunked", length=False) + body


POST = f"POST {INFER} HTTP/1.1"

CASES: dict[str, tuple[bytes, set[int]]] = {
    # framing
    "both lengths": (head(POST, "Host: h", "Content-Length: 0", "Transfer-Encoding: chunked"), {400}),
    "two lengths": (head(POST, "Host: h", "Content-Length: 5", "Content-Length: 6"), {400}),
    "negative length": (head(POST, "Host: h", "Content-Length: -1"), {400}),
    "plus length": (head(POST, "Host: h", "Content-Length: +5"), {400}),
    "overflowing length": (head(POST, "Host: h", "Content-Length: 99999999999999999999"), {400}),
    "too large a length": (head(POST, "Host: h", "Content-Length: 999999999"), {413}),
    "bad chunk size": (chunked(b"xyz\r\n"), {400}),
    "chunk extension": (chunked(b"1;a=b\r\nx\r\n0\r\n\r\n"), {400}),
    "chunk longer than it says": (chunked(b"1\r\nxyz\r\n"), {400}),
    "trailer": (chunked(b"0\r\nA: b\r\n\r\n"), {400}),
    "unknown coding": (head(POST, "Host: h", "Transfer-Encoding: gzip"), {501}),
    "bare line feeds": (b"GET /v2 HTTP/1.1\nHost: h\n\n", {400}),
    "HTTP/0.9": (b"GET /v2\r\n\r\n", {400}),
    "HTTP/9.9": (head("GET /v2 HTTP/9.9", "Host: h"), {400}),
    "HTTP/2 preface": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", {400}),
    "TLS hello": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", {400}),
    "NUL in the target": (b"GET /v2\x00 HTTP/1.1\r\nHost: h\r\n\r\n", {400}),
    "star target": (head("GET * HTTP/1.1", "Host: h"), {400}),
    "junk": (b"\x00\xff" * 100 + b"\r\n\r\n", {400}),
    "no host": (head("GET /v2 HTTP/1.1"), {400}),
    "two hosts": (head("GET /v2 HTTP/1.1", "Host: a", "Host: b"), {400}),
    "folded header": (b"GET /v2 HTTP/1.1\r\nHost: h\r\nA: b\r\n c\r\n\r\n", {400}),
    "space before colon": (head("GET /v2 HTTP/1.1", "Host : h"), {400}),
    "empty header name": (head("GET /v2 HTTP/1.1", "Host: h", ": x"), {400}),
    "unknown expectation": (message(GOOD, "Expect: more"), {400}),
    # limits
    "1 MB header": (head("GET /v2 HTTP/1.1", "Host: h", "X: " + "a" * 1_000_000), {431}),
    "100,000 headers": (head("GET /v2 HTTP/1.1", "Host: h", *["a: b"] * 100_000), {431}),
    "101 headers": (head("GET /v2 HTTP/1.1", "Host: h", *[f"a{n}: b" for n in range(100)]), {431}),
    "long target": (head("GET /" + "a" * 9000 + " HTTP/1.1", "Host: h"), {414}),
    # routes
    "unknown route": (message(path="/v3"), {404}),
    "unknown model": (message(path="/v2/models/other/infer"), {404}),
    "unknown version": (message(path="/v2/models/tiny/versions/9/infer"), {404}),
    "path traversal": (message(path="/v2/models/../../etc/passwd"), {404}),
    "escaped slash": (message(path="/v2%2Fmodels/tiny/infer"), {404}),
    "unload": (message(path="/v2/repository/models/tiny/unload"), {404}),
    "load": (message(path="/v2/repository/models/tiny/load"), {404}),
    "metrics on the data port": (message(path="/metrics", method="GET"), {404}),
    "state on the data port": (message(path="/debug/state", method="GET"), {404}),
    "wrong method": (message(method="DELETE"), {405}),
    "post to health": (message(path="/v2/health/live"), {405}),
    "get of infer": (message(b"", method="GET"), {405}),
    # headers of ours
    "wrong kind": (message(kind="text/plain"), {415}),
    "no kind": (message(path=PREDICT, kind=None), {415}),
    "form": (message(kind="multipart/form-data; boundary=x"), {415}),
    "other charset": (message(kind="application/json; charset=latin-1"), {415}),
    "compressed": (message(GOOD, "Content-Encoding: gzip"), {415}),
    "time-out of zero": (message(GOOD, "X-Podium-Timeout-Ms: 0"), {400}),
    "time-out of words": (message(GOOD, "X-Podium-Timeout-Ms: soon"), {400}),
    "json length negative": (binary("-1"), {400}),
    "json length beyond": (binary("99999"), {400}),
    "json length of words": (binary("all"), {400}),
    "bytes that belong to nothing": (binary(str(len(GOOD)), GOOD + b"1234"), {400}),
    # JSON
    "empty": (message(b""), {400}),
    "cut": (message(GOOD[:-1]), {400}),
    "bad UTF-8": (message(b'{"inputs":"\xff"}'), {400}),
    "byte order mark": (message(b"\xef\xbb\xbf" + GOOD), {400}),
    "NaN": (v2(data=[0, 1, 2, float("nan")]), {400}),
    "Infinity": (v2(data=[0, 1, 2, float("inf")]), {400}),
    "trailing bytes": (message(GOOD + b"x"), {400}),
    "duplicate keys": (message(b'{"inputs":[],"inputs":[]}'), {400}),
    "wrong top": (message(b"[]"), {400}),
    "deep": (message(b"[" * 10_000), {400}),
    "deep and closed": (message(b"[" * 101 + b"]" * 101), {400}),
    "long number": (message(b'{"inputs":' + b"9" * 10_000 + b"}"), {400}),
    "1e400": (v1('{"instances":[[1e400,0,0,0]]}'), {400}),
    "too many objects": (message(b"[" + b"{}," * 11_000 + b"{}]"), {400}),
    # meaning
    "no inputs": (message(b'{"inputs":[]}'), {400}),
    "extra input": (message(dumped({"inputs": [TENSOR, TENSOR]})), {400}),
    "other name": (v2(name="y"), {400}),
    "empty shape": (v2(shape=[]), {400}),
    "negative shape": (v2(shape=[-1, 4]), {400}),
    "shape of floats": (v2(shape=[1.0, 4]), {400}),
    "shape of texts": (v2(shape=["1", 4]), {400}),
    "shape beyond 64 bits": (v2(shape=[2**64 + 32, 4]), {400}),
    "shape of too many items": (v2(shape=[9, 4]), {400}),
    "shape that is not the data's": (v2(shape=[2, 4]), {400}),
    "unknown datatype": (v2(datatype="FP31"), {400}),
    "lower case datatype": (v2(datatype="fp32"), {400}),
    "texts for numbers": (v2(data=["0", "1", "2", "3"]), {400}),
    "mixed types": (v2(data=[0, True, 2, 3]), {400}),
    "null": (v2(data=[0, None, 2, 3]), {400}),
    "ragged": (v2(data=[[0, 1], [2]]), {400}),
    "10,000 outputs": (
        message(dumped({"inputs": [TENSOR], "outputs": [{"name": "logits"}] * 10_000})),
        {400, 413},
    ),
    "huge id": (message(dumped({"inputs": [TENSOR], "id": "i" * 60_000})), {400, 413}),
    "values too large": (v1('{"instances":[[3e38,-3e38,3e38,-3e38]]}'), {400}),
    "values too large for v2": (v2(data=[3e38, -3e38, 3e38, -3e38]), {400}),
    "no instances": (v1("{}"), {400}),
    "image to a model of vectors": (message(b"\xff\xd8\xff", path=PREDICT, kind="image/jpeg"), {400}),
    "base64 to a model of vectors": (v1('{"instances":[{"b64":"AAAA"}]}'), {400}),
}


@pytest.mark.parametrize("name", CASES)
def test_malformed_input_is_refused_and_the_server_goes_on(server: Server, name: str) -> None:
    data, expected = CASES[name]
    answer = server.raw(data)
    line, _, rest = answer.partition(b"\r\n")
    assert line.startswith(b"HTTP/1.1 "), answer[:200]
    assert int(line.split()[1]) in expected, answer[:400]
    error = json.loads(rest.partition(b"\r\n\r\n")[2])
    assert set(error) == {"error", "code", "id"}
    for leak in ("Traceback", "Error(", "/", "0x", "predictors"):
        assert leak not in error["error"].replace("/v2", "")
    assert server.is_good()


def test_there_are_enough_cases() -> None:
    assert len(CASES) >= 60


def test_the_good_message_is_good(server: Server) -> None:
    """The control: what the cases above break is accepted whole."""
    assert server.raw(message()).startswith(b"HTTP/1.1 200 OK")
    assert server.raw(v1('{"instances":[[1,0,0,0]]}')).startswith(b"HTTP/1.1 200 OK")
    assert server.raw(binary(str(len(GOOD)))).startswith(b"HTTP/1.1 200 OK")
    good = chunked(b"%x\r\n%s\r\n0\r\n\r\n" % (len(GOOD), GOOD))
    assert server.raw(good).startswith(b"HTTP/1.1 200 OK")
    assert server.raw(message(GOOD, "X-Podium-Timeout-Ms: 9000")).startswith(b"HTTP/1.1 200 OK")


def mutated(message: bytes, chance: random.Random) -> bytes:
    data = bytearray(message)
    for _ in range(chance.randint(1, 4)):
        place = chance.randrange(len(data))
        match chance.randrange(4):
            case 0:
                data[place] ^= 1 << chance.randrange(8)
            case 1:
                del data[place : place + chance.randint(1, 8)]
            case 2:
                data[place:place] = data[place : place + chance.randint(1, 40)]
            case _:
                data[place:place] = chance.randbytes(chance.randint(1, 8))
        data = data or bytearray(b" ")
    return bytes(data)


def test_mutations_of_good_messages_are_never_our_fault(server: Server) -> None:
    chance = random.Random(20)
    good = [message(), v1('{"instances":[[1,0,0,0]]}'), binary(str(len(GOOD)))]
    before = server.state()["rss_bytes"]
    statuses: Counter[int] = Counter()
    for _ in range(300):
        answer = server.raw(mutated(chance.choice(good), chance), timeout_s=0.2)
        statuses[int(answer.split(b" ", 2)[1]) if answer else 0] += 1
    assert server.is_good()
    assert all(status < 500 or status == 501 for status in statuses), statuses
    assert statuses[200] > 10, "some mutations are harmless"
    assert statuses[400] > 100
    assert server.state()["rss_bytes"] - before < 20 << 20


@pytest.mark.parametrize("share", [0.01, 0.3, 0.5, 0.9, 0.99])
def test_a_cut_image_is_refused(pictures: Server, share: float) -> None:
    from tests.artifacts import jpeg

    whole = jpeg(4, size=200, form="PNG")
    answer = pictures.ask(
        "POST", "/v1/models/tinyimg:predict", whole[: int(len(whole) * share)], {"content-type": "image/png"}
    )
    assert (answer.status, answer.json["code"]) == (400, "invalid_input")


def test_a_body_beyond_the_limit_is_refused_before_it_is_read(server: Server) -> None:
    with server.connect() as connection:
        connection.sendall(f"{POST}\r\nHost: h\r\nContent-Length: {1 << 30}\r\n\r\n".encode() + b"x" * 1000)
        assert read_to_end(connection).startswith(b"HTTP/1.1 413 ")
    assert server.is_good()


def test_an_endless_chunked_body_is_refused_at_the_limit(server: Server) -> None:
    before = server.state()["rss_bytes"]
    block = b"10000\r\n" + b"x" * 0x10000 + b"\r\n"
    with server.connect() as connection:
        connection.sendall(f"{POST}\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n".encode())
        sent = 0
        try:
            while sent < 64 << 20:
                connection.sendall(block)
                sent += len(block)
        except (BrokenPipeError, ConnectionResetError):
            pass
        assert sent < 64 << 20, "the server read all that was sent"
    assert server.is_good()
    assert server.state()["rss_bytes"] - before < 20 << 20


def test_a_flood_of_tiny_chunks_is_refused(server: Server) -> None:
    answer = server.raw(chunked(b"1\r\nx\r\n" * 100_000))
    assert answer.startswith(b"HTTP/1.1 400 ") or answer == b""
    assert server.is_good()
