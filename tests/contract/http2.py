"""Frames of HTTP/2 by hand, for what no client library would send."""

import socket
import struct

__all__ = ["PREFACE", "ask", "connect", "data", "frame", "header_block", "headers", "opened", "read_all"]

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RESET, SETTINGS, PING, GOAWAY, WINDOW, CONTINUATION = 0, 1, 3, 4, 6, 7, 8, 9
END_STREAM, ACK, END_HEADERS = 1, 1, 4


def frame(kind: int, body: bytes = b"", *, flags: int = 0, stream: int = 0, length: int | None = None) -> bytes:
    """Write a frame; `length` where it is to say another than its own."""
    size = len(body) if length is None else length
    return struct.pack(">I", size)[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + body


def header_block(fields: dict[str, str]) -> bytes:
    """Write headers as literals that are not indexed."""

    def text(value: str) -> bytes:
        raw = value.encode()
        size = len(raw)
        if size < 127:
            return bytes([size]) + raw
        rest, more = size - 127, b"\x7f"
        while rest >= 128:
            more += bytes([rest % 128 + 128])
            rest //= 128
        return more + bytes([rest]) + raw

    return b"".join(b"\x00" + text(name) + text(value) for name, value in fields.items())


def headers(
    stream: int, *, path: str = "/inference.GRPCInferenceService/ModelInfer", flags: int = END_HEADERS, **more: str
) -> bytes:
    """Begin a call; `_` in a name stands for `-`, and a value of "" takes a header out."""
    fields = {
        ":method": "POST",
        ":scheme": "http",
        ":path": path,
        ":authority": "h",
        "te": "trailers",  # codespell:ignore te
        "content-type": "application/grpc",
    }
    fields |= {name.replace("_", "-").replace("pseudo-", ":"): value for name, value in more.items()}
    return frame(
        HEADERS, header_block({name: value for name, value in fields.items() if value}), flags=flags, stream=stream
    )


def data(
    stream: int, message: bytes, *, flags: int = END_STREAM, compressed: int = 0, length: int | None = None
) -> bytes:
    """Send a message of a call."""
    size = len(message) if length is None else length
    return frame(DATA, bytes([compressed]) + struct.pack(">I", size) + message, flags=flags, stream=stream)


def opened() -> bytes:
    """What a client says first."""
    return PREFACE + frame(SETTINGS)


def connect(port: int, timeout_s: float = 5.0) -> socket.socket:
    """Open a plain connection to a gRPC port."""
    return socket.create_connection(("127.0.0.1", port), timeout=timeout_s)


def read_all(connection: socket.socket) -> bytes:
    """Read until the server closes or the time-out passes."""
    parts = []
    try:
        while found := connection.recv(65536):
            parts.append(found)
    except (TimeoutError, ConnectionResetError):
        pass
    return b"".join(parts)


def ask(port: int, frames: bytes, timeout_s: float = 0.1) -> bytes:
    """Send frames and read what comes until the server closes or falls silent."""
    with connect(port, timeout_s) as connection:
        try:
            connection.sendall(frames)
        except OSError:
            return b""
        return read_all(connection)
