"""The rows of the robustness table that have tests: `python -m tests.robustness` runs them and writes the table.

With paths (`python -m tests.robustness tests/fuzz`) only those are run, and what the others showed last stays. What
needs a cluster, a gateway or much time, and was not run, says so in the table: not run is not passed.

A test that shows a row carries `@pytest.mark.row("R6", "what must hold")` and says what it saw with
`record_property("R6", "...")`; its negative control carries `@pytest.mark.control("R6")`. The table is made
from the marks and from a run, never by hand; `tests/unit/test_robustness.py` compares it with the marks.
"""

import ast
import subprocess
import sys
from collections.abc import Collection, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import pytest

__all__ = [
    "ALL_ROWS",
    "CLUSTER_ROWS",
    "FOLDERS",
    "NEEDS",
    "OTHER_ROWS",
    "PREDICTOR_ROWS",
    "TABLE",
    "Mark",
    "Seen",
    "marks",
    "rows_of",
    "shown",
    "table",
]

ROOT = Path(__file__).parents[1]
TABLE = ROOT / "tests" / "robustness.md"
# What a tier needs that not every machine has; its rows may be without a figure, and then say this.
NEEDS = {
    "cluster": "the test cluster",
    "faults": "the test cluster and 30 min",
    "scale": "the test cluster and 30 min",
    "knative": "a gateway, `./scripts/cluster-up --knative`",
}
FOLDERS = tuple(f"tests/{tier}" for tier in ("contract", "unit", "rendered", "fuzz", *NEEDS))
# The rows that concern the predictor and need no more than processes on loopback.
PREDICTOR_ROWS = (
    *("R2", "R6", "R7", "R8", "R9", "R10", "R11", "R12", "R13", "R14", "R15", "R23", "R24", "R27", "R32"),
    *("S9", "S10", "S11", "S12", "S14", "S15", "S16", "S17", "S20", "S22", "S23", "S25", "S26", "S31"),
)
# The rows that need the test cluster.
CLUSTER_ROWS = (
    "R1",
    "R3",
    "R4",
    "R5",
    "R22",
    "R25",
    "R26",
    "R29",
    "R30",
    "R31",
    "R34",
    "R35",
    "R36",
    "S1",
    "S2",
    "S6",
    "S7",
    "S8",
    "S24",
    "S29",
    "S30",
)
# Those of charts, images, reports and commands, and of the tests themselves.
OTHER_ROWS = ("R37", "S3", "S4", "S5", "S13", "S18", "S19", "S32")
ALL_ROWS = (*(f"R{number}" for number in range(1, 38)), *(f"S{number}" for number in range(1, 33)))
# Of the rows that no test shows, why; of the others this is not read.
REASONS = {
    **dict.fromkeys(("R16", "R17", "R18", "R19", "R20", "R21", "S28"), "there is no queue of jobs"),
    "R28": "nothing is rolled out by shares and back by itself",
    **dict.fromkeys(("R33", "S27"), "there is no upload page"),
    "S21": "needs a gateway; what one strict parser refuses is group A of R12",
}


class Mark(NamedTuple):
    """A test that says which row it shows, or whose control it is; `limit` is what must hold."""

    row: str
    kind: str
    test: str
    limit: str


class Seen(NamedTuple):
    """What a run saw: the outcome of every test by its name, and the figures by row and name."""

    outcomes: dict[str, str]
    figures: dict[tuple[str, str], list[str]]


def marks(root: Path = ROOT) -> list[Mark]:
    """Read the marks off the sources, in the order of rows, then of tests."""
    found = []
    for folder in FOLDERS:
        for path in sorted((root / folder).rglob("test_*.py")):
            found += list(_marks_of(path, str(path.relative_to(root))))
    return sorted(found, key=lambda mark: (mark.row[0], int(mark.row[1:]), mark.kind != "row", mark.test))


def _marks_of(path: Path, name: str) -> Iterator[Mark]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) or not node.name.startswith("test_"):
            continue
        for decorator in node.decorator_list:
            if not isinstance(decorator, ast.Call):
                continue
            kind = ast.unparse(decorator.func)
            if kind not in ("pytest.mark.row", "pytest.mark.control"):
                continue
            row, *rest = [ast.literal_eval(argument) for argument in decorator.args]
            yield Mark(row, kind.rpartition(".")[2], f"{name}::{node.name}", rest[0] if rest else "")


def rows_of(text: str) -> set[tuple[str, str, str]]:
    """Read row, kind and test off a table."""
    found = set()
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.split("|")[1:-1]]
        if len(cells) == 6 and cells[0] not in ("row", "---"):
            found |= {(cells[0], "row", cells[3].strip("`"))}
            found |= {(cells[0], "control", test.strip("` ")) for test in cells[4].split("<br>") if test.strip("` –")}
    return found


def table(found: Sequence[Mark], seen: Seen, *, made: str) -> str:
    """Write the table: one line a row and test, with the controls of the row on its first line."""
    told = (
        f"Made by `python -m tests.robustness` ({made}). A row's id is its place in the list of faults and attacks; "
        "a figure is what this run saw on two shared cores: a size, not a benchmark. A control is the same test "
        "without the guard, and passes when that fails; a test in both columns makes its control itself. A row that "
        "was not run says what it needs, and promises nothing."
    )
    lines = [
        "# What Podium holds, and the runs that must fail",
        "",
        told,
        "",
        "| row | must hold | figure seen | test | control | command |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    begun: set[str] = set()
    for mark in found:
        if mark.kind != "row":
            continue
        controls = [item.test for item in found if item.kind == "control" and item.row == mark.row]
        shown = [] if mark.row in begun else controls
        begun.add(mark.row)
        figures = "; ".join(dict.fromkeys(seen.figures.get((mark.row, mark.test), [])))
        outcome = seen.outcomes.get(mark.test, "not run")
        tier = mark.test.split("/")[1]
        if outcome in ("not run", "skipped") and tier in NEEDS:
            figures = f"not run: needs {NEEDS[tier]}"
        elif outcome != "passed":
            figures = f"**{outcome}** {figures}".strip()
        command = f"`./scripts/test {tier}`"
        cells = [mark.row, mark.limit, figures, f"`{mark.test}`", "<br>".join(f"`{test}`" for test in shown), command]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join([*lines, "", *_without(begun), ""])


def _without(shown: Collection[str]) -> list[str]:
    """Return what the table says of the rows that no test shows."""
    by_reason: dict[str, list[str]] = {}
    for row in ALL_ROWS:
        if row not in shown:
            by_reason.setdefault(REASONS.get(row, "no test"), []).append(row)
    told = (
        "Nothing is promised of these. R4 and R31 are shown without a gateway, R32 for keys alone: no test exchanges a "
        "certificate, and a clock cannot be set for one cluster alone."
    )
    return ["## Not shown", "", told, "", *(f"- {', '.join(rows)}: {reason}" for reason, rows in by_reason.items())]


class _Recorder:
    """Keeps what the tests of a run said."""

    def __init__(self) -> None:
        self.seen = Seen({}, {})

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        test = report.nodeid.partition("[")[0]
        if report.when == "call" or report.outcome != "passed":
            worst = self.seen.outcomes.get(test, "passed")
            self.seen.outcomes[test] = report.outcome if worst == "passed" else worst
        if report.when == "call":
            for row, figure in report.user_properties:
                self.seen.figures.setdefault((row, test), []).append(str(figure))


def _made() -> str:
    commit = subprocess.run(["git", "rev-parse", "--short=7", "HEAD"], cwd=ROOT, capture_output=True, check=True)
    return f"{datetime.now(UTC):%Y-%m-%d}, on {commit.stdout.decode().strip()}"


def main(arguments: Sequence[str]) -> int:
    """Run the marked tests and write the table; `arguments` are handed to pytest."""
    found = marks()
    paths = tuple(item for item in arguments if item.startswith("tests/"))
    tests = sorted({mark.test for mark in found if mark.test.startswith(paths or "tests/")})
    if not tests:
        print(f"no row has a test below {' '.join(paths) or 'tests/'}", file=sys.stderr)  # noqa: T201
        return 2
    recorder: Any = _Recorder()
    code = int(pytest.main([*(item for item in arguments if item not in paths), *tests], plugins=[recorder]))
    seen = _joined(recorder.seen)
    TABLE.write_text(table(found, seen, made=_made()), encoding="utf-8")
    return code


def _joined(seen: Seen) -> Seen:
    """Put a run over what the table has of earlier ones."""
    before = shown(TABLE.read_text(encoding="utf-8"))
    ran = {test: outcome for test, outcome in seen.outcomes.items() if outcome != "skipped"}
    kept = {(row, test): told for (row, test), told in before.figures.items() if test not in ran}
    return Seen({**before.outcomes, **ran}, {**kept, **seen.figures})


def shown(text: str) -> Seen:
    """Read off a table what has passed, and the figures of it."""
    found = Seen({}, {})
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.split("|")[1:-1]]
        if len(cells) == 6 and cells[3].startswith("`tests/") and not cells[2].startswith(("not run", "**")):
            test = cells[3].strip("`")
            found.outcomes[test] = "passed"
            found.figures[cells[0], test] = [cells[2]]
    return found


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
