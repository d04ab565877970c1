"""An open-loop client: requests at a constant rate whatever comes back, each answer checked, none tried again
unless a test asks for that.

Times count from the moment a request was due. Half of the requests go over connections that are kept, half
over new ones. `Run.is_void` tells that the client itself could not keep up, so that nothing may be concluded.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

__all__ = ["Outcome", "Run", "capacity", "percentile", "play", "request_of"]

CLASS_LOST = 0
# A kept connection that was idle for longer may be closed by the server at any moment, which is nobody's fault.
KEPT_S = 10.0

_Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@dataclass(slots=True)
class Outcome:
    """One request: when it was due, how late it went out, how long its answer took (from when it was due), its
    status (0: none) and whether the answer was the right one."""

    due_s: float
    late_s: float
    took_s: float
    status: int
    is_right: bool
    has_retry_after: bool = False


@dataclass(slots=True)
class Run:
    """What came of a run."""

    rate: float
    seconds: float
    outcomes: list[Outcome] = field(default_factory=list)
    retries: int = 0

    def goodput(self, within_s: float) -> float:
        """Right answers a second that came in time."""
        return sum(each.is_right and each.took_s <= within_s for each in self.outcomes) / self.seconds

    def times(self, status: int) -> list[float]:
        """Seconds of all answers with a status."""
        return [each.took_s for each in self.outcomes if each.status == status]

    @property
    def statuses(self) -> Counter[int]:
        """Answers by status."""
        return Counter(each.status for each in self.outcomes)

    @property
    def wrong(self) -> int:
        """Answers that say 200 and are not right."""
        return sum(each.status == 200 and not each.is_right for each in self.outcomes)

    @property
    def is_void(self) -> bool:
        """Whether the client fell behind its own plan."""
        planned = round(self.rate * self.seconds)
        late = [each.late_s for each in self.outcomes]
        return len(self.outcomes) < 0.99 * planned or percentile(late, 0.99) > 0.02


def percentile(values: list[float], share: float) -> float:
    """The value below which `share` of the values lie; 0 of none."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else 0.0


def request_of(body: bytes, *, path: str = "/v1/models/tiny:predict", close: bool = False, headers: str = "") -> bytes:
    """Write a whole request; further headers are whole lines."""
    end = f"{headers}Connection: close\r\n\r\n" if close else f"{headers}\r\n"
    head = f"POST {path} HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n{end}"
    return head.encode() + body


async def _exchange(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: bytes
) -> tuple[int, bytes, bytes]:
    writer.write(request)
    head = await reader.readuntil(b"\r\n\r\n")
    length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
    return int(head.split(b" ", 2)[1]), head, await reader.readexactly(length)


class _Client:
    def __init__(
        self,
        port: int,
        body: bytes,
        is_right: Callable[[bytes], bool],
        timeout_s: float,
        headers: Callable[[], str] = str,
    ) -> None:
        self.headers = headers
        self.port = port
        self.body = body
        self.is_right = is_right
        self.timeout_s = timeout_s
        self.kept: list[tuple[float, _Connection]] = []

    async def ask(self, *, keeps: bool) -> tuple[int, bool, bool]:
        """Ask once; give the status, whether the answer is right, and whether it says when to come again."""
        connection = self._take() if keeps else None
        try:
            async with asyncio.timeout(self.timeout_s):
                if connection is None:
                    connection = await asyncio.open_connection("127.0.0.1", self.port)
                status, head, body = await _exchange(
                    *connection, request_of(self.body, close=not keeps, headers=self.headers())
                )
        except (OSError, EOFError, TimeoutError):
            if connection is not None:
                connection[1].transport.abort()
            return CLASS_LOST, False, False
        if keeps and b"connection: close" not in head:
            self.kept.append((time.monotonic(), connection))
        else:
            connection[1].transport.abort()
        return status, status == 200 and self.is_right(body), b"\r\nretry-after: " in head

    def close(self) -> None:
        """Close what is kept."""
        for _, (_, writer) in self.kept:
            writer.transport.abort()
        self.kept.clear()

    def _take(self) -> _Connection | None:
        """Return the connection that was used last; what was idle for too long is closed."""
        if self.kept and time.monotonic() - self.kept[-1][0] < KEPT_S:
            return self.kept.pop()[1]
        self.close()
        return None


async def _play(client: _Client, rate: float, seconds: float, most_retries: int, retry_budget: float | None) -> Run:
    run = Run(rate, seconds)
    began = time.monotonic() + 0.05
    tasks: set[asyncio.Task[None]] = set()

    async def one(number: int, due: float) -> None:
        sent = time.monotonic()
        status, right, told = await client.ask(keeps=number % 2 == 0)
        for attempt in range(most_retries):
            if status == 200:
                break
            if retry_budget is not None and run.retries + 1 > retry_budget * (number + 1):
                break
            run.retries += 1
            await asyncio.sleep(0.05 * (attempt + 1))
            status, right, told = await client.ask(keeps=number % 2 == 0)
        took = time.monotonic() - due
        run.outcomes.append(Outcome(due - began, sent - due, took, status, right, told))

    for number in range(round(rate * seconds)):
        due = began + number / rate
        if (wait := due - time.monotonic()) > 0:
            await asyncio.sleep(wait)
        task = asyncio.ensure_future(one(number, due))
        tasks.add(task)
        task.add_done_callback(tasks.discard)
    await asyncio.gather(*tuple(tasks))
    client.close()
    return run


def play(
    port: int,
    body: bytes,
    is_right: Callable[[bytes], bool],
    *,
    rate: float,
    seconds: float,
    timeout_s: float = 2.0,
    most_retries: int = 0,
    retry_budget: float | None = None,
    headers: Callable[[], str] = str,
) -> Run:
    """Send `rate` requests a second for `seconds`; with `retry_budget`, retries stay below that share of them.

    What `headers` gives, whole lines, goes with each request as it is sent.
    """
    client = _Client(port, body, is_right, timeout_s, headers)
    return asyncio.run(_play(client, rate, seconds, most_retries, retry_budget))


def capacity(port: int, body: bytes, is_right: Callable[[bytes], bool], *, callers: int, seconds: float) -> float:
    """Right answers a second to callers that ask again as soon as they are answered."""

    async def ask_on(client: _Client, end: float) -> int:
        found = 0
        while time.monotonic() < end:
            status, right, _ = await client.ask(keeps=True)
            found += status == 200 and right
        return found

    async def all_together() -> float:
        began = time.monotonic()
        clients = [_Client(port, body, is_right, 5.0) for _ in range(callers)]
        counts = await asyncio.gather(*[ask_on(client, began + seconds) for client in clients])
        spent = time.monotonic() - began
        for client in clients:
            client.close()
        return sum(counts) / spent

    return asyncio.run(all_together())
