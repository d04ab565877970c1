"""A race that is interrupted: nothing runs on, nothing is half written, and the next run takes it up where it was."""

import json
import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from podium.racefile import read_race
from tests.contract.race.racing import RACE_S, SHORT, STEP_S, Place, Workshop, ended, records, run_files
from tests.eventually import eventually

VARIANTS = "ort-fp32, ort-int8"
pytestmark = pytest.mark.timeout(2 * RACE_S)


def is_building(place: Place) -> bool:
    """A draft lies in the store."""
    staging = place.store / ".staging"
    return bool(place.processes("podium.builder")) and staging.is_dir() and any(staging.iterdir())


def is_warming_up(place: Place) -> bool:
    return bool(place.processes("closed-loop.js"))


def is_holding(place: Place) -> bool:
    """A block is being played and a former one is on record."""
    return bool(place.processes("open-loop.js")) and bool(run_files(place.folder))


MOMENTS: tuple[tuple[Callable[[Place], bool], signal.Signals], ...] = (
    (is_building, signal.SIGINT),
    (is_warming_up, signal.SIGTERM),
    (is_holding, signal.SIGINT),
)


def assert_nothing_is_half(place: Place) -> None:
    for path in place.folder.rglob("*.json"):
        json.loads(path.read_text(encoding="utf-8"))
    records(place.folder)
    names = [path.name for path in place.folder.rglob("*")]
    assert [name for name in names if name.endswith((".draft", ".tmp")) or name.startswith((".race-", "shot-"))] == []
    assert not (place.folder / "race.json").exists()
    assert not (place.runs / "latest").exists()


def test_an_interruption_at_any_moment_ends_all_and_the_next_run_goes_on(workshop: Workshop, tmp_path: Path) -> None:
    # A store of its own, so that there is something to build.
    place = workshop.place(tmp_path, profile=SHORT, variants=VARIANTS, store=tmp_path / "store")
    for is_reached, number in MOMENTS:
        with place.started() as process:
            eventually(lambda check=is_reached: check(place), STEP_S, 0.01)  # type: ignore[misc]
            played = run_files(place.folder)
            process.send_signal(number)
            end = ended(process)
            # The one that was being played may have ended at that very moment.
            assert len(run_files(place.folder)) <= len(played) + 1
            assert end.code == 130, (is_reached.__name__, end.err)
            assert "Traceback" not in end.err
            assert place.processes() == []
        assert_nothing_is_half(place)
        assert list((place.store / ".staging").iterdir()) == []
    folder, kept = place.folder, place.kept()
    assert kept
    end = place.run(place.race_words())
    assert end.code == 6, end.err
    assert f"resuming {folder.name}: finished runs are kept" in end.err
    # One folder: it was the same race all the time.
    assert place.folder == folder
    assert {path: content for path, content in place.kept().items() if path in kept} == kept
    race = read_race(folder)
    assert [entry.hold.blocks for entry in race.variants if entry.hold] == [2, 2]
    for entry in race.variants:
        seeds = [record.schedule_seed for record in records(folder, entry.id, "hold") if record.void is None]
        assert len(seeds) == len(set(seeds)) == 2


def test_a_killed_race_leaves_no_process(workshop: Workshop, tmp_path: Path) -> None:
    place = workshop.place(tmp_path, profile=SHORT, variants=VARIANTS)
    with place.started() as process:
        eventually(lambda: is_warming_up(place), STEP_S)
        assert len(place.servers()) == 2
        os.kill(process.pid, signal.SIGKILL)
        process.wait(STEP_S)
        # The kernel ends servers at once; the generator looks for its parent once in a while.
        eventually(lambda: not place.servers())
        eventually(lambda: not place.processes())
    assert records(place.folder) == []
    assert not (place.folder / "race.json").exists()
