"""One stage of `./scripts/test`: `python -m tests.stage ARGUMENT...` runs pytest, and what fails once more by itself.

A test that fails beside others on a busy machine and passes by itself is named in `.podium/restless.txt`, for the end
of the run to tell; more than a few of them are no accident. Coverage is appended, where it is asked for. Where
`PODIUM_CI_LOG` names a file, a line there says how long the stage took and how it ended.
"""

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

__all__ = ["MOST", "RESTLESS", "run"]

RESTLESS = Path(".podium/restless.txt")
MOST = 5
_FAILED = 1


def run(arguments: Sequence[str]) -> int:
    """Return the exit code of pytest, of the second run where there was one."""
    began = time.monotonic()
    code = _twice(arguments)
    if log := os.environ.get("PODIUM_CI_LOG"):
        where = " ".join(one for one in arguments if Path(one).exists())
        now = datetime.now(UTC).isoformat(timespec="seconds")
        with Path(log).open("a", encoding="utf-8") as kept:
            kept.write(f"{now} {time.monotonic() - began:.0f} s, exit {code}: {where}\n")
    return code


def _twice(arguments: Sequence[str]) -> int:
    code = _pytest(*arguments)
    if code != _FAILED:
        return code
    again = [*arguments, "-n", "0", "--last-failed", "--last-failed-no-failures", "none"]
    listed = subprocess.run(
        [sys.executable, "-m", "pytest", *again, "--collect-only", "--quiet", "--no-cov"],
        capture_output=True,
        text=True,
        check=False,
    )
    failing = [line for line in listed.stdout.splitlines() if "::" in line]
    if not 0 < len(failing) <= MOST:
        return code
    sys.stderr.write(f"test: running the {len(failing)} that failed once more, by themselves\n")
    code = _pytest(*again, *(["--cov-append"] if "--cov" in arguments else []))
    if code == 0:
        RESTLESS.parent.mkdir(exist_ok=True)
        with RESTLESS.open("a", encoding="utf-8") as kept:
            kept.writelines(f"{name}\n" for name in failing)
    return code


def _pytest(*arguments: str) -> int:
    return subprocess.run([sys.executable, "-m", "pytest", *arguments], check=False).returncode


if __name__ == "__main__":
    sys.exit(run(sys.argv[1:]))
