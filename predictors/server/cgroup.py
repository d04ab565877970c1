"""The CPU share, the throttling and the memory limit of this process's control group, version 1 and 2.

The number of cores of the node is never asked for: a server that starts as many threads as the node has
cores is throttled to a standstill by the share it really has.
"""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

__all__ = ["Throttling", "cpu_limit", "memory_limit", "throttling"]

_ROOT = Path("/sys/fs/cgroup")
_MEMBERSHIP = Path("/proc/self/cgroup")
_NO_LIMIT = 1 << 60


@dataclass(frozen=True, slots=True)
class Throttling:
    """Scheduling periods of the group so far, those it was throttled in, and for how long."""

    nr_periods: int
    nr_throttled: int
    throttled_us: int

    def document(self) -> dict[str, int]:
        """Give the fields as `/debug/state` shows them."""
        return asdict(self)


def cpu_limit(root: Path = _ROOT, membership: Path = _MEMBERSHIP) -> float | None:
    """Return the CPU share in cores, the smallest of the group and its parents; None without a limit."""
    limits = []
    for folder in _folders(root, membership):
        quota, period = _quota(folder)
        if quota is not None and quota > 0 and period:
            limits.append(quota / period)
    return min(limits, default=None)


def memory_limit(root: Path = _ROOT, membership: Path = _MEMBERSHIP) -> int | None:
    """Return how many bytes the group may have, the smallest of it and its parents; None without a limit."""
    limits = []
    for folder in _folders(root, membership, controller="memory"):
        told = (_text(folder / "memory.max") or _text(folder / "memory.limit_in_bytes")).strip()
        # Version 1 writes a number beyond all memory where there is no limit.
        if told.isdigit() and int(told) < _NO_LIMIT:
            limits.append(int(told))
    return min(limits, default=None)


def throttling(root: Path = _ROOT, membership: Path = _MEMBERSHIP) -> Throttling | None:
    """Return the group's throttling counters; None where there are none."""
    for folder in _folders(root, membership):
        pairs = (line.split() for line in _text(folder / "cpu.stat").splitlines())
        counters = {pair[0]: int(pair[1]) for pair in pairs if len(pair) == 2}
        if "nr_periods" in counters:
            spent_us = counters.get("throttled_usec", counters.get("throttled_time", 0) // 1000)
            return Throttling(counters["nr_periods"], counters["nr_throttled"], spent_us)
    return None


def _folders(root: Path, membership: Path, controller: str = "cpu") -> Iterator[Path]:
    """List the folders of a controller, from the process's own group up to the root."""
    for line in _text(membership).splitlines():
        number, controllers, path = line.split(":", 2)
        names = controllers.split(",")
        if number == "0" and not controllers:
            base = root
        elif controller in names:
            base = next((root / name for name in (controllers, controller) if (root / name).is_dir()), root)
        else:
            continue
        folder = base / path.strip("/")
        while folder != base and base in folder.parents:
            yield folder
            folder = folder.parent
        yield base


def _quota(folder: Path) -> tuple[int | None, int]:
    current = _text(folder / "cpu.max").split()
    if current:
        return (None if current[0] == "max" else int(current[0])), int(current[1])
    quota = _text(folder / "cpu.cfs_quota_us").strip()
    period = _text(folder / "cpu.cfs_period_us").strip()
    return (int(quota), int(period)) if quota and period else (None, 0)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii")
    except OSError:
        return ""
