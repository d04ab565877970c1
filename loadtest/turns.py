"""One server asked along several ways by turns: what each way takes of the same requests at the same time.

One request at a time, at a low fixed rate, so that nothing queues: a round sends one payload along every way, in an
order that turns about, and whatever else happens falls on all alike. Each way keeps its connection, as the load does.
No request is sent twice: a way that fails ends with a sentence, and the others go on. Over plain HTTP; what the times
say is decided elsewhere.
"""

from __future__ import annotations

import http.client
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from pydantic import Field

from loadtest.payloads import PayloadSet
from loadtest.protocols import path_of
from loadtest.shot import Endpoint
from loadtest.strict import Strict

__all__ = ["OVERHEAD_S", "RATE", "SECONDS", "Told", "Way", "WayTimes", "ask_by_turns"]

# Rounds a second, and for how long: a hundred rounds, of which the first open the connections.
RATE = 20.0
SECONDS = 5.0
# What an order for it takes besides: handing it out, and what a way that does not answer is waited for.
OVERHEAD_S = 2.0
_OPENING = 5
_PATIENCE_S = 2.0
_LONGEST_TEXT = 200


class Way(Strict):
    """One way to a server; `refused` says why it may not be taken."""

    name: str = Field(min_length=1)
    url: str
    headers: dict[str, str] = Field(default_factory=dict)
    refused: str = ""


class WayTimes(Strict):
    """What a way took: nanoseconds by round, as many for every way that did not fail; `error` says why one did."""

    name: str
    url: str = ""
    times_ns: tuple[int, ...] = ()
    error: str = ""


class Told(Strict):
    """What a runner brings."""

    ways: tuple[WayTimes, ...]


@dataclass(slots=True)
class _Line:
    """A way with its connection, and what became of its requests."""

    way: Way
    path: str
    connection: http.client.HTTPConnection | None = None
    times_ns: list[int] = field(default_factory=list)
    error: str = ""

    def ask(self, number: int, body: bytes, headers: Mapping[str, str]) -> None:
        """Send the request of a round and wait for its answer; the first ones are not counted."""
        if self.error or self.connection is None:
            return
        began = time.perf_counter_ns()
        try:
            self.connection.request("POST", self.path, body, {**headers, **self.way.headers})
            answer = self.connection.getresponse()
            said = answer.read()
        except (OSError, http.client.HTTPException) as error:
            self.error = f"request {number + 1} was not answered: {error or type(error).__name__}"
            return
        took = time.perf_counter_ns() - began
        if answer.status != http.client.OK:
            text = " ".join(said.decode("utf-8", errors="replace").split())[:_LONGEST_TEXT]
            self.error = f"request {number + 1} was answered {answer.status}: {text or 'no text'}"
        elif number >= _OPENING:
            self.times_ns.append(took)

    def told(self) -> WayTimes:
        times = () if self.error else tuple(self.times_ns)
        return WayTimes(name=self.way.name, url=self.way.url, times_ns=times, error=self.error)


def ask_by_turns(
    ways: Sequence[Way],
    endpoint: Endpoint,
    payloads: PayloadSet,
    *,
    rate: float,
    seconds: float,
    timeout_s: float,
) -> tuple[WayTimes, ...]:
    """Send the same requests along every way, and return how long each took.

    Args:
        ways: to one server.
        endpoint: its protocol, model and headers; its URL is not asked.
        payloads: request bodies, in the order that k6 would send them.
        rate: rounds a second.
        seconds: after this no round begins, however slow the answers were.
        timeout_s: after this, or two seconds, a request counts as unanswered.

    Raises:
        ScheduleError: a payload is not one of the protocol.
    """
    path = path_of(endpoint.protocol, endpoint.model)
    known = payloads.requests_as(endpoint.protocol)
    requests = [
        (file.read_bytes(), {**endpoint.headers, **sent.headers})
        for file, sent in zip(payloads.files, known, strict=True)
    ]
    lines = [_line(way, path, min(timeout_s, _PATIENCE_S)) for way in ways]
    try:
        began = time.monotonic()
        for number, index in enumerate(payloads.order(round(rate * seconds))):
            time.sleep(max(0.0, began + number / rate - time.monotonic()))
            if time.monotonic() - began > seconds:
                break
            for line in _order(lines, number):
                line.ask(number, *requests[index])
    finally:
        for line in lines:
            if line.connection is not None:
                line.connection.close()
    return tuple(line.told() for line in lines)


def _line(way: Way, path: str, patience_s: float) -> _Line:
    if way.refused:
        return _Line(way, path, error=way.refused)
    try:
        parts = urlsplit(way.url)
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port = None, None
    if host is None or parts.scheme != "http":
        return _Line(way, path, error=f"{way.url} is no address of plain HTTP")
    return _Line(way, path, http.client.HTTPConnection(host, port or 80, timeout=patience_s))


def _order(lines: list[_Line], number: int) -> list[_Line]:
    """Return the ways in the order of a round: each is first as often as any other, in both directions."""
    first = number // 2 % len(lines)
    turned = lines[first:] + lines[:first]
    return turned if number % 2 == 0 else turned[::-1]
