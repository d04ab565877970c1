"""`podium chaos` in tests: a service with two replicas that serves, runs on it, and how they ended."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from tests.artifacts import vector_artifact
from tests.cluster.conftest import ALLOWED, ROOT, STANDARD, Kubectl
from tests.cluster.releases import Helm, values_of
from tests.cluster.stock import stocked
from tests.eventually import eventually

__all__ = ["FLIPPED", "NAME", "PATIENCE_S", "Served", "ended", "serving"]

NAME = "steady"
X = [0.0, 1.0, 2.0, 3.0]
PATIENCE_S = 90.0
# Place in the store of an artifact with one bit flipped.
FLIPPED = "flipped"


class Served:
    """A service with two replicas that serves, and `podium chaos` on it."""

    def __init__(self, namespace: Kubectl, folder: Path, runs: Path | None = None) -> None:
        self.namespace = namespace
        self.folder = folder
        self.runs = runs or folder / "runs"
        (folder / "one.json").write_text(json.dumps({"instances": [X]}))

    def start(self, *faults: dict[str, Any], label: str = "cheese", **changes: Any) -> subprocess.Popen[str]:
        golden = [{"json": "one.json", "label": label}]
        spec = {
            "name": NAME,
            "services": [{"name": NAME, "golden": golden}],
            "pause": "2s",
            "faults": list(faults),
            **({} if "for" in changes else {"rounds": len(faults)}),
            **changes,
        }
        (self.folder / "faults.yaml").write_text(yaml.safe_dump(spec))
        words = ["-f", str(self.folder / "faults.yaml"), "-n", self.namespace.namespace, "-o", "json"]
        return self.podium(*words, "--allow-cluster-faults")

    def podium(self, *words: str) -> subprocess.Popen[str]:
        where = ["--kubeconfig", str(STANDARD), "--context", ALLOWED[0], "--runs", str(self.runs)]
        command = [sys.executable, "-m", "podium", "chaos", *words, *where]
        return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def log(self) -> Path | None:
        """Return the log of the newest run."""
        found = sorted(self.runs.glob("*/faults.jsonl"), key=lambda path: path.stat().st_mtime)
        return found[-1] if found else None

    def pods(self) -> list[str]:
        found = self.namespace.get("pods", "-l", f"serving.kserve.io/inferenceservice={NAME}")["items"]
        return [pod["metadata"]["name"] for pod in found]

    def left(self) -> str:
        """Return what a run has on the cluster."""
        words = ("get", "pods,configmaps,networkpolicies", "-l", "podium.dev/chaos", "-o", "name")
        return self.namespace.run(*words).stdout.strip()


def ended(process: subprocess.Popen[str], *codes: int, timeout_s: float = 200.0) -> dict[str, Any]:
    """Return the report of a run that ends with one of these codes."""
    try:
        out, err = process.communicate(timeout=timeout_s)
    except subprocess.TimeoutExpired:
        # It undoes what it did.
        process.terminate()
        process.communicate()
        raise
    assert process.returncode in codes, f"{err}\n{out}"
    report: dict[str, Any] = json.loads(out)
    return report


@contextmanager
def serving(namespace: Kubectl, folder: Path, runs: Path | None = None) -> Iterator[Served]:
    """Give a service that serves; beside its artifact in the store is the same one with a bit of a weight flipped."""
    good, bad = vector_artifact(folder / "artifact"), vector_artifact(folder / FLIPPED)
    data = bytearray((bad / "model.onnx").read_bytes())
    data[-20] ^= 0x10
    (bad / "model.onnx").write_bytes(data)
    with stocked(namespace, {"first": good, FLIPPED: bad}):
        values = values_of("first", replicas={"min": 2, "max": 2}, autoscaling={"enabled": False})
        Helm(namespace.namespace)("install", NAME, str(ROOT / "charts" / "variant"), values=values)
        made = Served(namespace, folder, runs)
        ready = ("wait", f"deployment/{NAME}-predictor", "--for=condition=Available", "--timeout=90s")
        eventually(lambda: namespace.run(*ready, check=False).returncode == 0, PATIENCE_S, 1)
        yield made
        Helm(namespace.namespace)("uninstall", NAME, "--wait")
