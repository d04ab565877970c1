"""The proxy tax in the report: a line for each path, a sentence where there is no figure, and nothing elsewhere."""

from pathlib import Path

from podium.entry import Interval, PathTax, ProxyTax
from podium.racefile import read_race, write_race
from podium.report import report_html
from podium.report.taxes import COLUMNS, tax_block
from podium.resultrows import variant_rows
from tests.outline import outline

SERVICE = PathTax(
    name="service",
    url="http://pie",
    requests=95,
    p50_ms=5.25,
    p90_ms=6.5,
    above_pod_p50_ms=Interval(value=0.25, low=-0.01, high=0.31),
    above_pod_p90_ms=Interval(value=1.5, low=1.2, high=2.0),
)
POD = PathTax(name="pod", url="http://10.1.2.3:8080", requests=95, p50_ms=5.0, p90_ms=5.0)
LOST = PathTax(name="ingress", error="request 1 was not answered: timed out")


def taxed(race_folder: Path, *taxes: ProxyTax | None) -> Path:
    race = read_race(race_folder)
    entries = tuple(
        entry.model_copy(update={"proxy_tax": taxes[place] if place < len(taxes) else None})
        for place, entry in enumerate(race.variants)
    )
    write_race(race_folder, race.model_copy(update={"variants": entries}))
    return race_folder


def test_every_path_is_a_line_with_what_it_takes_more_than_the_pod(race_folder: Path) -> None:
    full = ProxyTax(rate=20, confidence=0.95, paths=(POD, SERVICE, LOST))
    failed = ProxyTax(rate=20, confidence=0.95, note="the paths could not be asked: runner 0: killed")
    folder = taxed(race_folder, full, failed)
    race = read_race(folder)
    assert race.variants[0].proxy_tax == full
    block = tax_block(race)
    assert block is not None
    assert [(line.path, line.cells, line.problem) for line in block.lines] == [
        ("pod", ("95", "5.00 ms", "5.00 ms", "–", "–"), ""),
        ("service", ("95", "5.25 ms", "6.50 ms", "+250 µs (-10 to +310)", "+1,500 µs (+1,200 to +2,000)"), ""),
        ("ingress", (), "request 1 was not answered: timed out"),
        ("–", (), "the paths could not be asked: runner 0: killed"),
    ]
    assert all(len(line.cells) in {0, len(COLUMNS)} for line in block.lines)
    page = outline(report_html(folder)).text
    for text in ("Proxy tax", "20 rounds a second", "95 %", "+250 µs", "timed out", "runner 0: killed"):
        assert text in page
    # Long parts of an entry are no columns of a table.
    assert not any("proxy" in name for row in variant_rows(race) for name in row)


def test_where_nothing_was_asked_the_report_has_no_word_of_it(finished: Path) -> None:
    assert tax_block(read_race(finished)) is None
    assert "Proxy tax" not in outline(report_html(finished)).text
