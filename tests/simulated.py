"""A place for races that exists in memory: its servers are queues, and loading one is working its queue out.

It stands where the local or the cluster target stands. Faults of the place are planted from outside: what a
generator recorded can be changed, a server can end in the middle of a run or never start.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
from pydantic import JsonValue

from loadtest.oversaturation import points, stop_time
from loadtest.payloads import PayloadSet
from loadtest.profile import Profile, parse_profile
from loadtest.samples import NO_ANSWER, Samples
from loadtest.shot import Endpoint, GeneratorFacts, Outcome, Shot
from loadtest.slo import parse_slo
from loadtest.vegeta import attack
from podium.contest import Contest
from podium.errors import MachineError
from podium.measure import Measurement
from podium.progress import RaceProgress
from podium.targets.target import Candidate, Deployment, ServerFacts
from tests.loads import payloads
from tests.queues import departed, limited

NS = 1_000_000_000
MAX_BATCH = 4
SLO = parse_slo("p99<=100ms, errors<=1%, rate>=40/s")
HASH = "c0ffee" * 8
WARMUP = "{kind: warmup, until: settled, atLeast: 20, atMost: 5s}"
SINGLE = "{kind: single-stream, requests: 60}"
OFFLINE = "{kind: offline, for: 4s}"
HOLD = "{kind: hold, blocks: 5, block: 10s, restart: false, stopWhenOversaturated: true}"
SEARCH = "{kind: search, precision: 10%, probe: 5s, probeRequests: 100, maxProbes: 8}"
_SEND_NS = 100_000
_WARM_USERS = 2
_BURST_S = 0.1

Integers = npt.NDArray[np.int64]
Change = Callable[[str, Shot, Outcome], Outcome]


def profile(*phases: str, level: str = "quick") -> Profile:
    """Return a profile of these phases."""
    confidence = {"quick": 0.95, "standard": 0.99}[level]
    listed = "\n".join(f"  - {phase}" for phase in phases)
    text = f"name: test\nlevel: {level}\ntimeout: 2s\nbudget: 10m\nconfidence: {confidence}\nphases:\n{listed}\n"
    return parse_profile(text, "test.yaml")


class SimulatedTarget:
    """Servers that are queues with one server and a constant service time, in milliseconds by variant.

    `change` gets what a generator would have recorded and returns what it did record; `state` holds keys of the
    server's state page that differ from the truth, and `growth` counters in them that grow by so much a load; `facts`
    are further facts of the machine, and `protocol` is what is spoken; `ends_in` names the load, counted from 1, in
    which a server ends, and `never_starts` the variants that do not come up; `batch` is how many of several requests
    are run at once, and `places` how many servers fit at once; `most_up` is how many there were.
    `shots` is what was played, in order.
    """

    name = "local"

    def __init__(self, service_ms: Mapping[str, float]) -> None:
        self.generator_cores = frozenset({0})
        self.runners = 1
        self.service_ms = dict(service_ms)
        self.shots: list[tuple[str, Shot]] = []
        self.starts: Counter[str] = Counter()
        self.removed: list[str] = []
        self.change: Change = lambda _variant, _shot, outcome: outcome
        self.state: dict[str, JsonValue] = {}
        self.growth: dict[str, dict[str, float]] = {}
        self.facts: dict[str, str | int | float | list[str]] = {}
        self.protocol = "v1-image"
        self.ends_in: dict[str, int] = {}
        self.never_starts: set[str] = set()
        self.batch = 2
        self.places: int | None = None
        self.most_up = 0
        self._loads: Counter[str] = Counter()
        self._alive: dict[str, Deployment] = {}
        self._batches: dict[str, Counter[int]] = {}

    def measured(self) -> list[tuple[str, Shot]]:
        """Return what was played but the warm-ups."""
        return [(variant, shot) for variant, shot in self.shots if shot.users != _WARM_USERS]

    def check(self, candidates: int) -> None:
        if candidates > len(self.service_ms):
            raise MachineError("there are not so many queues")

    def deploy(self, candidate: Candidate) -> Deployment:
        name = candidate.variant_id
        if name in self.never_starts:
            raise MachineError(f"{name} did not start: exit code 1", "read its log")
        if name not in self._alive:
            self.starts[name] += 1
            self._batches[name] = Counter()
            endpoint = Endpoint("http://127.0.0.1:1", self.protocol, "model", "http://127.0.0.1:2/debug/state")
            self._alive[name] = Deployment(candidate, endpoint, 1.5, f"start {self.starts[name]} of {name}")
            self.most_up = max(self.most_up, len(self._alive))
        # The same server may be asked for as another artifact: who loads a URL learns its address first.
        self._alive[name] = replace(self._alive[name], candidate=candidate)
        return self._alive[name]

    def load(self, deployment: Deployment, shot: Shot, payloads: PayloadSet, workdir: Path) -> Outcome:
        name = deployment.candidate.variant_id
        self.shots.append((name, shot))
        self._loads[name] += 1
        service_s = self.service_ms[name] / 1000
        samples, stopped = _closed(shot, service_s) if shot.kind == "closed" else _open(shot, service_s)
        count = len(samples)
        batch = min(self.batch, shot.users)
        self._batches[name].update({batch: count // batch})
        self._batches[name].update({1: count % batch})
        if self.ends_in.get(name) == self._loads[name]:
            self._alive.pop(name)
        last_s = float(samples.end_ns.max()) / NS if count else 0.0
        facts = GeneratorFacts("k6", "v2.2.0", 1, 0.1 * last_s, last_s + 0.3, 0, 90_000_000, count, 0, (0,))
        planned = len(shot.schedule) if shot.schedule is not None else shot.requests or 0
        # An arrival is counted as dropped where no user was free at its time.
        dropped = int((samples.lateness_ns > 1.01 * _SEND_NS).sum())
        outcome = Outcome(samples, planned, dropped, stopped, facts, "2026-01-02T03:04:05Z", last_s, shot)
        return self.change(name, shot, outcome)

    def room(self, node_class: str) -> int | None:
        return self.places

    def environment(self, node_class: str) -> Mapping[str, str | int | float | list[str]]:
        return {"node_class": node_class, **self.facts}

    def attack(
        self,
        deployment: Deployment,
        payloads: PayloadSet,
        *,
        rate: float,
        seconds: float,
        timeout_s: float,
        workdir: Path,
    ) -> Outcome:
        return attack(
            deployment.endpoint, rate=rate, seconds=seconds, payloads=payloads, workdir=workdir, timeout_s=timeout_s
        )

    def observe(self, deployment: Deployment) -> ServerFacts:
        name = deployment.candidate.variant_id
        running = self._alive.get(name)
        if running is None:
            ending = "signal SIGKILL; its log ends: killed"
            return ServerFacts(False, deployment.identity, frozenset(), ending=ending, replicas=frozenset())
        seen = frozenset({running.identity})
        return ServerFacts(True, running.identity, frozenset({1}), self._state(running), replicas=seen)

    def remove(self, candidate: Candidate) -> None:
        self.removed.append(candidate.variant_id)
        self._alive.pop(candidate.variant_id, None)

    def cleanup(self) -> Sequence[str]:
        left = list(self._alive)
        self._alive.clear()
        return left

    def _state(self, running: Deployment) -> dict[str, JsonValue]:
        batches: dict[str, JsonValue] = {
            str(size): count for size, count in self._batches[running.candidate.variant_id].items()
        }
        known: dict[str, JsonValue] = {
            "address": running.candidate.address,
            "preprocessing_hash": running.candidate.preprocessing_hash,
            "threads": 1,
            "cpu_limit": 1.0,
            "max_batch": MAX_BATCH,
            "batches": batches,
            "cgroup": {"nr_periods": 100, "nr_throttled": 0},
        }
        loads = self._loads[running.candidate.variant_id]
        grown: dict[str, JsonValue] = {
            key: {name: by * loads for name, by in counters.items()} for key, counters in self.growth.items()
        }
        return known | self.state | grown


def candidate(name: str, folder: Path, *, address: str = "") -> Candidate:
    """Return a candidate on the local class."""
    return Candidate(name, "local", address or name.encode().hex().ljust(64, "0"), folder, HASH)


def measurement(
    target: SimulatedTarget, folder: Path, chosen: Profile, said: list[str] | None = None, *, seed: int = 11
) -> Measurement:
    """Return what the runs of a race in `folder` share."""
    sent = payloads(folder / "payloads")
    return Measurement(
        target=target,
        profile=chosen,
        payloads=sent,
        payload_digest=sent.sha256,
        race_id="race",
        fingerprint="4be0643f1d98",
        cpus=1.0,
        seed=seed,
        workdir=folder / "work",
        say=([] if said is None else said).append,
    )


def contest(
    shared: Measurement, folder: Path, *, budget_s: float = 3600.0, events: list[tuple[str, str | None]] | None = None
) -> Contest:
    """Return a contest that keeps its runs below `folder`."""
    told = [] if events is None else events
    return Contest(
        shared,
        slo=SLO,
        race_folder=folder,
        budget_s=budget_s,
        progress=RaceProgress(quiet=True),
        event=lambda text, variant: told.append((text, variant)),
    )


def with_samples(outcome: Outcome, **fields: object) -> Outcome:
    """Return an outcome with arrays of its samples replaced."""
    return replace(outcome, samples=replace(outcome.samples, **fields))  # type: ignore[arg-type]


def sent_by(rate: float) -> Change:
    """Return what a generator makes of a load that sends so many a second, and a tenth of that at once."""

    def change(_variant: str, shot: Shot, outcome: Outcome) -> Outcome:
        if shot.schedule is None:
            return outcome
        samples = outcome.samples
        made_s = departed(samples.intended_ns / NS, 1 / rate) - samples.intended_ns / NS
        held_ns = np.round(np.maximum(made_s - _BURST_S, 0.0) * NS).astype(np.int64)
        return with_samples(outcome, start_ns=samples.start_ns + held_ns, end_ns=samples.end_ns + held_ns)

    return change


def _open(shot: Shot, service_s: float) -> tuple[Samples, str | None]:
    if shot.schedule is None:
        raise ValueError("an open shot has a schedule")
    start = shot.schedule + _SEND_NS
    end = np.round(departed(start / NS, service_s) * NS).astype(np.int64)
    if bool(np.any(np.minimum(end, start + round(shot.timeout_s * NS))[: -shot.users] > start[shot.users :])):
        # There would be more requests under way than users.
        services = np.full(len(start), service_s)
        start, end = (
            np.round(one * NS).astype(np.int64) for one in limited(start / NS, services, shot.users, shot.timeout_s)
        )
    samples = _samples(shot, shot.schedule, start, end)
    if not shot.stop_when_oversaturated:
        return samples, None
    seen = points(samples.intended_ns, samples.end_ns, samples.sent, round((shot.seconds or 0.0) * NS))
    stop = stop_time(*seen)
    if stop is None:
        return samples, None
    return samples.select(samples.intended_ns <= stop), "over-saturated"


def _closed(shot: Shot, service_s: float) -> tuple[Samples, str | None]:
    start: list[int] = []
    end: list[int] = []
    service_ns, until_ns = round(service_s * NS), round((shot.seconds or 1e6) * NS)
    while len(start) < (shot.requests or 10**9):
        free = 0 if len(start) < shot.users else end[-shot.users]
        if free >= until_ns:
            break
        start.append(free)
        end.append(max(free, end[-1] if end else 0) + service_ns)
    starts = np.array(start, dtype=np.int64)
    return _samples(shot, starts, starts, np.array(end, dtype=np.int64)), None


def _samples(
    shot: Shot,
    intended: Integers,
    start: Integers,
    end: Integers,
) -> Samples:
    timeout_ns = round(shot.timeout_s * NS)
    late = end - start > timeout_ns
    return Samples(
        n=np.arange(len(start)),
        intended_ns=intended,
        start_ns=start,
        end_ns=np.where(late, start + timeout_ns, end),
        status=np.where(late, NO_ANSWER, 200).astype(np.int64),
        ok=~late,
        block=np.zeros(len(start), dtype=np.int64),
    )
