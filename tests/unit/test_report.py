"""The report: complete, the same every time, escaped, and whole even where its files are not."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from podium import figures
from podium.entry import Entry, Proof
from podium.errors import MachineError
from podium.racefile import Event, Race, RaceError, SubmissionText, read_race, write_race
from podium.report import render_report, report_html
from podium.report.evidence import curve, load_runs, valid_holds
from podium.standings import COLUMNS, rows
from tests import races

HOSTILE = "<img src=x onerror=alert(1)>\"'</script><script>alert(2)</script>&\x1b"
VOID_TAGS = {"meta", "br", "img", "link", "input", "hr"}


class Outline(HTMLParser):
    """Every tag with its attributes, and every text; refuses tags that do not match."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID_TAGS:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] != "style":
            self.texts.append(data)

    @property
    def text(self) -> str:
        return re.sub(r"[ \n]+", " ", "".join(self.texts))


def outline(html: str) -> Outline:
    parsed = Outline()
    parsed.feed(html)
    parsed.close()
    assert parsed.open == []
    return parsed


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("race")
    races.write_finished(folder, *races.unloaded())
    return folder


@pytest.fixture
def folder(finished: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(finished, tmp_path / "race"))


def change(folder: Path, **fields: Any) -> Race:
    race = Race.model_validate({**read_race(folder).model_dump(), **fields})
    write_race(folder, race)
    return race


def test_report_shows_every_entry_with_every_figure_of_the_ranking(finished: Path) -> None:
    page = outline(report_html(finished)).text
    for column in COLUMNS:
        assert column in page
    for row in rows(read_race(finished)):
        for cell in (*row.cells, *row.reasons, row.needs, *row.notes):
            for part in cell.split(" ("):
                assert part in page


def test_report_opens_with_the_winner_and_what_the_verdict_is_worth(finished: Path) -> None:
    page = outline(report_html(finished)).text
    assert "food11-openvino-int8 wins" in page
    assert "level quick" in page
    assert "local: functional and relative" in page


def test_report_has_all_its_sections_and_charts(finished: Path) -> None:
    parsed = outline(report_html(finished))
    ids = [attributes["id"] for _, attributes in parsed.tags if attributes.get("id")]
    assert len(ids) == len(set(ids))
    sections = {"ranking", "charts", "quality", "passport", "variants", "environment", "reproduce", "words"}
    assert sections <= set(ids)
    links = {attributes["href"] for tag, attributes in parsed.tags if tag == "a"}
    assert {f"#{name}" for name in sections} <= links
    assert all(link and link.startswith("#") and link[1:] in ids for link in links)
    charts = ["percentiles", "rates", "pareto", "quality", "classes"]
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
        "podium serve food11-openvino-int8",
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


def test_same_files_give_the_same_bytes(finished: Path, folder: Path) -> None:
    first = render_report(folder).read_bytes()
    assert render_report(folder).read_bytes() == first
    assert report_html(finished).encode() == first


def test_report_names_no_path_of_the_machine_that_made_it(folder: Path) -> None:
    race = read_race(folder)
    (folder / race.variants[0].runs[0]).unlink()
    assert str(folder) not in report_html(folder)


def hostile(race: Race) -> dict[str, Any]:
    entry = race.variants[0].model_dump()
    entry |= {
        "id": HOSTILE,
        "node_class": HOSTILE,
        "address": HOSTILE,
        "runtime": HOSTILE,
        "precision": HOSTILE,
        "reasons": (HOSTILE,),
        "needs": {"text": HOSTILE},
        "void": HOSTILE,
        "passport": (Proof(check=HOSTILE, ok=False, value=HOSTILE, limit=HOSTILE, evidence=HOSTILE),),
        "cost_per_million": {"value": 1, "currency": HOSTILE},
    }
    entry["quality"] |= {"metric": HOSTILE, "per_class": {HOSTILE: 0.5}}
    entry["clauses"] = [{"text": HOSTILE, "status": "PASS", "unit": HOSTILE, "value": 1, "reason": HOSTILE}]
    entry["server_max_rps"] |= {"binding": HOSTILE}
    return {
        "race_id": HOSTILE,
        "model": HOSTILE,
        "slo": HOSTILE,
        "quality": HOSTILE,
        "winner": {"variant": HOSTILE, "node_class": HOSTILE},
        "fingerprints": {HOSTILE: HOSTILE},
        "environment": {HOSTILE: {HOSTILE: [HOSTILE], "nested": {HOSTILE: HOSTILE}}},
        "events": (Event(at_s=1, text=HOSTILE, variant=HOSTILE, node_class=HOSTILE),),
        "variants": (entry,),
        "started": HOSTILE,
        "finished": HOSTILE,
        "submission": SubmissionText(path=HOSTILE, text=HOSTILE),
        "profile_name": HOSTILE,
        "profile": {HOSTILE: HOSTILE},
        "cross_check": race.cross_check.model_dump() | {"note": HOSTILE, "tool": HOSTILE, "variant": HOSTILE}
        if race.cross_check
        else None,
        "labels": (HOSTILE,),
        "incumbent": HOSTILE,
        "command": HOSTILE,
        "tools": {HOSTILE: HOSTILE},
    }


def test_no_string_of_a_race_becomes_markup(folder: Path) -> None:
    clean = {tag for tag, _ in outline(report_html(folder)).tags}
    change(folder, **hostile(read_race(folder)))
    html = report_html(folder)
    parsed = outline(html)
    assert {tag for tag, _ in parsed.tags} <= clean
    assert not [name for _, attributes in parsed.tags for name in attributes if name.startswith("on")]
    assert parsed.text.count("alert(1)") > 30
    assert "\x1b" not in html


def test_no_string_of_a_run_record_becomes_markup(folder: Path) -> None:
    race = read_race(folder)
    path = folder / race.variants[0].runs[0]
    record = json.loads(path.read_text())
    record["passport"] = [{"check": HOSTILE, "ok": None, "value": HOSTILE, "limit": HOSTILE, "evidence": HOSTILE}]
    record["generator"]["tool"] = record["started"] = record["fingerprint"] = HOSTILE
    record["codes"] = {HOSTILE: 1}
    path.write_text(json.dumps(record))
    parsed = outline(report_html(folder))
    assert not {tag for tag, _ in parsed.tags} & {"script", "img"}
    assert parsed.text.count("alert(1)") >= 8


def damage(folder: Path, run: str, how: str) -> None:
    record, log = folder / run, (folder / run).with_suffix(".hdr")
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
def test_damaged_run_is_shown_as_such_and_the_rest_stands(folder: Path, how: str) -> None:
    race = read_race(folder)
    run = race.variants[0].runs[1]
    damage(folder, run, how)
    page = outline(report_html(folder)).text
    assert "This report is not complete." in page
    assert run in page.split("Ranking", maxsplit=2)[1]
    assert "food11-openvino-int8 wins" in page
    runs = load_runs(folder, race)[race.variants[0].id, "local"]
    assert [bool(found.problem) for found in runs] == [False, True, False, False, False]
    assert curve(valid_holds(runs))


def test_whole_report_says_nothing_of_being_incomplete(finished: Path) -> None:
    assert "not complete" not in report_html(finished)


def test_variant_without_any_readable_run_has_no_curve_and_is_named(folder: Path) -> None:
    race = read_race(folder)
    for run in race.variants[0].runs:
        (folder / run).unlink()
    html = report_html(folder)
    assert "Not drawn, for want of a valid hold: food11-openvino-int8 (PASS)" in html
    assert 'id="series-0-wide-title"' not in html


def test_void_run_is_shown_and_stays_out_of_the_curve(folder: Path) -> None:
    race = read_race(folder)
    run = race.variants[0].runs[0]
    record = json.loads((folder / run).read_text())
    record["void"] = "growing-queue"
    failed = {"check": "growing-queue", "ok": False, "value": 0.2, "limit": 0.0, "evidence": "0.2 a second"}
    record["passport"].append(failed)
    (folder / run).write_text(json.dumps(record))
    runs = load_runs(folder, race)[race.variants[0].id, "local"]
    assert [found.is_void for found in runs] == [True, False, False, False, False]
    assert len(valid_holds(runs)) == 4
    page = outline(report_html(folder)).text
    assert "void:growing-queue" in page
    assert "5 runs, 1 void" in page
    # It was played again, so the proofs of the variant are those of the runs that count.
    matrix = page.split("Each run's values")[1].split("Variants")[0]
    assert "in-flight slope" not in matrix
    assert "food11-ort-fp16" in matrix
    assert "lateness" in matrix
    assert "✕ void:late" in matrix


def test_entry_that_is_void_shows_the_proofs_of_its_void_runs(folder: Path) -> None:
    race = read_race(folder)
    variant = races.Variant("food11-late", 5.0, 2000, 1, "VOID")
    runs = races.write_hold(folder, variant, void="late")
    entry = Entry(id=variant.name, node_class="local", status="VOID", void="late", runs=runs)
    write_race(folder, race.model_copy(update={"variants": (*race.variants, entry)}))
    assert valid_holds(load_runs(folder, read_race(folder))[variant.name, "local"]) == ()
    page = outline(report_html(folder)).text
    assert page.count("void:late") >= 6
    assert "5 runs, 5 void" in page
    assert "8 proofs hold" in page


def test_run_without_answers_or_passport_is_told_plainly(folder: Path) -> None:
    race = read_race(folder)
    run = race.variants[0].runs[0]
    record = json.loads((folder / run).read_text())
    record |= {"sent": 0, "passport": [], "series": [], "phase": "search"}
    (folder / run).write_text(json.dumps(record))
    page = outline(report_html(folder)).text
    assert "search, 0 requests, no proof was recorded" in page
    assert "not complete" not in page
    (folder / run).with_suffix(".hdr").unlink()
    assert "its histogram 03-hold.hdr is missing" in report_html(folder)


def test_curve_is_that_of_all_blocks_merged(finished: Path) -> None:
    race = read_race(finished)
    runs = load_runs(finished, race)[race.variants[0].id, "local"]
    whole = races.intended(races.hold(races.VARIANTS[0], 7))
    points = curve(valid_holds(runs))
    assert points[-1] == (100 * (1 - 1 / whole.count), whole.max_us / 1000)
    assert all(value == whole.percentile_ms(percentile) for percentile, value in points[:-1])
    assert list(points) == sorted(points)
    assert curve([]) == ()


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
    assert page.count("Nothing to draw") == 5
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


def test_pareto_chart_falls_back_to_rates_where_nothing_has_a_price(folder: Path) -> None:
    race = read_race(folder)
    unpriced = [entry.model_dump() | {"cost_per_million": None} for entry in race.variants]
    change(folder, variants=unpriced)
    assert "Accuracy against largest rate per second" in report_html(folder)
    unrated = [entry | {"server_max_rps": None, "quality": None} for entry in unpriced]
    change(folder, variants=unrated)
    assert "Largest rate per second against offline rate per second" in report_html(folder)


def test_entry_with_another_currency_is_left_out_of_the_cost_chart(folder: Path) -> None:
    race = read_race(folder)
    variants = [entry.model_dump() for entry in race.variants]
    variants[1]["cost_per_million"]["currency"] = "USD"
    change(folder, variants=variants)
    assert "Not drawn, for want of cost per million, EUR, or accuracy: food11-ort-int8 (PASS)" in report_html(folder)


@pytest.mark.parametrize("clauses", ["p99", "p99<=100ms", "p50<=1s, p99.9<=2s, rate>=1/s"])
def test_objective_of_any_form_renders(folder: Path, clauses: str) -> None:
    change(folder, slo=clauses, quality="precision>=0.5" if "p50" in clauses else "nonsense")
    walls = report_html(folder).count('class="wall"')
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


def luminances(css: str) -> Iterator[tuple[dict[str, str], str]]:
    light, dark = css.split("@media (prefers-color-scheme: dark)", maxsplit=1)
    dark = dark.split("\n}\n", maxsplit=1)[0]
    for name, part in (("light", light), ("dark", dark)):
        yield dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6})", part)), name


def luminance(color: str) -> float:
    channels = [int(color[n : n + 2], 16) / 255 for n in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    bright, dim = sorted((luminance(one), luminance(other)), reverse=True)
    return (bright + 0.05) / (dim + 0.05)


def test_colors_can_be_read_in_light_and_dark(finished: Path) -> None:
    css = report_html(finished).split("<style>")[1].split("</style>")[0]
    seen = 0
    for colors, _ in luminances(css):
        for name in ("ink", "soft", "accent", "limit"):
            assert contrast(colors[name], colors["card"]) >= 4.5
            assert contrast(colors[name], colors["page"]) >= 4.5
        for name in ("pass", "fail", "wait", "void", "none"):
            assert contrast(colors[name], colors[f"{name}-bg"]) >= 4.5
        for number in range(8):
            assert contrast(colors[f"c{number}"], colors["card"]) >= 3
            seen += 1
    assert seen == 16
