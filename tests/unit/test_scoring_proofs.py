"""The passport of an elastic run: what makes it void, and what is reported and does not."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, cast

import numpy as np
import pytest

from loadtest.payloads import PayloadSet
from loadtest.profile import load_profile
from loadtest.samples import Samples
from loadtest.schedule import poisson
from loadtest.shot import Outcome
from podium.nodeclass import load_node_class
from podium.scoring.proofs import passport_of
from podium.scoring.question import Question
from podium.scoring.record import PodFacts
from tests.loads import MS, outcome

pytestmark = pytest.mark.unit


class Asked:
    """As much of a question as its proofs look at."""

    node_class = load_node_class("epyc")
    address = "0a1b2c3d"
    profile = load_profile("step")
    payloads = PayloadSet((), (), 7, "p" * 64, (10,))


QUESTION = cast("Question", Asked())


def played(
    *, late_ms: float = 0.1, right: bool = True, nodes: tuple[str, ...] = ("loader",), sent: str = "p" * 64
) -> Outcome:
    """Return requests that left so late, with copies of these payloads, and were answered after 20 ms."""
    intended = poisson(40.0, 10.0, 1)
    count = len(intended)
    start = intended + round(late_ms * MS)
    rows = Samples(
        np.arange(count),
        intended,
        start,
        start + 20 * MS,
        np.full(count, 200),
        np.full(count, right),
        np.zeros(count, dtype=np.int64),
    )
    found = outcome(rows)
    return replace(found, dropped=0, generator=replace(found.generator, nodes=nodes, cpus=1.0, payloads=(sent,)))


def pod(**changes: Any) -> PodFacts:
    told: dict[str, Any] = {
        "pod": "p",
        "node": "worker",
        "threads": 1,
        "cpu_limit": 0.2,
        "throttled": 0.0,
        "requests": 9,
        "restarts": 0,
    }
    return PodFacts.model_validate({**told, **changes})


def test_a_sound_run_is_valid_and_says_only_what_was_looked_at() -> None:
    proofs, void = passport_of(played(), QUESTION, [pod()])
    assert void is None
    told = {one.check: one.ok for one in proofs}
    assert told["late"] is told["under-offered"] is told["throttled"] is told["co-located"] is True
    assert told["payload-drift"] is True
    # Replicas and queues are free here.
    assert not {"scaled", "growing-queue", "inconsistent", "not-warm"} & set(told)


@pytest.mark.parametrize(
    ("outcome_", "pods", "name"),
    [
        (played(late_ms=40.0), [pod()], "late"),
        (played(right=False), [pod()], "wrong-answers"),
        (played(sent="q" * 64), [pod()], "payload-drift"),
        (played(nodes=("worker",)), [pod()], "co-located"),
    ],
)
def test_a_run_that_was_not_what_was_meant_is_void(outcome_: Outcome, pods: list[PodFacts], name: str) -> None:
    assert passport_of(outcome_, QUESTION, pods)[1] == name


def test_throttling_and_threads_are_reported_and_make_nothing_void() -> None:
    proofs, void = passport_of(played(), QUESTION, [pod(throttled=0.4, threads=4), pod(pod="q", throttled=0.1)])
    assert void is None
    told = {one.check: one for one in proofs}
    assert (told["throttled"].ok, told["throttled"].value) == (False, 0.4)
    assert (told["thread-mismatch"].ok, told["thread-mismatch"].limit) == (False, 1)


@pytest.mark.parametrize(("workers", "is_so"), [(2, True), (1, False)])
def test_workers_have_whole_threads_each(workers: int, is_so: bool) -> None:
    proofs, _ = passport_of(played(), QUESTION, [pod(threads=2, cpu_limit=3.0, workers=workers)])
    assert next(one.ok for one in proofs if one.check == "thread-mismatch") is is_so


def test_pods_that_said_nothing_prove_nothing() -> None:
    proofs, void = passport_of(played(nodes=()), QUESTION, [pod(throttled=None, threads=None)])
    told = {one.check: one.ok for one in proofs}
    assert (void, told["throttled"], told["thread-mismatch"]) == (None, None, None)
    assert "co-located" not in told
