"""Services outlive a full sync of kube-proxy, which comes each hour, and after a sync that failed.

A full sync reads the node's map of Services back, and deletes what it does not know: where its image has no names of
protocols, nft says `6` for `tcp`, and that is every Service. Failing syncs are made here by taking entries away; that
the full one came is seen by an entry that is back. Without `/etc/protocols` in the image the map was empty afterwards.
"""

import re
import subprocess
from collections.abc import Iterator

import pytest

from tests.cluster.conftest import Kubectl
from tests.eventually import eventually

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(240)]

NODE = "podium-worker"
MAP = ("ip", "kube-proxy", "service-ips")
# What other tests leave may go meanwhile.
LASTING = ("default", "kserve", "kube-system")


def on_node(*words: str) -> str:
    return subprocess.run(["docker", "exec", NODE, *words], capture_output=True, text=True, check=True).stdout


def nft(*words: str) -> str:
    return on_node("nft", *words)


def listed() -> set[str]:
    """Return the addresses, protocols and ports of all Services that this node leads somewhere."""
    return set(re.findall(r"([\d.]+ \. \w+ \. \d+)[^:,]*: goto", nft("list", "map", *MAP)))


@pytest.fixture
def services(namespace: Kubectl) -> Iterator[dict[str, str]]:
    """Two Services with an endpoint each, by name, as the node lists them."""
    entries = {}
    for name in ("leaving", "staying"):
        namespace.run("create", "service", "clusterip", name, "--tcp=80:8080")
        namespace.run("patch", "service", name, "--type=json", '-p=[{"op": "remove", "path": "/spec/selector"}]')
        address = namespace.get("service", name)["spec"]["clusterIP"]
        namespace.apply(
            {
                "apiVersion": "discovery.k8s.io/v1",
                "kind": "EndpointSlice",
                "metadata": {"name": name, "labels": {"kubernetes.io/service-name": name}},
                "addressType": "IPv4",
                "ports": [{"name": "80-8080", "port": 8080}],
                # Of TEST-NET-1: nobody asks it.
                "endpoints": [{"addresses": ["192.0.2.1"], "conditions": {"ready": True}}],
            }
        )
        entries[name] = f"{address} . tcp . 80"
    eventually(lambda: listed() >= set(entries.values()), 60)
    yield entries
    # Whatever came of it: the next test has a node with Services.
    namespace.run("delete", "service", "--all", "--wait=true")


def test_a_full_sync_keeps_all_services(services: dict[str, str], cluster: Kubectl, namespace: Kubectl) -> None:
    lasting = {
        one["spec"]["clusterIP"]
        for one in cluster.get("services", "--all-namespaces")["items"]
        if one["metadata"]["namespace"] in LASTING
    }
    before = {entry for entry in listed() if entry.split()[0] in lasting}
    assert len(before) >= len(lasting) >= 3
    nft("delete", "element", *MAP, "{", ", ".join(services.values()), "}")
    # kube-proxy cannot delete what has gone, and starts over.
    namespace.run("delete", "service", "leaving")
    eventually(lambda: services["staying"] in listed(), 90)
    assert listed() >= before


def test_without_names_of_protocols_nft_reads_another_map(services: dict[str, str]) -> None:
    hidden = f"mount --bind /dev/null /etc/protocols && nft --json list map {' '.join(MAP)}"
    named, numbered = nft("--json", "list", "map", *MAP), on_node("unshare", "--mount", "sh", "-c", hidden)
    address = services["staying"].split()[0]
    assert f'{{"concat": ["{address}", "tcp", 80]}}' in named
    assert f'{{"concat": ["{address}", 6, 80]}}' in numbered
