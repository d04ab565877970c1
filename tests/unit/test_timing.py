"""The stages of a request sum to the whole, by construction."""

import re

from hypothesis import given
from hypothesis import strategies as st

from predictors.server.timing import COMPUTE, QUEUE, SEND, STAGES, Stopwatch


@given(st.lists(st.tuples(st.integers(0, 7), st.integers(0, 10**9)), max_size=30))
def test_the_parts_sum_to_the_whole(steps: list[tuple[int, int]]) -> None:
    watch = Stopwatch(1000)
    now = 1000
    for stage, spent in steps:
        now += spent
        watch.mark_at(stage, now)
    assert sum(watch.spent_ns) == watch.total_ns == now - 1000


def test_a_stage_entered_twice_adds_up() -> None:
    watch = Stopwatch(0)
    watch.mark_at(QUEUE, 5)
    watch.mark_at(COMPUTE, 7)
    watch.mark_at(QUEUE, 10)
    assert watch.spent_ns[QUEUE] == 8


def test_the_header_names_every_stage_but_the_last_and_the_whole() -> None:
    watch = Stopwatch(0)
    watch.mark_at(COMPUTE, 2_500_000)
    parts = dict(re.findall(r"(\w+);dur=([0-9.]+)", watch.header()))
    assert list(parts) == [*STAGES[:SEND], "total"]
    assert parts["compute"] == parts["total"] == "2.5000"


def test_marks_move_forward() -> None:
    watch = Stopwatch(0)
    watch.mark(QUEUE)
    first = watch.last_ns
    watch.mark(QUEUE)
    assert watch.last_ns >= first > 0
