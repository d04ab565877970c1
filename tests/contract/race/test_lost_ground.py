"""A race that loses its process or its disk in the middle: finished runs stay as they were; the next start goes on."""

import os
import re
import secrets
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from podium.racefile import read_race
from tests.contract.race.racing import RACE_S, SHORT, STEP_S, Ended, Place, Workshop, ended, records, run_files
from tests.eventually import eventually

VARIANTS = "ort-fp32, ort-int8"
pytestmark = pytest.mark.timeout(2 * RACE_S)


def is_holding(place: Place) -> bool:
    """A block is being played and a former one is on record."""
    return bool(place.processes("open-loop.js")) and bool(run_files(place.folder))


def assert_resumed(place: Place, folder: Path, kept: dict[Path, tuple[bytes, int]], end: Ended) -> None:
    assert end.code == 6, end.err
    assert f"resuming {folder.name}: finished runs are kept" in end.err
    assert place.folder == folder
    assert kept
    assert {path: content for path, content in place.kept().items() if path in kept} == kept
    assert [entry.hold.blocks for entry in read_race(folder).variants if entry.hold] == [2, 2]


def test_a_race_that_was_killed_keeps_its_finished_runs_and_goes_on(workshop: Workshop, tmp_path: Path) -> None:
    place = workshop.place(tmp_path, profile=SHORT, variants=VARIANTS)
    with place.started() as process:
        eventually(lambda: is_holding(place), STEP_S, 0.01)
        os.kill(process.pid, signal.SIGKILL)
        process.wait(STEP_S)
        eventually(lambda: not place.processes())
    folder, kept = place.folder, place.kept()
    records(folder)
    assert not (folder / "race.json").exists()
    assert_resumed(place, folder, kept, place.run(place.race_words()))


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of its own, small enough to be filled at once."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=96m", "podium-test", str(disk)],
        capture_output=True,
        text=True,
        check=False,
    )
    if mounted.returncode != 0:
        pytest.skip(f"a disk of its own cannot be mounted here, which is root's to do: {mounted.stderr.strip()}")
    yield disk
    subprocess.run(["umount", "--lazy", str(disk)], check=True)


def fill(disk: Path) -> Path:
    """Take all the room that a disk has left, and return the file that has it."""
    ballast = disk / f"ballast-{secrets.token_hex(4)}"
    with ballast.open("wb", buffering=0) as file:
        for size in (1 << 20, 1 << 12, 1):
            try:
                while True:
                    file.write(bytes(size))
            except OSError:
                continue
    return ballast


def test_a_disk_that_fills_in_the_middle_of_a_race_takes_no_finished_run(workshop: Workshop, small_disk: Path) -> None:
    place = workshop.place(small_disk, profile=SHORT, variants=VARIANTS)
    with place.started() as process:
        eventually(lambda: process.poll() is not None or is_holding(place), STEP_S, 0.01)
        assert process.poll() is None, ended(process).err
        ballast = fill(small_disk)
        end = ended(process)
        assert place.processes() == []
    # The machine's fault, by its name, and no bug.
    assert end.code == 4, end.err
    assert re.search("has no room for|No space left on device", end.err), end.err
    assert "Traceback" not in end.err
    folder, kept = place.folder, place.kept()
    # Whole or not there; and no variant is judged by what the disk did.
    records(folder)
    assert not (folder / "race.json").exists()
    ballast.unlink()
    # With room again the same race on the same disk comes to its end.
    assert_resumed(place, folder, kept, place.run(place.race_words()))
