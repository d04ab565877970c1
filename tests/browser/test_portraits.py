"""The report of fourteen variants: how soon it is there, for whom it can be read, and that it looks as it did."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image
from playwright.sync_api import Browser

from podium.report import render_report
from tests import racefolders
from tests.browser.accessibility import violations
from tests.browser.inspection import Media, Scheme
from tests.browser.pictures import FORMS, REFERENCES, Form, difference, small, taken

pytestmark = pytest.mark.browser

# Of the ink on the page. Another font of the system moves less of it, and a block that is elsewhere more.
ALIKE = 0.15
_TIMES = """() => {
  const [entry] = performance.getEntriesByType('navigation');
  const paint = performance.getEntriesByName('first-contentful-paint')[0]?.startTime ?? null;
  return {interactive_ms: entry.domInteractive, complete_ms: entry.domComplete, paint_ms: paint};
}"""


@pytest.fixture(scope="module")
def family(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("family")
    racefolders.write_family(folder, 14)
    return render_report(folder)


def restyled(report: Path, folder: Path, style: str) -> Path:
    """Return the page with a rule more at the end of its style."""
    html = report.read_text(encoding="utf-8")
    assert html.count("</style>") >= 1
    path = folder / "restyled.html"
    head, _, rest = html.rpartition("</style>")
    # The page's policy knows its style by a digest, where it does.
    path.write_text(f"{head}{style}</style>{rest}".replace("Content-Security-Policy", "X-Nothing"), encoding="utf-8")
    return path


def test_when_the_page_is_there_is_told(
    browser: Browser, family: Path, record_property: Callable[[str, object], None], capsys: pytest.CaptureFixture[str]
) -> None:
    seen = []
    for _ in range(3):
        page = browser.new_page()
        page.goto(family.as_uri())
        page.wait_for_function("performance.getEntriesByType('navigation')[0].domComplete > 0")
        seen.append(page.evaluate(_TIMES))
        page.close()
    best = min(seen, key=lambda one: one["complete_ms"])
    record_property("report_of_fourteen_variants", json.dumps(best))
    # A figure, whose bar is 2 s; a busy machine makes no test of it.
    with capsys.disabled():
        print(f"\nreport of fourteen variants: {json.dumps(best)}")  # noqa: T201
    assert best["complete_ms"] >= best["interactive_ms"] > 0


@pytest.mark.parametrize(
    ("width", "scheme", "media"),
    [(1280, "light", "screen"), (1280, "dark", "screen"), (390, "dark", "screen"), (718, "light", "print")],
)
def test_axe_finds_no_violation_in_fourteen_variants(
    browser: Browser, family: Path, width: int, scheme: Scheme, media: Media
) -> None:
    assert violations(browser, family, width=width, scheme=scheme, media=media) == ()


@pytest.mark.parametrize(("scheme", "media"), [("dark", "screen"), ("light", "print")])
def test_axe_names_what_is_planted_in_the_dark_and_on_paper(
    browser: Browser, family: Path, tmp_path: Path, scheme: Scheme, media: Media
) -> None:
    rule = "@media print { p, td { color: #bbb !important; background: #fff !important } }"
    if scheme == "dark":
        rule = "@media (prefers-color-scheme: dark) { p, td { color: #444 !important; background: #222 !important } }"
    planted = restyled(family, tmp_path, rule)
    assert any(one.startswith("color-contrast") for one in violations(browser, planted, scheme=scheme, media=media))


def reference(form: Form) -> Image.Image:
    return Image.open(REFERENCES / f"{form}.png")


@pytest.mark.parametrize("form", FORMS)
def test_the_page_looks_as_its_reference_does(browser: Browser, family: Path, form: Form) -> None:
    found = difference(reference(form), small(taken(browser, family, form)))
    assert found < ALIKE, "python -m tests.browser.pictures makes the references anew"


@pytest.mark.parametrize("form", FORMS)
def test_in_another_font_it_still_does(browser: Browser, family: Path, tmp_path: Path, form: Form) -> None:
    other = restyled(family, tmp_path, "* { font-family: serif !important }")
    assert difference(reference(form), small(taken(browser, other, form))) < ALIKE


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("style", ["main { padding-left: 40% !important }", ".ranking { display: none !important }"])
def test_in_another_layout_it_does_not(browser: Browser, family: Path, tmp_path: Path, form: Form, style: str) -> None:
    other = restyled(family, tmp_path, style)
    assert difference(reference(form), small(taken(browser, other, form))) >= ALIKE
