"""Void runs in a race: played again at once, again after everybody else's turns, and at last the end of one course."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from loadtest.shot import Outcome, Shot
from tests.simulated import (
    HOLD,
    OFFLINE,
    SEARCH,
    SINGLE,
    WARMUP,
    SimulatedTarget,
    candidate,
    contest,
    measurement,
    profile,
)


def names(target: SimulatedTarget) -> str:
    return "".join(variant for variant, _ in target.measured())


def all_dropped(_variant: str, shot: Shot, outcome: Outcome) -> Outcome:
    return replace(outcome, dropped=3) if shot.kind == "open" else outcome


def test_a_run_that_is_void_once_is_kept_as_void_and_played_again(tmp_path: Path) -> None:
    seen: list[Outcome] = []

    def once(_variant: str, _shot: Shot, outcome: Outcome) -> Outcome:
        seen.append(outcome)
        return replace(outcome, dropped=2) if len(seen) == 1 else outcome

    target = SimulatedTarget({"a": 5})
    target.change = once
    said: list[str] = []
    found = contest(measurement(target, tmp_path, profile(HOLD), said), tmp_path).run([candidate("a", tmp_path)])["a"]
    assert found.trouble == ""
    assert len(found.holds) == 5
    assert [run.record.void for run in found.book.runs] == ["dropped", None, None, None, None, None]
    assert found.book.runs[0].path.name == "01-hold.json"
    assert found.book.runs[0].path.exists()
    assert all(run.record.void is None for run in found.holds)
    first, second = target.shots[0][1].schedule, target.shots[1][1].schedule
    assert first is not None
    assert second is not None
    assert np.array_equal(first, second)
    assert said == ["a: hold is void:dropped (2 arrivals found no free user)"]


def test_runs_that_stay_void_end_the_course_of_that_variant_alone(tmp_path: Path) -> None:
    target = SimulatedTarget({"bad": 5, "good": 5})
    target.change = lambda variant, shot, outcome: all_dropped(variant, shot, outcome) if variant == "bad" else outcome
    events: list[tuple[str, str | None]] = []
    shared = measurement(target, tmp_path, profile(WARMUP, HOLD, SEARCH))
    found = contest(shared, tmp_path, events=events).run([candidate(name, tmp_path) for name in ("bad", "good")])
    bad = found["bad"]
    assert bad.void == "dropped"
    assert bad.trouble == "hold was void 2 times, last as dropped: 3 arrivals found no free user"
    # Two blocks may come again after the others; the third that stays void shows that waiting does not help.
    assert [run.record.void for run in bad.book.runs] == ["dropped"] * 6
    assert (bad.holds, bad.probes, bad.search) == ([], [], None)
    assert events == [(bad.trouble, "bad")]
    assert target.removed == ["bad"]
    assert found["good"].trouble == ""
    assert len(found["good"].holds) == 5
    assert found["good"].search is not None


def test_a_search_whose_later_probes_are_void_keeps_the_earlier_ones(tmp_path: Path) -> None:
    target = SimulatedTarget({"a": 5})
    searched: list[float] = []

    def late_from_the_third_probe(_variant: str, shot: Shot, outcome: Outcome) -> Outcome:
        searched.append(shot.seconds or 0)
        # A generator whose core the host took is not at its own limit.
        robbed = replace(outcome, dropped=3, generator=replace(outcome.generator, stolen=0.2))
        return robbed if len(searched) > 2 else outcome

    target.change = late_from_the_third_probe
    events: list[tuple[str, str | None]] = []
    shared = measurement(target, tmp_path, profile(SEARCH))
    found = contest(shared, tmp_path, events=events).run([candidate("a", tmp_path)])["a"]
    assert (found.trouble, found.void, len(found.probes)) == ("", None, 2)
    assert found.search is not None
    assert events == [("search was void 2 times, last as dropped: 3 arrivals found no free user", "a")]


def test_a_block_that_stays_void_comes_again_after_the_others(tmp_path: Path) -> None:
    target = SimulatedTarget({"a": 5, "b": 6})
    played: list[str] = []

    def restless_for_a_while(variant: str, shot: Shot, outcome: Outcome) -> Outcome:
        played.append(variant)
        return replace(outcome, dropped=3) if played.count("a") <= 2 and variant == "a" else outcome

    target.change = restless_for_a_while
    events: list[tuple[str, str | None]] = []
    shared = measurement(target, tmp_path, profile(HOLD))
    found = contest(shared, tmp_path, events=events).run([candidate(name, tmp_path) for name in "ab"])
    assert "".join(played) == "aabbaabbaaba"
    assert (found["a"].trouble, len(found["a"].holds), events) == ("", 5, [])
    assert sorted(run.record.schedule_seed for run in found["a"].holds) == [11, 12, 13, 14, 15]


def test_a_void_single_stream_costs_its_figure_and_no_verdict(tmp_path: Path) -> None:
    target = SimulatedTarget({"a": 5})

    def out_of_breath(_variant: str, shot: Shot, outcome: Outcome) -> Outcome:
        busy = replace(outcome.generator, cpu_seconds=outcome.generator.wall_s)
        return replace(outcome, generator=busy) if shot.users == 1 else outcome

    target.change = out_of_breath
    events: list[tuple[str, str | None]] = []
    shared = measurement(target, tmp_path, profile(SINGLE, OFFLINE, HOLD))
    found = contest(shared, tmp_path, events=events).run([candidate("a", tmp_path)])["a"]
    assert (found.trouble, found.single_stream, len(found.holds)) == ("", None, 5)
    assert found.offline is not None
    assert [(text[:50], name) for text, name in events] == [("single-stream was void 2 times, last as generator-", "a")]


def test_a_search_without_a_valid_probe_is_void(tmp_path: Path) -> None:
    target = SimulatedTarget({"a": 5})
    target.change = all_dropped
    found = contest(measurement(target, tmp_path, profile(SEARCH)), tmp_path).run([candidate("a", tmp_path)])["a"]
    assert (found.void, found.search) == ("dropped", None)


def test_a_void_search_leaves_the_verdict_of_the_hold_and_costs_its_figure(tmp_path: Path) -> None:
    target = SimulatedTarget({"a": 5})
    # Probes are half as long as blocks.
    target.change = lambda _, shot, outcome: replace(outcome, dropped=3) if shot.seconds == 5 else outcome
    events: list[tuple[str, str | None]] = []
    shared = measurement(target, tmp_path, profile(HOLD, SEARCH))
    found = contest(shared, tmp_path, events=events).run([candidate("a", tmp_path)])["a"]
    assert (found.trouble, found.void, len(found.holds), found.search) == ("", None, 5, None)
    assert events == [("search was void 2 times, last as dropped: 3 arrivals found no free user", "a")]


def test_a_server_that_ends_in_mid_race_is_void_and_the_others_go_on(tmp_path: Path) -> None:
    target = SimulatedTarget({"a": 5, "b": 6})
    target.ends_in = {"a": 3}
    events: list[tuple[str, str | None]] = []
    shared = measurement(target, tmp_path, profile(HOLD, SEARCH))
    found = contest(shared, tmp_path, events=events).run([candidate(name, tmp_path) for name in "ab"])
    assert found["a"].void == "restarted"
    assert "a ended during hold" in found["a"].trouble
    assert "signal SIGKILL" in found["a"].trouble
    assert len(found["a"].holds) == 2
    assert found["a"].book.runs[-1].record.void == "restarted"
    assert names(target).count("a") == 3
    assert found["b"].trouble == ""
    assert len(found["b"].holds) == 5
    assert found["b"].search is not None
    assert [variant for _, variant in events] == ["a"]


def test_a_server_that_never_starts_ends_its_own_course(tmp_path: Path) -> None:
    target = SimulatedTarget({"a": 5, "b": 6})
    target.never_starts = {"a"}
    shared = measurement(target, tmp_path, profile(WARMUP, SINGLE, HOLD))
    found = contest(shared, tmp_path).run([candidate(name, tmp_path) for name in "ab"])
    assert found["a"].trouble == "a did not start: exit code 1"
    assert (found["a"].void, found["a"].ready_s) == (None, None)
    assert {variant for variant, _ in target.shots} == {"b"}
    assert len(found["b"].holds) == 5


def test_a_void_entry_is_tried_again_when_the_race_is_resumed(tmp_path: Path) -> None:
    bad, good = SimulatedTarget({"a": 5}), SimulatedTarget({"a": 5})
    bad.change = all_dropped
    chosen = profile(HOLD)
    assert contest(measurement(bad, tmp_path, chosen), tmp_path).run([candidate("a", tmp_path)])["a"].void == "dropped"
    found = contest(measurement(good, tmp_path, chosen), tmp_path).run([candidate("a", tmp_path)])["a"]
    assert found.trouble == ""
    assert [run.record.void for run in found.book.runs] == ["dropped"] * 6 + [None] * 5
