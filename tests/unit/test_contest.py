"""The measured part of a race, played in memory: order, early ends, voids, crashes, budget and resuming."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from loadtest.schedule import poisson
from loadtest.shot import Outcome, Shot
from loadtest.verdict import judge
from podium.contest import block_of
from tests.simulated import (
    HOLD,
    OFFLINE,
    SEARCH,
    SINGLE,
    SLO,
    WARMUP,
    SimulatedTarget,
    candidate,
    contest,
    measurement,
    profile,
    with_samples,
)


def names(target: SimulatedTarget) -> str:
    return "".join(variant for variant, _ in target.measured())


def all_dropped(_variant: str, shot: Shot, outcome: Outcome) -> Outcome:
    return replace(outcome, dropped=3) if shot.kind == "open" else outcome


def test_every_phase_is_played_for_every_variant(tmp_path: Path) -> None:
    target = SimulatedTarget({"a": 5, "b": 10})
    shared = measurement(target, tmp_path, profile(WARMUP, SINGLE, OFFLINE, HOLD, SEARCH))
    found = contest(shared, tmp_path).run([candidate(name, tmp_path) for name in "ab"])
    assert list(found) == ["a", "b"]
    for name, edge in (("a", 200), ("b", 100)):
        one = found[name]
        assert (one.trouble, one.void, one.ready_s) == ("", None, 1.5)
        assert one.single_stream is not None
        assert one.single_stream.record.planned.requests == 60
        assert one.offline is not None
        assert one.offline.record.answered / one.offline.record.seconds == pytest.approx(edge, rel=0.01)
        assert len(one.holds) == 5
        assert one.search is not None
        assert 0.7 * edge < one.search.value < edge
        assert one.search.low <= one.search.value <= one.search.high
        assert len(one.probes) >= 3
        assert judge(one.blocks(), SLO, level="quick").status == "PASS"
        assert all(run.record.void is None for run in one.book.runs)
        assert len(one.book.runs) == 2 + 5 + len(one.probes)


def test_the_search_starts_from_the_figures_that_were_measured(tmp_path: Path) -> None:
    target = SimulatedTarget({"a": 5})
    shared = measurement(target, tmp_path, profile(SINGLE, OFFLINE, SEARCH))
    found = contest(shared, tmp_path).run([candidate("a", tmp_path)])["a"]
    assert 160 < (found.probes[0].record.planned.rate or 0) < 200


def first_probe(folder: Path, change: Callable[[str, Shot, Outcome], Outcome]) -> float:
    target = SimulatedTarget({"a": 5})
    target.change = change
    shared = measurement(target, folder, profile(SINGLE, OFFLINE, SEARCH))
    return contest(shared, folder).run([candidate("a", folder)])["a"].probes[0].record.planned.rate or 0


def test_answers_that_miss_do_not_count_for_where_the_search_starts(tmp_path: Path) -> None:
    def half(_variant: str, shot: Shot, outcome: Outcome) -> Outcome:
        if shot.users == 1 or shot.kind == "open":
            return outcome
        good = np.arange(len(outcome.samples)) % 2 == 0
        return with_samples(outcome, status=np.where(good, 200, 503), ok=good)

    assert 70 < first_probe(tmp_path, half) < 100


def test_a_long_way_to_a_single_answer_leaves_less_room_for_a_queue(tmp_path: Path) -> None:
    def far(_variant: str, shot: Shot, outcome: Outcome) -> Outcome:
        if shot.users > 1:
            return outcome
        return with_samples(outcome, end_ns=outcome.samples.end_ns + 80_000_000)

    # 15 ms are left for waiting behind others at 5 ms each.
    assert 40 < first_probe(tmp_path, far) < 140


def test_a_search_without_figures_starts_at_the_asked_rate(tmp_path: Path) -> None:
    target = SimulatedTarget({"a": 5})
    found = contest(measurement(target, tmp_path, profile(SEARCH)), tmp_path).run([candidate("a", tmp_path)])["a"]
    assert found.probes[0].record.planned.rate == 40


def test_a_search_after_an_offline_run_without_a_right_answer_starts_at_the_asked_rate(tmp_path: Path) -> None:
    def refuse(_variant: str, shot: Shot, outcome: Outcome) -> Outcome:
        if shot.kind == "open":
            return outcome
        count = len(outcome.samples)
        return with_samples(outcome, status=np.full(count, 503), ok=np.zeros(count, dtype=np.bool_))

    target = SimulatedTarget({"a": 5})
    target.change = refuse
    found = contest(measurement(target, tmp_path, profile(OFFLINE, SEARCH)), tmp_path)
    one = found.run([candidate("a", tmp_path)])["a"]
    assert one.offline is not None
    assert one.offline.record.misses == one.offline.record.answered
    assert one.probes[0].record.planned.rate == 40


def test_the_holds_are_interleaved_there_and_back(tmp_path: Path) -> None:
    target = SimulatedTarget({"a": 5, "b": 6, "c": 7})
    shared = measurement(target, tmp_path, profile(WARMUP, HOLD))
    contest(shared, tmp_path).run([candidate(name, tmp_path) for name in "abc"])
    assert names(target) == "abc" + "cba" + "abc" + "cba" + "abc"


def test_without_interleaving_a_variant_plays_all_its_blocks_first(tmp_path: Path) -> None:
    target = SimulatedTarget({"a": 5, "b": 6})
    hold = HOLD.replace("restart", "interleave: none, restart")
    contest(measurement(target, tmp_path, profile(hold)), tmp_path).run([candidate(name, tmp_path) for name in "ab"])
    assert names(target) == "aaaaabbbbb"


def test_all_variants_play_the_same_schedules_and_each_block_another_one(tmp_path: Path) -> None:
    target = SimulatedTarget({"a": 5, "b": 6})
    contest(measurement(target, tmp_path, profile(HOLD), seed=23), tmp_path).run(
        [candidate(name, tmp_path) for name in "ab"]
    )
    played = {name: [shot for variant, shot in target.shots if variant == name] for name in "ab"}
    for number, (first, second) in enumerate(zip(played["a"], played["b"], strict=True)):
        expected = poisson(40, first.seconds or 0, 23 + number)
        assert first.schedule is not None
        assert second.schedule is not None
        assert np.array_equal(first.schedule, expected)
        assert np.array_equal(second.schedule, expected)
        assert first.seed == 23 + number


def test_a_server_that_falls_behind_twice_is_not_held_any_longer(tmp_path: Path) -> None:
    target = SimulatedTarget({"slow": 40, "fast": 5})
    shared = measurement(target, tmp_path, profile(HOLD))
    found = contest(shared, tmp_path).run([candidate(name, tmp_path) for name in ("slow", "fast")])
    slow = found["slow"]
    assert [run.record.stopped for run in slow.holds] == ["over-saturated"] * 2
    assert [run.record.void for run in slow.holds] == [None, None]
    assert slow.trouble == ""
    verdict = judge(slow.blocks(), SLO, level="quick")
    assert verdict.status == "FAIL"
    assert "fell behind at 40/s in 2 of 2 blocks" in verdict.reasons[-1]
    assert len(found["fast"].holds) == 5


def test_a_profile_without_the_stop_plays_every_block_of_a_server_that_falls_behind(tmp_path: Path) -> None:
    target = SimulatedTarget({"slow": 26})
    hold = HOLD.replace("stopWhenOversaturated: true", "stopWhenOversaturated: false")
    shared = measurement(target, tmp_path, profile(hold))
    found = contest(shared, tmp_path).run([candidate("slow", tmp_path)])["slow"]
    assert len(found.holds) == len(target.shots) == 5
    assert found.trouble == ""


def test_a_growing_queue_is_a_rate_that_failed_and_no_void_entry(tmp_path: Path) -> None:
    target = SimulatedTarget({"slow": 28})
    hold = HOLD.replace("stopWhenOversaturated: true", "stopWhenOversaturated: false")
    found = contest(measurement(target, tmp_path, profile(hold)), tmp_path).run([candidate("slow", tmp_path)])["slow"]
    growing = [run for run in found.holds if run.record.void == "growing-queue"]
    assert len(growing) >= 2
    assert all(block_of(run).cut for run in growing)
    assert found.trouble == ""
    assert len(target.shots) == 5
    assert judge(found.blocks(), SLO, level="quick").status == "FAIL"


def test_at_level_standard_each_block_meets_a_server_made_anew_and_warmed(tmp_path: Path) -> None:
    target = SimulatedTarget({"a": 5})
    hold = "{kind: hold, blocks: 5, block: 12s, restart: true}"
    shared = measurement(target, tmp_path, profile(WARMUP, hold, level="standard"))
    found = contest(shared, tmp_path).run([candidate("a", tmp_path)])["a"]
    assert found.trouble == ""
    assert target.starts == {"a": 5}
    assert target.removed == ["a"] * 4
    assert [shot.kind for _, shot in target.shots] == ["closed", "open"] * 5


def test_without_restart_one_server_serves_all_blocks(tmp_path: Path) -> None:
    target = SimulatedTarget({"a": 5})
    contest(measurement(target, tmp_path, profile(WARMUP, HOLD)), tmp_path).run([candidate("a", tmp_path)])
    assert target.starts == {"a": 1}
    assert [shot.kind for _, shot in target.shots] == ["closed"] + ["open"] * 5


def test_finished_runs_are_not_played_again(tmp_path: Path) -> None:
    chosen = profile(WARMUP, SINGLE, OFFLINE, HOLD, SEARCH)
    first, again = SimulatedTarget({"a": 5, "b": 30}), SimulatedTarget({"a": 5, "b": 30})
    candidates = [candidate(name, tmp_path) for name in "ab"]
    before = contest(measurement(first, tmp_path, chosen), tmp_path).run(candidates)
    after = contest(measurement(again, tmp_path, chosen), tmp_path).run(candidates)
    assert again.measured() == []
    for name in "ab":
        assert [run.path for run in after[name].holds] == [run.path for run in before[name].holds]
        assert [run.path for run in after[name].probes] == [run.path for run in before[name].probes]
        assert after[name].search == before[name].search


def test_an_interrupted_race_goes_on_where_it_was(tmp_path: Path) -> None:
    chosen = profile(WARMUP, SINGLE, HOLD)
    candidates = [candidate(name, tmp_path) for name in "ab"]
    first = SimulatedTarget({"a": 5, "b": 6})

    def interrupt(_variant: str, _shot: Shot, outcome: Outcome) -> Outcome:
        if len(first.measured()) == 6:
            raise KeyboardInterrupt
        return outcome

    first.change = interrupt
    with pytest.raises(KeyboardInterrupt):
        contest(measurement(first, tmp_path, chosen), tmp_path).run(candidates)
    again = SimulatedTarget({"a": 5, "b": 6})
    found = contest(measurement(again, tmp_path, chosen), tmp_path).run(candidates)
    assert len(again.measured()) == 2 + 10 - 5
    assert all(len(one.holds) == 5 for one in found.values())


def test_another_artifact_of_the_same_id_is_measured_anew(tmp_path: Path) -> None:
    chosen = profile(HOLD)
    contest(measurement(SimulatedTarget({"a": 5}), tmp_path, chosen), tmp_path).run([candidate("a", tmp_path)])
    again = SimulatedTarget({"a": 5})
    contest(measurement(again, tmp_path, chosen), tmp_path).run([candidate("a", tmp_path, address="f" * 64)])
    assert len(again.shots) == 5


def test_nothing_is_measured_once_the_budget_is_over(tmp_path: Path) -> None:
    target = SimulatedTarget({"a": 5})
    shared = measurement(target, tmp_path, profile(WARMUP, SINGLE, OFFLINE, HOLD, SEARCH))
    found = contest(shared, tmp_path, budget_s=-1).run([candidate("a", tmp_path)])["a"]
    assert target.measured() == []
    assert len(target.shots) == 1
    assert (found.single_stream, found.offline, found.holds, found.probes, found.search) == (None, None, [], [], None)
    assert found.trouble == ""
    assert found.cut == "the budget was spent before its single-stream"
    assert found.ready_s == 1.5


def test_who_holds_the_objective_is_searched_before_who_does_not(tmp_path: Path) -> None:
    target = SimulatedTarget({"slow": 200, "quick": 5})
    shared = measurement(target, tmp_path, profile(HOLD, SEARCH))
    found = contest(shared, tmp_path).run([candidate(name, tmp_path) for name in ("slow", "quick")])
    assert len(found["slow"].holds) < len(found["quick"].holds) == 5
    searched = [name for name, shot in target.shots if shot.seconds == 5]
    assert searched[0] == "quick"


def test_runs_of_another_machine_are_not_taken_for_this_ones(tmp_path: Path) -> None:
    chosen = profile(HOLD)
    contest(measurement(SimulatedTarget({"a": 5}), tmp_path, chosen), tmp_path).run([candidate("a", tmp_path)])
    again = SimulatedTarget({"a": 5})
    elsewhere = replace(measurement(again, tmp_path, chosen), fingerprint="another")
    found = contest(elsewhere, tmp_path).run([candidate("a", tmp_path)])["a"]
    assert len(again.shots) == 5
    assert {run.record.fingerprint for run in found.holds} == {"another"}


def test_every_start_of_a_server_counts(tmp_path: Path) -> None:
    target = SimulatedTarget({"a": 5})
    restarts = profile(HOLD.replace("restart: false", "restart: true"))
    found = contest(measurement(target, tmp_path, restarts), tmp_path).run([candidate("a", tmp_path)])["a"]
    assert found.starts_s == [1.5] * 5


@pytest.mark.parametrize("phase", [HOLD, SEARCH])
def test_the_budget_cuts_a_phase_off_after_the_shot_that_was_under_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, phase: str
) -> None:
    now_s = 0.0
    monkeypatch.setattr("podium.contest.time", SimpleNamespace(monotonic=lambda: now_s))
    target = SimulatedTarget({"a": 5})
    race = contest(measurement(target, tmp_path, profile(phase)), tmp_path, budget_s=1.0)

    def long(_variant: str, _shot: Shot, outcome: Outcome) -> Outcome:
        nonlocal now_s
        now_s += 2.0
        return outcome

    target.change = long
    found = race.run([candidate("a", tmp_path)])["a"]
    assert len(target.shots) == 1
    assert len(found.holds) + len(found.probes) == 1
    assert (found.search is not None) == (phase == SEARCH)
    assert found.trouble == ""


def test_a_race_without_holds_and_searches_plays_none(tmp_path: Path) -> None:
    target = SimulatedTarget({"a": 5})
    found = contest(measurement(target, tmp_path, profile(SINGLE)), tmp_path).run([candidate("a", tmp_path)])["a"]
    assert len(target.shots) == 1
    assert (found.offline, found.holds, found.search) == (None, [], None)


def test_no_candidate_is_no_race(tmp_path: Path) -> None:
    target = SimulatedTarget({})
    assert contest(measurement(target, tmp_path, profile(WARMUP, HOLD, SEARCH)), tmp_path).run([]) == {}
    assert target.shots == []


def test_where_not_all_servers_fit_each_is_brought_up_for_its_turns_and_warmed(tmp_path: Path) -> None:
    target = SimulatedTarget({"a": 5, "b": 5, "c": 5})
    target.places = 2
    chosen = profile(WARMUP, SINGLE, OFFLINE, HOLD)
    found = contest(measurement(target, tmp_path, chosen), tmp_path).run([candidate(name, tmp_path) for name in "abc"])
    assert target.most_up == 2
    assert all(len(one.holds) == 5 and not one.trouble for one in found.values())
    assert all(target.starts[name] > 1 for name in "abc")
    runs = [run.record for one in found.values() for run in one.holds]
    assert {proof.ok for run in runs for proof in run.passport if proof.check == "not-warm"} == {True}


def late_at_times(every: int) -> Callable[[str, Shot, Outcome], Outcome]:
    """Let one in so many answers of `near` be late whenever the load is open."""

    def change(variant: str, shot: Shot, outcome: Outcome) -> Outcome:
        if variant != "near" or shot.kind != "open":
            return outcome
        late = np.arange(len(outcome.samples)) % every == every // 2
        return with_samples(outcome, end_ns=outcome.samples.end_ns + np.where(late, 300_000_000, 0))

    return change


MORE = HOLD.replace("blocks: 5", "blocks: 5, maxBlocks: 12")


def test_an_undecided_hold_goes_on_after_the_search_and_a_decided_one_does_not(tmp_path: Path) -> None:
    target = SimulatedTarget({"near": 5, "fast": 5})
    target.change = late_at_times(170)
    shared = measurement(target, tmp_path, profile(MORE, SEARCH))
    found = contest(shared, tmp_path).run([candidate(name, tmp_path) for name in ("near", "fast")])
    holds = found["near"].holds
    assert len(found["fast"].holds) == 5
    assert 5 < len(holds) <= 12
    assert len({run.record.schedule_seed for run in holds}) == len(holds)
    assert judge(found["near"].blocks()[:5], SLO, level="quick", looks=3).status == "INCONCLUSIVE"
    assert judge(found["near"].blocks(), SLO, level="quick", looks=3).status == "PASS"
    phases = [run.record.phase for run in found["near"].book.runs]
    assert phases == [*["hold"] * 5, *["search"] * len(found["near"].probes), *["hold"] * (len(holds) - 5)]


def test_what_no_block_more_would_settle_gets_none(tmp_path: Path) -> None:
    target = SimulatedTarget({"near": 5})
    target.change = late_at_times(100)
    found = contest(measurement(target, tmp_path, profile(MORE)), tmp_path).run([candidate("near", tmp_path)])["near"]
    assert judge(found.blocks(), SLO, level="quick", looks=3).status == "INCONCLUSIVE"
    assert len(found.holds) == 5


def test_more_blocks_that_cannot_be_measured_leave_the_verdict_on_those_before(tmp_path: Path) -> None:
    late = late_at_times(170)

    def void_later(variant: str, shot: Shot, outcome: Outcome) -> Outcome:
        outcome = late(variant, shot, outcome)
        return replace(outcome, dropped=3) if shot.kind == "open" and shot.seed >= 16 else outcome

    target = SimulatedTarget({"near": 5})
    target.change = void_later
    found = contest(measurement(target, tmp_path, profile(MORE)), tmp_path).run([candidate("near", tmp_path)])["near"]
    assert (found.trouble, found.void, len(found.holds)) == ("", None, 5)
    assert len(found.book.runs) > 5


def test_a_server_that_does_not_come_back_for_more_blocks_leaves_the_verdict_on_those_before(tmp_path: Path) -> None:
    late = late_at_times(170)
    target = SimulatedTarget({"near": 5, "fast": 5})

    def fails_to_restart(variant: str, shot: Shot, outcome: Outcome) -> Outcome:
        if shot.kind == "open" and variant == "near" and target.starts["near"] == 5:
            target.never_starts.add("near")
        return late(variant, shot, outcome)

    target.change = fails_to_restart
    events: list[tuple[str, str | None]] = []
    shared = measurement(target, tmp_path, profile(MORE.replace("restart: false", "restart: true")))
    found = contest(shared, tmp_path, events=events).run([candidate(name, tmp_path) for name in ("near", "fast")])
    assert (found["near"].trouble, found["near"].void, len(found["near"].holds)) == ("", None, 5)
    assert events == [("no further blocks: near did not start: exit code 1", "near")]
    assert found["fast"].trouble == ""
