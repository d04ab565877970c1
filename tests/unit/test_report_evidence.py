"""The runs behind a report: read from the folder alone, shown as damaged or void where they are."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from podium.entry import Entry
from podium.racefile import read_race, write_race
from podium.report import report_html
from podium.report.evidence import curve, load_runs, valid_holds
from tests import racefolders, races
from tests.outline import outline


def damage(race_folder: Path, run: str, how: str) -> None:
    record, log = race_folder / run, (race_folder / run).with_suffix(".hdr")
    match how:
        case "record missing":
            record.unlink()
        case "record cut":
            record.write_text(record.read_text()[:200])
        case "record is another document":
            record.write_text("[]")
        case "log missing":
            log.unlink()
        case "log cut":
            log.write_bytes(log.read_bytes()[:-400])
        case "log is no text":
            log.write_bytes(b"\xff\xfe\x00")
        case "log empty":
            log.write_text("")
        case "log elsewhere":
            content = json.loads(record.read_text())
            content["latency"]["file"] = "../../../../etc/passwd"
            record.write_text(json.dumps(content))


@pytest.mark.parametrize(
    "how",
    [
        "record missing",
        "record cut",
        "record is another document",
        "log missing",
        "log cut",
        "log is no text",
        "log empty",
        "log elsewhere",
    ],
)
def test_damaged_run_is_shown_as_such_and_the_rest_stands(race_folder: Path, how: str) -> None:
    race = read_race(race_folder)
    run = race.variants[0].runs[1]
    damage(race_folder, run, how)
    page = outline(report_html(race_folder)).text
    assert "This report is not complete." in page
    assert run in page.split("Ranking", maxsplit=2)[1]
    assert "food11-openvino-int8 wins" in page
    runs = load_runs(race_folder, race)[race.variants[0].id, "local"]
    assert [bool(found.problem) for found in runs] == [False, True, False, False, False, False]
    assert curve(valid_holds(runs))


def test_whole_report_says_nothing_of_being_incomplete(finished: Path) -> None:
    assert "not complete" not in report_html(finished)


def test_variant_without_any_readable_run_has_no_curve_and_is_named(race_folder: Path) -> None:
    race = read_race(race_folder)
    for run in race.variants[0].runs:
        (race_folder / run).unlink()
    html = report_html(race_folder)
    assert "Not drawn, for want of a valid hold: food11-openvino-int8 (PASS)" in html
    assert 'id="series-0-wide-title"' not in html


def test_void_run_is_shown_and_stays_out_of_the_curve(race_folder: Path) -> None:
    race = read_race(race_folder)
    run = race.variants[0].runs[0]
    record = json.loads((race_folder / run).read_text())
    record["void"] = "not-warm"
    failed = {"check": "not-warm", "ok": False, "value": 0.2, "limit": 0.0, "evidence": "p50 20 then 30 ms"}
    record["passport"].append(failed)
    (race_folder / run).write_text(json.dumps(record))
    runs = load_runs(race_folder, race)[race.variants[0].id, "local"]
    assert [found.is_void for found in runs] == [True, False, False, False, False, False]
    assert len(valid_holds(runs)) == 4
    page = outline(report_html(race_folder)).text
    assert "void:not-warm" in page
    assert "6 runs, 1 void" in page
    # It was played again, so the proofs of the variant are those of the runs that count.
    matrix = page.split("The values are with")[1].split("Variants")[0]
    assert "warm-up settled" not in matrix
    assert "food11-ort-fp16" in matrix
    assert "lateness" in matrix
    assert "✕ void:late" in matrix


def test_a_hold_whose_queue_grew_is_drawn_as_it_was_judged(race_folder: Path) -> None:
    race = read_race(race_folder)
    run = race.variants[0].runs[0]
    record = json.loads((race_folder / run).read_text())
    record["void"] = "growing-queue"
    failed = {"check": "growing-queue", "ok": False, "value": 0.2, "limit": 0.0, "evidence": "0.2 a second"}
    record["passport"].append(failed)
    (race_folder / run).write_text(json.dumps(record))
    runs = load_runs(race_folder, race)[race.variants[0].id, "local"]
    # The rate failed, and its block is in the figures of the hold.
    assert len(valid_holds(runs)) == 5
    record["passport"].append(failed | {"check": "late"})
    (race_folder / run).write_text(json.dumps(record))
    assert len(valid_holds(load_runs(race_folder, race)[race.variants[0].id, "local"])) == 4


def test_entry_that_is_void_shows_the_proofs_of_its_void_runs(race_folder: Path) -> None:
    race = read_race(race_folder)
    variant = races.Variant("food11-late", 5.0, 2000, 1, "VOID")
    runs = racefolders.write_hold(race_folder, variant, void="late")
    entry = Entry(id=variant.name, node_class="local", status="VOID", void="late", runs=runs)
    write_race(race_folder, race.model_copy(update={"variants": (*race.variants, entry)}))
    assert valid_holds(load_runs(race_folder, read_race(race_folder))[variant.name, "local"]) == ()
    page = outline(report_html(race_folder)).text
    assert page.count("void:late") >= 6
    assert "6 runs, 6 void" in page
    assert "8 proofs hold" in page


def test_run_without_answers_or_passport_is_told_plainly(race_folder: Path) -> None:
    race = read_race(race_folder)
    run = race.variants[0].runs[0]
    record = json.loads((race_folder / run).read_text())
    record |= {"sent": 0, "passport": [], "series": [], "phase": "search"}
    (race_folder / run).write_text(json.dumps(record))
    page = outline(report_html(race_folder)).text
    assert "no proof was recorded" in page
    assert "not complete" not in page
    (race_folder / run).with_suffix(".hdr").unlink()
    assert "its histogram 03-hold.hdr is missing" in report_html(race_folder)


def test_curve_is_that_of_all_blocks_merged(finished: Path) -> None:
    race = read_race(finished)
    runs = load_runs(finished, race)[race.variants[0].id, "local"]
    whole = races.intended(races.hold(races.VARIANTS[0], 7))
    points = curve(valid_holds(runs))
    assert points[-1] == (100 * (1 - 1 / whole.count), whole.max_us / 1000)
    assert all(value == whole.percentile_ms(percentile) for percentile, value in points[:-1])
    assert list(points) == sorted(points)
    assert curve([]) == ()
