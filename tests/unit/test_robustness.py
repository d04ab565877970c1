"""The table of what Podium holds says what the tests say: every row, every test, every control."""

import re
from pathlib import Path

import pytest

from tests.robustness import (
    ALL_ROWS,
    CLUSTER_ROWS,
    NEEDS,
    OTHER_ROWS,
    PREDICTOR_ROWS,
    TABLE,
    Mark,
    Seen,
    main,
    marks,
    rows_of,
    shown,
    table,
)

ROOT = Path(__file__).parents[2]
ROWS = (*PREDICTOR_ROWS, *CLUSTER_ROWS, *OTHER_ROWS)


def test_every_row_has_a_test_and_a_control() -> None:
    found = marks()
    assert {mark.row for mark in found if mark.kind == "row"} == set(ROWS)
    assert {mark.row for mark in found if mark.kind == "control"} == set(ROWS)
    assert all(mark.limit for mark in found if mark.kind == "row")


def test_the_table_has_just_the_rows_that_are_marked() -> None:
    assert rows_of(TABLE.read_text(encoding="utf-8")) == {(mark.row, mark.kind, mark.test) for mark in marks()}


def test_every_row_of_the_list_is_in_the_table_or_said_to_be_not_shown() -> None:
    text = TABLE.read_text(encoding="utf-8")
    shown = {row for row, _, _ in rows_of(text)}
    missing = [row for line in re.findall(r"^- ((?:[RS]\d+(?:, )?)+):", text, re.MULTILINE) for row in line.split(", ")]
    assert len(ALL_ROWS) == 37 + 32
    assert sorted([*shown, *missing]) == sorted(ALL_ROWS)


def test_every_line_of_the_table_has_a_figure_of_a_run_that_passed() -> None:
    lines = [line for line in TABLE.read_text(encoding="utf-8").splitlines() if re.match(r"\| [RS]\d", line)]
    assert len(lines) >= len(ROWS)
    for line in lines:
        figure = line.split("|")[3].strip()
        assert figure, line
        assert "**" not in figure, line
        tier = line.split("|")[4].strip(" `").split("/")[1]
        assert not figure.startswith("not run") or (tier in NEEDS and figure == f"not run: needs {NEEDS[tier]}"), line


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


def test_what_earlier_runs_showed_is_read_off_the_table() -> None:
    passed, failed = (Mark("R2", "row", f"tests/contract/test_new.py::test_{name}", "must hold") for name in "ab")
    other = Mark("R29", "row", "tests/faults/test_new.py::test_it", "must hold")
    seen = Seen({passed.test: "passed", failed.test: "failed"}, {("R2", passed.test): ["1 of 1", "2 of 2"]})
    assert shown(table([passed, failed, other], seen, made="now")) == Seen(
        {passed.test: "passed"}, {("R2", passed.test): ["1 of 1; 2 of 2"]}
    )
    text = TABLE.read_text(encoding="utf-8")
    assert shown(text).figures.keys() <= {(row, test) for row, kind, test in rows_of(text) if kind == "row"}


def test_a_folder_without_a_row_runs_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["tests/nowhere"]) == 2
    assert "no row has a test below tests/nowhere" in capsys.readouterr().err


@pytest.mark.parametrize("tier", [*NEEDS, "contract"])
@pytest.mark.parametrize("outcome", ["failed", "skipped", None])
def test_what_was_not_run_or_failed_is_no_figure(tier: str, outcome: str | None) -> None:
    mark = Mark("R2", "row", f"tests/{tier}/test_new.py::test_it", "must hold")
    seen = Seen({} if outcome is None else {mark.test: outcome}, {})
    (line,) = (line for line in table([mark], seen, made="now").splitlines() if line.startswith("| R2"))
    told = line.split("|")[3].strip()
    if tier in NEEDS and outcome != "failed":
        assert told == f"not run: needs {NEEDS[tier]}"
    else:
        assert told == f"**{outcome or 'not run'}**"


@pytest.mark.parametrize("row", ROWS)
def test_a_row_is_named_as_in_the_list(row: str) -> None:
    assert re.fullmatch(r"[RS][1-9][0-9]?", row)
