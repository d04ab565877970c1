"""A thousand InferenceServices on fifty made-up nodes: KServe's own manager reconciles them, each pod on its class.

And Podium's commands that read such a cluster stay small and quick.
"""

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pytest
import yaml

from predictors.store import StoredVariant
from tests.cluster.conftest import ALLOWED, STANDARD, Kubectl
from tests.cluster.stock import stocked_tiny
from tests.costs import costed
from tests.eventually import eventually
from tests.scale.fleet import GPUS, apply_all, fleet

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(3000)]

NODES = {"epyc": 25, "a100": 25}
SERVICES = {"epyc": 800, "a100": 25 * GPUS}
KINDS = ("InferenceService", "ServiceAccount")
READY_S = 1500.0
COMMAND_CPU_S = 5.0
COMMAND_MIB = 300.0
CLASS = "podium.dev/node-class"
THERE = ("--kubeconfig", str(STANDARD), "--context", ALLOWED[0])


@dataclass(frozen=True, slots=True)
class Reconciled:
    """A namespace full of InferenceServices that are all ready, and the nodes by class."""

    cluster: Kubectl
    nodes: Mapping[str, Sequence[str]]
    stored: StoredVariant


def rendered(stored: StoredVariant, kind: str, namespace: str) -> list[dict[str, Any]]:
    """Return what `podium deploy` would make of a variant on a class: its InferenceService and its account."""
    words = ["deploy", stored.id, "--node-class", kind, "--name", f"many-{kind}", "--dry-run=client"]
    done = costed([*words, "--store", stored.folder.parents[1], "-n", namespace, *THERE])
    assert done.code == 0, done.stderr
    return [one for one in yaml.safe_load_all(done.stdout) if one and one["kind"] in KINDS]


def many(documents: Sequence[Mapping[str, Any]], count: int) -> Iterator[dict[str, Any]]:
    """Give the documents once, but the InferenceService so many times, each under a name of its own."""
    for one in documents:
        if one["kind"] != "InferenceService":
            yield dict(one)
            continue
        for number in range(count):
            copy = json.loads(json.dumps(one))
            copy["metadata"]["name"] += f"-{number:03}"
            yield copy


def misplaced(pods: Sequence[Mapping[str, Any]], nodes: Mapping[str, Sequence[str]]) -> list[str]:
    """Return the pods that stand, or wait, elsewhere than on a node of the class that their labels name."""
    return [
        f"{pod['metadata']['name']} of {pod['metadata']['labels'][CLASS]} is on {pod['spec'].get('nodeName')}"
        for pod in pods
        if pod["spec"].get("nodeName") not in nodes[pod["metadata"]["labels"][CLASS]]
    ]


@pytest.fixture(scope="module")
def reconciled(cluster: Kubectl, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reconciled]:
    folder = tmp_path_factory.mktemp("fleet")
    name = "podium-test-many"
    inside = Kubectl(cluster.program, name)
    with fleet(cluster, folder, NODES) as nodes:
        cluster.run("create", "namespace", name)
        try:
            with stocked_tiny(inside, folder / "artifact") as stored:
                for kind, count in SERVICES.items():
                    apply_all(inside, list(many(rendered(stored, kind, name), count)))
                eventually(lambda: ready(inside) == sum(SERVICES.values()), READY_S, 5.0)
                yield Reconciled(inside, nodes, stored)
        finally:
            cluster.run("delete", "namespace", name, "--wait=false")
            eventually(lambda: not inside.get("pods")["items"], 600.0, 5.0)


def ready(inside: Kubectl) -> int:
    path = '{range .items[*]}{.status.conditions[?(@.type=="Ready")].status}{"\\n"}{end}'
    return inside.run("get", "isvc", "-o", f"jsonpath={path}").stdout.split().count("True")


def test_every_pod_is_on_a_node_of_its_class(reconciled: Reconciled) -> None:
    pods = reconciled.cluster.get("pods")["items"]
    assert Counter(pod["metadata"]["labels"][CLASS] for pod in pods) == SERVICES
    assert not misplaced(pods, reconciled.nodes)


def test_the_check_sees_one_that_is_elsewhere(reconciled: Reconciled) -> None:
    pods = reconciled.cluster.get("pods")["items"]
    stray = next(pod for pod in pods if pod["metadata"]["labels"][CLASS] == "epyc")
    stray["spec"]["nodeName"] = reconciled.nodes["a100"][0]
    waiting = next(pod for pod in pods if pod["metadata"]["labels"][CLASS] == "a100")
    del waiting["spec"]["nodeName"]
    assert len(misplaced(pods, reconciled.nodes)) == 2


def test_one_more_than_the_gpus_waits(reconciled: Reconciled) -> None:
    """Made-up nodes run what the scheduler gives them, and that is what their class and their GPUs allow."""
    inside = reconciled.cluster
    documents = rendered(reconciled.stored, "a100", inside.namespace)
    (one,) = (document for document in documents if document["kind"] == "InferenceService")
    one["metadata"]["name"] = "one-more"
    inside.apply(one)
    label = "serving.kserve.io/inferenceservice=one-more"

    def unschedulable() -> list[str]:
        pods = inside.get("pods", "-l", label)["items"]
        told = [one for pod in pods for one in pod.get("status", {}).get("conditions", [])]
        return [one["message"] for one in told if one.get("reason") == "Unschedulable"]

    try:
        assert "nvidia.com/gpu" in eventually(unschedulable, 120.0, 1.0)[0]
    finally:
        inside.run("delete", "isvc", "one-more", "--wait=false")


@pytest.mark.parametrize(
    "words",
    [
        ("doctor",),
        ("watch", "many-epyc-000", "--once", "--window", "1s"),
        ("deploy", "--node-class", "epyc", "--name", "another", "--dry-run=server"),
    ],
    ids=lambda words: words[0],
)
def test_a_command_stays_small_and_quick(reconciled: Reconciled, words: tuple[str, ...]) -> None:
    name, *options = words
    stored = reconciled.stored
    subject = [stored.id, "--store", str(stored.folder.parents[1])] if name == "deploy" else []
    done = costed([name, *subject, *options, "-n", reconciled.cluster.namespace, *THERE])
    print(f"{name}: exit {done.code}, {done.seconds:.1f} s, of them {done.cpu_s:.1f} s computing, {done.mib:.0f} MiB")  # noqa: T201
    assert done.code == 0, done.stderr
    assert done.cpu_s <= COMMAND_CPU_S
    assert done.mib <= COMMAND_MIB
