"""The running test cluster, or a skip that says what is missing; no other cluster is ever touched.

The cluster comes from `./scripts/cluster-up`. Each test that makes something gets a namespace of its own; when the
test fails, what the namespace held is printed before it goes.
"""

import json
import os
import shutil
import subprocess
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.eventually import eventually
from tests.needs import lack

ROOT = Path(__file__).parents[2]
ALLOWED = ("kind-podium",)
STANDARD = Path(os.environ.get("KUBECONFIG") or ROOT / ".podium" / "kubeconfig")
_PATIENCE_S = 60.0
_RESTRICTED = "pod-security.kubernetes.io/enforce"


@dataclass(frozen=True, slots=True)
class Kubectl:
    """kubectl on the test cluster, in one namespace."""

    program: str
    namespace: str = "podium"

    def command(self, *arguments: str) -> list[str]:
        """Return a command line; the context is named each time, so that a changed kubeconfig cannot redirect it."""
        where = ["--kubeconfig", str(STANDARD), "--context", ALLOWED[0], "-n", self.namespace]
        return [self.program, *where, *arguments]

    def run(self, *arguments: str, text: str | None = None, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run kubectl."""
        command = self.command(*arguments)
        done = subprocess.run(command, input=text, capture_output=True, text=True, check=False, timeout=180)
        assert done.returncode == 0 or not check, f"{' '.join(arguments)}: {done.stderr}"
        return done

    def get(self, *arguments: str) -> dict[str, Any]:
        """Return what `kubectl get -o json` answers."""
        read: dict[str, Any] = json.loads(self.run("get", *arguments, "-o", "json").stdout)
        return read

    def apply(self, document: dict[str, Any], *, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Apply one document."""
        return self.run("apply", "-f", "-", text=json.dumps(document), check=check)


def find_program(name: str) -> str | None:
    """Return where a program is: on the path, or among those that were built here; None where it is not."""
    return shutil.which(name) or shutil.which(name, path=str(ROOT / ".podium" / "bin"))


def on_test_cluster(namespace: str = "podium") -> Kubectl:
    """Return kubectl on the test cluster, whether that runs or not."""
    return Kubectl(find_program("kubectl") or "kubectl", namespace)


def _absent() -> str:
    """Return why there is no cluster to test, or an empty string."""
    program = find_program("kubectl")
    if program is None:
        return "no kubectl; ./scripts/cluster-up brings one"
    if not STANDARD.exists():
        return f"no test cluster: {STANDARD} is missing; run ./scripts/cluster-up"
    asked = [program, "--kubeconfig", str(STANDARD), "config", "current-context"]
    context = subprocess.run(asked, capture_output=True, text=True, check=False).stdout.strip()
    if context not in ALLOWED:
        return f"the context of {STANDARD} is {context!r}, and tests run on {' or '.join(ALLOWED)} only"
    ready = [program, "--kubeconfig", str(STANDARD), "get", "--raw", "/readyz", "--request-timeout=10s"]
    said = ""

    def answers() -> bool:
        nonlocal said
        done = subprocess.run(ready, capture_output=True, text=True, check=False)
        said = done.stderr.strip()[:200]
        return done.returncode == 0

    try:
        # etcd on a busy machine says no for some seconds at a time.
        eventually(answers, _PATIENCE_S, 1.0)
    except AssertionError:
        return f"the test cluster does not answer: {said}"
    return ""


@pytest.fixture(scope="session")
def cluster() -> Kubectl:
    """Return kubectl on the running test cluster, or skip; fail where `PODIUM_REQUIRE` asks for the cluster."""
    reason = _absent()
    if reason:
        lack("cluster", reason)
    return on_test_cluster()


@pytest.fixture
def namespace(cluster: Kubectl, request: pytest.FixtureRequest) -> Iterator[Kubectl]:
    """Return kubectl in a fresh namespace with restricted Pod Security, which goes after the test."""
    name = f"podium-test-{uuid.uuid4().hex[:8]}"
    labels = {_RESTRICTED: "restricted", "podium.dev/test": "true"}
    made = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}
    cluster.run("create", "-f", "-", text=json.dumps(made))
    inside = Kubectl(cluster.program, name)
    yield inside
    if any(report.failed for report in getattr(request.node, "reports", [])):
        print(inside.run("get", "all,isvc,events", "-o", "wide", check=False).stdout)  # noqa: T201
        print(inside.run("describe", "pods", check=False).stdout[-8000:])  # noqa: T201
    cluster.run("delete", "namespace", name, "--wait=false")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    """Keep a test's reports with it, so that its fixtures know whether it failed."""
    report = yield
    item.__dict__.setdefault("reports", []).append(report)
    return report


def images(cluster: Kubectl) -> dict[str, str]:
    """Return our images that the platform chart names, by runtime: those are on the nodes."""
    found = cluster.run("get", "configmap", "podium-platform", "-n", "podium-system", "-o", "json", check=False)
    if found.returncode != 0:
        pytest.skip("the chart platform is not installed, so no image of ours is on the nodes")
    read: dict[str, str] = yaml.safe_load(json.loads(found.stdout)["data"]["platform.yaml"])["images"]
    return {name: reference for name, reference in read.items() if reference}


def state_of(cluster: Kubectl, pod: str) -> dict[str, Any]:
    """Return what the server of a predictor's pod says of itself; empty where the pod is gone or not ready."""
    look = "import urllib.request as u; print(u.urlopen('http://127.0.0.1:8082/debug/state').read().decode())"
    done = cluster.run("exec", pod, "-c", "kserve-container", "--", "python3", "-c", look, check=False)
    read: dict[str, Any] = json.loads(done.stdout) if done.returncode == 0 else {}
    return read


def python_pod(cluster: Kubectl, name: str, program: str, *, node_class: str = "epyc", gpus: int = 0) -> dict[str, Any]:
    """Return a restricted pod that runs a Python program to its end on a node class, in our own image."""
    limits: dict[str, str] = {"cpu": "200m", "memory": "64Mi"}
    if gpus:
        limits["nvidia.com/gpu"] = str(gpus)
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name},
        "spec": {
            "restartPolicy": "Never",
            "automountServiceAccountToken": False,
            "nodeSelector": {"podium.dev/node-class": node_class},
            "tolerations": [{"key": "nvidia.com/gpu", "operator": "Exists"}] if gpus else [],
            "securityContext": {
                "runAsNonRoot": True,
                "runAsUser": 65532,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "containers": [
                {
                    "name": "main",
                    "image": images(cluster)["ort"],
                    "command": ["python3", "-c", program],
                    "resources": {"limits": limits},
                    "securityContext": {
                        "allowPrivilegeEscalation": False,
                        "readOnlyRootFilesystem": True,
                        "capabilities": {"drop": ["ALL"]},
                    },
                }
            ],
        },
    }
