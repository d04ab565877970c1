"""The report in a real browser: it shows everything, leaves the disk for nothing, and runs nothing."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from PIL import Image
from playwright.sync_api import Browser, Page

from podium.entry import Entry
from podium.racefile import Race, read_race, write_race
from podium.raster import to_png
from podium.report import render_report
from podium.report.gallery import draw_pictures
from podium.report.words import PROOFS
from podium.standings import COLUMNS
from tests import racefolders, races
from tests.browser.accessibility import violations
from tests.browser.inspection import Scheme, inspect

pytestmark = pytest.mark.browser

# Never answered: the port of a service that nobody runs, on this machine.
ELSEWHERE = "http://127.0.0.1:9/planted.png"
PLANTED = f"<img src='{ELSEWHERE}' onerror='window.owned=1'><script>window.owned=1</script>"


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("race")
    racefolders.write_finished(folder, *races.unloaded())
    return render_report(folder)


@pytest.fixture
def page(browser: Browser, report: Path) -> Page:
    page = browser.new_page()
    page.goto(report.as_uri())
    return page


def altered(report: Path, tmp_path: Path, old: str, new: str) -> Path:
    html = report.read_text(encoding="utf-8")
    assert old in html
    path = tmp_path / "altered.html"
    path.write_text(html.replace(old, new, 1), encoding="utf-8")
    return path


def owned(browser: Browser, path: Path) -> bool:
    page = browser.new_page()
    try:
        page.goto(path.as_uri())
        return bool(page.evaluate("window.owned === 1"))
    finally:
        page.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 800, 390, 320])
def test_report_has_no_fault_at_any_width_in_light_and_dark(
    browser: Browser, report: Path, width: int, scheme: Scheme
) -> None:
    seen = inspect(browser, report, width=width, scheme=scheme)
    assert seen.faults == ()
    # Seven that compare the variants; of the four that were held one each, and three or two of their artifacts.
    assert seen.charts == 7 + 4 + 2 * 3 + 2 * 1


def test_report_of_twenty_variants_with_endless_names_has_no_fault(browser: Browser, tmp_path: Path) -> None:
    entries = [
        races.measured(
            races.Variant(f"food11-ort-int8-{'endless-' * (number % 4) * 4}{number}", 4 + number, 2000, 1, "FAIL"),
            races.hold(races.Variant("v", 4 + number, 2000, 1, "FAIL"), 7),
            rank=None,
            runs=(),
        )
        for number in range(20)
    ]
    write_race(tmp_path, races.race(tuple(entries)))
    report = render_report(tmp_path)
    for width in (1280, 390):
        assert inspect(browser, report, width=width).faults == ()


def test_report_without_any_figure_has_no_fault(browser: Browser, tmp_path: Path) -> None:
    write_race(tmp_path, races.race((Entry(id="v", node_class="local", status="SKIPPED"),)))
    seen = inspect(browser, render_report(tmp_path))
    assert (seen.faults, seen.charts) == ((), 0)


def test_every_line_and_marker_of_the_charts_is_drawn(page: Page, report: Path) -> None:
    race = read_race(report.parent)

    def drawn(chart: str, shape: str) -> int:
        return page.locator(f"#chart-{chart} svg.wide {shape}").count()

    loaded = [entry for entry in race.variants if entry.hold]
    measured = [entry for entry in race.variants if entry.quality]
    assert len(loaded) == 4
    assert drawn("percentiles", ".series .line") == len(loaded)
    assert drawn("percentiles", ".wall") == 1
    assert drawn("rates", ".series .mark") == sum(len(entry.probes) for entry in loaded)
    assert drawn("rates", ".series .hollow") == sum(not p.passed for entry in loaded for p in entry.probes)
    assert drawn("pareto", ".series .mark") == len(loaded)
    assert drawn("latency", ".series .mark") == len(loaded)
    assert drawn("split", ".series") == len(loaded)
    assert drawn("quality", ".series .span") == len(measured)
    assert drawn("classes", ".series .mark") == len(measured) * len(races.LABELS)
    # One line a block: what is between two blocks was not measured.
    assert drawn("series-0", ".offered") == races.BLOCKS


def test_ranking_table_is_complete(page: Page, report: Path) -> None:
    race = read_race(report.parent)
    assert page.locator(".ranking thead th").all_inner_texts() == list(COLUMNS)
    assert page.locator(".ranking tbody").count() == len(race.variants)
    for number, entry in enumerate(race.variants):
        body = page.locator(".ranking tbody").nth(number)
        assert body.locator("tr").first.locator("td, th").count() == len(COLUMNS)
        text = body.inner_text()
        assert entry.id in text
        assert entry.status in text
        assert all(reason in text for reason in entry.reasons)
    assert page.locator(".ranking .winner").count() == 1


def test_passport_has_a_line_for_every_proof_and_one_for_every_run(page: Page, report: Path) -> None:
    race = read_race(report.parent)
    checks = [PROOFS[proof.check] for proof in racefolders.PROOFS]
    assert page.locator(".matrix tbody th").all_inner_texts() == checks
    assert page.locator(".matrix thead th").count() == 1 + 4 + 1
    loaded = [entry for entry in race.variants if entry.runs]
    assert page.locator("table.passport").count() == len(loaded) + 1
    assert page.locator("table.passport").first.locator("tbody th").all_text_contents() == checks
    assert page.locator("table.runs tbody tr").count() == sum(len(entry.runs) for entry in loaded)


def test_phone_shows_each_figure_beside_its_name(browser: Browser, report: Path) -> None:
    page = browser.new_page(viewport={"width": 390, "height": 844})
    page.goto(report.as_uri())
    cell = page.locator(".ranking tbody").first.locator("td.num").first
    name = cell.evaluate("element => getComputedStyle(element, '::before').content")
    assert name == '"quality"'
    assert page.locator("svg.chart.wide:visible").count() == 0
    page.close()


def test_keyboard_reaches_the_results_first(page: Page) -> None:
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.getAttribute('href')") == "#main"
    page.keyboard.press("Enter")
    assert page.url.endswith("#main")


def test_print_shows_what_is_folded_on_screen(page: Page) -> None:
    folded = page.locator("details.card:not([open]) .facts").first
    assert not folded.is_visible()
    page.emulate_media(media="print")
    assert folded.is_visible()
    assert not page.locator("header.top").is_visible()
    assert len(page.pdf()) > 50_000


def hostile(race: Race) -> Race:
    entry = race.variants[0].model_copy(update={"id": PLANTED, "reasons": (PLANTED,)})
    return race.model_copy(
        update={
            "model": PLANTED,
            "labels": (PLANTED,),
            "winner": entry.key,
            "variants": (entry, *race.variants[1:]),
        }
    )


def test_script_planted_in_a_label_does_not_run(browser: Browser, report: Path, tmp_path: Path) -> None:
    write_race(tmp_path, hostile(read_race(report.parent)).model_copy(update={"race_id": "r"}))
    planted = render_report(tmp_path)
    assert "window.owned" in planted.read_text()
    assert not owned(browser, planted)
    faults = [fault for fault in inspect(browser, planted).faults if "wide on a screen" not in fault]
    assert faults == []


def test_script_that_got_past_the_escaping_is_stopped_by_the_policy(
    browser: Browser, report: Path, tmp_path: Path
) -> None:
    planted = altered(report, tmp_path, "</main>", f"</main>{PLANTED}")
    assert not owned(browser, planted)
    assert any("console error" in fault for fault in inspect(browser, planted).faults)


def test_the_same_script_runs_where_there_is_no_policy(browser: Browser, report: Path, tmp_path: Path) -> None:
    planted = altered(report, tmp_path, "</main>", f"</main>{PLANTED}")
    bare = altered(planted, tmp_path, "Content-Security-Policy", "X-Nothing")
    assert owned(browser, bare)


def test_planted_picture_from_elsewhere_is_a_fault(browser: Browser, report: Path, tmp_path: Path) -> None:
    picture = f"</main><img alt='' src='{ELSEWHERE}'>"
    planted = altered(report, tmp_path, "</main>", picture)
    assert any(ELSEWHERE in fault for fault in inspect(browser, planted).faults)
    bare = altered(planted, tmp_path, "Content-Security-Policy", "X-Nothing")
    assert f"a request leaves the page: {ELSEWHERE}" in inspect(browser, bare).faults


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ("--ink: #161a21", "--ink: #d0d0d0", "contrast"),
        (
            "main, footer, .top .inner {",
            "main { min-width: 1500px } footer, .top .inner {",
            "wide on a screen",
        ),
        (".chart.narrow { display: none; }", ".chart.wide { width: 9px }", "chart"),
    ],
)
def test_faults_of_the_page_are_seen(
    browser: Browser, report: Path, tmp_path: Path, old: str, new: str, fault: str
) -> None:
    planted = altered(report, tmp_path, old, new)
    bare = altered(planted, tmp_path, "Content-Security-Policy", "X-Nothing")
    assert any(fault in found for found in inspect(browser, bare).faults)


def test_chart_without_its_curves_is_a_fault(browser: Browser, report: Path, tmp_path: Path) -> None:
    html = report.read_text(encoding="utf-8").replace('class="series', 'class="lost')
    (tmp_path / "bare.html").write_text(html, encoding="utf-8")
    assert any("has no series" in fault for fault in inspect(browser, tmp_path / "bare.html").faults)


@pytest.mark.parametrize("width", [1280, 390])
def test_axe_finds_no_violation(browser: Browser, report: Path, width: int) -> None:
    assert violations(browser, report, width=width) == ()


def test_axe_names_what_is_planted(browser: Browser, report: Path, tmp_path: Path) -> None:
    planted = altered(report, tmp_path, '<html lang="en">', "<html>")
    for old, new in (("--ink: #161a21", "--ink: #d0d0d0"), (' role="img"', ' role="imaginary"')):
        planted = altered(planted, tmp_path, old, new)
    bare = altered(planted, tmp_path, "Content-Security-Policy", "X-Nothing")
    named = {found.partition(":")[0] for found in violations(browser, bare)}
    assert {"html-has-lang", "color-contrast", "aria-roles"} <= named


# Of a page that is handed on; the figures of fourteen variants with five blocks each are in it.
LARGEST = 1_000_000


@pytest.fixture(scope="module")
def family(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("family")
    racefolders.write_family(folder, 14)
    return render_report(folder)


def test_report_of_fourteen_variants_is_small_and_needs_nothing_else(browser: Browser, family: Path) -> None:
    assert family.stat().st_size <= LARGEST
    assert inspect(browser, family, width=390).faults == ()
    page = browser.new_page()
    page.goto(family.as_uri())
    entries = page.evaluate("performance.getEntriesByType('resource').length")
    assert entries == 0
    assert page.locator("#chart-split svg.wide .series").count() == 14
    assert page.locator("#why h3", has_text="Forecast and measurement").count() == 1
    page.close()


def test_report_of_a_race_that_is_not_finished_says_so_and_shows_its_runs(browser: Browser, tmp_path: Path) -> None:
    racefolders.write_finished(tmp_path)
    (tmp_path / "race.json").unlink()
    (tmp_path / "plan.json").write_text('{"started": "2025-03-01T10:15:00+00:00"}', encoding="utf-8")
    report = render_report(tmp_path)
    assert inspect(browser, report).faults == ()
    page = browser.new_page()
    page.goto(report.as_uri())
    assert page.locator("h1").inner_text() == "This race is not finished"
    assert page.locator("#chart-percentiles svg.wide .series .line").count() == 4
    page.close()


def test_printed_report_cuts_nothing_off(browser: Browser, report: Path) -> None:
    # Of A4 in CSS pixels, without its margins.
    page = browser.new_page(viewport={"width": 718, "height": 1000})
    page.goto(report.as_uri())
    page.emulate_media(media="print")
    page.evaluate("document.querySelectorAll('details').forEach(element => { element.open = true })")
    wide = page.evaluate(
        "[...document.querySelectorAll('body *')].filter(e => e.getBoundingClientRect().right > innerWidth + 1)"
        ".map(e => e.tagName + ' ' + e.className + ' ' + e.textContent.trim().slice(0, 40))"
    )
    assert wide == []
    page.close()


def test_a_picture_is_drawn_as_png_with_its_colors_and_names(browser: Browser, report: Path, tmp_path: Path) -> None:
    (drawing,) = (one for one in draw_pictures(report.parent, tmp_path) if one.name == "latency.svg")
    (png,) = to_png([drawing])
    image = Image.open(png).convert("RGB")
    box = re.search(r'viewBox="-10 -10 ([\d.]+) ([\d.]+)"', drawing.read_text(encoding="utf-8"))
    assert box is not None
    assert image.size == (2 * round(float(box[1])), 2 * round(float(box[2])))
    # The blue of the first variant, and paper around the drawing.
    assert image.getpixel((2, 2)) == (255, 255, 255)
    assert (10, 102, 176) in {color for _, color in image.getcolors(1 << 24) or []}
