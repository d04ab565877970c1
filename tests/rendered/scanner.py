"""Runs in the environment of `.podium/scanners`: checkov over every folder in a folder, each for itself.

Its own command would start anew for each, and most of its time is its start; given several folders, version 3.3 tells
of all what it found in the first. This calls the runner that the command calls, and nothing in it asks a network.
"""

import json
import sys
from collections.abc import Iterator
from pathlib import Path

from checkov.common.checks_infra.registry import get_graph_checks_registry
from checkov.kubernetes.checks.resource.registry import registry
from checkov.kubernetes.runner import Runner
from checkov.runner_filter import RunnerFilter

__all__: list[str] = []


def _told(folder: Path) -> Iterator[dict[str, str]]:
    wanted = RunnerFilter(framework=["kubernetes"], download_external_modules=False)
    report = Runner().run(root_folder=str(folder), runner_filter=wanted)
    sides = {"passed": report.passed_checks, "failed": report.failed_checks, "skipped": report.skipped_checks}
    for outcome, records in sides.items():
        for record in records:
            yield {"outcome": outcome, "check": record.check_id, "resource": record.resource}
    for path in report.parsing_errors:
        yield {"outcome": "unread", "check": "", "resource": Path(path).name}


def _checks() -> list[str]:
    of_kinds = (check.id for checks in registry.checks.values() for check in checks)
    return sorted({*of_kinds, *(check.id for check in get_graph_checks_registry("kubernetes").checks)})


if __name__ == "__main__":
    found = {folder.name: list(_told(folder)) for folder in sorted(Path(sys.argv[1]).iterdir())}
    sys.stdout.write(json.dumps({"checks": _checks(), "shapes": found}))
