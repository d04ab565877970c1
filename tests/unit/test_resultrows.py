"""The results of a race as flat rows."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest

from podium.racefile import RaceError, read_race
from podium.resultrows import csv_text, load_results, run_rows, variant_rows
from tests import racefolders


def test_a_row_has_every_figure_of_the_variant_under_its_path(finished: Path) -> None:
    race = read_race(finished)
    rows = variant_rows(race)
    assert [row["id"] for row in rows] == [entry.id for entry in race.variants]
    first, entry = rows[0], race.variants[0]
    assert entry.server_max_rps
    assert entry.quality
    assert entry.hold
    assert first["server_max_rps_value"] == entry.server_max_rps.value
    assert first["quality_low"] == entry.quality.low
    assert first["quality_per_class_soup"] == entry.quality.per_class["soup"]
    assert first["hold_p99_ms"] == entry.hold.p99_ms
    assert (first["p99_verdict"], first["p99_value"], first["p99_unit"]) == ("PASS", entry.clauses[0].value, "ms")
    assert (first["is_winner"], first["fingerprint"], first["race_id"]) == (True, "4be0643f1d98", race.race_id)
    skipped = rows[-1]
    assert (skipped["status"], skipped["server_max_rps"]) == ("SKIPPED", None)
    assert skipped["reasons"] == "this CPU has no avx512_fp16"


def test_a_row_a_run_has_its_percentiles_and_one_that_is_damaged_is_left_out(race_folder: Path) -> None:
    race = read_race(race_folder)
    rows = run_rows(race_folder, race)
    assert len(rows) == sum(len(entry.runs) for entry in race.variants)
    assert {row["phase"] for row in rows} == {"hold", "single-stream"}
    first = rows[0]
    assert first["file"] == race.variants[0].runs[0]
    assert isinstance(first["latency_p99_ms"], float)
    assert (first["generator_tool"], first["protocol"], first["planned_rate"]) == ("k6", "v1-image", 40.0)
    assert "passport" not in first
    (race_folder / race.variants[0].runs[0]).write_text("{")
    assert len(run_rows(race_folder, race)) == len(rows) - 1


def test_a_notebook_names_a_race_as_the_command_does(race_folder: Path) -> None:
    (race_folder.parent / "latest").symlink_to(race_folder.name)
    assert load_results(runs=race_folder.parent) == load_results(race_folder)
    assert len(load_results("latest", runs=race_folder.parent, of="runs")) == 24
    with pytest.raises(RaceError, match="there is no race"):
        load_results("never", runs=race_folder.parent)


def test_csv_reads_back_and_has_no_formula(race_folder: Path) -> None:
    racefolders.change(race_folder, model="=HYPERLINK(1)")
    rows = variant_rows(read_race(race_folder))
    found = list(csv.DictReader(io.StringIO(csv_text(rows))))
    assert len(found) == len(rows)
    assert found[0]["model"] == "'=HYPERLINK(1)"
    assert float(found[0]["hold_p99_ms"]) == rows[0]["hold_p99_ms"]
    assert found[-1]["hold_p99_ms"] == ""
    assert csv_text([{"a": -1.5}]) == "a\n-1.5\n"
