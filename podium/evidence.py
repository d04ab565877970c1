"""From what was seen around a run to its passport: the target's facts and the generator's in the proofs' terms.

Pure. What a target cannot see stays unmeasured, and its proof says so.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from loadtest.cures import cure_of
from loadtest.evidence import (
    AnswerEvidence,
    ArtifactEvidence,
    BatchEvidence,
    ClockEvidence,
    ErrorEvidence,
    GeneratorEvidence,
    IsolationEvidence,
    LittleEvidence,
    PartsEvidence,
    PayloadEvidence,
    ReplicaEvidence,
    RunEvidence,
    SentEvidence,
    ServerState,
    server_state,
)
from loadtest.passport import passport, void_name
from loadtest.payloads import PayloadSet
from loadtest.profile import Thresholds
from loadtest.runrecord import ProofRecord
from loadtest.settled import Window
from loadtest.shot import Outcome
from loadtest.waits import waits_of
from podium.targets.target import Planned, ServerFacts

__all__ = ["Scene", "prove"]

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

_NS = 1_000_000_000
_IN_FLIGHT_STEP_NS = 50_000_000
_HTTP_OK = range(200, 300)
# What network, kernel and generator took of a request beyond what they take of one alone was at most 0.96 ms in 95
# valid runs of healthy servers, on two shared cores here and through a cluster's Service; this is twice as much.
_OUTSIDE_NOISE_S = 0.002
_SAME_ANSWERS = 0.01
_OF_ANSWERS = frozenset({"wrong-answers", "errors-hidden"})
# Of batches of so many successive requests, those slower than three in four may owe it to a server that stood still:
# a single stop hits fewer of a block before its requests time out. What a proxy adds is in most of them.
_BURST = 10
_USUAL = 0.75


@dataclass(frozen=True, slots=True)
class Scene:
    """Everything around one run that its samples do not say.

    Attributes:
        node: name of the node of generator and server; one machine on the local target.
        cpus: cores the server was given.
        address: digest of the planned artifact.
        preprocessing_hash: of the planned artifact; None without one.
        generator_cores: cores of the generator.
        payloads: what was to be sent; `race_payloads` is the digest that all runs of the race must share.
        before: the server just before the run.
        after: the server just after it.
        warmup: the windows of the warm-up before it.
        is_concurrent: as many requests came together as the server takes, so that a batching one must have batched.
        sent: the payloads as their files were after the run; None where nobody looked, as where runners sent copies.
        planned: what else is known of the planned artifact.
        outside_s: what passes outside the server of a request that is alone; None before that was measured.
        other_cpu: the server's CPU, where it is another than the one that right answers would be known of.
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
    sent: PayloadSet | None = None
    planned: Planned = field(default_factory=Planned)
    outside_s: float | None = None
    other_cpu: str | None = None


def prove(outcome: Outcome, scene: Scene, thresholds: Thresholds) -> tuple[tuple[ProofRecord, ...], str | None]:
    """Return the passport of a run and the name it is void by, if it is."""
    proofs = passport(_evidence(outcome, scene), thresholds)
    records = tuple(
        ProofRecord(
            check=p.check,
            ok=p.ok,
            value=p.value,
            limit=p.limit,
            evidence=_told(p.check, p.evidence, outcome, scene),
            remedy=cure_of(p.check) if p.ok is False else "",
        )
        for p in proofs
    )
    return records, void_name(proofs)


def _told(check: str, evidence: str, outcome: Outcome, scene: Scene) -> str:
    if check in _OF_ANSWERS and not outcome.generator.reads_answers:
        return f"{evidence}; {outcome.generator.tool} looks into no answer of status 2xx"
    if check == "wrong-answers" and scene.other_cpu:
        return f"{evidence} on {scene.other_cpu}: the test data was evaluated on another CPU"
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
        clock=_clock(outcome) if is_open else None,
        payload=_payload(scene, outcome.generator.payloads),
        warmup=scene.warmup,
        in_flight=[_in_flight(outcome)] if is_steady else None,
        little=_little(outcome) if is_steady else None,
        parts=_parts(outcome, scene, before, after),
        before=before,
        after=after,
        cpus=scene.cpus,
        restarts=int(scene.before.identity != scene.after.identity) if is_known else None,
        is_alive=scene.after.alive if is_known else None,
        replicas=_replicas(scene),
        placement=[look.placement for look in (scene.before, scene.after) if look.placement is not None],
        artifact=ArtifactEvidence(
            scene.address,
            scene.preprocessing_hash,
            unlike=scene.planned.unlike,
            file_digest=scene.planned.file_digest,
            strangers=scene.before.strangers | scene.after.strangers,
            provider=scene.planned.provider,
            quantized=scene.planned.quantized,
            beside=scene.planned.beside,
            image=scene.before.image or scene.after.image or None,
        ),
        batches=_batches(outcome, scene),
        answers=_answers(outcome, scene),
        errors=_errors(outcome, before, after),
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


def _clock(outcome: Outcome) -> ClockEvidence:
    """Say by which clock requests were timed: by the schedule's where each start is the one that was planned."""
    samples, schedule = outcome.samples, outcome.shot.schedule
    is_planned = schedule is not None and np.array_equal(samples.intended_ns, schedule[samples.n])
    verdict = "intended" if is_planned else "another"
    # A request leaves some time after it was meant to: where none did, there is one series under two names.
    has_left = bool((samples.start_ns != samples.intended_ns).any()) or not len(samples)
    stored = frozenset({"intended", "actual"} if has_left else {"intended"})
    return ClockEvidence(verdict, stored, outcome.generator.start_spread_ns / _NS)


def _payload(scene: Scene, copies: Sequence[str]) -> PayloadEvidence:
    """Say what was sent: the copies that the runners had, where they had their own, and not the files beside them."""
    planned = scene.payloads
    if copies:
        other = next((one for one in copies if one != scene.race_payloads), scene.race_payloads)
        return PayloadEvidence(other, scene.race_payloads, _sizes(planned), _sizes(planned))
    sent = scene.sent or planned
    return PayloadEvidence(sent.sha256, scene.race_payloads, _sizes(sent), _sizes(planned))


def _sizes(payloads: PayloadSet) -> dict[str, float]:
    return {name: float(size) for name, size in payloads.size_percentiles().items()}


def _parts(
    outcome: Outcome, scene: Scene, before: ServerState | None, after: ServerState | None
) -> PartsEvidence | None:
    """Return where the time of an answer went, as the server says, and how long it took, as the generator says.

    What passes outside the server is that of a request alone: the same way, with nothing to wait for. A server whose
    process stands still times none of it, and neither does a generator that waits for a user held by the server.
    """
    if before is None or after is None or before.identity != after.identity:
        return None
    samples = outcome.samples
    came = (samples.status >= 200) & (samples.status < 300)
    answers, count = after.staged - before.staged, int(came.sum())
    # A mean over other answers than the generator's says nothing of them.
    if answers <= 0 or abs(answers - count) > _SAME_ANSWERS * count:
        return None
    parts = {name: (spent - before.stages_s.get(name, 0.0)) / answers for name, spent in after.stages_s.items()}
    whole_s = float(samples.latency_actual_ns[came].mean()) / _NS
    # What wakes the generator late for a send wakes it late for an answer: up to twice as much in the same runs.
    late_s = float(waits_of(outcome).own_ns[samples.sent].mean()) / _NS if outcome.shot.kind == "open" else 0.0
    noise_s = _OUTSIDE_NOISE_S + 2 * max(0.0, late_s)
    if scene.outside_s is None or scene.is_concurrent:
        return PartsEvidence(parts, whole_s, noise_s, is_all=False)
    # A way that has become faster since takes no more than what there is.
    outside_s = min(scene.outside_s, max(0.0, whole_s - sum(parts.values())))
    usual_s = _usual_s(samples.latency_actual_ns[came])
    return PartsEvidence({**parts, "outside": outside_s}, whole_s, noise_s, usual_s=usual_s)


def _usual_s(latency_ns: Integers) -> float:
    """Return the mean latency with that of slow batches cut to what is usual of them; requests in their order."""
    batches = np.array_split(latency_ns, max(1, len(latency_ns) // _BURST))
    means = np.array([batch.mean() for batch in batches])
    sizes = [len(batch) for batch in batches]
    return float(np.average(np.minimum(means, np.quantile(means, _USUAL)), weights=sizes)) / _NS


def _replicas(scene: Scene) -> ReplicaEvidence | None:
    before, after = scene.before.replicas, scene.after.replicas
    return None if before is None or after is None else ReplicaEvidence(before, after)


def _answers(outcome: Outcome, scene: Scene) -> AnswerEvidence | None:
    """Count right and wrong answers apart by whether the class in their payload is known, or their outputs alone."""
    if not outcome.generator.reads_answers:
        return None
    samples = outcome.samples
    known = scene.payloads.is_known(samples.n, outcome.shot.schedule)
    came, wrong = (samples.status >= 200) & (samples.status < 300), _wrong(outcome)
    return AnswerEvidence(
        checked=int((came & known).sum()),
        wrong=int((wrong & known).sum()),
        miscounted=int((wrong & ~known).sum()),
        counted=int((samples.answered & ~known).sum()),
    )


def _wrong(outcome: Outcome) -> npt.NDArray[np.bool_]:
    """Return the answers of status 2xx whose content is not right; bool `[requests]`."""
    samples = outcome.samples
    return (samples.status >= 200) & (samples.status < 300) & ~samples.ok


def _unsent(outcome: Outcome, before: ServerState | None, after: ServerState | None) -> int:
    """Return how many requests the server counted beyond those that were sent to it."""
    if before is None or after is None or before.requests is None or after.requests is None:
        return 0
    # Those of the run before, which its generator had given up on, are counted when they end.
    return after.requests - before.requests - before.in_flight - int(outcome.samples.sent.sum())


def _errors(outcome: Outcome, before: ServerState | None, after: ServerState | None) -> ErrorEvidence:
    samples = outcome.samples
    codes, counts = np.unique(samples.status, return_counts=True)
    seen = {str(code): int(count) for code, count in zip(codes, counts, strict=True) if int(code) not in _HTTP_OK}
    if wrong := int(_wrong(outcome).sum()):
        seen["wrong answer"] = wrong
    retries = max(0, outcome.generator.http_requests - int(samples.sent.sum()))
    return ErrorEvidence(
        seen,
        int(samples.misses(outcome.timeout_ns).sum()),
        retries=retries,
        server_requests=_unsent(outcome, before, after),
    )


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
