"""The passport of a run: the proofs that it is valid, in the order of the method.

Pure: evidence in, proofs out. A run is void when a proof fails, and is called by the first that does. A
proof without evidence is reported as not measured; whether a run with such gaps is good enough is for
its reader to say. The rate that trips the over-saturation stop is a failed rate and no void run, so the
proofs that it breaks by its nature hold there, and say so.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from loadtest.cures import cure_of
from loadtest.errors import VoidRunError
from loadtest.evidence import RunEvidence
from loadtest.generator_proofs import (
    co_located,
    dropped,
    generator_limited,
    late,
    not_warm,
    payload_drift,
    under_offered,
    wrong_clock,
)
from loadtest.profile import Thresholds
from loadtest.proof import Proof
from loadtest.server_proofs import (
    errors_hidden,
    growing_queue,
    inconsistent,
    misplaced,
    preprocessing_skew,
    provider_fallback,
    restarted,
    scaled,
    thread_mismatch,
    throttled,
    unbatched,
    unexplained_time,
    wrong_answers,
    wrong_artifact,
)

__all__ = ["CHECKS", "Proof", "RunEvidence", "passport", "require_valid", "void_name"]

CHECKS: Final = (
    "late",
    "under-offered",
    "dropped",
    "generator-limited",
    "co-located",
    "wrong-clock",
    "payload-drift",
    "not-warm",
    "growing-queue",
    "inconsistent",
    "unexplained-time",
    "throttled",
    "thread-mismatch",
    "scaled",
    "restarted",
    "misplaced",
    "wrong-artifact",
    "preprocessing-skew",
    "provider-fallback",
    "unbatched",
    "wrong-answers",
    "errors-hidden",
)


def passport(evidence: RunEvidence, thresholds: Thresholds) -> tuple[Proof, ...]:
    """Return every proof, in the order of `CHECKS`."""
    return (
        late(evidence, thresholds),
        under_offered(evidence, thresholds),
        dropped(evidence),
        generator_limited(evidence, thresholds),
        co_located(evidence),
        wrong_clock(evidence),
        payload_drift(evidence),
        not_warm(evidence),
        growing_queue(evidence),
        inconsistent(evidence, thresholds),
        unexplained_time(evidence, thresholds),
        throttled(evidence, thresholds),
        thread_mismatch(evidence),
        scaled(evidence),
        restarted(evidence),
        misplaced(evidence),
        wrong_artifact(evidence),
        preprocessing_skew(evidence),
        provider_fallback(evidence),
        unbatched(evidence),
        wrong_answers(evidence),
        errors_hidden(evidence),
    )


def void_name(proofs: Sequence[Proof]) -> str | None:
    """Return what a void run is called, its first failing proof; None when nothing speaks against it."""
    return next((proof.check for proof in proofs if proof.ok is False), None)


def require_valid(proofs: Sequence[Proof]) -> None:
    """Refuse a void run.

    Raises:
        VoidRunError: with the name and the evidence of the first failing proof.
    """
    for proof in proofs:
        if proof.ok is False:
            raise VoidRunError(
                proof.check,
                f"the run is void:{proof.check}: {proof.evidence}",
                f"{cure_of(proof.check)}; then run it again",
            )
