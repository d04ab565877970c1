"""Asks services at a constant rate, and says which requests got no answer and which a wrong one; sends nothing twice.

A program by itself: in a pod it is a file beside its plan, with Python's own library and nothing of Podium around it,
so it goes on asking while the API server is away. A request leaves when its time has come, whatever became of the
others; every other one has a connection of its own, the rest share those that are kept. It prints a line for each
second whose requests are all settled, in order: what is missing at the end was not seen.

    python probe.py plan.json
"""

from __future__ import annotations

import http.client
import json
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from queue import SimpleQueue
from typing import Any

__all__ = ["Golden", "Probe", "Target", "main", "read_plan", "verdict_of"]

# A kept connection that was idle for longer may be closed by the server at any moment, which is nobody's fault.
_KEPT_S = 1.0
_LOOK_S = 0.1
_SPARE = 8


@dataclass(frozen=True)
class Golden:
    """A request and what a right answer to it says: a label, or the index of the largest value."""

    path: str
    kind: str
    body: bytes
    label: str | None = None
    largest: int | None = None


@dataclass(frozen=True)
class Target:
    """A service: where it is asked, what, and with which key; an empty one is not sent."""

    name: str
    host: str
    port: int
    golden: tuple[Golden, ...]
    key: str = field(default="", repr=False)


@dataclass(frozen=True)
class _Order:
    target: int
    number: int
    second: int
    due: float


@dataclass
class _Second:
    planned: int = 0
    settled: int = 0
    right: int = 0
    late_s: float = 0.0
    worst_s: float = 0.0
    bad: list[list[Any]] = field(default_factory=list)


class Probe:
    """Asks until it is told to end; `say` gets the lines."""

    def __init__(
        self, targets: tuple[Target, ...], *, rate: float, timeout_s: float, say: Callable[[str], None]
    ) -> None:
        self._targets = targets
        self._rate = rate
        self._timeout_s = timeout_s
        self._say = say
        self._lock = threading.Lock()
        self._seconds: dict[int, _Second] = {}
        self._kept: list[list[tuple[float, http.client.HTTPConnection]]] = [[] for _ in targets]
        self._began = 0.0
        self._told = 0
        # Wall time of the monotonic clock's zero: a clock that is set meanwhile moves no request.
        self._zero = time.time() - time.monotonic()

    def run(self, is_over: Callable[[], bool]) -> None:
        """Ask until `is_over` says so, then tell what was settled."""
        orders: SimpleQueue[_Order | None] = SimpleQueue()
        count = len(self._targets) * (int(self._rate * self._timeout_s) + _SPARE)
        users = [threading.Thread(target=self._use, args=(orders,), daemon=True) for _ in range(count)]
        for user in users:
            user.start()
        self._began = time.monotonic()
        self._say(json.dumps({"ready": round(self._zero + self._began, 3)}))
        sent = 0
        while not is_over():
            due = self._began + sent / self._rate
            wait = due - time.monotonic()
            if wait > 0:
                time.sleep(min(wait, _LOOK_S))
            if wait <= _LOOK_S:
                self._send(orders, sent, due)
                sent += 1
            self._tell(before=time.monotonic())
        for _ in users:
            orders.put(None)
        for user in users:
            user.join(2 * self._timeout_s + 1)
        for index in range(len(self._targets)):
            self._close_kept(index)
        self._tell(before=float("inf"))

    def _send(self, orders: SimpleQueue[_Order | None], number: int, due: float) -> None:
        second = int(number / self._rate)
        with self._lock:
            self._seconds.setdefault(second, _Second()).planned += len(self._targets)
        for index in range(len(self._targets)):
            orders.put(_Order(index, number, second, due))

    def _use(self, orders: SimpleQueue[_Order | None]) -> None:
        while (order := orders.get()) is not None:
            start = time.monotonic()
            verdict = self._ask(order.target, order.number)
            end = time.monotonic()
            if verdict == "ok" and end - order.due > self._timeout_s:
                verdict = "late"
            with self._lock:
                second = self._seconds[order.second]
                second.settled += 1
                second.late_s = max(second.late_s, start - order.due)
                second.worst_s = max(second.worst_s, end - order.due)
                if verdict == "ok":
                    second.right += 1
                else:
                    times = [round(self._zero + at, 3) for at in (order.due, end)]
                    second.bad.append([order.target, *times, verdict])

    def _ask(self, index: int, number: int) -> str:
        target, is_alone = self._targets[index], number % 2 == 1
        golden = target.golden[number // 2 % len(target.golden)]
        connection = None if is_alone else self._take(index)
        if connection is None:
            connection = http.client.HTTPConnection(target.host, target.port, timeout=self._timeout_s)
        try:
            headers = {"Content-Type": golden.kind, **({"Connection": "close"} if is_alone else {})}
            headers |= {"Authorization": f"Bearer {target.key}"} if target.key else {}
            connection.request("POST", golden.path, golden.body, headers)
            answer = connection.getresponse()
            body = answer.read()
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            return "timeout" if isinstance(error, TimeoutError) else type(error).__name__
        if is_alone or answer.will_close:
            connection.close()
        else:
            with self._lock:
                self._kept[index].append((time.monotonic(), connection))
        return verdict_of(answer.status, body, golden)

    def _take(self, index: int) -> http.client.HTTPConnection | None:
        """Return the connection that was used last, or None; what was idle for long is closed."""
        with self._lock:
            kept = self._kept[index]
            if kept and time.monotonic() - kept[-1][0] < _KEPT_S:
                return kept.pop()[1]
        self._close_kept(index)
        return None

    def _close_kept(self, index: int) -> None:
        with self._lock:
            while self._kept[index]:
                self._kept[index].pop()[1].close()

    def _tell(self, *, before: float) -> None:
        while True:
            with self._lock:
                second = self._seconds.get(self._told)
                is_past = self._began + self._told + 1 <= before
                if second is None or second.settled < second.planned or not is_past:
                    return
                del self._seconds[self._told]
            at = round(self._zero + self._began + self._told, 3)
            figures = {"planned": second.planned, "right": second.right}
            worst = {"late_ms": round(1e3 * second.late_s, 1), "worst_ms": round(1e3 * second.worst_s, 1)}
            self._say(json.dumps({"second": self._told, "at": at, **figures, **worst, "bad": second.bad}))
            self._told += 1


def verdict_of(status: int, body: bytes, golden: Golden) -> str:
    """Return `ok`, `wrong` with what was said, `unreadable`, or the status where it is no success."""
    if status != 200:
        return str(status)
    try:
        answer = json.loads(body)
        if "predictions" in answer:
            first = answer["predictions"][0]
            if golden.label is not None:
                said = first["label"]
                return "ok" if said == golden.label else f"wrong: {said!r:.60}"
            values = list(first["probabilities"].values()) if isinstance(first, dict) else first
        else:
            output = answer["outputs"][0]
            values = output["data"][: output["shape"][-1]]
        largest = max(range(len(values)), key=values.__getitem__)
    except (ValueError, KeyError, IndexError, TypeError, AttributeError):
        return "unreadable"
    return "ok" if largest == golden.largest else f"wrong: {largest}"


def read_plan(path: Path) -> tuple[tuple[Target, ...], float, float]:
    """Read the targets, the rate and the time-out; the bodies are files beside the plan, keys are wherever it says."""
    plan = json.loads(path.read_text(encoding="utf-8"))
    targets = tuple(
        Target(
            one["name"],
            one["host"],
            one["port"],
            tuple(
                Golden(
                    each["path"],
                    each["kind"],
                    (path.parent / each["file"]).read_bytes(),
                    each["label"],
                    each["largest"],
                )
                for each in one["golden"]
            ),
            Path(one["key"]).read_text(encoding="ascii").strip() if one.get("key") else "",
        )
        for one in plan["targets"]
    )
    return targets, plan["rate"], plan["timeout_s"]


def main(arguments: list[str]) -> None:
    """Ask by the plan in a file until somebody ends the process."""

    def say(line: str) -> None:
        sys.stdout.write(line + "\n")
        sys.stdout.flush()

    targets, rate, timeout_s = read_plan(Path(arguments[0]))
    Probe(targets, rate=rate, timeout_s=timeout_s, say=say).run(lambda: False)


if __name__ == "__main__":
    main(sys.argv[1:])
