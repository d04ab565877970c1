"""On what kind of machine something was measured: the facts that change a figure, and a name for them.

Two measurements are comparable where their fingerprints are equal. What differs from day to day on one
machine (free memory, load, host name) is left out.
"""

import hashlib
import json
import os
import platform
from collections.abc import Mapping
from pathlib import Path

__all__ = ["FEATURES", "cpu_facts", "cpu_features", "environment", "fingerprint"]

# Instruction sets that inference engines choose their kernels by.
FEATURES = (
    "amx_bf16",
    "amx_int8",
    "amx_tile",
    "asimddp",
    "avx",
    "avx2",
    "avx512_bf16",
    "avx512_fp16",
    "avx512_vnni",
    "avx512bw",
    "avx512f",
    "avx_vnni",
    "f16c",
    "fma",
    "i8mm",
    "sse4_2",
    "sve",
)
_LENGTH = 12

Facts = dict[str, str | int | float | list[str]]


def environment(node_class: str, cpus: float, *, root: Path = Path("/")) -> Facts:
    """Collect the facts.

    Args:
        node_class: Name of the node class that the work is placed on.
        cpus: CPU limit in cores that the work is given.
        root: Where the kernel's files are.
    """
    return {
        "node_class": node_class,
        "cpus": float(cpus),
        "cores": os.cpu_count() or 0,
        **cpu_facts(root),
        "memory_gib": _memory_gib(root),
        "machine": platform.machine(),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "container": _container(root),
        "cgroup": 2 if (root / "sys/fs/cgroup/cgroup.controllers").is_file() else 1,
    }


def cpu_facts(root: Path = Path("/")) -> dict[str, str | list[str]]:
    """Return what the numbers that a model computes depend on: the CPU's name and its instruction sets."""
    cpu = _cpu(root)
    return {"cpu_model": cpu.get("model name") or platform.machine(), "cpu_features": _features(cpu)}


def cpu_features(root: Path = Path("/")) -> tuple[str, ...]:
    """Name the instruction sets of this machine's CPUs, of those in `FEATURES`."""
    return tuple(_features(_cpu(root)))


def fingerprint(facts: Mapping[str, object]) -> str:
    """Return 12 hexadecimal digits that name the facts, whatever their order."""
    text = json.dumps(facts, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:_LENGTH]


def _features(cpu: Mapping[str, str]) -> list[str]:
    flags = set((cpu.get("flags") or cpu.get("Features") or "").split())
    return [name for name in FEATURES if name in flags]


def _cpu(root: Path) -> dict[str, str]:
    """Fields of the first CPU that the kernel lists."""
    found: dict[str, str] = {}
    for line in _read(root / "proc/cpuinfo").splitlines():
        name, colon, value = line.partition(":")
        if colon:
            found.setdefault(name.strip(), value.strip())
    return found


def _memory_gib(root: Path) -> int:
    for line in _read(root / "proc/meminfo").splitlines():
        if line.startswith("MemTotal:"):
            return round(int(line.split()[1]) / (1 << 20))
    return 0


def _container(root: Path) -> str:
    if os.environ.get("KUBERNETES_SERVICE_HOST"):
        return "kubernetes"
    if (root / "run/.containerenv").exists():
        return "podman"
    return "docker" if (root / ".dockerenv").exists() else "none"


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
