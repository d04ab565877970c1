"""Inside or outside: every lost request is in one place, a wrong answer is wrong anywhere, and gaps are not guessed."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st
from pytest import approx  # noqa: PT013

from podium.chaos.judging import Bad, Window, judge, quiet_seconds, read_seen

TIMES = st.floats(0, 100)


def bad(at: float, verdict: str = "503", lasting: float = 0.1) -> Bad:
    return Bad("pie", at, at + lasting, verdict)


@given(st.lists(st.tuples(TIMES, st.floats(0, 5))), st.lists(st.tuples(TIMES, st.floats(0, 20))))
def test_a_lost_request_is_inside_or_outside_and_counted_once(
    losses: list[tuple[float, float]], faults: list[tuple[float, float]]
) -> None:
    windows = [Window(number, began, began + length) for number, (began, length) in enumerate(faults)]
    lost = [bad(at, lasting=lasting) for at, lasting in losses]
    found = judge(lost, windows)
    assert found.lost_inside + len(found.outside) == len(lost)
    assert all(not window.holds(one) for one in found.outside for window in windows)
    assert found.wrong == ()
    assert 0 <= quiet_seconds(windows, 0, 150) <= 150


def test_a_request_that_was_under_way_belongs_to_the_fault() -> None:
    window = Window(1, 10.0, 20.0)
    found = judge([bad(8, lasting=3), bad(20, lasting=2), bad(9.8), bad(20.1)], [window])
    assert (found.inside, len(found.outside)) == ({1: 2}, 2)


def test_a_wrong_answer_is_wrong_inside_a_window_too() -> None:
    found = judge([bad(12, "wrong: 'apple'"), bad(15)], [Window(1, 10.0, 20.0)])
    assert (len(found.wrong), found.inside, found.outside) == (1, {1: 1}, ())


def test_windows_that_meet_are_not_counted_twice() -> None:
    windows = [Window(1, 10, 20), Window(2, 15, 25), Window(3, 40, 50)]
    assert quiet_seconds(windows, 0, 60) == approx(10 + 15 + 10)
    assert quiet_seconds(windows, 18, 45) == approx(15)
    assert judge([bad(17)], windows).lost_inside == 1


def line(second: int, *lost: list[object], late_ms: float = 1.0) -> str:
    figures = {"planned": 20, "right": 20 - len(lost), "late_ms": late_ms, "worst_ms": 9.0 + second}
    return json.dumps({"second": second, "at": 100.0 + second, **figures, "bad": list(lost)})


def test_what_a_prober_told_is_put_together_up_to_the_first_gap() -> None:
    lines = ["noise", "{broken", json.dumps({"ready": 100.0}), line(0), line(1, [0, 101.5, 101.6, "503"]), line(3)]
    seen = read_seen(lines, ["pie"], offset_s=2.0)
    assert (seen.began, seen.until, seen.planned, seen.right) == (102.0, 104.0, 40, 39)
    assert seen.bad == (Bad("pie", 103.5, 103.6, "503"),)
    assert (seen.worst_ms, seen.is_sound) == (10.0, True)


def test_one_that_is_not_ready_or_late_proves_nothing() -> None:
    assert not read_seen([], ["pie"]).is_sound
    late = read_seen([json.dumps({"ready": 0.0}), *(line(number, late_ms=1500.0) for number in range(3))], ["pie"])
    assert (late.late_seconds, late.is_sound) == (3, False)
