"""Where a benchmark's figures come from, and a namespace of the cluster for it to work in."""

import os
import subprocess
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from tests.cluster.conftest import ROOT, Kubectl, on_test_cluster

__all__ = ["fresh_namespace", "machine", "provenance"]


def machine() -> dict[str, str]:
    """Return date, commit and hardware."""
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    processor = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")
    described = ["git", "-C", str(ROOT), "describe", "--always", "--dirty", "--abbrev=12"]
    commit = subprocess.run(described, capture_output=True, text=True, check=True).stdout.strip()
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": commit,
        "hardware": f"{os.cpu_count()} cores, {processor}",
    }


def provenance() -> dict[str, str]:
    """Return date, commit, machine and cluster."""
    return {
        **machine(),
        "load_average": " ".join(f"{value:.1f}" for value in os.getloadavg()),
        "cluster": "kind of ./scripts/cluster-up",
    }


@contextmanager
def fresh_namespace(what: str) -> Iterator[Kubectl]:
    """Give kubectl in a namespace with restricted Pod Security, which goes afterwards."""
    name = f"podium-bench-{what}-{uuid.uuid4().hex[:6]}"
    kubectl = on_test_cluster(name)
    kubectl.run("create", "namespace", name)
    kubectl.run("label", "namespace", name, "pod-security.kubernetes.io/enforce=restricted", "podium.dev/test=true")
    try:
        yield kubectl
    finally:
        kubectl.run("delete", "namespace", name, "--wait=false")
