"""The passport of an elastic run: the load was what was meant, and what the pods say of themselves.

Replicas, queue and CPU share are free here, so what a capacity run must hold is not asked; a pod that is throttled or
has too many threads is reported, and makes no run void.
"""

from __future__ import annotations

from collections.abc import Sequence

from loadtest.shot import Outcome
from podium.entry import Proof
from podium.evidence import Scene, prove
from podium.scoring.question import Question
from podium.scoring.record import PodFacts
from podium.targets.target import ServerFacts

__all__ = ["passport_of"]

_UNKNOWN = ServerFacts(True, "", frozenset())
# What nobody can tell of pods that come and go, or tells of them below.
_LEFT_OUT = frozenset({"not-warm", "growing-queue", "inconsistent", "scaled", "throttled", "thread-mismatch"})


def passport_of(outcome: Outcome, question: Question, pods: Sequence[PodFacts]) -> tuple[tuple[Proof, ...], str | None]:
    """Return the proofs of a run, and the name of the one that makes it void."""
    payloads = question.payloads
    scene = Scene(
        node="",
        cpus=question.node_class.cpu_share,
        address=question.address,
        preprocessing_hash=None,
        generator_cores=frozenset(),
        payloads=payloads,
        race_payloads=payloads.sha256,
        before=_UNKNOWN,
        after=_UNKNOWN,
        warmup=None,
        is_concurrent=False,
        sent=None if outcome.generator.payloads else payloads.reread(),
    )
    limits = question.profile.thresholds
    proven, void = prove(outcome, scene, limits)
    proofs = [
        Proof(check=one.check, ok=one.ok, value=one.value, limit=one.limit, evidence=one.evidence, remedy=one.remedy)
        for one in proven
        if one.ok is not None and one.check not in _LEFT_OUT
    ]
    proofs += [_throttled(pods, limits.throttled), _threads(pods), *_apart(outcome, pods)]
    if void is None and proofs[-1].check == "co-located" and proofs[-1].ok is False:
        void = "co-located"
    return tuple(proofs), void


def _throttled(pods: Sequence[PodFacts], limit: float) -> Proof:
    known = [(pod.throttled, pod.pod) for pod in pods if pod.throttled is not None]
    if not known:
        return Proof(check="throttled", ok=None, limit=limit, evidence="no pod said how often it was held back")
    worst, name = max(known)
    text = f"{name} was held back in {worst:.1%} of its CPU periods, the most of {len(known)} pods"
    return Proof(check="throttled", ok=worst <= limit, value=worst, limit=limit, evidence=text)


def _threads(pods: Sequence[PodFacts]) -> Proof:
    known = [(pod.threads, pod.cpu_limit, pod.workers, pod.pod) for pod in pods if pod.threads and pod.cpu_limit]
    if not known:
        return Proof(check="thread-mismatch", ok=None, evidence="no pod said how many threads it has")
    threads, limit, workers, name = known[0]
    text = f"{name} has {threads} threads on {limit:g} CPUs"
    # As in a race: a thread is the least that there is, of each worker.
    wanted = workers * max(1, int(limit / workers))
    return Proof(check="thread-mismatch", ok=threads == wanted, value=threads, limit=wanted, evidence=text)


def _apart(outcome: Outcome, pods: Sequence[PodFacts]) -> list[Proof]:
    """Prove that no pod ran on a node of the generators; nothing where nobody knows."""
    nodes = {pod.node for pod in pods if pod.node}
    if not nodes or not outcome.generator.nodes:
        return []
    shared = sorted(nodes & set(outcome.generator.nodes))
    text = f"generators on {', '.join(outcome.generator.nodes)}, pods on {', '.join(sorted(nodes))}"
    return [Proof(check="co-located", ok=not shared, value=len(shared), limit=0, evidence=text)]
