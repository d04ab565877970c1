"""A load generator as a child process: its own group, its own cores, its own log, and nothing left behind.

The one place in this package that starts processes. It knows nothing of load.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from loadtest.cores import awake, stolen_seconds
from loadtest.errors import GeneratorError, WriteError

__all__ = [
    "Child",
    "Usage",
    "check_room",
    "cpu_quota",
    "dying_with_parent",
    "last_lines",
    "prefer",
    "scratch",
    "start",
    "throttled_periods",
    "wait_all",
]

_PAUSE_S = 0.01
_MAKE_ROOM = "make room, then run the same command again"
# A file system keeps a little for itself.
_FULL_BYTES = 64 << 10
_NICE = -10
_PR_SET_PDEATHSIG = 1


@dataclass(frozen=True, slots=True)
class Usage:
    """What a finished child used.

    Attributes:
        code: exit code, negative for a signal.
        cpu_seconds: user and system time of the child and of what it waited for.
        wall_s: from start to end.
        rss_bytes: largest resident size.
        stolen: share of its cores' time in which the host ran something else; None where nobody counts.
    """

    code: int
    cpu_seconds: float
    wall_s: float
    rss_bytes: int
    stolen: float | None


@dataclass(frozen=True, slots=True)
class Child:
    """A running child; `log` takes its stdout and stderr."""

    process: subprocess.Popen[bytes]
    log: Path
    started: float
    cores: frozenset[int]
    stolen_before_s: float | None


@contextlib.contextmanager
def start(
    command: Sequence[str],
    *,
    log: Path,
    environment: Mapping[str, str],
    cores: frozenset[int] | None,
    output: Path | None = None,
    without: str | None = None,
) -> Iterator[Child]:
    """Run a command in its own process group, which does not outlive the block, whatever ends it.

    The machine's cores are kept awake meanwhile, where this user may ask for that.

    Args:
        command: program and arguments.
        log: file for stderr, and for stdout without `output`.
        environment: added to this process's own.
        cores: CPU numbers that the child may use; all of this process's without.
        output: file for stdout.
        without: variables of this process's environment that start so are kept from the child.

    Raises:
        GeneratorError: the program cannot be started.
    """
    inherited = {name: value for name, value in os.environ.items() if not (without and name.startswith(without))}
    held = cores or frozenset(os.sched_getaffinity(0))
    with contextlib.ExitStack() as stack:
        stack.enter_context(awake())
        log_file = stack.enter_context(log.open("wb"))
        out_file = stack.enter_context(output.open("wb")) if output else log_file
        with _pinned(cores):
            try:
                process = subprocess.Popen(
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=out_file,
                    stderr=log_file,
                    env={**inherited, **environment},
                    start_new_session=True,
                    preexec_fn=dying_with_parent(),
                )
            except OSError as error:
                raise GeneratorError(
                    f"{command[0]} cannot be started: {error.strerror}", "run ./scripts/build-k6"
                ) from error
        try:
            prefer(process.pid)
            yield Child(process, log, time.monotonic(), held, stolen_seconds(held))
        finally:
            _kill(process)


def dying_with_parent() -> Callable[[], None]:
    """Return what a child calls before its program, so that the kernel kills it when this process is killed.

    Only Linux can do that; elsewhere a killed process leaves its children behind.
    """
    parent = os.getpid()
    # Looked up here: between fork and exec only what is ready may be called.
    prctl = ctypes.CDLL(None, use_errno=True).prctl if sys.platform == "linux" else None

    def prepare() -> None:
        if prctl is not None:
            prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # it died between fork and prctl: no signal will come
            os._exit(1)

    return prepare


def prefer(pid: int) -> None:
    """Let a process that has just started go before the machine's other work, where this user may ask for that.

    A generator that waits for a core behind a stranger sends late, and its run is void. Where the kernel groups
    processes by session, a priority counts only within the group, so that the group needs it as well.
    """
    with contextlib.suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, pid, _NICE)
    with contextlib.suppress(OSError):
        Path(f"/proc/{pid}/autogroup").write_text(str(_NICE))


def wait_all(children: Sequence[Child], deadline_s: float) -> list[Usage]:
    """Wait for all children and return what each used.

    Raises:
        GeneratorError: one was still running at the deadline.
    """
    end = time.monotonic() + deadline_s
    usages: dict[int, Usage] = {}
    while len(usages) < len(children):
        for index, child in enumerate(children):
            if index not in usages and (usage := _reap(child)) is not None:
                usages[index] = usage
        if len(usages) < len(children):
            if time.monotonic() > end:
                raise GeneratorError(
                    f"the load generator was still running after {deadline_s:.0f} s",
                    "look at what keeps this machine busy, then run the same command again",
                )
            time.sleep(_PAUSE_S)
    return [usages[index] for index in range(len(children))]


@contextlib.contextmanager
def scratch(workdir: Path) -> Iterator[Path]:
    """Make a folder for the files of one run; it is gone afterwards, whatever happened.

    Raises:
        GeneratorError: the disk refuses, here or inside the block.
        WriteError: it is full.
    """
    try:
        workdir.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="shot-", dir=workdir, ignore_cleanup_errors=True) as folder:
            yield Path(folder)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise WriteError(f"{workdir} has no room for the load generator's files", _MAKE_ROOM) from error
        raise GeneratorError(
            f"a file of the load generator cannot be used: {error.filename or workdir}: {error.strerror}",
            "make room there, or choose another folder",
        ) from error


def check_room(folder: Path) -> None:
    """Raise where the disk is full: what failed there failed for that, and would fail again.

    Raises:
        WriteError: there is no room.
    """
    disk = os.statvfs(folder)
    if disk.f_bavail * disk.f_frsize < _FULL_BYTES:
        raise WriteError(f"{folder} has no room for the load generator's files", _MAKE_ROOM)


def last_lines(log: Path, count: int = 5) -> str:
    """Return the end of a log, for an error's hint."""
    try:
        lines = log.read_text(errors="replace").splitlines()
    except OSError:
        return ""
    return "\n".join(line[:400] for line in lines[-count:])


def throttled_periods(root: Path = Path("/")) -> int | None:
    """Return in how many periods this process's cgroup has been throttled; None where nobody counts."""
    for place in _cpu_groups(root):
        try:
            text = (place / "cpu.stat").read_text()
        except OSError:
            continue
        for line in text.splitlines():
            name, _, value = line.partition(" ")
            if name == "nr_throttled":
                return int(value)
    return None


def cpu_quota(root: Path = Path("/")) -> float | None:
    """Return how many cores this process's cgroup may use; None where it has no limit."""
    for place in _cpu_groups(root):
        try:
            if (place / "cpu.max").exists():
                quota, period = (place / "cpu.max").read_text().split()
            else:
                quota = (place / "cpu.cfs_quota_us").read_text()
                period = (place / "cpu.cfs_period_us").read_text()
        except (OSError, ValueError):
            continue
        return None if quota.strip() in {"max", "-1"} else int(quota) / int(period)
    return None


def _cpu_groups(root: Path) -> list[Path]:
    """Return where this process's CPU controller may be, the nearest place first."""
    try:
        groups = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        return []
    mount = root / "sys/fs/cgroup"
    places = []
    for line in groups:
        _, controllers, path = line.split(":", 2)
        if not controllers:
            places += [mount / path.lstrip("/"), mount]
        elif "cpu" in controllers.split(","):
            places += [mount / controllers / path.lstrip("/"), mount / controllers, mount / "cpu"]
    return places


@contextlib.contextmanager
def _pinned(cores: frozenset[int] | None) -> Iterator[None]:
    """Hold the calling thread on some cores; a child started meanwhile inherits them."""
    if cores is None or not hasattr(os, "sched_setaffinity"):
        yield
        return
    before = os.sched_getaffinity(0)
    if not cores <= before:
        raise GeneratorError(
            f"the load generator cannot run on cores {sorted(cores)}: this process may use {sorted(before)}",
            "give it cores that this process may use",
        )
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def _reap(child: Child) -> Usage | None:
    pid, status, used = os.wait4(child.process.pid, os.WNOHANG)
    if pid == 0:
        return None
    code = os.waitstatus_to_exitcode(status)
    # Popen would wait for the child again.
    child.process.returncode = code
    wall_s = time.monotonic() - child.started
    stolen_s = stolen_seconds(child.cores)
    stolen = None
    if stolen_s is not None and child.stolen_before_s is not None and wall_s > 0:
        # Whole clock ticks over a short time can come out a little above it.
        stolen = min(1.0, max(0.0, stolen_s - child.stolen_before_s) / (wall_s * len(child.cores)))
    return Usage(code, used.ru_utime + used.ru_stime, wall_s, int(used.ru_maxrss) * 1024, stolen)


def _kill(process: subprocess.Popen[bytes]) -> None:
    if process.returncode is not None:
        return
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
