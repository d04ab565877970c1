"""The bytes of an answer: status line, headers, body, and the one shape of an error body.

An error body holds a sentence, a stable code and the request's id, and nothing that tells how the server is
made: no class name, no path, no address.
"""

import os
from http import HTTPStatus

import orjson

__all__ = ["JSON", "OCTETS", "TEXT", "error_body", "head_bytes", "request_id"]

JSON = b"application/json"
OCTETS = b"application/octet-stream"
TEXT = b"text/plain; version=0.0.4; charset=utf-8"

_STATUS_LINES = {int(status): f"HTTP/1.1 {int(status)} {status.phrase}\r\n".encode("ascii") for status in HTTPStatus}


def head_bytes(status: int, kind: bytes, length: int, extra: bytes = b"", *, closes: bool = False) -> bytes:
    """Write status line and headers up to the empty line; `extra` holds whole header lines."""
    end = b"connection: close\r\n\r\n" if closes else b"\r\n"
    line = _STATUS_LINES[status]
    return b"%scontent-type: %s\r\ncontent-length: %d\r\n%s%s" % (line, kind, length, extra, end)


def error_body(code: str, sentence: str, identity: str) -> bytes:
    """Write the body of an error."""
    return orjson.dumps({"error": sentence, "code": code, "id": identity})


def request_id() -> str:
    """Make an id for a request that brought none."""
    return os.urandom(8).hex()
