"""Child processes that cannot outlive their race.

Each child gets its own process group, a set of cores, a log file, and on Linux the kernel's promise to kill
it when its parent dies, so that even a SIGKILL of the race leaves nothing behind.
"""

import contextlib
import os
import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from loadtest.process import dying_with_parent


def _before_exec(cores: frozenset[int]) -> Callable[[], None]:
    tie = dying_with_parent()

    def prepare() -> None:
        tie()
        if cores:
            os.sched_setaffinity(0, cores)

    return prepare


def start(
    command: Sequence[str],
    *,
    log: Path,
    cores: frozenset[int] = frozenset(),
    environment: Mapping[str, str] | None = None,
    pipes: bool = False,
    without: str | None = None,
) -> subprocess.Popen[str]:
    """Start `command` with its standard error in `log`.

    With `pipes` its standard input and output are pipes of text lines; without, output goes to the log as
    well. Variables of this process's environment that start with `without` are kept from it.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    inherited = {name: value for name, value in os.environ.items() if not (without and name.startswith(without))}
    with log.open("a", encoding="utf-8") as sink:
        return subprocess.Popen(
            list(command),
            stdin=subprocess.PIPE if pipes else subprocess.DEVNULL,
            stdout=subprocess.PIPE if pipes else sink,
            stderr=sink,
            text=True,
            env={**inherited, **(environment or {})},
            start_new_session=True,
            preexec_fn=_before_exec(cores),
        )


def stop(process: subprocess.Popen[str], *, grace_s: float) -> None:
    """End the process group: SIGTERM, then SIGKILL for whatever is left after `grace_s` seconds."""
    if process.poll() is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(grace_s)
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            # What a child that died did not take is lost with it.
            with contextlib.suppress(BrokenPipeError):
                pipe.close()


def ending(process: subprocess.Popen[str]) -> str:
    """Say how the process ended: `""` while it runs, else its exit code or the signal's name."""
    code = process.poll()
    if code is None:
        return ""
    return f"exit code {code}" if code >= 0 else f"signal {signal.Signals(-code).name}"


def last_lines(log: Path, count: int = 3) -> str:
    """Return the last non-empty lines of a log as one line of text."""
    if not log.exists():
        return ""
    lines = [line.strip() for line in log.read_text(encoding="utf-8", errors="replace").splitlines()]
    return " | ".join([line for line in lines if line][-count:])[-600:]
