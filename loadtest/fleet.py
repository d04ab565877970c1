"""A fleet of generators that play one shot together: the order they get, the report they give, and who asks for it.

One results server takes orders and keeps what the runners bring; runners ask it for the next order and play their
share. Whoever wants load talks to that server alone, through whatever leads to it: `Send` is one HTTP exchange.
"""

from __future__ import annotations

import base64
import hashlib
import json
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Literal, Protocol

import numpy as np
from pydantic import Field, ValidationError

from loadtest.archive import pack, unpack
from loadtest.cores import most
from loadtest.errors import GeneratorError
from loadtest.k6 import Result
from loadtest.oversaturation import stop_of
from loadtest.payloads import Answer, PayloadSet
from loadtest.samples import Samples, read_samples
from loadtest.shot import START_S, USER_START_S, Endpoint, GeneratorFacts, Outcome, Shot
from loadtest.strict import Strict
from loadtest.turns import RATE, SECONDS, Told, Way, WayTimes
from loadtest.vegeta import plan_attack

__all__ = [
    "CHECKSUM",
    "Fleet",
    "Order",
    "PayloadOrder",
    "Report",
    "RunnerFacts",
    "Send",
    "Standing",
    "order_of",
    "payloads_of",
    "shot_of",
]

CHECKSUM = "X-Podium-Sha256"
_WAIT_S = 10.0
_AGREED_S = 1.5


class Send(Protocol):
    """One exchange with the results server; raises GeneratorError, or an error of whoever leads there."""

    def __call__(
        self,
        method: str,
        path: str,
        *,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        timeout_s: float,
    ) -> bytes:
        """Send and return the body of a 2xx answer."""
        ...


class PayloadOrder(Strict):
    """The payloads of an order by name; the files themselves travel once, under `sha256`."""

    sha256: str
    parts: tuple[tuple[str, ...], ...]
    shares: tuple[float, ...]
    seed: int
    sizes: tuple[int, ...]
    answers: tuple[Answer | None, ...] = ()


class Order(Strict):
    """One shot for all runners.

    `schedule` holds little-endian 64-bit nanoseconds as base64; `start_unix_ns` is set when it is handed out. The tool
    `turns` asks along `ways`.
    """

    id: str = Field(pattern=r"^[0-9a-f]{32}$")
    tool: Literal["k6", "vegeta", "turns"] = "k6"
    runners: int = Field(ge=1, le=64)
    url: str
    protocol: str
    model: str
    headers: dict[str, str] = Field(default_factory=dict)
    kind: Literal["open", "closed"]
    users: int = Field(ge=1)
    timeout_s: float = Field(gt=0)
    seconds: float | None = None
    requests: int | None = None
    seed: int = 0
    stop_when_oversaturated: bool = False
    tags: dict[str, str] = Field(default_factory=dict)
    schedule: str | None = None
    rate: float | None = None
    payload: PayloadOrder
    start_unix_ns: int = 0
    ways: tuple[Way, ...] = ()


class RunnerFacts(Strict):
    """What a runner is: told once, when it comes."""

    runner: int = Field(ge=0)
    pod: str = ""
    node: str = ""
    cores: tuple[int, ...] = ()
    cpus: float | None = None


class Report(Strict):
    """How a runner's share went; `error` is empty where it was played.

    `clock_ns` is by how much its clock was ahead of the results server's before the order, from which it knew when to
    start, and `clock_after_ns` by how much it was after it, from which it is known when it did. `started` is when it
    did by its own clock, where no result of k6 says so. `payload_sha256` is that of its payloads as they then were.
    """

    facts: RunnerFacts
    error: str = ""
    log: str = ""
    cpu_seconds: float = 0.0
    wall_s: float = 0.0
    rss_bytes: int = 0
    throttled: int | None = None
    clock_ns: int = 0
    clock_after_ns: int = 0
    version: str = ""
    stolen: float | None = None
    started: str = ""
    payload_sha256: str = ""


class Standing(Strict):
    """How far an order is."""

    done: bool
    waiting_for: tuple[int, ...] = ()
    state: str = ""


def order_of(endpoint: Endpoint, shot: Shot, payloads: PayloadSet, *, runners: int) -> Order:
    """Return the order for a shot."""
    schedule = None if shot.schedule is None else base64.b64encode(shot.schedule.astype("<i8").tobytes()).decode()
    return Order(
        id=uuid.uuid4().hex,
        runners=runners,
        url=endpoint.url,
        protocol=endpoint.protocol,
        model=endpoint.model,
        headers=dict(endpoint.headers),
        kind="open" if shot.kind == "open" else "closed",
        users=shot.users,
        timeout_s=shot.timeout_s,
        seconds=shot.seconds,
        requests=shot.requests,
        seed=shot.seed,
        stop_when_oversaturated=shot.stop_when_oversaturated,
        tags=dict(shot.tags),
        schedule=schedule,
        payload=PayloadOrder(
            sha256=payloads.sha256,
            parts=tuple(tuple(path.name for path in part) for part in payloads.parts),
            shares=payloads.shares,
            seed=payloads.seed,
            sizes=payloads.sizes,
            answers=payloads.answers,
        ),
    )


def shot_of(order: Order) -> Shot:
    """Return the shot of an order."""
    schedule = None if order.schedule is None else np.frombuffer(base64.b64decode(order.schedule), dtype="<i8")
    return Shot(
        order.kind,
        users=order.users,
        timeout_s=order.timeout_s,
        schedule=None if schedule is None else schedule.astype(np.int64),
        seconds=order.seconds,
        requests=order.requests,
        seed=order.seed,
        stop_when_oversaturated=order.stop_when_oversaturated,
        tags=order.tags,
    )


def payloads_of(order: Order, folder: Path) -> PayloadSet:
    """Return the payloads of an order, whose files lie in a folder."""
    known = order.payload
    parts = tuple(tuple(folder / Path(name).name for name in part) for part in known.parts)
    return PayloadSet(parts, known.shares, known.seed, known.sha256, known.sizes, folder, known.answers)


class Fleet:
    """The runners of one race, as whoever wants load sees them.

    `say` is told what is waited for; `guard` is called while waiting, and raises what makes waiting pointless.
    """

    def __init__(self, send: Send, *, runners: int, guard: Callable[[], None] = lambda: None) -> None:
        self._send = send
        self._guard = guard
        self._there: set[str] = set()
        self.runners = runners

    def facts(self) -> tuple[RunnerFacts, ...]:
        """Return what each runner that has come is, by its number."""
        found = json.loads(self._send("GET", "/runners", timeout_s=_WAIT_S))
        return tuple(RunnerFacts.model_validate_json(json.dumps(one)) for one in found)

    def play(self, endpoint: Endpoint, shot: Shot, payloads: PayloadSet, *, workdir: Path) -> Outcome:
        """Let the runners play a shot, each its share, and return what became of every request.

        Raises:
            GeneratorError: a runner failed, or they do not answer in time.
        """
        # A closed loop of one user cannot be divided.
        runners = min(self.runners, shot.users)
        order = order_of(endpoint, shot, payloads, runners=runners)
        reports, parts = self._played(order, shot, payloads, workdir)
        results = [Result.model_validate_json(part["result.json"]) for part in parts]
        samples = [_samples(part, workdir, order, index) for index, part in enumerate(parts)]
        for got, result in zip(samples, results, strict=True):
            if int(got.sent.sum()) != result.sent:
                raise GeneratorError(f"k6 says that it sent {result.sent} requests and lists {int(got.sent.sum())}")
        starts = [one.started_unix_ns - report.clock_after_ns for one, report in zip(results, reports, strict=True)]
        joined = Samples.joined(samples)
        return Outcome(
            samples=joined,
            planned=sum(result.planned for result in results),
            dropped=sum(result.dropped for result in results),
            stopped=stop_of(joined, shot, [result.stopped for result in results]),
            generator=_facts(reports, "k6", results[0].version, sum(r.http_requests for r in results), starts),
            started=results[0].started,
            seconds=max(result.seconds for result in results),
            shot=shot,
        )

    def attack(
        self, endpoint: Endpoint, payloads: PayloadSet, *, rate: float, seconds: float, timeout_s: float, workdir: Path
    ) -> Outcome:
        """Let the first runner send at a constant rate with vegeta.

        Raises:
            GeneratorError: it failed, or does not answer in time.
        """
        shot = plan_attack(rate, seconds, timeout_s)
        order = order_of(endpoint, shot, payloads, runners=1).model_copy(
            update={"tool": "vegeta", "rate": rate, "schedule": None}
        )
        reports, parts = self._played(order, shot, payloads, workdir)
        samples = _samples(parts[0], workdir, order, 0)
        return Outcome(
            samples=samples,
            planned=0 if shot.schedule is None else len(shot.schedule),
            dropped=0,
            stopped=None,
            generator=_facts(reports, "vegeta", reports[0].version, int(samples.sent.sum()), [0]),
            started=reports[0].started,
            seconds=float(samples.end_ns.max()) / 1e9 if len(samples) else 0.0,
            shot=shot,
        )

    def ask_by_turns(
        self,
        endpoint: Endpoint,
        ways: Sequence[Way],
        payloads: PayloadSet,
        *,
        timeout_s: float,
        workdir: Path,
        rate: float = RATE,
        seconds: float = SECONDS,
    ) -> tuple[WayTimes, ...]:
        """Let the first runner ask a server along several ways by turns.

        Raises:
            GeneratorError: it failed, or does not answer in time.
        """
        shot = plan_attack(rate, seconds, timeout_s)
        changed = {"tool": "turns", "rate": rate, "schedule": None, "ways": tuple(ways)}
        order = order_of(endpoint, shot, payloads, runners=1).model_copy(update=changed)
        _, parts = self._played(order, shot, payloads, workdir)
        try:
            return Told.model_validate_json(parts[0]["ways.json"]).ways
        except (KeyError, ValidationError) as error:
            raise GeneratorError("the load generator brought no times of the ways") from error

    def end(self) -> None:
        """Tell the runners that no order will come."""
        self._send("POST", "/end", body=b"", timeout_s=_WAIT_S)

    def _played(
        self, order: Order, shot: Shot, payloads: PayloadSet, workdir: Path
    ) -> tuple[list[Report], list[dict[str, bytes]]]:
        self._bring(payloads)
        # What an order leaves as it is, a results server of a former image need not know.
        self._put(f"/orders/{order.id}", order.model_dump_json(exclude_defaults=True).encode())
        # Runners get the order when all of them ask for it, and agree on a start some time later.
        lead_s = _AGREED_S + USER_START_S * shot.users if order.runners > 1 else 0.0
        deadline = time.monotonic() + shot.longest_s + lead_s + 3 * START_S
        while not (standing := self._standing(order.id)).done:
            self._guard()
            if time.monotonic() > deadline:
                names = ", ".join(map(str, standing.waiting_for))
                raise GeneratorError(
                    f"the load generators did not end in time: order {standing.state}, waiting for runner {names}",
                    "kubectl get pods -l podium.dev/race shows whether they run",
                )
        parts = [unpack(self._checked(f"/orders/{order.id}/results/{i}")) for i in range(order.runners)]
        reports = [Report.model_validate_json(part["report.json"]) for part in parts]
        self._send("DELETE", f"/orders/{order.id}", timeout_s=_WAIT_S)
        for report in reports:
            if report.error:
                log = workdir / f"runner-{report.facts.runner}.log"
                log.parent.mkdir(parents=True, exist_ok=True)
                log.write_text(report.log)
                where = f" on {report.facts.node}" if report.facts.node else ""
                raise GeneratorError(
                    f"runner {report.facts.runner}{where}: {report.error}",
                    f"see {log}, which ends:\n{report.log[-1500:]}",
                )
        return reports, parts

    def _standing(self, order: str) -> Standing:
        answer = self._send("GET", f"/orders/{order}?wait={_WAIT_S:g}", timeout_s=2 * _WAIT_S)
        return Standing.model_validate_json(answer)

    def _bring(self, payloads: PayloadSet) -> None:
        if payloads.sha256 in self._there:
            return
        files = {path.name: path.read_bytes() for path in payloads.files}
        self._put(f"/payloads/{payloads.sha256}", pack(files))
        self._there.add(payloads.sha256)

    def _put(self, path: str, body: bytes) -> None:
        checksum = hashlib.sha256(body).hexdigest()
        kind = {"Content-Type": "application/octet-stream", CHECKSUM: checksum}
        self._send("PUT", path, body=body, headers=kind, timeout_s=60.0)

    def _checked(self, path: str) -> bytes:
        """Fetch an archive whose first line is its checksum: headers may not survive a proxy."""
        checksum, _, body = self._send("GET", path, timeout_s=60.0).partition(b"\n")
        if hashlib.sha256(body).hexdigest() != checksum.decode(errors="replace"):
            raise GeneratorError(f"{path} did not arrive as it was sent")
        return body


def _samples(part: Mapping[str, bytes], workdir: Path, order: Order, index: int) -> Samples:
    workdir.mkdir(parents=True, exist_ok=True)
    path = workdir / f"{order.id}-{index}.samples"
    path.write_bytes(part["samples.bin"])
    try:
        return read_samples(path)
    finally:
        path.unlink()


def _facts(
    reports: Sequence[Report], tool: str, version: str, http_requests: int, starts: Sequence[int]
) -> GeneratorFacts:
    throttled = [report.throttled for report in reports if report.throttled is not None]
    cores = {core for report in reports for core in report.facts.cores}
    nodes = {report.facts.node for report in reports}
    offered = sum(min(report.facts.cpus or 1e9, float(len(report.facts.cores) or 1)) for report in reports)
    if len(nodes) == 1:
        # Runners on one node share its cores, each within its own limit.
        offered = min(offered, float(len(cores) or 1))
    return GeneratorFacts(
        tool=tool,
        version=version,
        runners=len(reports),
        cpu_seconds=sum(report.cpu_seconds for report in reports),
        wall_s=max(report.wall_s for report in reports),
        throttled=sum(throttled) if len(throttled) == len(reports) else None,
        rss_bytes=max(report.rss_bytes for report in reports),
        http_requests=http_requests,
        start_spread_ns=max(starts) - min(starts),
        cores=tuple(sorted(cores)),
        cpus=offered,
        nodes=tuple(sorted(nodes)),
        reads_answers=tool == "k6",
        stolen=most(report.stolen for report in reports),
        payloads=tuple(sorted({report.payload_sha256 for report in reports} - {""})),
    )
