"""A server that dies while it is measured: its entry is void, and says by what; the race goes on."""

import json
import os
import signal
from contextlib import suppress
from pathlib import Path

import pytest

from podium.racefile import Race, read_race
from tests.contract.race.racing import RACE_S, SHORT, STEP_S, Place, Workshop, ended, records
from tests.eventually import eventually

KILLED, OTHER = "ort-int8", "ort-fp32"


def url_under_load(place: Place) -> str:
    """Return where the hold that is being played goes; empty while there is none."""
    for generator in place.processes("open-loop.js"):
        # One that has ended meanwhile takes its files with it.
        with suppress(FileNotFoundError):
            return str(json.loads(Path(generator.environment["LOADTEST_SHOT"]).read_text(encoding="utf-8"))["url"])
    return ""


pytestmark = pytest.mark.timeout(RACE_S)


@pytest.fixture(scope="module")
def crashed(workshop: Workshop, tmp_path_factory: pytest.TempPathFactory) -> tuple[Place, Race, str]:
    """A race whose second variant was killed in the middle of its first block."""
    place = workshop.place(tmp_path_factory.mktemp("crashed"), profile=SHORT, variants=f"{OTHER}, {KILLED}")
    with place.started() as process:

        def victim() -> int:
            """The server's pid, once it is its turn."""
            url = url_under_load(place)
            found = place.server_of(KILLED) if url else None
            return found.pid if found and f":{found.after('--http-port')}/" in url else 0

        os.kill(eventually(victim, STEP_S), signal.SIGKILL)
        end = ended(process)
        assert end.code == 6, end.err
        assert place.processes() == []
    return place, read_race(place.folder), end.out + end.err


def test_the_entry_is_void_and_names_the_signal(crashed: tuple[Place, Race, str]) -> None:
    _, race, said = crashed
    (entry,) = (one for one in race.variants if one.id == f"colors-{KILLED}")
    assert entry.status == "VOID"
    assert entry.void == "restarted"
    (reason,) = entry.reasons
    assert "SIGKILL" in reason
    assert any("SIGKILL" in event.text and event.variant == entry.id for event in race.events)
    assert "VOID" in said
    assert "SIGKILL" in said


def test_its_figures_are_missing_and_not_zero(crashed: tuple[Place, Race, str]) -> None:
    place, race, _ = crashed
    (entry,) = (one for one in race.variants if one.id == f"colors-{KILLED}")
    assert (entry.hold, entry.server_max_rps, entry.cost_per_million, entry.rank) == (None,) * 4
    (record,) = records(place.folder, entry.id, "hold")
    assert record.void == "restarted"


def test_the_other_variant_is_measured_to_the_end(crashed: tuple[Place, Race, str]) -> None:
    place, race, _ = crashed
    (entry,) = (one for one in race.variants if one.id == f"colors-{OTHER}")
    assert entry.status == "INCONCLUSIVE"
    assert entry.hold is not None
    assert entry.hold.blocks == 2
    assert race.cross_check is not None
    assert race.cross_check.variant == entry.id
    assert (place.folder / "report.html").is_file()
