"""The file of rounds: what is flaky, what was not run, and what the rounds of this project have shown."""

import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from tests.repeated import RESULTS, ROOT
from tests.rounds import ASKED, Round, add, flakes, latest, read, summary

GOOD = Round("0a1b2c3", "unit", 1, 7, 1, 20, 0, [], [], 60.0, True, "2026-11-22T20:00:00+00:00", 2, 0.5)
BAD = replace(GOOD, round=2, seed=8, passed=19, failed=["test_a"])


@pytest.mark.row("R37", "fast tiers 5 times in random order, cluster tiers twice, nothing run again: 0 flaky")
def test_what_was_repeated_has_nothing_flaky(record_property: Callable[[str, object], None]) -> None:
    """The rounds that are committed: those under way change nothing of what is tested meanwhile."""
    asked = ["git", "show", f"HEAD:{RESULTS}"]
    shown = subprocess.run(asked, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    rounds = [one for played in latest(read(shown)).values() for one in played]
    assert rounds
    assert flakes(rounds) == []
    assert [one for one in rounds if one.failed or not one.is_whole] == []
    record_property("R37", summary(rounds))


def test_what_passes_once_and_fails_once_is_flaky() -> None:
    (flake,) = flakes([GOOD, BAD, replace(GOOD, round=3)])
    assert (flake.test, flake.failed, flake.passed, flake.failed_in) == ("test_a", 1, 2, BAD)


@pytest.mark.parametrize(
    "other",
    [
        replace(BAD, round=1),
        replace(GOOD, commit="fffffff"),
        replace(GOOD, tier="api"),
        replace(GOOD, skipped=["test_a"]),
        replace(GOOD, is_whole=False),
    ],
    ids=["failed too", "another commit", "another tier", "skipped", "died before it"],
)
def test_what_did_not_pass_at_the_same_commit_makes_nothing_flaky(other: Round) -> None:
    assert flakes([other, BAD]) == []


def test_a_file_has_a_line_for_each_round_and_forgets_one_that_was_cut_off(tmp_path: Path) -> None:
    file = tmp_path / "results" / "rounds.jsonl"
    add(file, GOOD)
    with file.open("a") as kept:
        kept.write('{"commit": "0a1')
    assert read(file.read_text()) == [GOOD]
    add(file, BAD)
    assert read(file.read_text()) == [GOOD, BAD]


def test_each_tier_counts_at_the_commit_it_was_played_of_last() -> None:
    newer = replace(GOOD, commit="fffffff")
    api = replace(GOOD, tier="api")
    assert latest([BAD, api, newer]) == {"unit": [newer], "api": [api]}


def test_the_figure_says_how_often_and_what_was_not_run() -> None:
    every = [replace(GOOD, tier=tier, round=number) for tier, asked in ASKED.items() for number in range(1, asked + 1)]
    told = summary(every)
    assert told.startswith("unit 5 x 20 tests (on 0a1b2c3); api 5 x 20 tests (on 0a1b2c3); ")
    assert told.endswith("; knative 2 x 20 tests (on 0a1b2c3); 0 flaky, 0 failed always")
    assert summary([GOOD, BAD], {"unit": 5, "cluster": 2}) == (
        "unit 2 of 5 x 20 tests (on 0a1b2c3); 1 flaky, 0 failed always; not run: cluster"
    )
    controlled = [replace(GOOD, controls=3), replace(GOOD, round=2, controls=2)]
    assert summary(controlled, {"unit": 2}).startswith("unit 2 x 20 tests, 2 of them controls (on 0a1b2c3); ")
    assert summary([BAD], {"unit": 1}).endswith("0 flaky, 1 failed always")
    assert summary([], {"unit": 5}) == "not run: unit"
