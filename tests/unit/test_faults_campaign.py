"""A campaign of random faults: it goes on where it was interrupted, and what it may not forget is not forgotten."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from podium.chaos.driver import Driver
from podium.chaos.faultlog import FaultLog, Over
from podium.chaos.plan import draw
from podium.chaos.report import build_report
from tests.chaosworld import AT, BEGAN, World, WorldProber, header, spec
from tests.faults.campaign import PIECE_S, Campaign, problems, summary

Report = dict[str, Any]


def piece(folder: Path, seed: int = 1, plant: Callable[[World, WorldProber], object] = lambda *_: None) -> Report:
    """Return what a run of the driver reports, in a world in memory."""
    world = World()
    prober = WorldProber(world)
    plant(world, prober)
    log = FaultLog(folder / f"faults-{seed}.jsonl")
    log.write(header())
    services = [{"name": "pie", "golden": [{"json": "x.json", "largest": 0}]}]
    asked = spec(seed=seed, rounds=4, pause="30s", recovery="60s", services=services)
    driver = Driver(world.site(), prober, log, asked, began=BEGAN, say=lambda _text: None)
    seen = driver.run(draw(asked))
    made = build_report(
        asked,
        seen,
        driver.made,
        driver.skipped,
        began=BEGAN,
        folder=folder,
        context="kind-podium",
        namespace="podium",
        command="podium chaos",
    )
    read: Report = json.loads(json.dumps(made.model_dump(mode="json")))
    return read


def wrong(world: World, _prober: WorldProber) -> None:
    world.lose(at=2.0, verdict="wrong: 'apple'")


def lost(world: World, _prober: WorldProber) -> None:
    world.lose(at=0.5)


def gone(world: World, _prober: WorldProber) -> None:
    world.lost_pods = True


def late(_world: World, prober: WorldProber) -> None:
    prober.late_seconds = 10**6


def wrong_and_late(world: World, prober: WorldProber) -> None:
    wrong(world, prober)
    late(world, prober)


def campaign(folder: Path, total_s: float = 600.0, commit: str = "0a1b2c3") -> Campaign:
    return Campaign(folder / "faults", total_s=total_s, commit=commit)


def test_a_campaign_goes_on_where_it_was_interrupted_and_begins_anew_when_it_was_judged(tmp_path: Path) -> None:
    first = campaign(tmp_path)
    assert (first.goes_on, first.is_over, first.next()) == (False, False, (1, PIECE_S))
    first.keep(piece(tmp_path))
    seen = first.reports[0]["probe"]["seconds"]
    again = campaign(tmp_path)
    assert (again.goes_on, again.next()[0]) == (True, 2)
    assert again.left_s == pytest.approx(600 - seen)
    while not again.is_over:
        again.keep(piece(tmp_path, again.next()[0]))
    assert again.judge() == []
    assert f"{len(again.reports) * 4} faults of " in summary(again.reports)
    assert campaign(tmp_path).goes_on is False
    # What another commit showed is nothing of this one's.
    again.keep(piece(tmp_path, 9))
    assert campaign(tmp_path).goes_on is True
    assert campaign(tmp_path, commit="ffffff0").goes_on is False


@pytest.mark.parametrize(
    ("plant", "said"),
    [
        (wrong, "seed 1: 1 wrong labels"),
        (lost, "seed 1: 1 lost outside of all faults"),
        (gone, "pods of pie are ready"),
    ],
)
def test_what_is_planted_is_caught_and_is_not_forgotten_by_a_new_start(
    tmp_path: Path, plant: Callable[[World, WorldProber], object], said: str
) -> None:
    one = campaign(tmp_path)
    one.keep(piece(tmp_path, plant=plant))
    again = campaign(tmp_path)
    assert again.is_over
    assert any(said in text for text in again.judge())
    # The control: the same piece without what was planted.
    assert problems([piece(tmp_path)]) == []


def test_what_could_not_tell_counts_for_no_time_and_a_wrong_label_counts_all_the_same(tmp_path: Path) -> None:
    one = campaign(tmp_path)
    one.keep(piece(tmp_path, plant=late))
    assert (one.reports[0]["status"], one.left_s, one.is_over) == ("UNSETTLED", 600.0, False)
    assert one.judge() == ["no piece could tell"]
    both = piece(tmp_path, plant=wrong_and_late)
    assert problems([both, piece(tmp_path)]) == ["seed 1: 1 wrong labels"]


def test_runs_that_never_came_to_an_end_are_found(tmp_path: Path) -> None:
    one = campaign(tmp_path)
    assert one.unfinished() == []
    for name in ("whole", "killed"):
        (one.runs / name).mkdir(parents=True)
        log = FaultLog(one.runs / name / "faults.jsonl")
        log.write(header())
        if name == "whole":
            log.write(Over(at=AT))
    assert [path.parent.name for path in one.unfinished()] == ["killed"]
