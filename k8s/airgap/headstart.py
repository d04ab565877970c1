"""`python -m k8s.airgap.headstart COMMAND...`: runs a command, and beside it compiles what `cluster-up` will ask for.

The compiler gets only what processor time the command leaves, and ends with it: what is finished then lies in the
cache and what is half done in Go's own, so that the next head start, or `cluster-up`, goes on where this one stood. It
starts nothing and installs nothing on the machine, and its failures stop nobody: `cluster-up` meets them again.
"""

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from k8s.airgap import cache, golang, host, nodeimage, sources, tools, versions
from k8s.airgap.shell import say
from k8s.airgap.site import Site
from podium.errors import PodiumError

__all__ = ["compile_all", "programs", "run"]

COMPILER = (sys.executable, "-m", "k8s.airgap.headstart")
_LEAST_FREE_GIB = 3.0
_MEMORY = Path("/proc/meminfo")
_TAIL_LINES = 12


def programs(pins: versions.Versions, *, air_gapped: bool) -> list[str]:
    """Return the names of the programs that `cluster-up` will build, the one that is asked for first in front."""
    found = [name for name in ("helm", "kind") if not tools.is_on_path(name, pins)]
    if air_gapped:
        found += [*nodeimage.PROGRAMS, "netpol"]
    return [*found, "fakegpu"]


def compile_all(site: Site) -> int:
    """Put the programs into the cache, out of everybody's way; return 0, or 4 where one cannot be built.

    Where memory is short it leaves all to `cluster-up`: a linker takes more than a gibibyte.
    """
    _step_back()
    free = _free_gib()
    if free < _LEAST_FREE_GIB:
        say(f"headstart: {free:.1f} GiB of memory are free, {_LEAST_FREE_GIB:g} are needed; leaving it to cluster-up")
        return 0
    try:
        pins = versions.load()
        store = _store(site)
        air_gapped = host.is_air_gapped(os.environ.get("PODIUM_AIRGAP", "auto"))
        sources.obtain(pins, store)
        for name in programs(pins, air_gapped=air_gapped):
            golang.obtain(golang.PROGRAMS[name], pins, store)
    except PodiumError as error:
        say(f"headstart: {error}\n  → {error.hint}")
        return 4
    return 0


def run(command: Sequence[str], *, site: Site, compiler: Sequence[str] = COMPILER) -> int:
    """Return the exit code of a command, beside which the compiler runs no longer than it does."""
    site.state.mkdir(parents=True, exist_ok=True)
    log = site.state / "headstart.log"
    with tempfile.TemporaryDirectory(prefix="headstart.", ignore_cleanup_errors=True) as scratch, log.open("w") as out:
        beside = subprocess.Popen(
            compiler,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            env={**os.environ, "TMPDIR": scratch},
            start_new_session=True,
        )
        try:
            code = subprocess.Popen(command).wait()
        finally:
            failed = beside.poll()
            if failed is None:
                _end(beside, _store(site))
    if failed:
        tail = "\n".join(log.read_text(errors="replace").splitlines()[-_TAIL_LINES:])
        say(f"headstart: it ended with status {failed}; cluster-up will try again. It said:\n{tail}")
    # A shell's way to say that a signal ended it.
    return 128 - code if code < 0 else code


def _end(compiler: subprocess.Popen[bytes], store: cache.Cache) -> None:
    """End the compiler with all that it has started, and take away the files that it had begun."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(compiler.pid, signal.SIGKILL)
    compiler.wait()
    for folder in (store.work, store.outside):
        for half in folder.glob(f"*.{compiler.pid}.part"):
            half.unlink(missing_ok=True)


def _step_back() -> None:
    """Let this process, and what it starts, run only where a core would be idle."""
    try:
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    except OSError:
        os.nice(19)


def _free_gib() -> float:
    """Return the memory that can be had without swapping."""
    lines = dict(line.split(":") for line in _MEMORY.read_text().splitlines())
    return int(lines["MemAvailable"].split()[0]) / 2**20


def _store(site: Site) -> cache.Cache:
    return cache.Cache(work=site.state / "airgap", outside=cache.default_folder())


if __name__ == "__main__":
    if not sys.argv[1:]:
        sys.exit(compile_all(Site()))
    # Ctrl-C is for the command, which is told too and decides; who ends this process ends the compiler with it.
    signal.signal(signal.SIGINT, lambda *_: None)
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    sys.exit(run(sys.argv[1:], site=Site()))
