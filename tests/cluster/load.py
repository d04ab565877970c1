"""Load from inside the cluster: the chart `loadtest` plays a schedule from its own node, and checks every answer.

Two fleets play at once: one keeps its connections, the other opens one for each request. So both are seen, what becomes
of a connection whose pod goes, and where a new connection is led. Nobody sends anything a second time.
"""

import json
import uuid
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy as np
import numpy.typing as npt

from loadtest.payloads import PayloadSet
from loadtest.samples import Samples
from loadtest.schedule import poisson, users_for
from loadtest.shot import Endpoint, Outcome, Shot
from podium.cluster.access import Access
from podium.cluster.adapter import Cluster
from podium.cluster.deployment import helm_on
from podium.cluster.site import read_platform
from podium.targets.runners import RunnerPods
from tests.cluster.conftest import ALLOWED, STANDARD, Kubectl

__all__ = ["Load", "Seen", "loading", "runner_pods", "steps"]

Integers = npt.NDArray[np.int64]
X = [0.0, 1.0, 2.0, 3.0]
TIMEOUT_S = 5.0
_NS = 1_000_000_000
_MS = 1_000_000
_KEPT = 200
_RACE = "podium.dev/race"
_FLEETS: Mapping[str, Mapping[str, str]] = {"kept": {}, "new": {"Connection": "close"}}


def steps(parts: Sequence[tuple[float, float]], seed: int) -> Integers:
    """Return Poisson arrivals in ns whose rate changes in steps: `(requests a second, seconds)` one after the other."""
    begins = np.cumsum([0.0, *(seconds for _, seconds in parts)])
    drawn = [
        poisson(rate, seconds, seed + index) + round(begins[index] * _NS) for index, (rate, seconds) in enumerate(parts)
    ]
    return np.concatenate(drawn)


@dataclass(frozen=True, slots=True)
class Seen:
    """What became of a load.

    Attributes:
        planned: requests of the schedules.
        sent: requests that left.
        failed: requests without a right answer within the time-out, by fleet.
        p50_ms: median latency from the instant a request was meant to leave.
        p99_ms: the same, 99 %.
        worst_ms: the same, the longest.
        began: wall time of the schedules' zero, in seconds.
        seconds: length of the schedules.
        failures: the first of them, by fleet: fleet, second of the schedule, HTTP status (0: no answer).
    """

    planned: int
    sent: int
    failed: dict[str, int]
    p50_ms: float
    p99_ms: float
    worst_ms: float
    began: float
    seconds: float
    failures: tuple[tuple[str, float, int], ...]

    @classmethod
    def of(cls, outcomes: Mapping[str, Outcome]) -> "Seen":
        """Put the outcomes of the fleets together."""
        samples = Samples.joined([one.samples for one in outcomes.values()])
        latency = samples.recorded_intended_ns(round(TIMEOUT_S * _NS))
        p50, p99 = (float(np.percentile(latency, q, method="inverted_cdf")) / _MS for q in (50, 99))
        missed = {name: one.samples.select(one.samples.misses(one.timeout_ns)) for name, one in outcomes.items()}
        began = min(datetime.fromisoformat(one.started).timestamp() for one in outcomes.values())
        first = tuple(
            (name, round(float(at) / _NS, 3), int(status))
            for name, one in missed.items()
            for at, status in zip(one.intended_ns[:_KEPT], one.status[:_KEPT], strict=True)
        )
        return cls(
            planned=sum(one.planned for one in outcomes.values()),
            sent=int(samples.sent.sum()),
            failed={name: len(one) for name, one in missed.items()},
            p50_ms=round(p50, 1),
            p99_ms=round(p99, 1),
            worst_ms=round(float(latency.max()) / _MS, 1),
            began=began,
            seconds=max(one.shot.seconds or 0.0 for one in outcomes.values()),
            failures=first,
        )

    @property
    def lost(self) -> int:
        """Return how many requests failed."""
        return sum(self.failed.values())

    @property
    def is_whole(self) -> bool:
        """Return whether the load was what it was meant to be: a generator that falls behind proves nothing."""
        return self.sent >= 0.99 * self.planned > 0


class Load:
    """The two fleets of one namespace, up until they are removed."""

    def __init__(self, namespace: Kubectl, folder: Path) -> None:
        self._namespace = namespace.namespace
        self._folder = folder
        label = f"t{uuid.uuid4().hex[:6]}"
        self._fleets = {name: runner_pods(self._namespace, f"{label}{name[0]}") for name in _FLEETS}
        self._pool = ThreadPoolExecutor(max_workers=len(_FLEETS))
        (folder / "payload").mkdir(parents=True)
        tensor = {"name": "x", "datatype": "FP32", "shape": [1, 4], "data": X}
        (folder / "payload" / "x.json").write_text(json.dumps({"inputs": [tensor]}))

    def raise_fleets(self) -> None:
        """Start the runners; they then wait for orders."""
        for raised in [self._pool.submit(each.fleet) for each in self._fleets.values()]:
            raised.result()

    def start(self, service: str, parts: Sequence[tuple[float, float]]) -> "Future[Seen]":
        """Let both fleets play half of a rate that changes in steps, and return what will have become of it."""
        waiting = {name: self._pool.submit(self._play, name, service, parts) for name in _FLEETS}
        seen: Future[Seen] = Future()

        def gather(_done: "Future[Outcome]") -> None:
            if not all(one.done() for one in waiting.values()) or seen.done():
                return
            errors = [error for one in waiting.values() if (error := one.exception()) is not None]
            if errors:
                seen.set_exception(errors[0])
            else:
                seen.set_result(Seen.of({name: one.result() for name, one in waiting.items()}))

        for one in waiting.values():
            one.add_done_callback(gather)
        return seen

    def remove(self) -> None:
        """Take the runners away."""
        for fleet in self._fleets.values():
            fleet.remove()
        self._pool.shutdown()

    def _play(self, name: str, service: str, parts: Sequence[tuple[float, float]]) -> Outcome:
        schedule = steps([(rate / 2, seconds) for rate, seconds in parts], seed=7 + len(name))
        users = users_for(max(rate for rate, _ in parts) / 2, TIMEOUT_S)
        seconds = sum(part for _, part in parts)
        shot = Shot("open", users=users, timeout_s=TIMEOUT_S, schedule=schedule, seconds=seconds)
        url = f"http://{service}-predictor.{self._namespace}.svc.cluster.local"
        endpoint = Endpoint(url, "v2-json", service, headers=_FLEETS[name])
        payloads = PayloadSet.from_mix([("*", 1.0)], self._folder / "payload", seed=7)
        return self._fleets[name].fleet().play(endpoint, shot, payloads, workdir=self._folder / name)


def runner_pods(namespace: str, label: str, runners: int = 1) -> RunnerPods:
    """Return the runners of a namespace, not yet started."""
    cluster = Cluster.connect(Access(STANDARD, ALLOWED[0], namespace))
    platform = read_platform(cluster)
    return RunnerPods(
        cluster, helm_on(cluster), platform, label=label, race_label=_RACE, runners=runners, say=lambda _text: None
    )


@contextmanager
def loading(namespace: Kubectl, folder: Path) -> Iterator[Load]:
    """Give both fleets of a namespace, up and waiting."""
    load = Load(namespace, folder)
    try:
        load.raise_fleets()
        yield load
    finally:
        load.remove()
