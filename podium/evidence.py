"""From what was seen around a run to its passport: the target's facts and the generator's in the proofs' terms.

Pure. What a target cannot see stays unmeasured, and its proof says so.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from loadtest.evidence import (
    AnswerEvidence,
    ArtifactEvidence,
    BatchEvidence,
    ClockEvidence,
    ErrorEvidence,
    GeneratorEvidence,
    IsolationEvidence,
    LittleEvidence,
    PayloadEvidence,
    ReplicaEvidence,
    RunEvidence,
    SentEvidence,
    server_state,
)
from loadtest.histogram import by_clock
from loadtest.passport import passport, void_name
from loadtest.payloads import PayloadSet
from loadtest.profile import Thresholds
from loadtest.runrecord import ProofRecord
from loadtest.settled import Window
from loadtest.shot import Outcome
from loadtest.waits import waits_of
from podium.targets.target import ServerFacts

__all__ = ["Scene", "prove"]

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

_NS = 1_000_000_000
_IN_FLIGHT_STEP_NS = 50_000_000
_HTTP_OK = range(200, 300)


@dataclass(frozen=True, slots=True)
class Scene:
    """Everything around one run that its samples do not say.

    Attributes:
        node: name of the node of generator and server; one machine on the local target.
        cpus: cores the server was given.
        address: digest of the planned artifact.
        preprocessing_hash: of the planned artifact; None without one.
        generator_cores: cores of the generator.
        payloads: what was sent; `race_payloads` is the digest that all runs of the race must share.
        before: the server just before the run.
        after: the server just after it.
        warmup: the windows of the warm-up before it.
        is_concurrent: as many requests came together as the server takes, so that a batching one must have batched.
    """

    node: str
    cpus: float
    address: str
    preprocessing_hash: str | None
    generator_cores: frozenset[int]
    payloads: PayloadSet
    race_payloads: str
    before: ServerFacts
    after: ServerFacts
    warmup: Sequence[Window] | None
    is_concurrent: bool


def prove(outcome: Outcome, scene: Scene, thresholds: Thresholds) -> tuple[tuple[ProofRecord, ...], str | None]:
    """Return the passport of a run and the name it is void by, if it is."""
    proofs = passport(_evidence(outcome, scene), thresholds)
    records = tuple(
        ProofRecord(check=p.check, ok=p.ok, value=p.value, limit=p.limit, evidence=_told(p.check, p.evidence, scene))
        for p in proofs
    )
    return records, void_name(proofs)


def _told(check: str, evidence: str, scene: Scene) -> str:
    # How the process ended is what a person wants to know of a restart.
    return f"{evidence}: {scene.after.ending}" if check == "restarted" and scene.after.ending else evidence


def _evidence(outcome: Outcome, scene: Scene) -> RunEvidence:
    samples, facts = outcome.samples, outcome.generator
    is_open = outcome.shot.kind == "open"
    is_steady = is_open and outcome.shot.is_steady
    is_stopped = outcome.stopped == "over-saturated"
    sent = int(samples.sent.sum())
    waits = waits_of(outcome)
    before = server_state(scene.before.state, scene.before.identity)
    after = server_state(scene.after.state, scene.after.identity)
    is_known = bool(scene.before.identity)
    sizes = {name: float(size) for name, size in scene.payloads.size_percentiles().items()}
    return RunEvidence(
        over_saturated=is_stopped,
        is_saturating=scene.is_concurrent,
        lateness_ns=waits.own_ns[samples.sent] if is_open else None,
        # What the stop cut off was never due.
        sent=SentEvidence(
            len(samples) if is_stopped else outcome.planned, sent, int((waits.is_held & ~samples.sent).sum())
        )
        if is_open
        else None,
        dropped=outcome.dropped if is_open else None,
        held=waits.held if is_open else 0,
        generator=GeneratorEvidence(
            facts.cpu_seconds, facts.wall_s, facts.cpus or float(len(facts.cores) or 1), facts.throttled, facts.stolen
        ),
        isolation=_isolation(outcome, scene),
        clock=ClockEvidence("intended", frozenset(by_clock(samples, outcome.timeout_ns)), facts.start_spread_ns / _NS)
        if is_open
        else None,
        payload=PayloadEvidence(scene.payloads.sha256, scene.race_payloads, sizes, sizes),
        warmup=scene.warmup,
        in_flight=[_in_flight(outcome)] if is_steady else None,
        little=_little(outcome) if is_steady else None,
        before=before,
        after=after,
        cpus=scene.cpus,
        restarts=int(scene.before.identity != scene.after.identity) if is_known else None,
        is_alive=scene.after.alive if is_known else None,
        replicas=_replicas(scene),
        placement=[look.placement for look in (scene.before, scene.after) if look.placement is not None],
        artifact=ArtifactEvidence(
            scene.address, scene.preprocessing_hash, strangers=scene.before.strangers | scene.after.strangers
        ),
        batches=_batches(outcome, scene),
        answers=AnswerEvidence(checked=int(samples.answered.sum()), wrong=0, miscounted=_wrong(outcome)),
        errors=_errors(outcome),
    )


def _isolation(outcome: Outcome, scene: Scene) -> IsolationEvidence | None:
    """Say where both ran: nodes that are containers of one machine are apart only where their cores are."""
    if not scene.before.identity and not scene.before.node:
        return None
    used, server = outcome.generator, scene.before if scene.before.node else scene.after
    cores = scene.before.cores or scene.after.cores
    if not used.nodes or not server.node:
        return IsolationEvidence(scene.node, scene.node, scene.generator_cores, cores)
    generator = ",".join(used.nodes)
    if not server.neighbors.isdisjoint(used.nodes):
        place = server.node if generator == server.node else f"one machine ({generator} and {server.node})"
        return IsolationEvidence(place, place, frozenset(used.cores), cores)
    return IsolationEvidence(generator, server.node, frozenset(used.cores), cores)


def _replicas(scene: Scene) -> ReplicaEvidence | None:
    before, after = scene.before.replicas, scene.after.replicas
    return None if before is None or after is None else ReplicaEvidence(before, after)


def _wrong(outcome: Outcome) -> int:
    samples = outcome.samples
    return int((samples.answered & (samples.status >= 200) & (samples.status < 300) & ~samples.ok).sum())


def _errors(outcome: Outcome) -> ErrorEvidence:
    samples = outcome.samples
    codes, counts = np.unique(samples.status, return_counts=True)
    seen = {str(code): int(count) for code, count in zip(codes, counts, strict=True) if int(code) not in _HTTP_OK}
    if wrong := _wrong(outcome):
        seen["wrong answer"] = wrong
    retries = max(0, outcome.generator.http_requests - int(samples.sent.sum()))
    return ErrorEvidence(seen, int(samples.misses(outcome.timeout_ns).sum()), retries=retries)


def _batches(outcome: Outcome, scene: Scene) -> BatchEvidence | None:
    # The server makes batches only up to the size that it measured to be worth it.
    largest = scene.after.state.get("gather") or scene.after.state.get("max_batch")
    if not isinstance(largest, int):
        return None
    samples = outcome.samples
    good = int((samples.status == 200).sum())
    return BatchEvidence(largest, good, int(samples.sent.sum()), scene.is_concurrent)


def _in_flight(outcome: Outcome) -> tuple[Floats, Floats]:
    seconds = outcome.shot.seconds or 0.0
    if outcome.stopped and len(outcome.samples):
        seconds = min(seconds, float(outcome.samples.intended_ns[-1]) / _NS)
    edges_ns = np.arange(0, round(seconds * _NS) + 1, _IN_FLIGHT_STEP_NS, dtype=np.int64)
    # Means over steps and not single looks: evenly spaced arrivals beat with evenly spaced looks.
    waited_ns = _passed(outcome.samples.intended_ns, edges_ns) - _passed(outcome.samples.end_ns, edges_ns)
    return (edges_ns[:-1] + _IN_FLIGHT_STEP_NS / 2) / _NS, np.diff(waited_ns) / _IN_FLIGHT_STEP_NS


def _passed(instants_ns: Integers, at_ns: Integers) -> Integers:
    """Return the time that has passed since each instant before `at_ns`, summed over them."""
    ordered = np.sort(instants_ns)
    count = np.searchsorted(ordered, at_ns, side="right")
    passed: Integers = count * at_ns - np.concatenate(([0], np.cumsum(ordered)))[count]
    return passed


def _little(outcome: Outcome) -> LittleEvidence | None:
    samples = outcome.samples
    seconds = outcome.shot.seconds or 0.0
    if not len(samples) or not seconds:
        return None
    # What waits longer than the window is seen in flight for the part inside it alone: of a server that stalls near the
    # end that is the smaller part.
    window_ns = round(seconds * _NS)
    is_inside = samples.intended_ns < window_ns
    ends_ns = np.where(is_inside, np.minimum(samples.end_ns, window_ns), samples.end_ns)
    latency_s = float((ends_ns - samples.intended_ns).mean()) / _NS
    return LittleEvidence(_in_flight(outcome)[1], len(samples) / seconds, latency_s)
