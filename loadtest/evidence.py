"""What the passport looks at: explicit fields, each of which may be missing.

A part that nobody measured stays None, and its proof then says "not measured" instead of holding.
Filling these fields is the business of whoever played the run; what they mean for its validity is
decided in `passport`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from loadtest.settled import Window

__all__ = [
    "AnswerEvidence",
    "ArtifactEvidence",
    "BatchEvidence",
    "ClockEvidence",
    "ErrorEvidence",
    "GeneratorEvidence",
    "IsolationEvidence",
    "LittleEvidence",
    "PartsEvidence",
    "PayloadEvidence",
    "PlacementEvidence",
    "ReplicaEvidence",
    "RunEvidence",
    "SentEvidence",
    "ServerState",
    "server_state",
]

Integers = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class SentEvidence:
    """Requests planned, requests that left, and those that did not because the server held all users to the end."""

    planned: int
    sent: int
    held: int = 0


@dataclass(frozen=True, slots=True)
class GeneratorEvidence:
    """What the generator used: CPU seconds over wall seconds on so many cores, and throttled periods.

    `stolen` is the share of its cores' time in which the host ran something else; None where nobody counts.
    """

    cpu_seconds: float
    wall_s: float
    cores: float
    nr_throttled: int | None = None
    stolen: float | None = None


@dataclass(frozen=True, slots=True)
class IsolationEvidence:
    """Where generator and server ran; on one node their cores must be disjoint."""

    generator_node: str
    server_node: str
    generator_cores: frozenset[int] = frozenset()
    server_cores: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True)
class ClockEvidence:
    """The series the verdict reads, the series that were stored, and the starts of the runners."""

    verdict_series: str
    stored_series: frozenset[str]
    start_spread_s: float = 0.0


@dataclass(frozen=True, slots=True)
class PayloadEvidence:
    """Digest and size percentiles of the payloads of this run and of the race."""

    digest: str
    race_digest: str
    sizes: Mapping[str, float] = field(default_factory=dict)
    race_sizes: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class LittleEvidence:
    """In-flight as sampled, against rate and mean latency of the same window.

    Attributes:
        in_flight: samples of in-flight at equal distances, counted by other means than the latencies.
        rate: answers per second.
        mean_latency_s: mean latency on the same clock.
    """

    in_flight: Floats
    rate: float
    mean_latency_s: float


@dataclass(frozen=True, slots=True)
class PartsEvidence:
    """Mean seconds of each part of a request, and of the whole.

    Attributes:
        parts_s: of each part.
        whole_s: of the whole, from its actual start.
        noise_s: what the whole may differ by from the sum whatever its length is.
        is_all: no part is missing; else the sum may only not be longer than the whole.
        usual_s: of the whole without what came in bursts, as of a server that stood still; None where nobody looked.
    """

    parts_s: Mapping[str, float]
    whole_s: float
    noise_s: float = 50e-6
    is_all: bool = True
    usual_s: float | None = None


@dataclass(frozen=True, slots=True)
class ServerState:
    """What `/debug/state` said at one instant; counters are cumulative.

    Attributes:
        identity: changes when process or pod is replaced.
        address: digest of the artifact that is served.
        preprocessing_hash: of the server's preprocessing; None without one.
        threads: threads of the engine.
        cpu_limit: cores it may use; None where it does not know.
        workers: processes with an engine each, among which it divides its cores.
        batches: executed batches by size.
        nr_periods: CPU periods of its cgroup; None where nobody counts.
        nr_throttled: those it was throttled in; None where nobody counts.
        requests: requests it says it answered or refused; None where it does not say.
        in_flight: requests that it has not answered yet.
        provider_nodes: operators by the execution provider that runs them; empty where the engine does not say.
        image: what it was started from; None where it does not know.
        stages_s: seconds that all its answers together spent in each stage; empty where it does not say.
        staged: answers that these are of.
    """

    identity: str
    address: str
    preprocessing_hash: str | None = None
    threads: int | None = None
    cpu_limit: float | None = None
    batches: Mapping[int, int] = field(default_factory=dict)
    nr_periods: int | None = None
    nr_throttled: int | None = None
    requests: int | None = None
    workers: int = 1
    in_flight: int = 0
    provider_nodes: Mapping[str, int] = field(default_factory=dict)
    image: str | None = None
    stages_s: Mapping[str, float] = field(default_factory=dict)
    staged: int = 0


@dataclass(frozen=True, slots=True)
class ReplicaEvidence:
    """The servers that answered: processes or pods by name, before and after the run."""

    before: frozenset[str]
    after: frozenset[str]


@dataclass(frozen=True, slots=True)
class PlacementEvidence:
    """Where the server ran at one instant, and what it was given there.

    Attributes:
        node: name of the node.
        node_class: the class that it was to run on.
        asked: what the class asks for, by what it is.
        found: what there was of it; a missing one is none.
        is_exclusive: the server has cores of its own; None where that is unknown.
    """

    node: str
    node_class: str
    asked: Mapping[str, str]
    found: Mapping[str, str]
    is_exclusive: bool | None = None


@dataclass(frozen=True, slots=True)
class ArtifactEvidence:
    """What should be served.

    Attributes:
        address: digest of the artifact in the plan.
        preprocessing_hash: the one in its manifest; None without one.
        unlike: digests that its model file must differ from, by name: for an int8 file that of the fp32 one.
        file_digest: digest of its model file.
        strangers: what else answers under the same name, in words.
        provider: the execution provider that it was made for; None where nobody said.
        quantized: operators of its graph that compute in 8 bits, where it is one of int8; None for any other.
        image: what the server was to be started from; None where nobody said.
        beside: other providers that some of its operators may run on.
    """

    address: str
    preprocessing_hash: str | None = None
    unlike: Mapping[str, str] = field(default_factory=dict)
    file_digest: str | None = None
    strangers: frozenset[str] = frozenset()
    provider: str | None = None
    quantized: int | None = None
    image: str | None = None
    beside: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class BatchEvidence:
    """What batching is claimed.

    Attributes:
        max_batch: the largest batch; 1 claims none.
        answered: requests that the server answered.
        sent: requests sent; what the client gave up on may have been executed or not.
        is_concurrent: requests came together, so that batches above 1 must have occurred.
    """

    max_batch: int
    answered: int
    sent: int
    is_concurrent: bool


@dataclass(frozen=True, slots=True)
class AnswerEvidence:
    """Answers against those that the variant gives for the same payloads, and answers of a wrong number of outputs.

    Attributes:
        checked: answers that were compared: those to payloads whose right answer is known for sure.
        wrong: those that differ.
        allowed_share: what may differ of them all the same.
        miscounted: answers to other payloads with another number of outputs than inputs.
        counted: answers whose outputs were only counted.
    """

    checked: int
    wrong: int
    allowed_share: float = 0.0
    miscounted: int = 0
    counted: int = 0


@dataclass(frozen=True, slots=True)
class ErrorEvidence:
    """Errors by what was seen, against what was counted as a miss, and retries.

    Attributes:
        seen: non-2xx, error bodies with 200, resets, time-outs and answers never given, by name.
        counted: requests that the record counts as misses.
        retries: retries that the client made.
        server_requests: requests that the server saw more than were sent; 0 where it was not asked.
    """

    seen: Mapping[str, int]
    counted: int
    retries: int = 0
    server_requests: int = 0


@dataclass(frozen=True, slots=True)
class RunEvidence:
    """Everything known about one run; None is "not measured".

    Attributes:
        over_saturated: the stop rule ended it: a failed rate, whose growing queue is no fault of the run.
        is_saturating: it took all that the server could give, so that the server's CPU share is what was measured.
        lateness_ns: actual minus intended start of every request that left, without the time in which the server held
            all users.
        dropped: arrivals that no user took in time.
        held: arrivals that waited because the server held all users.
        warmup: windows of the warm-up, in order; the last two count.
        in_flight: for each block, times in s and in-flight at those times.
        before: the server's state before the run.
        after: the same after it.
        cpus: cores the server was given, where its own state does not know.
        restarts: restarts and out-of-memory kills that the target saw during the run.
        is_alive: the server lived when the run was over.
        replicas: the servers before and after; None where there can only be one.
        placement: looks at where the server ran; None where there is only one place.
    """

    over_saturated: bool = False
    is_saturating: bool = False
    lateness_ns: Integers | None = None
    sent: SentEvidence | None = None
    dropped: int | None = None
    held: int = 0
    generator: GeneratorEvidence | None = None
    isolation: IsolationEvidence | None = None
    clock: ClockEvidence | None = None
    payload: PayloadEvidence | None = None
    warmup: Sequence[Window] | None = None
    in_flight: Sequence[tuple[Floats, Floats]] | None = None
    little: LittleEvidence | None = None
    parts: PartsEvidence | None = None
    before: ServerState | None = None
    after: ServerState | None = None
    cpus: float | None = None
    restarts: int | None = None
    is_alive: bool | None = None
    replicas: ReplicaEvidence | None = None
    placement: Sequence[PlacementEvidence] | None = None
    artifact: ArtifactEvidence | None = None
    batches: BatchEvidence | None = None
    answers: AnswerEvidence | None = None
    errors: ErrorEvidence | None = None


def server_state(document: Mapping[str, object], identity: str) -> ServerState | None:
    """Read what `/debug/state` answered; None when it names no artifact.

    Args:
        document: the answer, parsed.
        identity: what the target calls the process or pod.
    """
    address = document.get("address")
    if not isinstance(address, str):
        return None
    cgroup = document.get("cgroup")
    counters: Mapping[str, object] = cgroup if isinstance(cgroup, Mapping) else {}
    batches = document.get("batches")
    sizes: Mapping[object, object] = batches if isinstance(batches, Mapping) else {}
    hashed = document.get("preprocessing_hash")
    limit = document.get("cpu_limit")
    image = document.get("image")
    answers = _integers(document.get("requests"))
    stages = {name: float(spent) for name, spent in _items(document.get("stages")) if isinstance(spent, int | float)}
    return ServerState(
        identity=identity,
        address=address,
        preprocessing_hash=hashed if isinstance(hashed, str) else None,
        threads=_integer(document.get("threads")),
        cpu_limit=float(limit) if isinstance(limit, int | float) else None,
        batches={int(str(size)): number for size, count in sizes.items() if (number := _integer(count))},
        nr_periods=_integer(counters.get("nr_periods")),
        nr_throttled=_integer(counters.get("nr_throttled")),
        requests=sum(answers.values()) if isinstance(document.get("requests"), Mapping) else None,
        workers=_integer(document.get("workers")) or 1,
        in_flight=_integer(document.get("in_flight")) or 0,
        provider_nodes=_integers(document.get("provider_nodes")),
        image=image if isinstance(image, str) and image else None,
        staged=round(stages.pop("answers", 0.0)),
        stages_s=stages,
    )


def _items(value: object) -> Iterable[tuple[str, object]]:
    return value.items() if isinstance(value, Mapping) else ()


def _integers(value: object) -> dict[str, int]:
    return {name: number for name, count in _items(value) if (number := _integer(count)) is not None}


def _integer(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None
