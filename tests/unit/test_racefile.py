"""The race file: strictness, atomic writing, finding a race, and the exit code."""

import json
import os
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from podium.entry import Entry, EntryKey, Interval, Status
from podium.errors import ConfigError, MachineError
from podium.racefile import Budget, Race, RaceError, exit_code, find_race, read_race, write_race


def entry(status: Status, name: str = "food11-ort-int8", *, emulated: bool = False) -> Entry:
    return Entry(id=name, node_class="local", status=status, emulated=emulated)


def race(*entries: Entry, winner: EntryKey | None = None, **fields: Any) -> Race:
    return Race(
        **{
            "race_id": "r1",
            "model": "food11",
            "target": "local",
            "level": "quick",
            "slo": "p99<=100ms, rate>=40/s",
            "winner": winner,
            "fingerprints": {"local": "0123456789ab"},
            "budget": Budget(planned_s=300, spent_s=12.5),
            "cost": None,
            "events": (),
            "variants": entries,
            **fields,
        }
    )


def test_race_reads_back_as_it_was_written(tmp_path: Path) -> None:
    written = race(
        Entry(
            id="food11-ort-int8",
            node_class="local",
            status="PASS",
            rank=1,
            single_stream_p90_ms=Interval(value=4.5, low=4.1, high=5.0),
            runs=("food11-ort-int8/local/1-hold.json",),
        ),
        winner=EntryKey(variant="food11-ort-int8", node_class="local"),
        profile={"name": "quick", "phases": [{"kind": "hold"}]},
    )
    write_race(tmp_path, written)
    assert read_race(tmp_path) == written
    assert written.winning_entry == written.variants[0]


def test_race_file_has_the_keys_of_the_contract(tmp_path: Path) -> None:
    content = json.loads(write_race(tmp_path, race(entry("FAIL"))).read_text())
    assert content["schema"] == "podium.dev/race/v1"
    contract = [
        "schema",
        "race_id",
        "model",
        "target",
        "level",
        "slo",
        "winner",
        "fingerprints",
        "budget",
        "cost",
        "events",
        "variants",
    ]
    assert list(content)[: len(contract)] == contract
    fields = [
        "id",
        "node_class",
        "address",
        "emulated",
        "rank",
        "quality",
        "size_bytes",
        "single_stream_p90_ms",
        "offline_rps",
        "server_max_rps",
        "cost_per_million",
        "status",
        "reasons",
        "needs",
        "runs",
        "passport",
    ]
    assert list(content["variants"][0])[: len(fields)] == fields
    assert content["variants"][0]["offline_rps"] is None


def test_unknown_key_is_refused_and_named(tmp_path: Path) -> None:
    content = json.loads(write_race(tmp_path, race(entry("FAIL"))).read_text())
    content["variants"][0]["speed"] = 3
    (tmp_path / "race.json").write_text(json.dumps(content))
    with pytest.raises(RaceError, match=r"variants\.0: unknown key 'speed'") as caught:
        read_race(tmp_path)
    assert "run the race again" in caught.value.hint


@pytest.mark.parametrize("content", ["", "{", '{"schema": "podium.dev/race/v2"}', "[]", "nul", '"\udc80"'])
def test_damaged_race_file_is_one_error_with_a_remedy(tmp_path: Path, content: str) -> None:
    (tmp_path / "race.json").write_bytes(content.encode(errors="surrogateescape"))
    with pytest.raises(RaceError) as caught:
        read_race(tmp_path)
    assert isinstance(caught.value, ConfigError)
    assert "race.json" in str(caught.value)
    assert caught.value.hint


def test_missing_race_file_is_an_error_with_a_remedy(tmp_path: Path) -> None:
    with pytest.raises(RaceError, match="does not exist") as caught:
        read_race(tmp_path / "nothing")
    assert "podium get races" in caught.value.hint


def test_numbers_that_are_not_finite_are_refused() -> None:
    with pytest.raises(ValidationError):
        Interval(value=float("nan"), low=0, high=1)


@pytest.mark.parametrize("path", ["", "/etc/passwd", "../other/1-hold.json", "a/../../b.json", "a\\b"])
def test_runs_outside_the_race_folder_are_refused(path: str) -> None:
    with pytest.raises(ValidationError, match="inside the race folder"):
        Entry(id="v", node_class="local", status="PASS", runs=(path,))


def test_same_entry_twice_is_refused() -> None:
    with pytest.raises(ValidationError, match="listed twice"):
        race(entry("FAIL"), entry("PASS"))


@pytest.mark.parametrize("winning", [entry("FAIL"), entry("PASS", emulated=True), entry("PASS", "food11-torch-fp32")])
def test_winner_must_be_a_pass_that_is_not_emulated(winning: Entry) -> None:
    with pytest.raises(ValidationError, match="winner must name"):
        race(winning, winner=EntryKey(variant="food11-ort-int8", node_class="local"))


def test_write_replaces_the_former_file_and_leaves_nothing_else(tmp_path: Path) -> None:
    write_race(tmp_path, race(entry("FAIL")))
    write_race(tmp_path, race(entry("VOID")))
    assert [path.name for path in tmp_path.iterdir()] == ["race.json"]
    assert read_race(tmp_path).variants[0].status == "VOID"


def test_failed_write_keeps_the_former_file_and_leaves_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_race(tmp_path, race(entry("FAIL")))

    def full(descriptor: int) -> None:
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(MachineError, match="No space left") as caught:
        write_race(tmp_path, race(entry("VOID")))
    assert "space" in caught.value.hint
    assert [path.name for path in tmp_path.iterdir()] == ["race.json"]
    assert read_race(tmp_path).variants[0].status == "FAIL"


def test_write_into_a_place_that_is_a_file_is_an_error_with_a_remedy(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("")
    with pytest.raises(MachineError, match="cannot be written"):
        write_race(tmp_path / "taken", race(entry("FAIL")))


def test_race_is_found_by_id_by_latest_and_by_folder(tmp_path: Path) -> None:
    folder = write_race(tmp_path / "runs" / "r1", race(entry("FAIL"))).parent
    (tmp_path / "runs" / "latest").symlink_to("r1")
    for name in ("r1", "latest", str(folder)):
        assert find_race(name, tmp_path / "runs") == folder.resolve()


def test_unknown_race_names_the_races_that_exist(tmp_path: Path) -> None:
    write_race(tmp_path / "r1", race(entry("FAIL")))
    (tmp_path / "latest").symlink_to("r1")
    (tmp_path / "notes").mkdir()
    with pytest.raises(RaceError, match=r"races: r1\)"):
        find_race("r2", tmp_path)
    with pytest.raises(RaceError, match="none yet"):
        find_race("latest", tmp_path / "elsewhere")


@pytest.mark.parametrize(
    ("statuses", "code"),
    [
        (["SKIPPED", "SKIPPED"], 4),
        (["FAIL", "REJECTED"], 5),
        (["FAIL", "SKIPPED"], 5),
        (["REJECTED"], 5),
        (["FAIL", "INCONCLUSIVE"], 6),
        (["FAIL", "VOID", "SKIPPED"], 6),
        (["INCONCLUSIVE"], 6),
        # A PASS whose figures vary too much to be ranked is no winner, and nothing is proven against it.
        (["PASS", "FAIL"], 6),
    ],
)
def test_exit_code_without_winner(statuses: list[Status], code: int) -> None:
    assert exit_code(race(*(entry(status, f"v{n}") for n, status in enumerate(statuses)))) == code


def test_exit_code_is_zero_with_a_winner_whatever_else_happened() -> None:
    won = race(entry("PASS", "v1"), entry("VOID", "v2"), winner=EntryKey(variant="v1", node_class="local"))
    assert exit_code(won) == 0


@pytest.mark.parametrize(("emulated", "real", "code"), [("VOID", "FAIL", 5), ("FAIL", "INCONCLUSIVE", 6)])
def test_emulated_entries_do_not_count(emulated: Status, real: Status, code: int) -> None:
    assert exit_code(race(entry(emulated, "v1", emulated=True), entry(real, "v2"))) == code


def test_only_emulated_and_skipped_entries_mean_that_nothing_could_run() -> None:
    assert exit_code(race(entry("PASS", "v1", emulated=True), entry("SKIPPED", "v2"))) == 4
