"""Groups A (framing), B (headers) and I (multipart): what no HTTP server should have to guess."""

import gzip
import random
import zlib
from typing import Any

from tests.contract.malformed.case import CUT, GOOD, INFER, PREDICT, Case, head, message, numbered

__all__ = ["forms", "framing", "headers"]

POST = f"POST {INFER} HTTP/1.1"
ROUTES = {
    "GET": (
        *("/v2", "/v2/health/live", "/v2/health/ready", "/v2/models", "/v1/models"),
        *("/v1/models/tiny", "/v2/models/tiny", "/v2/models/tiny/ready", "/v2/models/tiny/versions/1"),
    ),
    "POST": (PREDICT, INFER, "/v2/models/tiny/versions/1/infer"),
}


def chunked(body: bytes) -> bytes:
    """Write a request with a chunked body as it is."""
    return message(b"", "Transfer-Encoding: chunked", length=False) + body


def framing() -> list[Case]:
    """Group A."""
    lengths = ("-1", "+5", "0x5", "5 5", "5,5", "5;5", "", "99999999999999999999", "1e3", "5.0", "--5", "5-", "\xb5")
    cases: list[tuple[Any, ...]] = [
        (f"length {value!r}", head(POST, "Host: h", f"Content-Length: {value}")) for value in lengths
    ]
    cases += [
        ("length, then chunked", head(POST, "Host: h", "Content-Length: 0", "Transfer-Encoding: chunked")),
        ("chunked, then length", head(POST, "Host: h", "Transfer-Encoding: chunked", "Content-Length: 5")),
        ("two lengths", head(POST, "Host: h", "Content-Length: 5", "Content-Length: 6")),
        ("two equal lengths", head(POST, "Host: h", "Content-Length: 5", "Content-Length: 5")),
        ("chunked in HTTP/1.0", head(f"POST {INFER} HTTP/1.0", "Host: h", "Transfer-Encoding: chunked")),
        ("two transfer codings", head(POST, "Host: h", "Transfer-Encoding: chunked", "Transfer-Encoding: chunked")),
        ("too large a length", head(POST, "Host: h", "Content-Length: 999999999"), {413}),
        ("far too large a length", head(POST, "Host: h", "Content-Length: 999999999999999"), {413}),
        ("large chunk", chunked(b"FFFFFFFF\r\n"), {413}),
    ]
    sizes = (
        b"xyz",
        b"-1",
        b"0x5",
        b" 5",
        b"5 ",
        b"+5",
        b"fffffffff",
        b"",
        b"5;ext",
        b"5;a=b",
        b"5\n",
        b"5 ;q",
        b"\x00",
    )
    cases += [(f"chunk size {size!r}", chunked(size + b"\r\nhello\r\n0\r\n\r\n")) for size in sizes]
    cases += [
        ("chunk longer than it says", chunked(b"1\r\nxyz\r\n")),
        ("chunk without its end", chunked(b"5\r\nhelloX\r\n0\r\n\r\n")),
        ("chunks end in junk", chunked(b"0\r\njunk\r\n\r\n")),
        ("trailer", chunked(b"0\r\nA: b\r\n\r\n")),
        ("length in a trailer", chunked(b"0\r\nContent-Length: 5\r\n\r\n")),
        ("bare line feeds", b"GET /v2 HTTP/1.1\nHost: h\n\n"),
        ("one bare line feed", b"GET /v2 HTTP/1.1\r\nHost: h\nA: b\r\n\r\n"),
        ("bare carriage return", b"GET /v2 HTTP/1.1\r\nHost: h\rA: b\r\n\r\n"),
        ("leading empty lines", b"\r\n\r\nGET /v2 HTTP/1.1\r\nHost: h\r\n\r\n"),
        ("HTTP/0.9", b"GET /v2\r\n\r\n"),
        ("lower-case version", head("GET /v2 http/1.1", "Host: h")),
        ("no version", head("GET /v2 HTTP/", "Host: h")),
        ("no method", head(" /v2 HTTP/1.1", "Host: h")),
        ("two spaces", head("GET  /v2 HTTP/1.1", "Host: h")),
        ("a space in the target", head("GET /v2 /x HTTP/1.1", "Host: h")),
        ("tab for a space", head("GET\t/v2\tHTTP/1.1", "Host: h")),
        ("HTTP/2 preface", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
        ("TLS hello", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n"),
        ("NUL in the target", b"GET /v2\x00 HTTP/1.1\r\nHost: h\r\n\r\n"),
        ("NUL in a header", b"GET /v2 HTTP/1.1\r\nHost: h\x00\r\n\r\n"),
        ("NUL in the method", b"G\x00T /v2 HTTP/1.1\r\nHost: h\r\n\r\n"),
        ("junk", b"\x00\xff" * 100 + b"\r\n\r\n"),
        ("no host", head("GET /v2 HTTP/1.1")),
        ("two hosts", head("GET /v2 HTTP/1.1", "Host: a", "Host: b")),
        ("upgrade on an unknown route", message(b"", "Upgrade: h2c", path="/v3", method="GET"), {404}),
        ("websocket on an unknown route", message(b"", "Upgrade: websocket", path="/ws", method="GET"), {404}),
        ("pipelined junk", b"GET /v2 HTTP/1.1\r\nHost: h\r\n\r\n\x00\x01\x02\r\n\r\n"),
        ("pipelined second head cut in two", head("GET /v2 HTTP/1.1", "Host: h") + b"GET /v2\r\nHost: h\r\n\r\n"),
        (
            "a body that is no request",
            message(b"", method="GET", path="/v2", kind=None).replace(b"close", b"keep") + b"{}\r\n\r\n",
        ),
    ]
    cases += [
        (f"version {version}", head(f"GET /v2 HTTP/{version}", "Host: h")) for version in ("9.9", "1.2", "2", "1.10")
    ]
    no_path = ("*", "v2", "http://h", "https://h/v2", "ftp://h/v2", "/v2#x", "http:///v2", "\\v2", "?x", "h:80")
    cases += [(f"target {target}", head(f"GET {target} HTTP/1.1", "Host: h")) for target in no_path]
    no_route = (
        *(
            "/v2/../v2",
            "//v2",
            "/v2/",
            "/%2e%2e/v2",
            "/v2%2Fmodels",
            "/v2/models/..",
            "/v2%00",
            "/v2/models/%2e%2e/infer",
        ),
        *("/V2", "/v2/models/tiny/../tiny", "http://other/v3", "/v2;x", "/./v2"),
    )
    cases += [(f"target {target}", message(b"", path=target, method="GET"), {404}) for target in no_route]
    cases += [("target above the limit", head("GET /" + "a" * 9000 + " HTTP/1.1", "Host: h"), {414})]
    found = numbered("A", cases, 400)
    cuts = (
        message()[:-3],
        message()[: len(message()) // 2],
        b"GET /v2 HTTP/1.1\r\nHost: h",
        chunked(b"5\r\nhel"),
        chunked(b"5\r\nhello\r\n"),
    )
    found += numbered("A", [(f"cut {number}", data) for number, data in enumerate(cuts)], CUT, 400, ends=True)
    wrong = [
        (method, path)
        for right, paths in ROUTES.items()
        for path in paths
        for method in ("PUT", "DELETE", "GET", "PATCH")
        if method != right
    ]
    methods = [(f"{method} {path}", message(b"", path=path, method=method)) for method, path in wrong]
    return found + numbered("A", methods[: 110 - len(found)], 405)


def headers() -> list[Case]:
    """Group B."""
    bomb = gzip.compress(bytes(1 << 20))
    kinds = (
        *("text/plain", "text/html", "application/xml", "application/x-www-form-urlencoded", "json", "image/gif"),
        *(
            "image/svg+xml",
            "application/json;charset=latin-1",
            "application/json, application/json",
            "*/*",
            "image/tiff",
        ),
    )
    cases: list[tuple[Any, ...]] = [(f"content type {kind}", message(path=PREDICT, kind=kind), {415}) for kind in kinds]
    codings = {
        "gzip": bomb,
        "deflate": zlib.compress(bytes(1 << 20)),
        "br": b"\x1b\xff\xff",
        "zstd": b"(\xb5/\xfd",
        "x-gzip": bomb,
    }
    codings |= {
        "gzip, gzip": gzip.compress(bomb),
        "identity, gzip": bomb,
        "compress": b"\x1f\x9d",
        "nonsense": b"{}",
        "GZIP": bomb,
    }
    cases += [(f"coding {name}", message(body, f"Content-Encoding: {name}"), {415}) for name, body in codings.items()]
    transfer = ("gzip", "chunked, gzip", "gzip, chunked", "identity", "xchunked", "chunked;q=1", "chunked chunked", "")
    cases += [
        (f"transfer coding {name!r}", head(POST, "Host: h", f"Transfer-Encoding: {name}"), {501}) for name in transfer
    ]
    expects = ("more", "100-continue, x", "200-ok", "1", "100")
    cases += [(f"expect {value}", message(GOOD, f"Expect: {value}")) for value in expects]
    sizes = ("-1", "9" * 15, "9" * 30, "1.5", "0x10", "+5", "1e3", "five", str(len(GOOD) + 1), "NaN", "")
    cases += [
        (f"JSON length {value!r}", message(GOOD, f"Inference-Header-Content-Length: {value}", kind=None))
        for value in sizes
    ]
    twice = (
        "Inference-Header-Content-Length: 5",
        "Content-Type: text/plain",
        "Content-Encoding: gzip",
        "Expect: 100-continue",
    )
    cases += [(f"twice {line}", message(GOOD, line, line)) for line in twice]
    cases += [
        ("1 MB header", head("GET /v2 HTTP/1.1", "Host: h", "X: " + "a" * 1_000_000), {431, CUT}),
        ("100,000 headers", head("GET /v2 HTTP/1.1", "Host: h", *["a: b"] * 100_000), {431, CUT}),
        ("101 headers", head("GET /v2 HTTP/1.1", "Host: h", *[f"a{n}: b" for n in range(100)]), {431}),
        ("name of 20 kB", head("GET /v2 HTTP/1.1", "Host: h", "X" * 20_000 + ": a"), {431, CUT}),
        ("empty name", head("GET /v2 HTTP/1.1", "Host: h", ": x")),
        ("no colon", head("GET /v2 HTTP/1.1", "Host: h", "nothing")),
        ("space before the colon", head("GET /v2 HTTP/1.1", "Host : h")),
        ("folded line", b"GET /v2 HTTP/1.1\r\nHost: h\r\nA: b\r\n c\r\n\r\n"),
        ("tab-folded line", b"GET /v2 HTTP/1.1\r\nHost: h\r\nA: b\r\n\tc\r\n\r\n"),
        ("leading folded line", b"GET /v2 HTTP/1.1\r\n A: b\r\nHost: h\r\n\r\n"),
        ("name with a slash", head("GET /v2 HTTP/1.1", "Host: h", "a/b: c")),
        ("name beyond ASCII", head("GET /v2 HTTP/1.1", "Host: h", "\xe4: c")),
    ]
    return numbered("B", cases[:60], 400)


def forms() -> list[Case]:
    """Group I: there is no route for forms, so each of them is of a wrong type, whatever it holds."""
    chance = random.Random(70)

    def part(name: str = 'name="file"; filename="a.jpg"', body: bytes = b"x", kind: str = "image/jpeg") -> bytes:
        return b"--b\r\nContent-Disposition: form-data; %s\r\nContent-Type: %s\r\n\r\n%s\r\n" % (
            name.encode(),
            kind.encode(),
            body,
        )

    end = b"--b--\r\n"
    names = (
        "../../etc/passwd",
        "..\\..\\x",
        "a\x00.jpg",
        "\u202egpj.exe",
        "/etc/passwd",
        "",
        "a" * 5000,
        "con",
        ".",
        "%2e%2e/x",
    )
    bodies: list[tuple[str, bytes]] = [
        (f"name {number}", part(f'name="file"; filename="{name}"') + end) for number, name in enumerate(names)
    ]
    bodies += [
        ("no part", end),
        ("empty", b""),
        ("10,000 parts", part() * 500 + end),
        ("10,000 part headers", b"--b\r\n" + b"A: b\r\n" * 8000 + b"\r\nx\r\n" + end),
        ("no file name", part('name="file"') + end),
        ("two files", part() * 2 + end),
        ("empty file", part(body=b"") + end),
        ("field for a file", part('name="text"', kind="text/plain") + end),
        ("nested", part(body=part() + end, kind="multipart/mixed; boundary=b") + end),
        ("cut", (part() + end)[:40]),
        ("wrong transfer coding", part().replace(b"\r\n\r\n", b"\r\nContent-Transfer-Encoding: base65\r\n\r\n") + end),
        ("negative length", part().replace(b"\r\n\r\n", b"\r\nContent-Length: -1\r\n\r\n") + end),
        ("no end", part()),
        ("junk", chance.randbytes(500)),
        ("binary in a head", b"--b\r\n\xff\xfe\x00: x\r\n\r\nx\r\n" + end),
    ]
    bounds = (
        "; boundary=b",
        "",
        "; boundary=",
        f"; boundary={'b' * 4000}",
        '; boundary="b',
        "; boundary=b; boundary=c",
        "; boundary=\xff",
    )
    cases = [
        (f"{name}{bound[:20]}", message(body, path=path, kind=f"multipart/form-data{bound}"))
        for bound in bounds
        for path in (PREDICT, INFER)
        for name, body in bodies
    ]
    return numbered("I", chance.sample(cases, 70), 415)
