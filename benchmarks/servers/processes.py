"""The processes of one server: its descendants, those of its session, and those that were left by a parent that ended.

A server may put its workers into sessions of their own, and a launcher may end once they run. What a process inherits
whatever it does is its environment, so each server is started with a mark in it; but a process that writes its title
over its environment cannot be told by that, so its parent and its session count as well.
"""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

__all__ = ["MARK", "Process", "alive", "alone_bytes", "family", "pss_bytes"]

MARK = "PODIUM_BENCHMARK_SERVER"

_PROC = Path("/proc")


class Process(NamedTuple):
    """One process: its parent, its session, the clock tick that it began at, and its processor time so far."""

    pid: int
    parent: int
    session: int
    began: int
    cpu_s: float


def family(root: int, mark: str) -> list[Process]:
    """List the process `root` and all that belongs to it."""
    known = {process.pid: process for process in _all()}
    line = f"{MARK}={mark}".encode()
    found = {pid for pid, process in known.items() if root in (pid, process.session) or line in _environment(pid)}
    while more := {pid for pid, process in known.items() if process.parent in found and pid not in found}:
        found |= more
    return [known[pid] for pid in sorted(found)]


def alive(processes: Sequence[Process]) -> list[Process]:
    """Give those that still run; a number that another process has by now is none of them."""
    began = {process.pid: process.began for process in _all()}
    return [process for process in processes if began.get(process.pid) == process.began]


def pss_bytes(pids: Sequence[int]) -> dict[str, int]:
    """Add up what some processes hold of memory, a page that several of them share counted once.

    Beside the whole (`Pss`) its parts by what the kernel calls them.
    """
    total: dict[str, int] = {}
    for pid in pids:
        for line in _lines(pid, "smaps_rollup"):
            name, _, value = line.partition(":")
            if name.startswith("Pss"):
                total[name] = total.get(name, 0) + int(value.split()[0]) * 1024
    return total


def alone_bytes(pids: Sequence[int]) -> int:
    """Add up the same as if nothing else on the machine used the same files, as it is in a pod of its own.

    Of each mapped part of a file it is what the process with the most of it has touched.
    """
    files: dict[str, int] = {}
    for pid in pids:
        here: dict[str, int] = {}
        place = ""
        for line in _lines(pid, "smaps"):
            name, *fields = line.split()
            if not name.endswith(":"):
                # Permissions, offset, device and inode follow the addresses.
                place = "" if fields[3] == "0" else " ".join(fields[1:4])
            elif place and name in ("Rss:", "Anonymous:"):
                sign = 1 if name == "Rss:" else -1
                here[place] = here.get(place, 0) + sign * int(fields[0]) * 1024
        for one, size in here.items():
            files[one] = max(files.get(one, 0), size)
    held = pss_bytes(pids)
    return held["Pss_Anon"] + held["Pss_Shmem"] + sum(files.values())


def _lines(pid: int, name: str) -> Sequence[str]:
    return (_PROC / str(pid) / name).read_text(encoding="utf-8", errors="replace").splitlines()


def _all() -> list[Process]:
    found = []
    ticks = os.sysconf("SC_CLK_TCK")
    for path in _PROC.glob("[0-9]*/stat"):
        try:
            fields = path.read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        cpu_s = (int(fields[11]) + int(fields[12])) / ticks
        found.append(Process(int(path.parent.name), int(fields[1]), int(fields[3]), int(fields[19]), cpu_s))
    return found


def _environment(pid: int) -> Sequence[bytes]:
    try:
        return (_PROC / str(pid) / "environ").read_bytes().split(b"\0")
    except OSError:
        return ()
