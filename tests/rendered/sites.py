"""What a site starts from, as data: the kustomize overlays, built without a network, and the examples for GitOps."""

import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import yaml

from tests.needs import lack

__all__ = ["K8S", "OVERLAYS", "ROOT", "gitops", "kustomized", "named"]

ROOT = Path(__file__).parents[2]
K8S = ROOT / "k8s"
OVERLAYS = sorted(path.parent for path in K8S.rglob("kustomization.yaml"))


def named(path: Path) -> str:
    """Return a path below `k8s`."""
    return path.relative_to(K8S).as_posix()


def kustomized(folder: Path) -> list[dict[str, Any]]:
    """Build an overlay."""
    program = shutil.which("kubectl") or shutil.which("kubectl", path=ROOT / ".podium" / "bin")
    if program is None:
        reason = "no kubectl on the path (./scripts/cluster-up puts one into .podium/bin)"
        lack("cluster", reason)
    # A proxy that nobody listens at: whatever asks the network fails.
    offline = {"PATH": os.environ["PATH"], "HOME": os.devnull, "HTTPS_PROXY": "http://127.0.0.1:9"}
    done = subprocess.run(
        [program, "kustomize", str(folder)], env=offline, capture_output=True, text=True, timeout=200, check=False
    )
    assert done.returncode == 0, done.stderr
    return [one for one in yaml.safe_load_all(done.stdout) if one]


def gitops() -> list[tuple[str, str, str, str, dict[str, Any]]]:
    """Return file, chart, release, namespace and values of every example."""
    found = []
    for file in sorted(K8S.glob("gitops/*/*.yaml")):
        one = yaml.safe_load(file.read_text())
        spec = one.get("spec", {})
        if one["kind"] == "Application":
            source = spec["source"]
            helm = source["helm"]
            place = spec["destination"]["namespace"]
            found.append((named(file), source["path"], helm["releaseName"], place, helm["valuesObject"]))
        elif one["kind"] == "HelmRelease":
            chart = spec["chart"]["spec"]["chart"]
            found.append((named(file), chart, spec["releaseName"], spec["targetNamespace"], spec["values"]))
    return found
