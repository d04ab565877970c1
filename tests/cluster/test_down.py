"""`cluster-down` leaves nothing behind; tried on a cluster of its own that has one node and does nothing."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from k8s.airgap.down import down
from k8s.airgap.network import Network
from k8s.airgap.site import Site
from tests.cluster.conftest import Kubectl

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(120)]


@pytest.fixture
def site(cluster: Kubectl, tmp_path: Path) -> Iterator[Site]:
    """Return a site that looks like a cluster to Docker, without Kubernetes in it."""
    gone = Site(cluster="podium-gone", network=Network("podium-gone"), state=tmp_path)
    gone.network.ensure()
    gone.network.ensure_rule()
    gone.kubeconfig.write_text("{}")
    inspect = ["docker", "inspect", "-f", "{{.Config.Image}}", "podium-control-plane"]
    image = subprocess.run(inspect, capture_output=True, text=True, check=True).stdout.strip()
    label = f"io.x-k8s.kind.cluster={gone.cluster}"
    create = [
        "docker",
        "create",
        "--name",
        "podium-gone-control-plane",
        "--label",
        label,
        "--network",
        gone.network.name,
    ]
    subprocess.run([*create, "-v", "/kept", "--entrypoint", "/bin/true", image], check=True, capture_output=True)
    yield gone
    down(gone)


def test_what_a_cluster_has_put_here_is_listed_and_goes(site: Site) -> None:
    before = site.traces()
    kinds = [trace.rsplit(" ", 1)[0] for trace in before]
    assert kinds == ["container", "volume", "Docker network", "firewall rule of", "file"]
    volumes = site.volumes()
    down(site)
    assert site.traces() == []
    for volume in volumes:
        assert subprocess.run(["docker", "volume", "inspect", volume], capture_output=True).returncode != 0
    rules = subprocess.run(["iptables", "-w", "-S", "DOCKER-USER"], capture_output=True, text=True, check=True).stdout
    assert "podium-gone" not in rules
    assert "br-podium " in rules, "the rule of the cluster that runs is still there"


def test_a_second_cluster_down_is_no_error(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    down(site)
    down(site)
    assert "there was no cluster" in capsys.readouterr().err
