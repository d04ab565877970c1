"""The table of what Podium holds says what the tests say: every row, every test, every control."""

import re
from pathlib import Path

import pytest

from tests.robustness import CLUSTER_ROWS, PREDICTOR_ROWS, TABLE, Mark, Seen, marks, rows_of, table

ROOT = Path(__file__).parents[2]
ROWS = (*PREDICTOR_ROWS, *CLUSTER_ROWS)


def test_every_row_has_a_test_and_a_control() -> None:
    found = marks()
    assert {mark.row for mark in found if mark.kind == "row"} == set(ROWS)
    assert {mark.row for mark in found if mark.kind == "control"} == set(ROWS)
    assert all(mark.limit for mark in found if mark.kind == "row")


def test_the_table_has_just_the_rows_that_are_marked() -> None:
    assert rows_of(TABLE.read_text(encoding="utf-8")) == {(mark.row, mark.kind, mark.test) for mark in marks()}


def test_every_line_of_the_table_has_a_figure_of_a_run_that_passed() -> None:
    lines = [line for line in TABLE.read_text(encoding="utf-8").splitlines() if re.match(r"\| [RS]\d", line)]
    assert len(lines) >= len(ROWS)
    for line in lines:
        figure = line.split("|")[3].strip()
        assert figure, line
        assert "**" not in figure, line


def test_a_mark_that_the_table_lacks_is_seen(tmp_path: Path) -> None:
    """The control: a test that nobody ran, and one that the table does not know, make a difference."""
    folder = tmp_path / "tests" / "contract"
    folder.mkdir(parents=True)
    (folder / "test_new.py").write_text('@pytest.mark.row("R2", "must hold")\ndef test_it() -> None: ...\n')
    found = marks(tmp_path)
    assert found == [Mark("R2", "row", "tests/contract/test_new.py::test_it", "must hold")]
    assert rows_of(TABLE.read_text(encoding="utf-8")).isdisjoint({(mark.row, mark.kind, mark.test) for mark in found})
    assert "**not run**" in table(found, Seen({}, {}), made="never")
    seen = Seen({found[0].test: "passed"}, {("R2", found[0].test): ["1 of 1"]})
    assert "| R2 | must hold | 1 of 1 | `tests/contract/test_new.py::test_it` |" in table(found, seen, made="now")


@pytest.mark.parametrize("row", ROWS)
def test_a_row_is_named_as_in_the_list(row: str) -> None:
    assert re.fullmatch(r"[RS][1-9][0-9]?", row)
