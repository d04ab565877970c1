"""The ranking on the terminal."""

import io

import pytest
from rich.console import Console

from podium.entry import Entry
from podium.racefile import Race
from podium.ranking_table import ranking_notes, ranking_table
from podium.standings import COLUMNS, rows
from tests import races


@pytest.fixture(scope="module")
def race() -> Race:
    best = races.VARIANTS[0]
    return races.race((races.measured(best, races.hold(best, 7), rank=1, runs=()), *races.unloaded()))


def printed(race: Race, width: int = 120, *, color: bool = False) -> str:
    stream = io.StringIO()
    console = Console(file=stream, width=width, force_terminal=color, color_system="standard" if color else None)
    console.print(ranking_table(race, width=width))
    return stream.getvalue()


def test_table_has_every_column_and_every_figure_of_the_report(race: Race) -> None:
    text = printed(race, width=160)
    for word in " ".join(COLUMNS).split():
        assert word in text
    for row in rows(race):
        for cell in row.cells:
            assert cell.split(" (")[0] in text


def test_interval_stands_below_its_figure(race: Race) -> None:
    lines = printed(race, width=160).splitlines()
    place = next(number for number, line in enumerate(lines) if "92.5 %" in line)
    assert "(91.4–93.6)" in lines[place + 1]


@pytest.mark.parametrize("width", [120, 100, 80, 40])
def test_table_fits_its_terminal(race: Race, width: int) -> None:
    text = printed(race, width=width)
    assert max(map(len, text.splitlines())) <= width
    if width >= 80:
        assert "food11-openvino-int8" in text
        assert "✓ PASS" in text


def test_status_is_told_by_word_with_and_without_color(race: Race) -> None:
    plain, colored = printed(race), printed(race, color=True)
    assert "\x1b" not in plain
    assert "✓ PASS" in plain
    assert "\x1b[1;32m✓ PASS" in colored


def test_notes_name_reasons_and_needs(race: Race) -> None:
    notes = ranking_notes(race)
    assert "food11-ort-int8-dynamic needs about 1,400 more requests or 4 more blocks" in notes
    assert "food11-openvino-fp16 SKIPPED: this CPU has no avx512_fp16" in notes


def test_control_characters_never_reach_the_terminal() -> None:
    entry = Entry(id="v\x1b[2J", node_class="l\x07", status="SKIPPED", reasons=("\x1b]0;owned\x07",))
    race = races.race((entry,))
    assert "\x1b" not in printed(race)
    assert "\x07" not in printed(race)
    assert "\x1b" not in "".join(ranking_notes(race))
