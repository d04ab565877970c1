"""The proxy tax of a candidate on the cluster: its pod and its Service are asked from the load generator's pod.

The control is an ingress that leads nowhere: it has a sentence and no figure, and the other paths keep theirs.
"""

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from loadtest.payloads import PayloadSet
from loadtest.turns import SECONDS
from podium.cluster.access import Access
from podium.cluster.adapter import Cluster
from podium.cluster.deployment import helm_on
from podium.cluster.site import read_platform
from podium.nodeclass import load_node_class
from podium.proxytax import taxes
from podium.targets.cluster import ClusterTarget, race_label
from podium.targets.target import Candidate
from tests.cluster.conftest import ALLOWED, STANDARD, Kubectl
from tests.cluster.stock import stocked_tiny
from tests.knative.gateway import Question

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(300)]

RACE = "pie-20261123-100000-ccccc3"
# Of TEST-NET-1, where nobody is.
NOWHERE = "192.0.2.1"


@pytest.fixture
def cluster_here(namespace: Kubectl) -> Iterator[Cluster]:
    found = Cluster.connect(Access(STANDARD, ALLOWED[0], namespace.namespace))
    yield found
    found.close()


def test_pod_and_service_are_compared_and_an_ingress_that_leads_nowhere_is_told(
    namespace: Kubectl, cluster_here: Cluster, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    target = ClusterTarget(
        cluster_here,
        helm_on(cluster_here),
        read_platform(cluster_here),
        classes={"epyc": load_node_class("epyc", "kind")},
        protocol="v2-json",
        race_id=RACE,
    )
    with stocked_tiny(namespace, tmp_path / "tiny") as stored:
        (tmp_path / "payloads").mkdir()
        (tmp_path / "payloads" / "one.json").write_bytes(Question.of(stored.folder).body)
        sent = PayloadSet.from_mix([("*.json", 1.0)], tmp_path / "payloads", seed=1)
        deployment = target.deploy(Candidate(stored.id, "epyc", stored.address, stored.folder))
        try:
            # So that starting them is no part of what the probe takes.
            target.generators_ahead_s()
            began = time.monotonic()
            found = target.ask_by_turns(deployment, sent, timeout_s=2.0, workdir=tmp_path / "work")
            record_property("proxy_tax_s", round(time.monotonic() - began, 1))
            pod, service = taxes(found, 0.95, seed=1)
            record_property("proxy_tax", json.dumps([one.model_dump(mode="json") for one in (pod, service)]))
            assert (pod.name, pod.error, service.name, service.error) == ("pod", "", "service", "")
            assert pod.requests == service.requests > SECONDS
            assert pod.above_pod_p50_ms is None
            assert service.above_pod_p50_ms is not None
            assert service.above_pod_p90_ms is not None

            name = f"{race_label(RACE)}-tiny-ort-fp32-epyc"
            backend = {"service": {"name": f"{name}-predictor", "port": {"number": 80}}}
            paths = {"http": {"paths": [{"path": "/", "pathType": "Prefix", "backend": backend}]}}
            metadata = {"name": name, "labels": {"podium.dev/race": race_label(RACE)}}
            made = {"apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "metadata": metadata}
            namespace.apply({**made, "spec": {"rules": [{"host": "pie.example", **paths}]}})
            status = json.dumps({"status": {"loadBalancer": {"ingress": [{"ip": NOWHERE}]}}})
            namespace.run("patch", "ingress", name, "--subresource=status", "--type=merge", "-p", status)
            pod, service, ingress = taxes(
                target.ask_by_turns(deployment, sent, timeout_s=2.0, workdir=tmp_path / "work"), 0.95, seed=1
            )
            assert (pod.error, service.error) == ("", "")
            assert pod.requests == service.requests > 0
            assert (ingress.name, ingress.requests) == ("ingress", 0)
            assert "was not answered" in ingress.error
        finally:
            target.cleanup()
