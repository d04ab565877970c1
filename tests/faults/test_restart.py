"""R35: a whole cluster is switched off and on, and a service loses all its pods: both come back by themselves.

Ten times in all: nine times the pods, once the nodes, which are the dearer.
"""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from podium.chaos.kindnodes import KindNodes, find_nodes
from tests.cluster.chaosruns import NAME, Served, serving
from tests.cluster.conftest import ALLOWED, Kubectl, python_pod
from tests.eventually import eventually

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(1500)]

LIMIT_S = 120.0
DELETIONS = 9
READY = '{range .items[*]}{.status.conditions[?(@.type=="Ready")].status}{"\\n"}{end}'
ASK = f"""
import json, urllib.request as u
body = json.dumps({{"instances": [[0.0, 1.0, 2.0, 3.0]]}}).encode()
request = u.Request("http://%s/v1/models/{NAME}:predict", body, {{"Content-Type": "application/json"}})
print(u.urlopen(request, timeout=5).read().decode())
"""


@pytest.fixture
def served(namespace: Kubectl, tmp_path: Path) -> Iterator[Served]:
    with serving(namespace, tmp_path) as made:
        yield made


@pytest.fixture
def nodes(cluster: Kubectl) -> Iterator[tuple[KindNodes, list[str]]]:
    names = cluster.run("get", "nodes", "-o", "jsonpath={.items[*].metadata.name}").stdout.split()
    found = find_nodes(ALLOWED[0], names)
    assert found is not None
    yield found, names
    for name in names:
        found.start(name)
    eventually(lambda: all_ready(cluster, "nodes"), LIMIT_S, 1)


def all_ready(kubectl: Kubectl, *what: str) -> bool:
    asked = kubectl.run("get", *what, "-o", f"jsonpath={READY}", "--request-timeout=5s", check=False)
    return asked.returncode == 0 and set(asked.stdout.split()) == {"True"}


def is_whole(served: Served) -> bool:
    """Return whether all nodes and all pods of the cluster are ready, and each of the service's answers right."""
    inside = served.namespace
    system = ("pods", "--all-namespaces", "--field-selector=status.phase!=Succeeded")
    try:
        if not (all_ready(inside, "nodes") and all_ready(inside, *system)):
            return False
        pods = served.pods()
    except (AssertionError, subprocess.TimeoutExpired):
        return False
    return len(pods) == 2 and all("cheese" in asked(inside, pod) for pod in pods)


def asked(kubectl: Kubectl, pod: str) -> str:
    words = ("-c", "kserve-container", "--", "python3", "-c", ASK % "127.0.0.1:8080")
    return kubectl.run("exec", pod, *words, check=False).stdout


def is_reached_by_name(served: Served, asker: str) -> bool:
    """Ask the service from a new pod, by its name; tell whether the answer was right."""
    inside = served.namespace
    inside.apply(python_pod(inside, asker, ASK % f"{NAME}-predictor"))
    ends = ("get", "pod", asker, "-o", "jsonpath={.status.phase}")
    eventually(lambda: inside.run(*ends).stdout in ("Succeeded", "Failed"), LIMIT_S, 1)
    return "cheese" in inside.run("logs", asker).stdout


def whole_after(served: Served) -> float:
    began = time.monotonic()
    eventually(lambda: is_whole(served), LIMIT_S, 1)
    return time.monotonic() - began


@pytest.mark.row("R35", "whole cluster restarted, all pods of a service deleted nine times: whole by itself ≤ 120 s")
@pytest.mark.control("R35")
def test_whatever_is_switched_off_and_on_comes_back_by_itself(
    served: Served, nodes: tuple[KindNodes, list[str]], record_property: Callable[[str, object], None]
) -> None:
    eventually(lambda: is_whole(served), LIMIT_S, 1)
    gpus = capacity(served.namespace)
    machines, names = nodes
    for name in names:
        machines.stop(name)
    *others, last = names
    for name in others:
        machines.start(name)
    # The control: with one step left to a hand it is not whole.
    eventually(lambda: answers(served.namespace), LIMIT_S, 1)
    with pytest.raises(AssertionError):
        eventually(lambda: is_whole(served), 15.0, 1)
    machines.start(last)
    after_restart = whole_after(served)
    eventually(lambda: capacity(served.namespace) == gpus, LIMIT_S, 1)
    assert is_reached_by_name(served, "asker")
    slowest = 0.0
    for _ in range(DELETIONS):
        before = set(served.pods())
        served.namespace.run("delete", "pods", *before, "--wait=false")
        eventually(lambda before=before: not before & set(served.pods()), LIMIT_S, 0.5)  # type: ignore[misc]
        slowest = max(slowest, whole_after(served))
    record_property("R35", f"whole {after_restart:.0f} s after the last node, {slowest:.0f} s after pods, 10 of 10")


def answers(kubectl: Kubectl) -> bool:
    return kubectl.run("get", "--raw", "/readyz", "--request-timeout=3s", check=False).returncode == 0


def capacity(kubectl: Kubectl) -> list[str]:
    """Return the GPUs of each node, which are made up on kind and must be put back."""
    items = json.loads(kubectl.run("get", "nodes", "-o", "json").stdout)["items"]
    return [node["status"]["allocatable"].get("nvidia.com/gpu", "0") for node in items]
