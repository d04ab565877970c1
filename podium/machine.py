"""What this machine offers: cores, memory, CPU flags, kernel and the limits of its control group.

Facts only, read from the files of the Linux kernel below a root that tests can set. What they mean for a
race is said in `podium.doctor`.
"""

import os
import platform
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

__all__ = ["Machine", "read_machine"]

N = TypeVar("N", int, float)


@dataclass(frozen=True, slots=True)
class Machine:
    """The facts; `cpu_limit` in cores and `memory_limit_bytes` are None where no limit is set."""

    kernel: str
    cpu_model: str
    cpu_flags: frozenset[str]
    cores: int
    memory_bytes: int
    free_memory_bytes: int
    cgroup_version: int
    cpu_limit: float | None
    memory_limit_bytes: int | None

    @property
    def usable_cores(self) -> float:
        """Cores that processes here can really use: those allowed, cut by the limit."""
        return min(float(self.cores), self.cpu_limit or float(self.cores))

    @property
    def usable_memory_bytes(self) -> int:
        """Memory that is free, cut by the limit."""
        return min(self.free_memory_bytes, self.memory_limit_bytes or self.free_memory_bytes)


def read_machine(root: Path = Path("/")) -> Machine:
    """Read the facts from the kernel's files below `root`."""
    memory = _fields(root / "proc" / "meminfo")
    cpu = _fields(root / "proc" / "cpuinfo")
    version = 2 if (root / "sys" / "fs" / "cgroup" / "cgroup.controllers").is_file() else 1
    cpu_limit, memory_limit = _limits_v2(root) if version == 2 else _limits_v1(root)
    return Machine(
        kernel=platform.release(),
        cpu_model=cpu.get("model name", platform.machine()),
        cpu_flags=frozenset((cpu.get("flags") or cpu.get("Features") or "").split()),
        cores=len(os.sched_getaffinity(0)),
        memory_bytes=_kibibytes(memory.get("MemTotal")),
        free_memory_bytes=_kibibytes(memory.get("MemAvailable")),
        cgroup_version=version,
        cpu_limit=cpu_limit,
        memory_limit_bytes=memory_limit,
    )


def _limits_v2(root: Path) -> tuple[float | None, int | None]:
    cores: float | None = None
    memory: int | None = None
    # A limit of any parent group holds as well.
    for folder in _groups(root, "", root / "sys" / "fs" / "cgroup"):
        quota, _, period = _read(folder / "cpu.max").partition(" ")
        if quota.isdigit() and period.isdigit():
            cores = _smaller(cores, int(quota) / int(period))
        limit = _read(folder / "memory.max")
        if limit.isdigit():
            memory = _smaller(memory, int(limit))
    return cores, memory


def _limits_v1(root: Path) -> tuple[float | None, int | None]:
    cores: float | None = None
    memory: int | None = None
    for folder in _groups(root, "cpu", root / "sys" / "fs" / "cgroup" / "cpu"):
        quota, period = _read(folder / "cpu.cfs_quota_us"), _read(folder / "cpu.cfs_period_us")
        if quota.isdigit() and period.isdigit():
            cores = _smaller(cores, int(quota) / int(period))
    for folder in _groups(root, "memory", root / "sys" / "fs" / "cgroup" / "memory"):
        limit = _read(folder / "memory.limit_in_bytes")
        # Without a limit the kernel shows the largest page-aligned number.
        if limit.isdigit() and int(limit) < 1 << 62:
            memory = _smaller(memory, int(limit))
    return cores, memory


def _groups(root: Path, controller: str, mount: Path) -> list[Path]:
    """Return the folders of this process's group and of all its parents, as far as they are mounted."""
    own = "/"
    for line in _read(root / "proc" / "self" / "cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        if controller in controllers.split(","):
            own = path
    group = mount / own.lstrip("/")
    return [folder for folder in (group, *group.parents) if folder.is_relative_to(mount)]


def _fields(path: Path) -> dict[str, str]:
    """Return the first value of each `name: value` line."""
    found: dict[str, str] = {}
    for line in _read(path).splitlines():
        name, colon, value = line.partition(":")
        if colon:
            found.setdefault(name.strip(), value.strip())
    return found


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""


def _kibibytes(text: str | None) -> int:
    number = (text or "0").split()[0]
    return int(number) * 1024 if number.isdigit() else 0


def _smaller(known: N | None, other: N) -> N:
    return other if known is None else min(known, other)
