"""The closed loop of `client` over gRPC: just enough HTTP/2 to call one method, because grpcio costs too much itself.

Each connection has one call at a time. Headers are indexed after the first call, as the libraries do. An answer counts
when its stream ends after a message; every 64th message is read and compared.
"""

import select
import socket
import struct
import time
from collections.abc import Callable

import numpy as np

from benchmarks.servers.client import Drive, WrongAnswerError, connected

__all__ = ["drive_grpc"]

_CHECK_EVERY = 64
_READ_BYTES = 1 << 16
_DEADLINE_S = 30.0
_DATA, _HEADERS, _RESET, _SETTINGS, _PING, _GOAWAY, _WINDOW = 0, 1, 3, 4, 6, 7, 8
_END_STREAM, _ACK, _END_HEADERS = 1, 1, 4
_LARGE_WINDOW = (1 << 31) - 1 - 65535
_PATH = b"/inference.GRPCInferenceService/ModelInfer"


def drive_grpc(
    port: int,
    message: bytes,
    is_right: Callable[[bytes], bool],
    *,
    connections: int,
    seconds: float,
    warm_s: float = 0.3,
) -> Drive:
    """Call ModelInfer as fast as answers come; `is_right` gets the bytes of a ModelInferResponse.

    Raises:
        WrongAnswerError: A call failed, or its answer was not the right one.
    """
    calls = [_Calls(port, message, is_right) for _ in range(connections)]
    try:
        _run(calls, warm_s)
        for call in calls:
            call.latencies.clear()
        spent = _run(calls, seconds)
    finally:
        for call in calls:
            call.sock.close()
    latencies = [ns for call in calls for ns in call.latencies]
    p50, p99 = (float(value) / 1e6 for value in np.percentile(latencies, [50, 99]))
    count = len(latencies)
    return Drive(connections, count, round(count / spent, 1), round(p50, 4), round(p99, 4))


def _run(calls: list["_Calls"], seconds: float) -> float:
    poll = select.epoll()
    by_number = {call.sock.fileno(): call for call in calls}
    for number in by_number:
        poll.register(number, select.EPOLLIN)
    began = time.perf_counter_ns()
    end = began + int(seconds * 1e9)
    for call in calls:
        call.send()
    open_count = len(calls)
    while open_count:
        events = poll.poll(_DEADLINE_S)
        if not events:
            raise WrongAnswerError(f"{open_count} calls were not answered in {_DEADLINE_S:.0f} s")
        for number, _ in events:
            call = by_number[number]
            if call.receive():
                if time.perf_counter_ns() < end:
                    call.send()
                else:
                    open_count -= 1
    poll.close()
    return (time.perf_counter_ns() - began) / 1e9


class _Calls:
    """One connection and its calls, one after the other."""

    def __init__(self, port: int, message: bytes, is_right: Callable[[bytes], bool]) -> None:
        self.sock: socket.socket = connected(port)
        self.latencies: list[int] = []
        self._is_right = is_right
        self._data = struct.pack(">BI", 0, len(message)) + message
        self._window = 65535
        self._wants_window = False
        self._stream = -1
        self._buffer = b""
        self._answer = b""
        self._sent = 0
        window = _frame(_WINDOW, 0, 0, struct.pack(">I", _LARGE_WINDOW))
        self.sock.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + _frame(_SETTINGS, 0, 0, b"") + window)

    def send(self) -> None:
        """Begin a call, or wait for the room that the server has to give."""
        if self._window < len(self._data):
            self._wants_window = True
            return
        self._window -= len(self._data)
        self._stream += 2
        block = _FIRST if self._stream == 1 else _NEXT
        self._answer = b""
        self._sent = time.perf_counter_ns()
        self.sock.sendall(
            _frame(_HEADERS, _END_HEADERS, self._stream, block) + _frame(_DATA, _END_STREAM, self._stream, self._data)
        )

    def receive(self) -> bool:
        """Read what came; tell whether the call is over."""
        data = self.sock.recv(_READ_BYTES)
        if not data:
            raise WrongAnswerError("the server closed the connection")
        now = time.perf_counter_ns()
        buffer = self._buffer + data if self._buffer else data
        place, is_over = 0, False
        while len(buffer) - place >= 9:
            size = int.from_bytes(buffer[place : place + 3], "big")
            if len(buffer) - place < 9 + size:
                break
            kind, flags = buffer[place + 3], buffer[place + 4]
            payload = buffer[place + 9 : place + 9 + size]
            if kind == _DATA:
                self._answer += payload
            if kind in (_DATA, _HEADERS) and flags & _END_STREAM:
                is_over = True
            elif kind > _HEADERS:
                self._control(kind, flags, int.from_bytes(buffer[place + 5 : place + 9], "big"), payload)
            place += 9 + size
        self._buffer = buffer[place:]
        if is_over:
            self._judge(now)
        return is_over

    def _judge(self, now: int) -> None:
        if len(self._answer) <= 5:
            raise WrongAnswerError("a call ended without a message")
        if len(self.latencies) % _CHECK_EVERY == 0 and not self._is_right(self._answer[5:]):
            raise WrongAnswerError(f"{self._answer!r}"[:400])
        self.latencies.append(now - self._sent)

    def _control(self, kind: int, flags: int, stream: int, payload: bytes) -> None:
        if kind == _SETTINGS and not flags & _ACK:
            self.sock.sendall(_frame(_SETTINGS, _ACK, 0, b""))
        elif kind == _PING and not flags & _ACK:
            self.sock.sendall(_frame(_PING, _ACK, 0, payload))
        elif kind == _WINDOW and stream == 0:
            self._window += int.from_bytes(payload, "big")
            if self._wants_window and self._window >= len(self._data):
                self._wants_window = False
                self.send()
        elif kind in (_RESET, _GOAWAY):
            raise WrongAnswerError(f"the server ended the call: frame {kind}, {payload!r}")


def _frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return len(payload).to_bytes(3, "big") + bytes((kind, flags)) + stream.to_bytes(4, "big") + payload


def _text(value: bytes) -> bytes:
    return bytes((len(value),)) + value


# RFC 7541: :method POST and :scheme http from the static table; the rest is put into the dynamic one by the first.
_FIRST = b"".join(
    (
        b"\x83\x86",
        b"\x44" + _text(_PATH),
        b"\x41" + _text(b"127.0.0.1"),
        b"\x5f" + _text(b"application/grpc"),
        b"\x40" + _text(b"te") + _text(b"trailers"),  # codespell:ignore te
    )
)
_NEXT = b"\x83\x86\xc1\xc0\xbf\xbe"
