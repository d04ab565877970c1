"""Each fault on a cluster in memory: what it is made to, what it does, how it is undone, and what it refuses."""

from __future__ import annotations

from typing import Any

import pytest

from podium.chaos.aim import Aim
from podium.chaos.faultlog import Undo
from podium.chaos.plan import Planned
from podium.chaos.registry import FAULTS, HOLDS
from podium.chaos.site import NoTargetError, Site
from podium.chaos.spec import CLUSTER_WIDE, KIND_ONLY, Faults
from podium.chaos.undoing import undo_all
from podium.cluster.errors import ClusterError, DeadlineError
from tests.chaosworld import URI, World, lasting, spec

KINDS = sorted(FAULTS)


def planned(kind: str, pick: float = 0.0, **settings: object) -> Planned:
    content = spec(faults=[{"kind": kind, **settings}], rounds=1)
    return Planned(1, content.faults[0], "pie", 1.0, pick)


def struck(world: World, kind: str, pick: float = 0.0, **settings: object) -> tuple[Site, Aim, str]:
    site, one = world.site(), planned(kind, pick, **settings)
    aim = FAULTS[kind].aim(site, one)
    assert world.calls == [], "choosing a target changes nothing"
    return site, aim, FAULTS[kind].strike(site, aim)


def test_there_is_a_fault_for_every_kind_that_a_file_may_name() -> None:
    known = set(Faults.model_json_schema()["properties"]["faults"]["items"]["discriminator"]["mapping"])
    assert set(FAULTS) == known
    assert known >= CLUSTER_WIDE | KIND_ONLY | HOLDS


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_done_is_undone_and_all_is_whole_again(kind: str) -> None:
    world = World()
    site, aim, outcome = struck(world, kind)
    assert (outcome, len(world.calls) > 0) == ("", True)
    # Each leaves something behind: without being undone, or without time, it is not as before.
    is_changed = bool(world.site().missing() if not world.is_down else True) or world.scales != World().scales
    assert is_changed or kind in {"process-stop", "node-stop"}, kind
    undo_all(site, aim.undo)
    FAULTS[kind].settle(site, aim)
    site.until_whole(60)
    assert world.scales == World().scales
    assert world.service["spec"]["predictor"]["model"]["storageUri"] == URI
    assert not any(node["spec"].get("unschedulable") for node in world.nodes.values())
    assert not world.is_down
    # What is undone twice stays undone.
    undo_all(site, aim.undo)
    site.until_whole(60)


@pytest.mark.parametrize(("kind", "grace"), [("pod-delete", "None"), ("pod-kill", "0")])
@pytest.mark.parametrize(("pick", "pod"), [(0.0, "pie-1"), (0.9, "pie-2")])
def test_a_pod_is_chosen_by_the_draw_and_waited_for(kind: str, grace: str, pick: float, pod: str) -> None:
    world = World()
    _, aim, _ = struck(world, kind, pick)
    assert world.calls == [f"remove {pod} {grace}"]
    assert pod in aim.where
    assert pod not in world.pods


def test_processes_stop_and_go_on() -> None:
    world = World()
    site, aim, _ = struck(world, "process-stop")
    node = world.pods["pie-1"]["spec"]["nodeName"]
    undo_all(site, aim.undo)
    assert world.calls == [f"STOP abab on {node}", f"CONT abab on {node}"]


@pytest.mark.parametrize(
    ("settings", "call"),
    [({}, "drop 1"), ({"loss": 0.05}, "drop 0.05"), ({"delay": "200ms"}, "delay")],
)
def test_a_pods_network_is_cut_loses_or_delays_and_is_opened_by_the_pods_uid(
    settings: dict[str, Any], call: str
) -> None:
    world = World()
    site, aim, _ = struck(world, "network", **settings)
    node = world.pods["pie-1"]["spec"]["nodeName"]
    assert aim.undo == (Undo(do="open-network", name="uid-1", place=node),)
    assert site.missing() == "1 of 2 pods of pie are ready"
    undo_all(site, aim.undo)
    assert [one.startswith(call) for one in world.calls] == [True, False]
    assert world.calls[1] == f"open uid-1 on {node}"
    assert site.missing() == ""


@pytest.mark.control("R22")
def test_memory_is_filled_until_the_kubelet_has_seen_the_kill_and_never_without_a_limit() -> None:
    world = World()
    struck(world, "memory")
    assert world.pods["pie-1"]["status"]["containerStatuses"][0]["restartCount"] == 1
    unharmed = World()
    unharmed.lost_pods = True
    with pytest.raises(DeadlineError, match="its server lives"):
        struck(unharmed, "memory")
    unbound = World()
    for pod in unbound.pods.values():
        pod["spec"]["containers"][0]["resources"] = {}
    with pytest.raises(ClusterError, match="has no limit of memory"):
        struck(unbound, "memory")
    assert unbound.calls == []


def test_a_drain_asks_as_long_as_a_budget_says_no_and_takes_only_the_services_pods() -> None:
    world = World()
    world.budget = 3
    _, aim, outcome = struck(world, "drain")
    node = aim.targets["node"]
    assert outcome == ""
    assert world.nodes[node]["spec"] == {"unschedulable": True}
    assert [call.partition(" ")[0] for call in world.calls] == ["patch", "evict"]
    assert all(pod["spec"]["nodeName"] != node for pod in world.pods.values())
    stubborn = World()
    stubborn.budget = 10**6
    _, _, outcome = struck(stubborn, "drain", **lasting("5s"))
    assert outcome.startswith("a budget held pie-")


def test_nodes_are_spared_that_have_the_prober_and_those_of_the_control_plane() -> None:
    world = World()
    nodes = {pod["spec"]["nodeName"] for pod in world.pods.values()}
    spared = world.site(spared=set(nodes))
    for kind in ("drain", "node-stop"):
        with pytest.raises(NoTargetError, match="the prober"):
            FAULTS[kind].aim(spared, planned(kind))
    for name in nodes:
        world.nodes[name]["metadata"]["labels"] = {"node-role.kubernetes.io/control-plane": ""}
    with pytest.raises(NoTargetError, match="only nodes of the control plane"):
        FAULTS["node-stop"].aim(world.site(), planned("node-stop"))
    for name in nodes:
        world.nodes[name]["spec"] = {"unschedulable": True}
    with pytest.raises(NoTargetError, match="cordoned already"):
        FAULTS["drain"].aim(world.site(), planned("drain"))


def test_after_a_node_has_stopped_its_kubelet_is_heard_before_its_pods_are_believed() -> None:
    world = World()
    site, aim, _ = struck(world, "node-stop")
    # The API server still tells of the node and of its pods what was true before.
    assert site.missing() == ""
    world.pause(30)
    undo_all(site, aim.undo)
    begun = world.time
    FAULTS["node-stop"].settle(site, aim)
    assert world.time - begun >= 6
    assert world.calls == [f"stop {aim.targets['node']}", f"start {aim.targets['node']}"]


@pytest.mark.parametrize("kind", sorted(KIND_ONLY))
def test_what_only_kind_can_do_is_refused_elsewhere(kind: str) -> None:
    with pytest.raises(ClusterError, match="needs the nodes of a kind cluster") as caught:
        FAULTS[kind].aim(World().site(nodes=None), planned(kind))
    assert kind in caught.value.hint


def test_another_artifact_is_named_or_one_that_is_nowhere() -> None:
    world = World()
    _, aim, _ = struck(world, "artifact")
    assert aim.targets["uri"] == f"{URI}-no-such-artifact"
    assert aim.undo == (Undo(do="storage-uri", name="pie", place="podium", value=URI),)
    other = World()
    struck(other, "artifact", uri="pvc://models/broken")
    assert other.service["spec"]["predictor"]["model"]["storageUri"] == "pvc://models/broken"
    same = World()
    assert struck(same, "artifact", uri=URI)[2] == "no new pod came of it"
    custom = World()
    custom.service["spec"]["predictor"] = {"containers": []}
    with pytest.raises(NoTargetError, match=r"names no spec\.predictor\.model\.storageUri"):
        struck(custom, "artifact")


def test_a_deployment_that_is_not_there_or_down_already_is_no_target() -> None:
    world = World()
    world.scales["kube-system/coredns"] = 0
    elsewhere: dict[str, Any] = {"deployment": "kube-system/kube-dns"}
    for settings in ({}, elsewhere):
        with pytest.raises(NoTargetError, match="no Deployment kube-system"):
            FAULTS["dns-down"].aim(world.site(), planned("dns-down", **settings))


def test_without_a_pod_that_serves_there_is_nothing_to_kill() -> None:
    with pytest.raises(NoTargetError, match="pie has no pod that serves"):
        FAULTS["pod-kill"].aim(World(replicas=0).site(), planned("pod-kill"))


def test_every_step_is_undone_even_where_one_fails_and_the_first_failure_is_told() -> None:
    world = World()
    world.nodes["worker"]["spec"] = {"unschedulable": True}
    steps = (Undo(do="uncordon", name="worker"), Undo(do="resume-api-server", name="control-plane"))
    broken = (*steps, Undo(do="continue", name="ab" * 16, place="worker"))
    with pytest.raises(ClusterError, match="process-stop"):
        undo_all(world.site(nodes=None), broken)
    assert world.nodes["worker"]["spec"] == {"unschedulable": None}


def test_what_is_missing_is_said_in_words() -> None:
    world = World()
    site = world.site()
    assert site.missing() == ""
    world.remove("pie-1", "uid-1")
    assert site.missing() == "the pod pie-1 leaves"
    world.pause(2.1)
    assert site.missing() == "1 of 2 pods of pie are ready"
    world.pause(5)
    assert site.missing() == ""
    world.replicas = 0
    assert site.missing() != ""
    with pytest.raises(DeadlineError, match="waited for 5 s") as caught:
        site.until_whole(5)
    assert caught.value.last_seen == site.missing()
    assert World().site(services=("tart",)).missing() == "tart has no Deployment"
