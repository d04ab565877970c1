"""A race whose search asks for more than its generator can send: it goes on below, bounded, and after a kill too."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from loadtest.shot import Outcome, Shot
from podium.contest import Measured
from podium.results import bound_text, capacity_figure
from tests.simulated import (
    HOLD,
    OFFLINE,
    SEARCH,
    Change,
    SimulatedTarget,
    candidate,
    contest,
    measurement,
    profile,
    sent_by,
)

CHOSEN = profile(OFFLINE, HOLD, SEARCH)
# One request takes 5 ms, so that a little below 200 a second are held.
SERVICE_MS = 5
MOST = 8


def raced(
    folder: Path, change: Change | None, *, runners: int = 1, events: list[tuple[str, str | None]] | None = None
) -> tuple[SimulatedTarget, Measured, list[str]]:
    target = SimulatedTarget({"a": SERVICE_MS})
    target.runners = runners
    if change is not None:
        target.change = change
    said: list[str] = []
    shared = measurement(target, folder, CHOSEN, said)
    found = contest(shared, folder, events=events).run([candidate("a", folder)])["a"]
    return target, found, said


def rates(found: Measured) -> list[tuple[float | None, str | None]]:
    return [(run.record.planned.rate, run.record.void) for run in found.book.runs if run.record.phase == "search"]


def test_a_generator_below_the_server_finds_a_lower_bound_and_says_so(tmp_path: Path) -> None:
    events: list[tuple[str, str | None]] = []
    _, found, said = raced(tmp_path, sent_by(100), events=events)
    assert (found.trouble, found.void, len(found.holds), found.cut) == ("", None, 5, "")
    assert found.search is not None
    assert (found.search.fail_rate, found.search.is_confirmed) == (None, True)
    assert 70 <= found.search.value <= 100
    assert found.search.value < (found.search.unsent_rate or 0) <= 1.1 * found.search.value * (1 + 1e-6)
    assert found.search.high == 20_000
    # Twice a rate that could not be sent, and no more probes than the profile has.
    assert len(rates(found)) <= 2 * MOST
    assert {void for _, void in rates(found)} == {None, "late"}
    assert events == []
    assert any(text.endswith("the search goes on below it") for text in said)


def test_without_that_limit_the_servers_bound_is_found_and_nothing_is_void(tmp_path: Path) -> None:
    _, found, said = raced(tmp_path, None)
    assert found.search is not None
    assert (found.search.unsent_rate, {void for _, void in rates(found)}, said) == (None, {None}, [])
    assert found.search.fail_rate is not None
    _, limited, _ = raced(tmp_path / "limited", sent_by(5_000))
    assert limited.search is not None
    assert (limited.search.pass_rate, limited.search.fail_rate) == (found.search.pass_rate, found.search.fail_rate)


def test_a_generator_above_the_server_finds_its_bound_from_a_start_that_cannot_be_sent(tmp_path: Path) -> None:
    def change(variant: str, shot: Shot, outcome: Outcome) -> Outcome:
        # The figure that the search starts from, ten times too high.
        fast = replace(outcome, seconds=outcome.seconds / 10) if shot.schedule is None else outcome
        return sent_by(400)(variant, shot, fast)

    _, found, said = raced(tmp_path, change)
    assert found.search is not None
    assert rates(found)[0][1] is not None
    assert (found.search.unsent_rate, said != []) == (None, True)
    assert 170 <= found.search.value < (found.search.fail_rate or 0) <= 230


def test_what_the_machines_host_took_is_no_limit_of_the_generator(tmp_path: Path) -> None:
    def robbed(variant: str, shot: Shot, outcome: Outcome) -> Outcome:
        late = sent_by(100)(variant, shot, outcome)
        return replace(late, generator=replace(late.generator, stolen=0.2))

    events: list[tuple[str, str | None]] = []
    _, found, _ = raced(tmp_path, robbed, events=events)
    # Played again at once, and again after the others, at the same rate.
    assert len({rate for rate, _ in rates(found)}) == 1
    assert [void for _, void in rates(found)] == ["late"] * 4
    assert found.search is None
    assert [text.partition(", last as late")[0] for text, _ in events] == ["search was void 2 times"]


def test_a_server_that_was_throttled_meanwhile_is_no_limit_of_the_generator(tmp_path: Path) -> None:
    target = SimulatedTarget({"a": SERVICE_MS})
    target.change = sent_by(20)
    target.growth = {"cgroup": {"nr_periods": 100, "nr_throttled": 50}}
    found = contest(measurement(target, tmp_path, profile(SEARCH)), tmp_path).run([candidate("a", tmp_path)])["a"]
    assert len({rate for rate, _ in rates(found)}) == 1
    assert (found.void, found.search) == ("late", None)


def test_where_no_rate_can_be_sent_the_search_ends_within_its_probes(tmp_path: Path) -> None:
    def change(variant: str, shot: Shot, outcome: Outcome) -> Outcome:
        return replace(outcome, dropped=3) if shot.seconds == 5 else outcome

    events: list[tuple[str, str | None]] = []
    _, found, _ = raced(tmp_path, change, events=events)
    assert (found.trouble, found.search, found.probes) == ("", None, [])
    assert events == [("search was void 2 times, last as dropped: 3 arrivals found no free user", "a")]
    # Rates of one turn and, after the others, of a second one, each twice.
    asked = [rate or 0 for rate, _ in rates(found)]
    turn = asked[: len(asked) // 2]
    assert len(turn) <= 2 * 4
    assert asked == turn * 2
    assert turn == sorted(turn, reverse=True)


def test_a_search_that_comes_again_begins_anew_when_the_bad_time_is_over(tmp_path: Path) -> None:
    probes = [0]

    def change(variant: str, shot: Shot, outcome: Outcome) -> Outcome:
        probes[0] += shot.seconds == 5
        return replace(outcome, dropped=3) if shot.seconds == 5 and probes[0] <= 2 * 4 else outcome

    _, found, _ = raced(tmp_path, change)
    _, undisturbed, _ = raced(tmp_path / "calm", None)
    assert found.search is not None
    assert undisturbed.search is not None
    assert found.search.unsent_rate is None
    assert found.search.fail_rate is not None
    assert found.search.value == pytest.approx(undisturbed.search.value, rel=0.15)


class Killed(BaseException):
    """What a kill leaves: nothing of the run that was being played."""


def until(change: Change, loads: int) -> Callable[[str, Shot, Outcome], Outcome]:
    """The change, for so many loads; the next one kills the race."""
    left = [loads]

    def changed(variant: str, shot: Shot, outcome: Outcome) -> Outcome:
        if not left[0]:
            raise Killed
        left[0] -= 1
        return change(variant, shot, outcome)

    return changed


def test_a_race_that_was_killed_anywhere_in_the_lowered_search_goes_on_where_it_was(tmp_path: Path) -> None:
    whole, expected, _ = raced(tmp_path / "whole", sent_by(100))
    before = 1 + 5
    assert len(whole.shots) > before + 3
    for loads in range(before, len(whole.shots)):
        folder = tmp_path / str(loads)
        with pytest.raises(Killed):
            raced(folder, until(sent_by(100), loads))
        again, found, _ = raced(folder, sent_by(100))
        assert rates(found) == rates(expected), loads
        assert found.search == expected.search, loads
        # What was played before the kill was not played again.
        assert len(again.shots) == len(whole.shots) - loads


def test_more_generators_try_again_what_fewer_could_not_send(tmp_path: Path) -> None:
    _, first, _ = raced(tmp_path, sent_by(100))
    same, again, _ = raced(tmp_path, sent_by(100))
    assert (same.shots, again.search) == ([], first.search)
    target, found, _ = raced(tmp_path, None, runners=2)
    assert target.shots != []
    assert found.search is not None
    assert (found.search.unsent_rate, first.search is None) == (None, False)
    assert found.search.value > 150


@pytest.mark.parametrize(("protocol", "has_http"), [("v2-binary", False), ("grpc", True)])
def test_the_remedy_is_named_for_a_bound_and_for_nothing_else(tmp_path: Path, protocol: str, has_http: bool) -> None:
    _, found, _ = raced(tmp_path, sent_by(100))
    capacity = capacity_figure(found.search)
    chosen = CHOSEN.model_copy(update={"protocol": protocol})
    told = bound_text(capacity, chosen)
    assert "only known to be at least" in told
    assert "--runners" in told
    assert ("HTTP" in told) is has_http
    assert capacity is not None
    assert bound_text(capacity.model_copy(update={"fail_rate": 300.0}), chosen) == ""
    assert bound_text(None, chosen) == ""
