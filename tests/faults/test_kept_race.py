"""Two races and a serving variant in one namespace: what one of them makes and removes is its own.

Whole races side by side, with a probe of what serves: test_two_races.py.
"""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from podium.cluster.access import Access
from podium.cluster.adapter import Cluster
from podium.cluster.deployment import delete_race, helm_on
from podium.cluster.site import read_platform
from podium.nodeclass import load_node_class
from podium.targets.cluster import ClusterTarget, race_label
from podium.targets.target import Candidate
from tests.cluster.conftest import ALLOWED, ROOT, STANDARD, Kubectl
from tests.cluster.releases import Helm, values_of
from tests.cluster.stock import stocked_tiny

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(300)]

ONE, OTHER = "pie-20261122-100000-aaaaa1", "pie-20261122-100001-bbbbb2"
KINDS = "isvc,pods,deployments,jobs,services,configmaps,secrets,serviceaccounts"


@pytest.fixture
def cluster_here(namespace: Kubectl) -> Iterator[Cluster]:
    found = Cluster.connect(Access(STANDARD, ALLOWED[0], namespace.namespace))
    yield found
    found.close()


def target(cluster: Cluster, race_id: str, keep: Callable[[str], None] | None = None) -> ClusterTarget:
    return ClusterTarget(
        cluster,
        helm_on(cluster),
        read_platform(cluster),
        classes={name: load_node_class(name, "kind") for name in ("epyc", "a100")},
        protocol="v2-json",
        race_id=race_id,
        keep=keep,
    )


def held(namespace: Kubectl) -> dict[str, str]:
    """Return everything that a race or a release makes, by kind and name, with its identity."""
    found = namespace.get(KINDS)["items"]
    return {f"{one['kind']} {one['metadata']['name']}": one["metadata"]["uid"] for one in found}


def without(everything: dict[str, str], race_id: str) -> dict[str, str]:
    """Return what is not of a race: all that one makes has its label in the name."""
    return {name: uid for name, uid in everything.items() if race_label(race_id) not in name}


def test_the_end_of_one_race_takes_nothing_of_another_or_of_what_serves(
    namespace: Kubectl, cluster_here: Cluster, tmp_path: Path
) -> None:
    said: list[str] = []
    with stocked_tiny(namespace, tmp_path / "tiny") as stored:
        alone = {"replicas": {"min": 1, "max": 1}, "autoscaling": {"enabled": False}, "pdb": {"enabled": False}}
        values = values_of(f"tiny/{stored.address}", **alone)
        Helm(namespace.namespace)("install", "pie", str(ROOT / "charts" / "variant"), values=values)
        namespace.run("wait", "isvc/pie", "--for=condition=Ready", "--timeout=120s")
        serving = held(namespace)

        one, other = target(cluster_here, ONE), target(cluster_here, OTHER, said.append)
        for race, node_class in ((one, "epyc"), (other, "a100")):
            race.deploy(Candidate(stored.id, node_class, stored.address, stored.folder))
            race.generators_ahead_s()
        both = held(namespace)
        assert without(without(both, ONE), OTHER) == serving
        assert min(len(both) - len(without(both, race)) for race in (ONE, OTHER)) > 8

        one.cleanup()
        assert held(namespace) == without(both, ONE)
        # The other one was told to keep what it has; a person takes it away afterwards, by its name.
        other.cleanup()
        assert held(namespace) == without(both, ONE)
        (sentence,) = said
        label = race_label(OTHER)
        assert sentence.startswith(f"kept on the cluster: {label}-load-runners, {label}-tiny-ort-fp32-a100; podium del")
        delete_race(label, Access(STANDARD, ALLOWED[0], namespace.namespace), runs=tmp_path / "runs")
        assert held(namespace) == serving
        Helm(namespace.namespace)("uninstall", "pie", "--wait")
