"""A closed loop over keep-alive connections, cheap enough to be no part of the result.

One thread, one epoll, no event loop: an answer that is as long as the last good one and begins with its status line
is counted without being parsed, every 64th is read and compared. `programs/echo.py` computes nothing: what the loop
reaches against it is the ceiling of any figure.
"""

import select
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

__all__ = ["Drive", "WrongAnswerError", "connected", "drive", "is_whole"]

_OK = b"HTTP/1.1 200"
_CHECK_EVERY = 64
_READ_BYTES = 1 << 16
_DEADLINE_S = 30.0


class WrongAnswerError(Exception):
    """A server answered something else than what was asked for."""


@dataclass(frozen=True, slots=True)
class Drive:
    """What one closed loop saw."""

    connections: int
    requests: int
    per_second: float
    p50_ms: float
    p99_ms: float


def drive(
    port: int,
    request: bytes,
    is_right: Callable[[bytes, bytes], bool],
    *,
    connections: int,
    seconds: float,
    warm_s: float = 0.3,
) -> Drive:
    """Ask as fast as answers come; `is_right` gets head and body of an answer.

    Raises:
        WrongAnswerError: An answer was no 200, or not the right one.
    """
    loop = _Loop(request, is_right)
    socks = [connected(port) for _ in range(connections)]
    try:
        loop.run(socks, warm_s)
        loop.latencies.clear()
        spent = loop.run(socks, seconds)
    finally:
        for sock in socks:
            sock.close()
    if not loop.latencies:
        raise WrongAnswerError("nothing was answered")
    p50, p99 = (float(value) / 1e6 for value in np.percentile(loop.latencies, [50, 99]))
    count = len(loop.latencies)
    return Drive(connections, count, round(count / spent, 1), round(p50, 4), round(p99, 4))


class _Loop:
    def __init__(self, request: bytes, is_right: Callable[[bytes, bytes], bool]) -> None:
        self._request = request
        self._is_right = is_right
        self._whole = 0
        self._begun: dict[int, bytes] = {}
        self.latencies: list[int] = []

    def run(self, socks: list[socket.socket], seconds: float) -> float:
        """Send on every socket until the time is over and all answers are there; return the seconds it took."""
        poll = select.epoll()
        by_number = {sock.fileno(): sock for sock in socks}
        for number in by_number:
            poll.register(number, select.EPOLLIN)
        clock, latencies, request = time.perf_counter_ns, self.latencies, self._request
        began = clock()
        end = began + int(seconds * 1e9)
        sent = {}
        for number, sock in by_number.items():
            sent[number] = clock()
            sock.sendall(request)
        open_count = len(socks)
        while open_count:
            events = poll.poll(_DEADLINE_S)
            if not events:
                raise WrongAnswerError(f"{open_count} requests were not answered in {_DEADLINE_S:.0f} s")
            for number, _ in events:
                sock = by_number[number]
                data = sock.recv(_READ_BYTES)
                now = clock()
                if self._is_pending(number, data, len(latencies)):
                    continue
                latencies.append(now - sent[number])
                if now < end:
                    sent[number] = clock()
                    sock.sendall(request)
                else:
                    open_count -= 1
        poll.close()
        return (clock() - began) / 1e9

    def _is_pending(self, number: int, data: bytes, count: int) -> bool:
        """Whether more of the answer must come."""
        if len(data) == self._whole and count % _CHECK_EVERY and data.startswith(_OK) and number not in self._begun:
            return False
        if not data:
            raise WrongAnswerError("the server closed the connection")
        data = self._begun.pop(number, b"") + data
        head, mark, body = data.partition(b"\r\n\r\n")
        if not mark or not is_whole(head, body):
            self._begun[number] = data
            return True
        if not head.startswith(_OK) or not self._is_right(head, body):
            raise WrongAnswerError(data[:400].decode("latin-1"))
        self._whole = len(data)
        return False


def is_whole(head: bytes, body: bytes) -> bool:
    """Tell whether a body is all that its head says."""
    lower = head.lower()
    if b"transfer-encoding: chunked" in lower:
        return body.endswith(b"0\r\n\r\n")
    place = lower.find(b"content-length:")
    return place >= 0 and len(body) >= int(lower[place + 15 :].split(b"\r\n", 1)[0])


def connected(port: int) -> socket.socket:
    """Connect to a port of this machine; every call on the socket blocks."""
    sock = socket.create_connection(("127.0.0.1", port), timeout=_DEADLINE_S)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    # With a time-out every call would ask the kernel first; the loop has its own.
    sock.settimeout(None)
    return sock
