"""A variant in a test's own namespace: its artifact in the cluster's store, its values, its release by Helm."""

import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from podium.cluster.helm import find_helm
from tests.cluster.conftest import ALLOWED, STANDARD, Kubectl
from tests.cluster.stock import CLAIM, stocked

__all__ = ["Helm", "shelved", "values_of"]


@dataclass(frozen=True, slots=True)
class Helm:
    """Helm on the test cluster, in one namespace."""

    namespace: str

    def __call__(self, *words: str, values: dict[str, Any] | None = None) -> str:
        """Run helm with values and return what it prints."""
        command = [str(find_helm()), *words, "--kubeconfig", str(STANDARD), "--kube-context", ALLOWED[0]]
        command += ["-n", self.namespace, *(["--values", "-"] if values is not None else [])]
        done = subprocess.run(
            command, input=yaml.safe_dump(values), capture_output=True, text=True, check=False, timeout=120
        )
        assert done.returncode == 0, done.stderr
        return done.stdout


@contextmanager
def shelved(namespace: Kubectl, folder: Path, *, copy: Callable[[str, str], object] = shutil.copy2) -> Iterator[str]:
    """Put one folder into a store of the namespace's own, as `stocked` does; give its path in the volume."""
    with stocked(namespace, {"first": folder}, copy=copy):
        yield "first"


def values_of(artifact: str, **changes: Any) -> dict[str, Any]:
    """Return values of the chart `variant` for two small pods on the class epyc."""
    small = {"cpu": "200m", "memory": "256Mi"}
    term = {"key": "podium.dev/node-class", "operator": "In", "values": ["epyc"]}
    required = {"nodeSelectorTerms": [{"matchExpressions": [term]}]}
    return {
        "variant": {"id": "tiny-ort-fp32", "model": "tiny", "address": "0a1b2c3d", "runtime": "ort"},
        "storageUri": f"pvc://{CLAIM}/{artifact}",
        "replicas": {"min": 2, "max": 3},
        "preStop": "2s",
        "gracePeriodSeconds": 20,
        "nodeClass": "epyc",
        "resources": {"requests": small, "limits": small},
        "affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": required}},
        **changes,
    }
