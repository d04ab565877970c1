"""Runs in the environment of `.podium/scanners`: checkov over every folder in a folder, each for itself.

Checkov's own command would start anew for each, which takes most of its time; given several folders at once, version 3.3
tells what it found in the first again for all others. Its runner is what the command calls; nothing in it asks a network.
"""

import json
import sys
from collections.abc import Iterator
from pathlib import Path

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


if __name__ == "__main__":
    found = {folder.name: list(_told(folder)) for folder in sorted(Path(sys.argv[1]).iterdir())}
    sys.stdout.write(json.dumps(found))
