"""This process's memory: on which socket it lies, of its CPUs or of others, which is farther; what can be given back.

The kernel's own page tables say it. Walking them takes milliseconds for a large process, and is left out on a machine
with one memory node, where there is nothing to tell.
"""

import ctypes
import os
from collections.abc import Collection
from dataclasses import asdict, dataclass
from pathlib import Path

__all__ = ["MemoryPlace", "memory_place", "resident_bytes", "return_freed"]

_NODE = "node[0-9]*"


def return_freed() -> None:
    """Give memory that was freed back to the system, where the C library can; it keeps what it may need again.

    Of what loading and warming a model takes and frees, that is 5 to 8 MiB.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


def resident_bytes(pid: int | None = None) -> int:
    """Return how much memory a process has, this one without a number; 0 where it is gone."""
    try:
        pages = Path(f"/proc/{pid or 'self'}/statm").read_text(encoding="ascii").split()[1]
    except OSError:
        return 0
    return int(pages) * os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True, slots=True)
class MemoryPlace:
    """Memory nodes of the machine, those that hold the process's CPUs, and bytes on these and on all others.

    Anonymous memory alone is counted: weights, activations and heaps. Pages of files are shared with whoever read them
    first.
    """

    nodes: int
    cpu_nodes: int
    near_bytes: int
    far_bytes: int

    def document(self) -> dict[str, int]:
        """Give the fields as `/debug/state` shows them."""
        return asdict(self)


def memory_place(cores: Collection[int] | None = None, root: Path = Path("/")) -> MemoryPlace | None:
    """Return where the memory of this process lies; None where the kernel does not tell.

    Args:
        cores: CPU numbers that it may use; those of its affinity without.
        root: where `proc` and `sys` lie.
    """
    used = os.sched_getaffinity(0) if cores is None else set(cores)
    try:
        folders = sorted((root / "sys/devices/system/node").glob(_NODE))
        held = {int(folder.name.removeprefix("node")): _numbers(folder / "cpulist") for folder in folders}
        near = {node for node, cpus in held.items() if cpus & used}
        if len(held) < 2:
            return MemoryPlace(len(held), len(near), 0, 0) if held else None
        counted = _bytes_by_node(root / "proc/self/numa_maps")
    except (OSError, ValueError):
        return None
    near_bytes = sum(size for node, size in counted.items() if node in near)
    return MemoryPlace(len(held), len(near), near_bytes, sum(counted.values()) - near_bytes)


def _numbers(path: Path) -> set[int]:
    """Read a list such as `0-3,8`."""
    found: set[int] = set()
    for part in path.read_text(encoding="ascii").strip().split(","):
        first, _, last = part.partition("-")
        if first:
            found |= set(range(int(first), int(last or first) + 1))
    return found


def _bytes_by_node(path: Path) -> dict[int, int]:
    total: dict[int, int] = {}
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        # A path may hold anything, also what looks like a count, but no space: the kernel escapes it.
        fields = dict(part.split("=", 1) for part in line.split()[2:] if "=" in part and not part.startswith("file="))
        if "anon" not in fields:
            continue
        page = int(fields.get("kernelpagesize_kB", "4")) * 1024
        for name, count in fields.items():
            if name[:1] == "N" and name[1:].isdigit():
                total[int(name[1:])] = total.get(int(name[1:]), 0) + int(count) * page
    return total
