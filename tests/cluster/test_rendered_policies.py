"""The NetworkPolicies that our charts render, enforced: who reaches whom is just what is written here, pair by pair.

As in `test_enforcer.py` pods are network namespaces and no cluster is needed. The API server is the node that the
tested pods are not on: its proxy is no pod and has no label.
"""

from collections.abc import Iterator
from copy import deepcopy
from typing import Any

import pytest

from tests.cluster.podworld import Probe, World, building, obtained
from tests.rendered.engine import ci_files, objects, render

pytestmark = [pytest.mark.timeout(180)]

Document = dict[str, Any]
Open = dict[tuple[str, str], set[int]]
NAMES, SIDECAR = {53}, {8012, 9090}
PORTS = (53, 80, 443, 8012, 8080, 8081, 8082, 8090, 8333, 9000, 9090)
ALL = set(PORTS)
API_SERVER = "node-2"
SERVING = {"serving.kserve.io/inferenceservice": "food11", "component": "predictor", "app": "isvc.food11-predictor"}
RACE = {"podium.dev/race": "r1a2b3c"}
# Pods of the world by what they are, with their namespace and labels; the first three are ours.
CAST: dict[str, tuple[str, str, dict[str, str]]] = {
    "predictor": ("x/a", "ours", SERVING),
    "results": ("x/b", "ours", {}),
    "runner": ("x/c", "ours", {}),
    "gateway": ("y/a", "gateway", {}),
    "prometheus": ("y/b", "monitoring", {"app.kubernetes.io/name": "prometheus"}),
    "other team": ("y/c", "other", SERVING),
    "names": ("z/a", "kube-system", {"k8s-app": "kube-dns"}),
    "activator": ("z/b", "knative-serving", {}),
    "store": ("z/c", "object-store", {}),
}
OURS = ("predictor", "results", "runner")
OTHERS = tuple(name for name in CAST if name not in OURS)


def documents(chart: str, shape: str, **values: Any) -> list[Document]:
    (file,) = (path for path in ci_files(chart) if path.stem == f"{shape}-values")
    return objects(render(chart, file, values=values))


def policies(chart: str, shape: str, *, of: str = "", **values: Any) -> list[Document]:
    """Return the policies of a shape, of one of its namespaces where it has several, moved to ours."""
    found = [one for one in documents(chart, shape, **values) if one["kind"] == "NetworkPolicy"]
    found = [one for one in found if not of or one["metadata"]["namespace"] == of]
    return [{**one, "metadata": {**one["metadata"], "namespace": "ours"}} for one in found]


@pytest.fixture(scope="module")
def made() -> Iterator[World]:
    with building(obtained(), ports=PORTS, protocols=("TCP",)) as world:
        yield world


@pytest.fixture
def world(made: World) -> Iterator[World]:
    """Give the pods the namespaces and labels of the cast; those of a load test are what its chart gives them."""
    kept = deepcopy((made.pods, made.labels))
    of_kind = {one["kind"]: one for one in documents("loadtest", "race")}
    labels = {
        name: of_kind[kind]["spec"]["template"]["metadata"]["labels"]
        for name, kind in (("results", "Deployment"), ("runner", "Job"))
    }
    for name, (pod, namespace, own) in CAST.items():
        made.pods[pod]["metadata"] |= {
            "name": name.replace(" ", "-"),
            "namespace": namespace,
            "labels": labels.get(name, own),
        }
        made.labels[namespace] = {"kubernetes.io/metadata.name": namespace}
    yield made
    made.pods, made.labels = kept
    made.enforce()


def check(world: World, made: list[Document], opened: Open) -> None:
    """Check that what is opened is reached, and of all that ours ask and are asked nothing else."""
    assert made
    spots = {name: pod for name, (pod, _, _) in CAST.items()}
    pairs = [(source, target) for source in CAST for target in CAST if source != target and {source, target} & {*OURS}]
    # A runner's own node is where the API server is here: nothing could close it.
    pairs += [(API_SERVER, target) for target in ("predictor", "results")]
    tried = [Probe(spots.get(a, a), spots[b], port) for a, b in pairs for port in PORTS]
    named = {(spots.get(a, a), spots[b]): (a, b) for a, b in pairs}
    expected = {one for one in tried if one.port in opened.get(named[one.source, one.target], ())}
    assert sum(map(len, opened.values())) == len(expected), "every pair that is opened is one that is tried"

    def told(probes: set[Probe]) -> list[tuple[str, str, int]]:
        return sorted((*named[one.source, one.target], one.port) for one in probes)

    world.enforce()
    assert told(set(tried) - world.reached(tried, tried)) == [], "without policies everything is reached"
    world.enforce(*made)
    found = world.reached(tried, expected)
    assert told(found - expected) == [], "what nobody opened came through"
    assert told(expected - found) == [], "what is needed was stopped"


def test_a_team(world: World) -> None:
    """Its load generators, its gateway, its monitoring, its store and whoever leads a race; no other team."""
    server = [{"ipBlock": {"cidr": f"{world.address(API_SERVER)}/32"}}]
    made = policies("tenant", "site", networkPolicy={"resultsFrom": server})
    check(
        world,
        made,
        {
            ("runner", "predictor"): {8080, 8081, 8082},
            ("runner", "results"): {8090},
            ("gateway", "predictor"): {8080, 8081},
            ("prometheus", "predictor"): {8082},
            ("activator", "predictor"): SIDECAR,
            ("predictor", "store"): {9000},
            ("predictor", "names"): NAMES,
            ("results", "names"): NAMES,
            ("runner", "names"): NAMES,
            (API_SERVER, "results"): {8090},
        },
    )


def test_a_team_with_nothing_named(world: World) -> None:
    check(
        world,
        policies("tenant", "plain"),
        {
            ("runner", "predictor"): {8080, 8081, 8082},
            ("runner", "results"): {8090},
            **{(one, "names"): NAMES for one in OURS},
        },
    )


def test_a_variant_and_a_load_test(world: World) -> None:
    """Everybody may ask a variant; its state and metrics are for its namespace, and it asks nobody."""
    made = policies("variant", "standard", networkPolicy={"from": [], "metricsFrom": []}) + policies("loadtest", "race")
    check(
        world,
        made,
        {
            ("runner", "predictor"): {8080, 8081, 8082},
            ("runner", "results"): {8090},
            **{(one, "predictor"): {8080, 8081} for one in OTHERS},
            **{(one, "results"): {8090} for one in OTHERS},
            **{("runner", one): NAMES for one in OTHERS},
            (API_SERVER, "results"): {8090},
        },
    )


def test_a_variant_in_mode_knative(world: World) -> None:
    check(
        world,
        policies("variant", "knative") + policies("loadtest", "race"),
        {
            ("runner", "predictor"): {8080, 8082, *SIDECAR},
            ("runner", "results"): {8090},
            **{(one, "predictor"): {8080, *SIDECAR} for one in OTHERS},
            **{(one, "results"): {8090} for one in OTHERS},
            **{("runner", one): NAMES for one in OTHERS},
            (API_SERVER, "results"): {8090},
        },
    )


def test_a_variant_that_fetches_its_artifact(world: World) -> None:
    """Names and stores, also the one on an odd port that the site names; the other two pods are closed by nobody."""
    stores = NAMES | {80, 443, 9000}
    check(
        world,
        policies("variant", "everything"),
        {
            ("predictor", "store"): stores | {8333},
            **{("predictor", one): stores for one in (*OTHERS, "results", "runner") if one != "store"},
            ("gateway", "predictor"): {8080, 8081},
            ("prometheus", "predictor"): {8082},
            ("results", "predictor"): {8082},
            ("runner", "predictor"): {8082},
            **{(one, other): ALL for one in ("results", "runner") for other in OTHERS},
            **{(other, one): ALL for one in ("results", "runner") for other in OTHERS},
            ("results", "runner"): ALL,
            ("runner", "results"): ALL,
            (API_SERVER, "results"): ALL,
        },
    )


def test_a_race_where_all_else_is_denied(world: World) -> None:
    """What races has no policy of its own: the platform's lets its load and the look at its state in."""
    world.pods["x/a"]["metadata"]["labels"] = SERVING | RACE
    made = policies("platform", "site", of="vision") + policies("loadtest", "race")
    check(
        world,
        made,
        {
            ("runner", "predictor"): {8080, 8081, 8082},
            ("runner", "results"): {8090},
            **{(one, "predictor"): {8082} for one in OTHERS},
            **{(one, "results"): {8090} for one in OTHERS},
            **{("runner", one): NAMES for one in OTHERS},
            ("predictor", "names"): NAMES,
            ("results", "names"): NAMES,
            (API_SERVER, "predictor"): {8082},
            (API_SERVER, "results"): {8090},
        },
    )
