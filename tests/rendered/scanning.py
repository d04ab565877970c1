"""One run of checkov over shapes: every shape in a folder, and so in a graph, of its own; without any network.

Its program is in an environment of its own (`./scripts/build-scanners`), because what it needs holds back what we import.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import yaml

from tests.needs import lack
from tests.rendered.shapes import Object

__all__ = ["Finding", "Scan", "checkov", "scanned"]

ROOT = Path(__file__).parents[2]
CHECKOV = ROOT / ".podium" / "scanners" / "bin" / "checkov"
# Nobody listens there: whatever would ask a network fails, and is seen to.
NOBODY = "http://127.0.0.1:9"
DEADLINE_S = 270


class Finding(NamedTuple):
    """What a check said of an object: `kind` is the object's, `resource` is kind, namespace and name."""

    shape: str
    check: str
    kind: str
    resource: str


class Scan(NamedTuple):
    """What a run of checkov said."""

    passed: frozenset[Finding]
    failed: frozenset[Finding]

    def checks(self) -> set[str]:
        """Return the checks that looked at anything."""
        return {finding.check for finding in self.passed | self.failed}

    def objects(self) -> set[tuple[str, str]]:
        """Return what was looked at, by shape."""
        return {(finding.shape, finding.resource) for finding in self.passed | self.failed}

    def of(self, shape: str) -> Scan:
        """Return what was said of one shape."""
        passed, failed = (frozenset(one for one in side if one.shape == shape) for side in (self.passed, self.failed))
        return Scan(passed, failed)


def checkov() -> Path:
    """Return the program, or skip; fail where `PODIUM_REQUIRE` asks for it."""
    if not CHECKOV.is_file():
        lack("scanners", "no checkov in .podium/scanners (./scripts/build-scanners puts it there)")
    return CHECKOV


def scanned(shapes: Mapping[str, list[Object]], folder: Path) -> Scan:
    """Let checkov look at every shape; its start takes most of the time, so there is one run."""
    program = checkov()
    words = []
    for number, made in enumerate(shapes.values()):
        place = folder / f"{number:03}"
        place.mkdir()
        (place / "shape.yaml").write_text(yaml.safe_dump_all(made), encoding="utf-8")
        words += ["--directory", str(place)]
    # No platform's key is in its environment, and nothing is fetched: neither guidelines nor modules.
    quiet = {"PATH": os.environ["PATH"], "HOME": str(folder), "LOG_LEVEL": "ERROR", "PYTHONDONTWRITEBYTECODE": "1"}
    quiet |= dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy", "ALL_PROXY"), NOBODY)
    options = ["--framework", "kubernetes", "--skip-download", "--compact", "--output", "json"]
    done = subprocess.run(
        [str(program), *options, "--download-external-modules", "false", *words],
        cwd=folder,
        env=quiet,
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
    )
    # 1: something failed, as planted breaches must.
    assert done.returncode in (0, 1), done.stderr
    assert done.stderr == ""
    reports = list(_documents(done.stdout))
    assert len(reports) == len(shapes), done.stdout[-2000:]
    passed, failed = set(), set()
    for name, report in zip(shapes, reports, strict=True):
        # Where it has a check for no kind of a shape, its report is a bare summary.
        results = report.get("results", {"passed_checks": [], "failed_checks": []})
        assert not results.get("parsing_errors"), name
        passed |= {_finding(name, one) for one in results["passed_checks"]}
        failed |= {_finding(name, one) for one in results["failed_checks"]}
    return Scan(frozenset(passed), frozenset(failed))


def _documents(text: str) -> Iterator[Object]:
    decoder, place = json.JSONDecoder(), 0
    while (rest := text[place:].lstrip()) != "":
        document, length = decoder.raw_decode(rest)
        place += len(text[place:]) - len(rest) + length
        yield document


def _finding(shape: str, one: Object) -> Finding:
    # A pod that a Deployment or Job makes is told as "Pod.<namespace>.<name>.<labels>".
    return Finding(shape, one["check_id"], one["resource"].partition(".")[0], one["resource"])
