"""What a command of Podium costs: wall time, processor time and the largest memory, as the process itself counts."""

import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Cost", "costed"]

ROOT = Path(__file__).parents[1]
# A parent's view of the memory of its children is that of the largest of all of them.
_ASKED_OF_ITSELF = """
import atexit, resource, sys
def told():
    used = resource.getrusage(resource.RUSAGE_SELF)
    print(used.ru_maxrss, used.ru_utime + used.ru_stime, file=sys.stderr)
atexit.register(told)
from podium.cli import main
main()
"""


@dataclass(frozen=True, slots=True)
class Cost:
    """A command that has ended: exit code, what it printed, its seconds of wall and processor time, its MiB."""

    code: int
    stdout: str
    stderr: str
    seconds: float
    cpu_s: float
    mib: float


def costed(words: Sequence[str | Path], *, timeout_s: float = 300.0) -> Cost:
    """Run `podium` with these words in a process of its own."""
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", _ASKED_OF_ITSELF, *words],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=timeout_s,
    )
    seconds = time.monotonic() - began
    *told, last = done.stderr.splitlines()
    kib, cpu_s = last.split()
    return Cost(done.returncode, done.stdout, "\n".join(told), seconds, float(cpu_s), int(kib) / 1024)
