"""The report: complete, the same every time, escaped, and whole even where its files are not."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from loadtest.cures import CURES
from podium import figures
from podium.entry import Entry, Proof
from podium.errors import MachineError
from podium.racefile import RaceError, read_race, write_race
from podium.report import render_report, report_html
from podium.standings import COLUMNS, rows
from tests import racefolders, races
from tests.outline import outline


def test_report_shows_every_entry_with_every_figure_of_the_ranking(finished: Path) -> None:
    page = outline(report_html(finished)).text
    for column in COLUMNS:
        assert column in page
    for row in rows(read_race(finished)):
        for cell in (*row.cells, *row.reasons, row.needs, *row.notes):
            for part in cell.split(" ("):
                assert part in page


def test_a_run_whose_arrivals_waited_for_the_server_says_so(race_folder: Path) -> None:
    path = race_folder / read_race(race_folder).variants[0].runs[0]
    assert "held: 1,234" not in outline(report_html(race_folder)).text
    path.write_text(json.dumps({**json.loads(path.read_text()), "held": 1234}))
    assert "held: 1,234" in outline(report_html(race_folder)).text


def test_report_opens_with_the_winner_and_what_the_verdict_is_worth(finished: Path) -> None:
    page = outline(report_html(finished)).text
    assert "food11-openvino-int8 wins" in page
    assert "level quick" in page
    assert "local: functional and relative" in page


def test_report_has_all_its_sections_and_charts(finished: Path) -> None:
    parsed = outline(report_html(finished))
    ids = [attributes["id"] for _, attributes in parsed.tags if attributes.get("id")]
    assert len(ids) == len(set(ids))
    sections = {
        "ranking",
        "charts",
        "why",
        "cost",
        "quality",
        "passport",
        "variants",
        "environment",
        "reproduce",
        "words",
    }
    assert sections <= set(ids)
    links = {attributes["href"] for tag, attributes in parsed.tags if tag == "a"}
    assert {f"#{name}" for name in sections} <= links
    assert all(link and link.startswith("#") and link[1:] in ids for link in links)
    charts = ["percentiles", "rates", "latency", "pareto", "split", "quality", "classes"]
    for chart in charts:
        assert f"chart-{chart}" in ids
        assert {f"{chart}-wide-title", f"{chart}-narrow-title"} <= set(ids)
    assert sum(1 for name in ids if name and name.startswith("series-") and name.endswith("wide-title")) == 4


def test_report_tells_objective_environment_and_how_to_repeat_it(finished: Path) -> None:
    race = read_race(finished)
    page = outline(report_html(finished)).text
    for text in (
        figures.objective(race.slo),
        figures.objective(race.quality),
        race.fingerprints["local"],
        "AMD EPYC 7763 64-Core Processor",
        "kind: InferenceService",
        "blocks: 5",
        race.command,
        f"podium report {race.race_id}",
        "podium serve food11-openvino-int8@",
        "over-saturated at 40/s, block ended early",
        "+2.4 %",
        "McNemar",
        "0.021",
    ):
        assert text in page


def test_report_needs_no_network_and_no_script(finished: Path) -> None:
    html = report_html(finished)
    parsed = outline(html)
    names = {tag for tag, _ in parsed.tags}
    assert not names & {"script", "link", "img", "iframe", "object", "embed", "form", "base"}
    for _, attributes in parsed.tags:
        assert not [name for name in attributes if name.startswith("on") or name in {"style", "src"}]
    assert "url(" not in html
    assert "@import" not in html
    policy = next(a["content"] for _, a in parsed.tags if a.get("http-equiv") == "Content-Security-Policy")
    assert policy is not None
    assert policy.startswith("default-src 'none'; style-src 'sha256-")
    assert "unsafe" not in policy


def test_same_files_give_the_same_bytes(finished: Path, race_folder: Path) -> None:
    first = render_report(race_folder).read_bytes()
    assert render_report(race_folder).read_bytes() == first
    assert report_html(finished).encode() == first


def test_report_names_no_path_of_the_machine_that_made_it(race_folder: Path) -> None:
    race = read_race(race_folder)
    (race_folder / race.variants[0].runs[0]).unlink()
    assert str(race_folder) not in report_html(race_folder)


def test_race_without_winner_files_or_extras_still_renders(tmp_path: Path) -> None:
    bare = races.race((Entry(id="v", node_class="local", status="SKIPPED"),)).model_copy(
        update={
            "cross_check": None,
            "submission": None,
            "profile": {},
            "profile_name": "",
            "environment": {},
            "events": (),
            "tools": {},
            "command": "",
            "finished": None,
            "cost": None,
            "quality": "",
            "labels": (),
        }
    )
    write_race(tmp_path, bare)
    page = outline(report_html(tmp_path)).text
    assert "No variant wins" in page
    assert page.count("Nothing to draw") == 6
    assert "No server of this race told its time split." in page
    assert "Nothing was loaded, so there is nothing to diagnose." in page
    assert "No largest rate was searched for." in page
    assert "No second generator checked this race." in page
    assert "podium race -f SUBMISSION --target local" in page
    assert "not finished" in page


def test_race_without_entries_renders(tmp_path: Path) -> None:
    write_race(tmp_path, races.race(()))
    assert "No variant was entered." in report_html(tmp_path)


def test_two_node_classes_are_told_apart_by_name(tmp_path: Path) -> None:
    entries = tuple(Entry(id="v", node_class=place, status="FAIL") for place in ("epyc", "a100"))
    write_race(tmp_path, races.race(entries))
    page = outline(report_html(tmp_path)).text
    assert "v on epyc" in page
    assert "v on a100" in page


def test_pareto_chart_falls_back_to_rates_where_nothing_has_a_price(race_folder: Path) -> None:
    race = read_race(race_folder)
    unpriced = [entry.model_dump() | {"cost_per_million": None} for entry in race.variants]
    racefolders.change(race_folder, variants=unpriced)
    assert "Accuracy against largest rate per second" in report_html(race_folder)
    unrated = [entry | {"server_max_rps": None, "quality": None} for entry in unpriced]
    racefolders.change(race_folder, variants=unrated)
    assert "Largest rate per second against offline rate per second" in report_html(race_folder)


def test_entry_with_another_currency_is_left_out_of_the_cost_chart(race_folder: Path) -> None:
    race = read_race(race_folder)
    variants = [entry.model_dump() for entry in race.variants]
    variants[1]["cost_per_million"]["currency"] = "USD"
    racefolders.change(race_folder, variants=variants)
    assert "Not drawn, for want of cost per million, EUR, or accuracy: food11-ort-int8 (PASS)" in report_html(
        race_folder
    )


@pytest.mark.parametrize("clauses", ["p99", "p99<=100ms", "p50<=1s, p99.9<=2s, rate>=1/s"])
def test_objective_of_any_form_renders(race_folder: Path, clauses: str) -> None:
    racefolders.change(race_folder, slo=clauses, quality="precision>=0.5" if "p50" in clauses else "nonsense")
    walls = report_html(race_folder).count('class="wall"')
    assert walls == 2 * {"p99": 0, "p99<=100ms": 1}.get(clauses, 2)


def test_report_goes_where_it_is_asked_to(finished: Path, tmp_path: Path) -> None:
    path = render_report(finished, tmp_path / "page.html")
    assert path == tmp_path / "page.html"
    assert path.read_text(encoding="utf-8") == report_html(finished)
    assert [entry.name for entry in tmp_path.iterdir()] == ["page.html"]


def test_report_that_cannot_be_written_is_an_error_with_a_remedy(finished: Path, tmp_path: Path) -> None:
    with pytest.raises(MachineError, match="cannot be written") as caught:
        render_report(finished, tmp_path / "nowhere" / "page.html")
    assert "--out" in caught.value.hint
    (tmp_path / "taken").mkdir()
    with pytest.raises(MachineError):
        render_report(finished, tmp_path / "taken")
    assert [entry.name for entry in tmp_path.iterdir()] == ["taken"]


def test_folder_without_a_race_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RaceError):
        render_report(tmp_path)


def test_the_winner_is_served_with_as_many_cores_as_it_was_measured_with(race_folder: Path) -> None:
    race = read_race(race_folder)
    assert "--cpus 1" in outline(report_html(race_folder)).text
    wide = {"local": {**race.environment["local"], "cpus": 2.0}}
    write_race(race_folder, race.model_copy(update={"environment": wide}))
    page = outline(report_html(race_folder)).text
    assert "--cpus 2" in page
    assert "--cpus 1" not in page


def test_limits_that_differ_between_node_classes_are_shown_for_each(race_folder: Path) -> None:
    race = read_race(race_folder)
    limits = {"local": {"throttled": 0.01}, "epyc": {"throttled": 0.01}}
    write_race(race_folder, race.model_copy(update={"thresholds": limits}))
    assert "thresholds: epyc" not in outline(report_html(race_folder)).text
    limits["epyc"] = {"throttled": 0.03}
    write_race(race_folder, race.model_copy(update={"thresholds": limits}))
    page = report_html(race_folder)
    assert "epyc:\n    throttled: 0.03" in page


def test_a_proof_that_failed_says_what_to_do(race_folder: Path) -> None:
    race = read_race(race_folder)
    failing = Proof(check="late", ok=False, value=30.0, limit=10.0, evidence="late", remedy="give it more cores")
    entries = (race.variants[0].model_copy(update={"passport": (failing,), "void": "late"}), *race.variants[1:])
    write_race(race_folder, race.model_copy(update={"variants": entries}))
    page = outline(report_html(race_folder)).text
    assert "give it more cores" in page
    assert CURES["late"] in page
