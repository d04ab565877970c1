"""A load generator that fails in a race: a second chance after the others, and at last the end of one course only."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from loadtest.errors import GeneratorError, ScheduleError
from loadtest.shot import Outcome, Shot
from podium.contest import Measured
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

LOG = "see runs/x/work/shot-1.log, which ends:\nout of memory"


class Failing:
    """k6 as it fails for one candidate, in those of its loads that are numbered so, counted from 1; all without."""

    def __init__(self, victim: str, loads: Sequence[int] = (), error: Exception | None = None) -> None:
        self.victim, self.loads, self.seen = victim, loads, 0
        self.error = error or GeneratorError("k6 ended with code 137", LOG)

    def __call__(self, variant: str, shot: Shot, outcome: Outcome) -> Outcome:
        if variant != self.victim:
            return outcome
        self.seen += 1
        if not self.loads or self.seen in self.loads:
            raise self.error
        return outcome


def raced(
    folder: Path, change: Failing | None, *phases: str, events: list[tuple[str, str | None]] | None = None
) -> tuple[SimulatedTarget, dict[str, Measured]]:
    target = SimulatedTarget({"a": 5, "b": 6})
    if change is not None:
        target.change = change
    shared = measurement(target, folder, profile(*phases))
    found = contest(shared, folder, events=events).run([candidate(name, folder) for name in "ab"])
    return target, dict(found)


def test_a_generator_that_always_fails_for_one_ends_that_course_and_no_other(tmp_path: Path) -> None:
    events: list[tuple[str, str | None]] = []
    target, found = raced(tmp_path, Failing("a"), HOLD, SEARCH, events=events)
    told = f"hold block 3/5 could not be played: k6 ended with code 137 ({' '.join(LOG.split())})"
    assert (found["a"].trouble, found["a"].void, found["a"].holds) == (told, None, [])
    assert target.removed == ["a"]
    assert (found["b"].trouble, len(found["b"].holds), found["b"].search is not None) == ("", 5, True)
    assert {name for _, name in events} == {"a"}
    assert events[-1][0] == told
    assert [text for text, _ in events[:-1] if not text.endswith("it comes again after the others")] == []


def test_without_the_fault_both_are_measured_to_the_end(tmp_path: Path) -> None:
    events: list[tuple[str, str | None]] = []
    target, found = raced(tmp_path, None, HOLD, SEARCH, events=events)
    assert [(one.trouble, len(one.holds), one.search is not None) for one in found.values()] == [("", 5, True)] * 2
    assert (events, target.removed) == ([], [])


def test_a_generator_that_fails_once_costs_nothing_but_its_turn(tmp_path: Path) -> None:
    events: list[tuple[str, str | None]] = []
    target, found = raced(tmp_path, Failing("a", [2]), HOLD, events=events)
    assert "".join(variant for variant, _ in target.measured()) == "abbaabbaaba"
    assert [(one.trouble, len(one.holds)) for one in found.values()] == [("", 5)] * 2
    assert sorted(run.record.schedule_seed for run in found["a"].holds) == [11, 12, 13, 14, 15]
    assert [name for _, name in events] == ["a"]
    assert events[0][0].startswith("hold block 2/5 could not be played: k6 ended with code 137")


@pytest.mark.parametrize("phase", [SINGLE, OFFLINE])
def test_a_step_that_the_verdict_can_do_without_costs_its_figure_only(tmp_path: Path, phase: str) -> None:
    # Loads of `a`: the step, and once more after the others.
    _, found = raced(tmp_path, Failing("a", [1, 2]), phase, HOLD)
    assert (found["a"].trouble, found["a"].single_stream, found["a"].offline) == ("", None, None)
    assert len(found["a"].holds) == 5


def test_a_search_whose_generator_fails_keeps_the_probes_before(tmp_path: Path) -> None:
    events: list[tuple[str, str | None]] = []
    _, found = raced(tmp_path, Failing("a", range(3, 99)), SEARCH, events=events)
    assert (found["a"].trouble, len(found["a"].probes)) == ("", 2)
    assert found["a"].search is not None
    assert events[-1][0].startswith("search could not be played: k6 ended with code 137")


def test_a_generator_that_fails_while_a_server_is_warmed_ends_its_course(tmp_path: Path) -> None:
    _, found = raced(tmp_path, Failing("a"), WARMUP, HOLD)
    assert found["a"].trouble.startswith("warm-up could not be played: k6 ended with code 137")
    assert len(found["b"].holds) == 5


def test_what_is_no_fault_of_a_generator_ends_the_race(tmp_path: Path) -> None:
    with pytest.raises(ScheduleError):
        raced(tmp_path, Failing("a", error=ScheduleError("no payload is one of the protocol")), HOLD)
