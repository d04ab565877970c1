"""Why variants are as fast as they are: every figure of the page is that of the records."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from loadtest.histogram import read_log
from loadtest.records import read_record
from podium.dossier import Dossier, read_dossier, write_dossier
from podium.racefile import Race, read_race
from podium.report import report_html
from podium.report.costs import cost_block
from podium.report.drawings import drawings
from podium.report.evidence import Run, block_load, load_runs, valid_holds
from podium.report.workings import STAGES, diagnoses, forecasts, split_drawing, split_lines
from tests import racefolders
from tests.outline import outline

Runs = dict[tuple[str, str], tuple[Run, ...]]


@pytest.fixture(scope="module")
def race(finished: Path) -> Race:
    return read_race(finished)


@pytest.fixture(scope="module")
def runs(finished: Path, race: Race) -> Runs:
    return load_runs(finished, race)


@pytest.fixture(scope="module")
def dossier(finished: Path) -> Dossier:
    found = read_dossier(finished)
    assert found is not None
    return found


def milliseconds(text: str) -> float:
    value, unit = text.replace(",", "").split(" ")
    return float(value) * {"µs": 1e-3, "ms": 1.0, "s": 1e3}[unit]


def change_records(folder: Path, **changed: Any) -> None:
    for path in folder.glob("*/*/*.json"):
        record = json.loads(path.read_text())
        path.write_text(json.dumps(record | changed))


def test_the_parts_of_a_request_are_what_the_server_said_and_sum_to_its_latency(
    finished: Path, race: Race, runs: Runs
) -> None:
    lines = {(line.name, line.load): line.cells for line in split_lines(race, runs)}
    assert len(lines) == 2 * 4
    entry = race.variants[0]
    path = finished / entry.runs[-1]
    record = read_record(path)
    assert record.phase == "single-stream"
    after: Any = record.server["after"]
    cells = lines[entry.id, "one at a time"]
    for stage, cell in zip(STAGES, cells, strict=False):
        expected = after["stages"][stage] / after["stages"]["answers"] * 1e3
        assert milliseconds(cell) == pytest.approx(expected, rel=0.01), stage
    whole = read_log(path.with_suffix(".hdr"))["actual"].mean_ms
    assert milliseconds(cells[-1]) == pytest.approx(whole, rel=0.01)
    assert sum(map(milliseconds, cells[:-1])) == pytest.approx(whole, rel=0.02)


def test_the_bars_of_the_split_are_as_long_as_the_parts(race: Race, runs: Runs) -> None:
    figure = split_drawing(race, runs)
    assert "food11-ort-int8-dynamic (INCONCLUSIVE)" in figure.left_out
    assert len(figure.legend) == 5
    rows = re.findall(r'data-name="([^"]+)">(.*?)</g>', figure.wide)
    assert [name for name, _ in rows] == [entry.id for entry in race.variants[:4]]
    cells = {line.name: line.cells for line in split_lines(race, runs) if line.load == "one at a time"}
    scale = set()
    for name, row in rows:
        widths = {int(number): float(width) for number, width in re.findall(r'p(\d)" d="M[\d.]+ [\d.]+h([\d.]+)', row)}
        compute = milliseconds(cells[name][STAGES.index("compute")])
        # A gap of 1.5 pixels stands between two parts.
        scale.add(round((widths[2] + 1.5) / compute, 1))
    assert max(scale) - min(scale) <= 0.2


def test_servers_that_tell_no_stages_are_named_and_not_drawn(race_folder: Path) -> None:
    change_records(race_folder, server={})
    race = read_race(race_folder)
    figure = split_drawing(race, load_runs(race_folder, race))
    assert (figure.wide, figure.narrow) == ("", "")
    assert split_lines(race, load_runs(race_folder, race)) == ()
    assert "No server of this race told its time split." in outline(report_html(race_folder)).text


def test_a_forecast_stands_beside_what_the_benchmark_measured(race: Race, runs: Runs, dossier: Dossier) -> None:
    lines = {line.name: line for line in forecasts(race, runs, dossier)}
    assert set(lines) == {entry.id for entry in race.variants[:4]}
    int8 = lines["food11-ort-int8"]
    assert (int8.forecast, int8.measured, int8.kept) == ("1.1 to 3 ×", "4.06 ×", "faster than forecast")
    assert "podium benchmark" in int8.by
    torch = lines["food11-torch-fp32"]
    assert (torch.measured, torch.kept) == ("0.684 ×", "faster than forecast")
    assert lines["food11-ort-fp32"].kept == "the reference"
    assert forecasts(race, runs, None) == ()


def test_without_a_benchmark_the_race_itself_is_the_measurement(race: Race, runs: Runs, dossier: Dossier) -> None:
    bare = {address: one.model_copy(update={"engine": {}}) for address, one in dossier.artifacts.items()}
    lines = {line.name: line for line in forecasts(race, runs, Dossier(artifacts=bare))}
    assert lines["food11-ort-int8"].by.startswith("compute time in this race")
    assert float(lines["food11-ort-int8"].measured.split()[0]) == pytest.approx(26.0 / 6.4, rel=0.01)
    nothing: Runs = dict.fromkeys(runs, ())
    lines = {line.name: line for line in forecasts(race, nothing, Dossier(artifacts=bare))}
    assert (lines["food11-ort-int8"].measured, lines["food11-ort-int8"].kept) == (
        "–",
        "not measured beside the plain export",
    )


def test_a_forecast_that_was_too_hopeful_says_slower(race: Race, runs: Runs, dossier: Dossier) -> None:
    hopeful = {
        address: one.model_copy(
            update={"forecast": {"local": one.forecast["local"].model_copy(update={"low": 9.0, "high": 12.0})}}
        )
        for address, one in dossier.artifacts.items()
    }
    line = forecasts(race, runs, Dossier(artifacts=hopeful))[0]
    assert (line.kept, line.kind) == ("slower than forecast", "bad")


def test_the_diagnosis_of_the_page_names_the_cause_that_was_planted(
    finished: Path, race: Race, dossier: Dossier
) -> None:
    found = diagnoses(finished, race, dossier)
    assert [one.name for one in found["food11-ort-fp32", "local"].causes] == ["CPU throttling"]
    assert found["food11-openvino-int8", "local"].causes == ()
    assert len(found["food11-openvino-int8", "local"].findings) == 10
    assert ("food11-ort-fp16", "local") not in found
    page = outline(report_html(finished)).text
    assert "throttled in 7.0% of 500 periods" in page
    assert "No cause found" in page


def test_a_damaged_run_leaves_its_variant_without_a_diagnosis(race_folder: Path) -> None:
    race = read_race(race_folder)
    (race_folder / race.variants[0].runs[0]).write_text("{")
    assert set(diagnoses(race_folder, race, None)) == {(entry.id, "local") for entry in race.variants[1:4]}


def test_cost_is_price_times_share_by_the_planned_rate(race: Race, dossier: Dossier) -> None:
    block = cost_block(race, dossier)
    assert block.race == "0.00190 EUR for 4.52 minutes of measuring"
    assert block.idle == "30\u00a0%"
    assert dict(block.prices)["local"][0] == ("node", "0.0500 EUR an hour")
    assert [line.name for line in block.lines] == [entry.id for entry in race.variants[:4]]
    assert "food11-ort-fp16 (VOID)" in block.left_out
    for line, entry in zip(block.lines, race.variants, strict=False):
        assert entry.server_max_rps
        assert entry.cost_per_million
        planned = float(line.planned.removesuffix("/s"))
        assert planned == pytest.approx(entry.server_max_rps.value * 0.7, rel=0.01)
        pod = float(line.pod.split()[0])
        assert pod / (planned * 3600) * 1e6 == pytest.approx(entry.cost_per_million.value, rel=0.01)


def test_without_its_file_the_price_of_a_server_is_that_of_its_cost(race: Race, dossier: Dossier) -> None:
    without = cost_block(race, None)
    assert without.prices == ()
    assert [line.pod for line in without.lines] == [line.pod for line in cost_block(race, dossier).lines]
    unplanned = cost_block(race.model_copy(update={"profile": {}, "cost": None}), None)
    assert (unplanned.idle, unplanned.lines[0].pod, unplanned.lines[0].planned) == ("", "–", "–")
    assert unplanned.race == "4.52 minutes of measuring"


def test_cpu_and_throttling_of_a_block_are_shares_of_what_there_was(finished: Path, race: Race, runs: Runs) -> None:
    run = valid_holds(runs["food11-ort-fp32", "local"])[0]
    assert run.record is not None
    load = block_load(run)
    after: Any = run.record.server["after"]
    assert load.server == pytest.approx(after["cpu_s"] / run.record.seconds)
    assert load.throttled == 0.07
    assert load.generator == pytest.approx(0.9 / 10.4)
    bare = Run(run.path, run.record.model_copy(update={"server": {}}), None, "")
    assert (block_load(bare).server, block_load(bare).throttled) == (None, None)


def test_markers_of_the_latency_chart_have_the_area_of_the_artifact(race: Race, runs: Runs) -> None:
    figure = next(one for one in drawings(race, runs) if one.key == "latency")
    # Only the first is a circle: its radius stands in its path.
    radius = float(re.findall(r'class="mark" d="M[\d.]+ [\d.]+a([\d.]+)', figure.wide)[0])
    assert race.variants[0].size_bytes
    largest = max(entry.size_bytes or 0 for entry in race.variants)
    assert radius == pytest.approx(13 * (race.variants[0].size_bytes / largest) ** 0.5, abs=0.06)
    assert "2.37 MiB" in figure.legend[0].name


def test_an_artifacts_pictures_are_in_its_section_and_a_changed_dossier_changes_them(race_folder: Path) -> None:
    html = report_html(race_folder)
    for key in ("operators-0", "sensitivity-0", "roofline-0", "roofline-2"):
        assert f'id="chart-{key}"' in html
    assert 'id="chart-operators-2"' not in html
    assert "kept in float32: /features/0/0/Conv" in html
    write_dossier(race_folder, racefolders.dossier().model_copy(update={"artifacts": {}}))
    html = report_html(race_folder)
    assert 'id="chart-operators-0"' not in html
    assert "Forecast and measurement" not in html
    (race_folder / "dossier.json").unlink()
    assert 'id="chart-split"' in report_html(race_folder)
