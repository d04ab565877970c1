"""Frames of a gRPC client against a connection without a socket: flow control, order, and what ends it."""

import struct
import time
from typing import Any, cast

import pytest

from predictors.server.connection import Timeouts
from predictors.server.rpc import frames
from predictors.server.rpc.call import Call, Status, trailers
from predictors.server.rpc.connection import RpcConnection
from predictors.server.rpc.frames import MAX_WINDOW, PREFACE, Kind, frame
from predictors.server.rpc.hall import RpcHall
from predictors.server.rpc.hpack import HeaderReader
from tests.contract import http2

PATH = "/x/Y"
GOOD = trailers(Status.OK)


class Wire:
    """A transport that keeps what is written, and the client's side of it."""

    def __init__(self, **limits: Any) -> None:
        self.calls: list[Call] = []
        self.written = b""
        self.is_closed = self.is_aborted = self.is_reading = False
        self.hall = RpcHall(
            **{
                "find": lambda path: self.calls.append if path == PATH else None,
                "message_bytes": 100_000,
                "max_connections": 4,
                "timeouts": Timeouts(),
                **limits,
            }
        )
        self.connection = RpcConnection(self.hall)
        self.connection.connection_made(cast(Any, self))
        self.headers = HeaderReader(1 << 20)

    def write(self, data: bytes) -> None:
        self.written += data

    def close(self) -> None:
        self.is_closed = True

    def abort(self) -> None:
        self.is_aborted = True

    def is_closing(self) -> bool:
        return self.is_closed

    def pause_reading(self) -> None:
        self.is_reading = False

    def resume_reading(self) -> None:
        self.is_reading = True

    def said(self, *data: bytes) -> list[tuple[int, int, int, bytes]]:
        """Send bytes; give the frames that came back since the last time."""
        for part in data:
            self.connection.data_received(part)
        found, place = [], 0
        while place < len(self.written):
            size = int.from_bytes(self.written[place : place + 3], "big")
            kind, flags = self.written[place + 3], self.written[place + 4]
            stream = int.from_bytes(self.written[place + 5 : place + 9], "big")
            found.append((kind, flags, stream, self.written[place + 9 : place + 9 + size]))
            place += 9 + size
        self.written = b""
        return found

    def status(self, answer: list[tuple[int, int, int, bytes]]) -> dict[str, str]:
        """Read the last header block of an answer."""
        block = [payload for kind, _, _, payload in answer if kind == Kind.HEADERS][-1]
        return {name.decode(): value.decode() for name, value in self.headers.read(block)}


def opened(**limits: Any) -> Wire:
    wire = Wire(**limits)
    wire.said(PREFACE + http2.frame(http2.SETTINGS))
    return wire


def reason(answer: list[tuple[int, int, int, bytes]]) -> frames.Reason:
    (payload,) = [payload for kind, _, _, payload in answer if kind == Kind.GOAWAY]
    return frames.Reason(struct.unpack_from(">II", payload)[1])


def test_a_call_in_pieces_is_one_call_and_its_answer_one_write() -> None:
    wire = opened()
    sent = http2.headers(1, path=PATH, x_request_id="r") + http2.data(1, b"message")
    for place in range(len(sent)):
        wire.said(sent[place : place + 1])
    (call,) = wire.calls
    assert (call.body, call.headers["x-request-id"], call.is_whole) == (b"message", "r", True)
    call.reply(b"answer", GOOD)
    begin, data, end = wire.said()
    assert (begin[0], data[0], end[0]) == (Kind.HEADERS, Kind.DATA, Kind.HEADERS)
    assert data[3] == b"\0\0\0\0\x06answer"
    assert wire.status([end])["grpc-status"] == "0"
    assert wire.hall.calls == wire.hall.receiving_bytes == 0
    call.reply(b"again", GOOD)
    assert not wire.said(), "an answered call is answered once"


def test_a_message_in_many_frames_with_padding_is_put_together() -> None:
    wire = opened()
    message = bytes(range(256)) * 200
    wire.said(http2.headers(1, path=PATH, flags=0x24 - 0x20))
    whole = b"\0" + struct.pack(">I", len(message)) + message
    for place in range(0, len(whole), 5000):
        part = whole[place : place + 5000]
        flags = 8 | (1 if place + 5000 >= len(whole) else 0)
        wire.said(frame(Kind.DATA, flags, 1, b"\x03" + part + b"\0\0\0"))
    assert wire.calls[0].body == message


def test_headers_with_priority_and_continuation_are_read() -> None:
    wire = opened()
    block = http2.headers(1, path=PATH)[9:]
    wire.said(frame(Kind.HEADERS, 0x20 | 8, 1, b"\x02" + bytes(5) + block[:7] + b"\0\0"))
    wire.said(frame(Kind.CONTINUATION, 0, 1, block[7:20]) + frame(Kind.CONTINUATION, 4, 1, block[20:]))
    wire.said(http2.data(1, b"m"))
    assert wire.calls[0].body == b"m"


def test_a_large_answer_waits_for_room_and_goes_on_when_it_comes() -> None:
    wire = opened()
    wire.said(http2.headers(1, path=PATH) + http2.data(1, b"m"))
    wire.calls[0].reply(b"a" * 100_000, GOOD)
    first = b"".join(payload for kind, _, _, payload in wire.said() if kind == Kind.DATA)
    assert len(first) == 65535
    assert not wire.said(frames.window(0, 1 << 20)), "there is room on the connection, not on the stream"
    wire.connection.check(time.monotonic_ns() + 60 * 10**9)
    assert wire.is_aborted, "nobody makes room for ever"
    answer = wire.said(frames.window(1, 1 << 20))
    assert len(first) + sum(len(payload) for kind, _, _, payload in answer if kind == Kind.DATA) == 100_005
    assert wire.status(answer)["grpc-status"] == "0"
    assert not wire.connection.is_busy


def test_a_window_that_the_settings_change_counts_for_open_calls() -> None:
    wire = opened()
    wire.said(frame(Kind.SETTINGS, 0, 0, struct.pack(">HI", 4, 10)), frames.window(0, 1 << 20))
    wire.said(http2.headers(1, path=PATH) + http2.data(1, b"m"))
    wire.calls[0].send(b"a" * 30)
    wire.calls[0].reply(None, GOOD)
    assert [len(payload) for kind, _, _, payload in wire.said() if kind == Kind.DATA] == [10]
    answer = wire.said(frame(Kind.SETTINGS, 0, 0, struct.pack(">HI", 4, 100)))
    assert [len(payload) for kind, _, _, payload in answer if kind == Kind.DATA] == [25]


def test_a_client_that_leaves_cancels_its_calls() -> None:
    wire = opened()
    left: list[int] = []
    for stream in (1, 3, 5):
        wire.said(http2.headers(stream, path=PATH) + http2.data(stream, b"m"))
        wire.calls[-1].on_cancel = lambda stream=stream: left.append(stream)
    wire.calls[1].reply(b"a", GOOD)
    wire.said(frames.reset(1, frames.Reason.NO_ERROR))
    assert left == [1]
    wire.connection.connection_lost(None)
    assert left == [1, 5]
    assert wire.hall.calls == 0
    assert not wire.hall.connections


def test_who_is_asked_to_leave_is_served_until_it_has_heard() -> None:
    wire = opened()
    wire.said(http2.headers(1, path=PATH) + http2.data(1, b"m"))
    wire.connection.leave()
    wire.connection.leave()
    away, ping = wire.said()
    assert struct.unpack_from(">I", away[3])[0] == MAX_WINDOW
    wire.said(http2.headers(3, path=PATH) + http2.data(3, b"m"))
    assert len(wire.calls) == 2, "it crossed what we said"
    wire.said(frame(Kind.PING, 1, 0, ping[3]))
    assert wire.connection.has_heard
    wire.connection.refuse_more()
    (away,) = wire.said(http2.headers(5, path=PATH) + http2.data(5, b"m"))
    assert struct.unpack_from(">I", away[3])[0] == 3
    assert len(wire.calls) == 2
    for call in wire.calls:
        call.reply(b"a", GOOD)
    assert not wire.connection.is_busy


def test_a_port_that_is_left_sends_away_after_each_first_answer() -> None:
    wire = opened()
    wire.hall.is_leaving = True
    wire.said(http2.headers(1, path=PATH) + http2.data(1, b"m"))
    wire.calls[0].reply(b"a", GOOD)
    assert Kind.GOAWAY in [kind for kind, *_ in wire.said()]


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        (http2.headers(1, path="/none"), {"grpc-status": "12"}),
        (http2.headers(1, path=PATH, grpc_timeout="soon"), {"grpc-status": "3"}),
        (http2.headers(1, path=PATH, content_type="application/json"), {":status": "415"}),
        (http2.headers(1, path=PATH, pseudo_method="GET"), {":status": "405"}),
        (http2.headers(1, path=PATH, flags=5), {"grpc-status": "3"}),
        (http2.headers(1, path=PATH) + http2.data(1, b"m", compressed=1), {"grpc-status": "12"}),
        (http2.headers(1, path=PATH) + http2.data(1, b"message", length=3), {"grpc-status": "3"}),
        (http2.headers(1, path=PATH) + http2.data(1, b"m", length=9), {"grpc-status": "3"}),
        (http2.headers(1, path=PATH) + http2.data(1, b"m", length=1 << 20), {"grpc-status": "8"}),
        (http2.headers(1, path=PATH) + http2.frame(0, b"abc", stream=1, flags=1), {"grpc-status": "3"}),
    ],
)
def test_a_call_that_is_none_is_refused_and_the_next_is_served(sent: bytes, expected: dict[str, str]) -> None:
    wire = opened()
    status = wire.status(wire.said(sent))
    assert expected.items() <= status.items()
    assert not wire.calls
    wire.said(http2.headers(3, path=PATH) + http2.data(3, b"m"))
    assert len(wire.calls) == 1
    assert wire.hall.receiving_bytes == 0


@pytest.mark.parametrize(
    "sent",
    [
        http2.frame(0, b"x"),
        http2.frame(0, b"x", stream=5),
        http2.headers(2, path=PATH),
        http2.frame(9, b"x", stream=1, flags=4),
        http2.headers(1, path=PATH, flags=0) + http2.frame(6, bytes(8)),
        http2.frame(3, bytes(4), stream=7),
        http2.frame(3, b"x", stream=1),
        http2.frame(5, bytes(4), stream=1),
        http2.frame(4, b"12345"),
        http2.frame(4, struct.pack(">HI", 4, 1 << 31)),
        http2.frame(4, struct.pack(">HI", 5, 100)),
        http2.frame(6, b"short"),
        http2.frame(8, bytes(4)),
        http2.frame(8, b"x"),
        http2.frame(8, struct.pack(">I", 1), stream=9),
        http2.frame(8, struct.pack(">I", MAX_WINDOW)),
        http2.frame(0, b"x", length=1 << 20),
        http2.frame(1, b"\xff" * 50, flags=4, stream=1),
        http2.frame(0, b"\x09abc", stream=1, flags=8),
        http2.headers(1, path=PATH) + http2.headers(1, path=PATH),
        http2.headers(1, path=PATH) + http2.data(1, b"m") + http2.data(1, b"m"),
        http2.headers(1, path=PATH) + frames.window(1, MAX_WINDOW),
        http2.frame(2, bytes(5), stream=1) * 2000,
        http2.frame(4) * 300,
        http2.frame(6, bytes(8)) * 10,
        http2.headers(1, path=PATH, flags=0) + http2.frame(9, b"x" * 10_000, stream=1) * 2,
        b"".join(http2.headers(n, path=PATH) + http2.frame(3, bytes(4), stream=n) for n in range(1, 3001, 2)),
    ],
)
def test_what_no_client_sends_ends_the_connection(sent: bytes) -> None:
    wire = opened()
    assert reason(wire.said(sent)) in set(frames.Reason) - {frames.Reason.NO_ERROR}
    assert wire.is_closed
    assert not wire.said(http2.headers(101, path=PATH))


@pytest.mark.parametrize("sent", [b"GET / HTTP/1.1\r\n\r\n", PREFACE + http2.frame(6, bytes(8))])
def test_who_does_not_greet_is_not_served(sent: bytes) -> None:
    wire = Wire()
    assert reason(wire.said(sent)) is frames.Reason.PROTOCOL
    assert wire.is_closed


def test_calls_and_connections_are_bounded() -> None:
    wire = opened(max_connections=2)
    for stream in (1, 3):
        wire.said(http2.headers(stream, path=PATH))
    kind, _, stream, payload = wire.said(http2.headers(5, path=PATH))[0]
    assert (kind, stream, payload) == (Kind.RESET, 5, struct.pack(">I", frames.Reason.REFUSED_STREAM))
    others = [RpcConnection(wire.hall) for _ in range(2)]
    for other in others:
        other.connection_made(cast(Any, wire))
    assert wire.is_closed, "the third finds no room"


def test_calls_of_all_connections_together_are_bounded() -> None:
    wire = opened(max_connections=2)
    wire.hall.calls = 2
    assert wire.status(wire.said(http2.headers(1, path=PATH)))["grpc-status"] == "8"


def test_a_header_that_is_malformed_ends_its_call_only() -> None:
    wire = opened()
    for number, more in enumerate(
        ({"Upper": "x"}, {"pseudo_path": ""}, {"a": "b\x01"}, {"a": "b", "pseudo_path": "/"})
    ):
        kind, _, stream, _ = wire.said(http2.headers(2 * number + 1, **cast(Any, more)))[0]
        assert (kind, stream) == (Kind.RESET, 2 * number + 1) or more == {"a": "b", "pseudo_path": "/"}
    assert not wire.is_closed


def test_deadlines_of_receipt_and_of_silence(monkeypatch: pytest.MonkeyPatch) -> None:
    later = time.monotonic_ns() + 80 * 10**9
    silent = Wire()
    silent.connection.check(later)
    assert silent.is_closed
    idle = opened()
    idle.connection.check(later)
    assert reason(idle.said()) is frames.Reason.NO_ERROR
    slow = opened()
    slow.said(http2.headers(1, path=PATH) + http2.frame(0, b"\0\0\0\xff\0ab", stream=1))
    slow.connection.check(later)
    assert slow.status(slow.said())["grpc-status"] == "4"
    assert not slow.is_closed
    block = opened()
    block.said(http2.headers(1, path=PATH, flags=0))
    block.connection.check(later)
    assert block.is_closed


def test_who_does_not_read_is_not_read_from_and_then_cut_off() -> None:
    wire = opened()
    wire.connection.pause_writing()
    assert not wire.is_reading
    wire.connection.resume_writing()
    assert wire.is_reading
    wire.connection.pause_writing()
    wire.connection.check(time.monotonic_ns() + 60 * 10**9)
    assert wire.is_aborted
    wire.connection.eof_received()
    assert wire.is_closed


def test_room_is_given_back_for_what_was_received() -> None:
    wire = opened(message_bytes=4 << 20)
    size = 16000
    wire.said(http2.headers(1, path=PATH))
    sent = 0
    windows = 0
    for number in range(100):
        head = b"\0" + struct.pack(">I", size * 100) if number == 0 else b""
        answer = wire.said(frame(Kind.DATA, 0, 1, head + b"x" * size))
        sent += size
        windows += sum(struct.unpack(">I", payload)[0] for kind, _, _, payload in answer if kind == Kind.WINDOW)
    assert sent - windows < 1 << 20
    assert wire.hall.receiving_bytes == sent + 5
    wire.connection.connection_lost(None)
    assert wire.hall.receiving_bytes == 0
