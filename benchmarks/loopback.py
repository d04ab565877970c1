"""Two cores for benchmarks on loopback: the generator on the first, a server of a known nature on the last.

Server scripts print the port that they listen at as their first line, which is how they are known to be there.
"""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.provenance import provenance

__all__ = ["GENERATOR_CORES", "QUEUE_SERVER", "SERVER_CORE", "environment", "pressure_us", "served"]

QUEUE_SERVER = Path(__file__).parents[1] / "tests" / "truth" / "queue_server.py"
_CORES = sorted(os.sched_getaffinity(0))
GENERATOR_CORES = frozenset(_CORES[:1])
SERVER_CORE = _CORES[-1]


@contextmanager
def served(script: Path, *words: str) -> Iterator[int]:
    """Run a server on the last core and give its port; it is gone afterwards."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {SERVER_CORE})
    try:
        process = subprocess.Popen([sys.executable, str(script), *words], stdout=subprocess.PIPE)
    finally:
        os.sched_setaffinity(0, before)
    try:
        assert process.stdout is not None  # noqa: S101
        yield int(process.stdout.readline())
    finally:
        process.kill()
        process.wait()
        process.stdout.close()  # type: ignore[union-attr]


def environment() -> dict[str, str]:
    """Return date, commit and machine."""
    return {name: value for name, value in provenance().items() if name != "cluster"}


def pressure_us() -> int | None:
    """Return for how long some process of this machine had to wait for a core, in µs; None where nobody counts."""
    try:
        line = Path("/proc/pressure/cpu").read_text().splitlines()[0]
    except OSError:
        return None
    return int(line.rpartition("total=")[2])
