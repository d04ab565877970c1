"""What stands ahead of a server on this machine: a process that listens in its place, and passes on.

A forwarder with too little CPU makes a fast server slow, and nothing that the server says of itself shows it.
"""

from collections.abc import Collection
from contextlib import suppress
from pathlib import Path

from pydantic import JsonValue

from predictors.server.cgroup import throttling

__all__ = ["sidecars_ahead"]


def sidecars_ahead(listening: Collection[int], server: JsonValue, root: Path = Path("/proc")) -> list[JsonValue] | None:
    """Return the processes that listen for a server, as run records keep them; None where nobody can tell.

    Args:
        listening: process ids of those that listen on the port that is loaded.
        server: the process id that the server calls its own, as its container numbers it.
        root: where the kernel shows processes.
    """
    if not listening or not isinstance(server, int):
        return None
    if any(server in _numbers(root / str(pid)) for pid in listening):
        return []
    return [_shown(root / str(pid)) for pid in sorted(listening)]


def _numbers(process: Path) -> frozenset[int]:
    """Return the ids of a process in its own and in all outer namespaces."""
    with suppress(OSError):
        for line in (process / "status").read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("NSpid:"):
                return frozenset(int(word) for word in line.split()[1:])
    return frozenset()


def _shown(process: Path) -> JsonValue:
    name = ""
    with suppress(OSError):
        name = (process / "comm").read_text(encoding="utf-8", errors="replace").strip()
    counted = throttling(membership=process / "cgroup")
    return {"name": f"{name or 'process'} {process.name}", "cgroup": dict(counted.document()) if counted else None}
