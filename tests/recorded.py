"""What became of each test of one run of pytest, a line of JSON each: `python -P recorded.py FILE ARGUMENT...`.

A program by itself, so that a run begins as bare as any: nothing but pytest is imported before the tests are. A line is
written when something is known, so that of a run that died it can be said what it was at. Nothing runs a second time.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

__all__ = ["Recorder", "main"]


class Recorder:
    """A plugin of pytest that writes what begins, and what became of it."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        """Say that a test begins."""
        self._write(nodeid, "began")

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Say what became of a test's set-up, call or tear-down, where that is no success; else of the call."""
        if report.when == "call" or report.outcome != "passed":
            self._write(report.nodeid, report.outcome, is_control="control" in report.keywords)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Say which file could not be read, or is skipped as a whole."""
        if report.outcome != "passed":
            self._write(report.nodeid, report.outcome)

    def _write(self, test: str, outcome: str, *, is_control: bool = False) -> None:
        with self._file.open("a", encoding="utf-8") as kept:
            kept.write(json.dumps([test, outcome, is_control]) + "\n")


def main(arguments: Sequence[str]) -> int:
    """Run pytest and return its exit code; the file comes first."""
    recorder: Any = Recorder(Path(arguments[0]).absolute())
    return int(pytest.main(list(arguments[1:]), plugins=[recorder]))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
