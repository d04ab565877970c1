"""Who listens on a port of this machine: read from the kernel's tables, as far as this user may look.

A forwarder that listens in a server's place is taken for the server.
"""

import os
import socket
from contextlib import suppress
from pathlib import Path

__all__ = ["cores_of", "is_local", "listeners"]

_LISTEN = "0A"


def listeners(port: int, root: Path = Path("/proc")) -> frozenset[int]:
    """Return the processes that listen on a TCP port; none where they are another user's or another container's."""
    inodes = set()
    for table in ("net/tcp", "net/tcp6"):
        with suppress(OSError):
            for line in (root / table).read_text(encoding="ascii").splitlines()[1:]:
                fields = line.split()
                if fields[3] == _LISTEN and int(fields[1].rpartition(":")[2], 16) == port:
                    inodes.add(f"socket:[{fields[9]}]")
    return frozenset(int(folder.name) for folder in root.glob("[0-9]*") if inodes and _holds(folder, inodes))


def cores_of(pids: frozenset[int]) -> frozenset[int]:
    """Return the cores that any thread of the processes may use; none for a process that has ended."""
    found: set[int] = set()
    for pid in pids:
        with suppress(OSError):
            for thread in Path(f"/proc/{pid}/task").iterdir():
                found |= os.sched_getaffinity(int(thread.name))
    return frozenset(found)


def is_local(host: str) -> bool:
    """Say whether a name leads to this machine: an address of it is one that a socket here can have."""
    try:
        found = socket.getaddrinfo(host, 0, type=socket.SOCK_STREAM)
    except OSError:
        return False
    for family, kind, _, _, address in found:
        with socket.socket(family, kind) as probe, suppress(OSError):
            probe.bind(address)
            return True
    return False


def _holds(folder: Path, inodes: set[str]) -> bool:
    try:
        return any(os.readlink(entry) in inodes for entry in (folder / "fd").iterdir())  # noqa: PTH115
    except OSError:
        return False
