"""One run of checkov over shapes: every shape in a folder, and so in a graph, of its own; without any network.

It is in an environment of its own (`./scripts/build-scanners`), because what it needs holds back what we import.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import yaml

from tests.needs import lack
from tests.rendered.workloads import Object

__all__ = ["Finding", "Scan", "python", "scanned"]

PYTHON = Path(__file__).parents[2] / ".podium" / "scanners" / "bin" / "python"
SCANNER = Path(__file__).parent / "scanner.py"
# Nobody listens there: whatever would ask a network fails, and is seen to.
NOBODY = dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy"), "http://127.0.0.1:9")
DEADLINE_S = 270


class Finding(NamedTuple):
    """What a check said of an object.

    Attributes:
        resource: Kind, namespace and name; of a pod that another object makes, its labels too.
    """

    shape: str
    check: str
    resource: str

    @property
    def thing(self) -> str:
        """Kind and name of the object, or of what makes the pod: as `workloads.name_of` has it."""
        kind, _, name = self.resource.split(".", 3)[:3]
        return f"{kind} {name}"


class Scan(NamedTuple):
    """What a run of checkov said; `known` are the checks that it has."""

    known: frozenset[str]
    passed: frozenset[Finding]
    failed: frozenset[Finding]

    def checks(self) -> set[str]:
        """Return the checks that looked at anything."""
        return {finding.check for finding in self.passed | self.failed}

    def failures(self, shape: str) -> set[str]:
        """Return the checks that failed in a shape."""
        return {finding.check for finding in self.failed if finding.shape == shape}


def python() -> Path:
    """Return the Python that has checkov, or skip; fail where `PODIUM_REQUIRE` asks for it."""
    if not PYTHON.is_file():
        lack("scanners", "no checkov in .podium/scanners (./scripts/build-scanners puts it there)")
    return PYTHON


def scanned(shapes: Mapping[str, list[Object]], folder: Path) -> Scan:
    """Let checkov look at every shape."""
    program = python()
    for number, made in enumerate(shapes.values()):
        place = folder / f"{number:04}"
        place.mkdir()
        (place / "shape.yaml").write_text(yaml.safe_dump_all(made), encoding="utf-8")
    # The environment has no key of a platform, nor a home with one; a process for each of many small files costs more.
    done = subprocess.run(
        [str(program), "-I", str(SCANNER), str(folder)],
        env={"PATH": "/usr/bin:/bin", "HOME": str(folder), "CHECKOV_PARALLELIZATION_TYPE": "none", **NOBODY},
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    sides: dict[str, set[Finding]] = {"passed": set(), "failed": set()}
    told = json.loads(done.stdout)
    for name, records in zip(shapes, told["shapes"].values(), strict=True):
        for one in records:
            # A file that it cannot read, or an annotation that silences it, would pass unseen.
            assert one["outcome"] in sides, (name, one)
            sides[one["outcome"]].add(Finding(name, one["check"], one["resource"]))
    return Scan(frozenset(told["checks"]), frozenset(sides["passed"]), frozenset(sides["failed"]))
