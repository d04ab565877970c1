"""What a seed gives: the same faults again, every kind once, and bounds that hold for any seed."""

from __future__ import annotations

from collections import Counter
from itertools import islice

import pytest
from hypothesis import given
from hypothesis import strategies as st

from podium.chaos.plan import chosen, draw
from tests.chaosworld import DRAWN as KINDS
from tests.chaosworld import lasting, spec


@given(st.integers(0, 2**63), st.integers(1, 12))
def test_a_seed_gives_the_same_faults_with_every_kind_first(seed: int, rounds: int) -> None:
    drawn = list(draw(spec(seed, rounds=rounds)))
    assert drawn == list(draw(spec(seed, rounds=rounds)))
    assert [one.number for one in drawn] == list(range(1, rounds + 1))
    assert len({one.fault.kind for one in drawn[: len(KINDS)]}) == min(rounds, len(KINDS))
    assert all(1 <= one.pause_s <= 30 and 0 <= one.pick < 1 for one in drawn)


def test_another_seed_gives_other_faults() -> None:
    assert list(draw(spec(1))) != list(draw(spec(2)))


def test_weights_say_how_often_and_time_ends_it_elsewhere() -> None:
    faults = [{"kind": "pod-kill", "weight": 9}, {"kind": "memory"}]
    drawn = list(islice(draw(spec(rounds=None, faults=faults, **lasting("1m"))), 1000))
    counts = Counter(one.fault.kind for one in drawn)
    assert 850 < counts["pod-kill"] < 950
    assert {one.service for one in drawn} == {"pie", "tart"}


@pytest.mark.parametrize(("pick", "target"), [(0.0, "a"), (0.49, "a"), (0.5, "b"), (0.999999, "b"), (1.0, "b")])
def test_a_share_means_one_of_the_targets(pick: float, target: str) -> None:
    assert chosen(("a", "b"), pick) == target
