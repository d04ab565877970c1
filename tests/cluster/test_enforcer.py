"""What enforces NetworkPolicies in the test cluster, on the cases that upstream checks network plugins by.

For real, but without a cluster: pods and nodes are network namespaces of this machine, the tables are those that the
program makes, and every probe that a policy stops comes through without it.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from copy import deepcopy
from typing import Any, NamedTuple

import pytest

from tests.cluster.podworld import PORTS, Probe, World, building, obtained, policy

pytestmark = [pytest.mark.timeout(180)]

Allows = Callable[[Probe], bool]


@pytest.fixture(scope="module")
def made() -> Iterator[World]:
    """Build the program and the pods, once for all cases."""
    with building(obtained()) as world:
        yield world


@pytest.fixture
def world(made: World) -> Iterator[World]:
    """Return the pods as they were made, whatever a case did to their labels."""
    pods, labels = deepcopy(made.pods), deepcopy(made.labels)
    yield made
    made.pods, made.labels = pods, labels
    made.enforce()


def probes(world: World, *, protocols: Sequence[str] = ("TCP",), ports: Sequence[int] = PORTS) -> list[Probe]:
    """Return a probe from every pod to every port of every pod."""
    return [Probe(a, b, port, by) for a in world.pods for b in world.pods for port in ports for by in protocols]


def check(world: World, tried: Sequence[Probe], allows: Allows, *policies: dict[str, Any]) -> int:
    """Check what comes through without policies and with them; return how many probes they stop."""
    world.enforce()
    assert world.reached(tried, tried) == set(tried), "without a policy everything is reached"
    world.enforce(*policies)
    expected = {one for one in tried if allows(one)}
    found = world.reached(tried, expected)
    assert sorted(found - expected) == [], "what a policy forbids came through"
    assert sorted(expected - found) == [], "what no policy forbids was stopped"
    return len(tried) - len(expected)


def onto(space: str, allows: Allows) -> Allows:
    """Return a rule for what comes to a namespace's pods; a pod always reaches itself."""
    return lambda one: not one.target.startswith(f"{space}/") or one.source == one.target or allows(one)


def outof(space: str, allows: Allows) -> Allows:
    """Return a rule for what leaves a namespace's pods."""
    return lambda one: not one.source.startswith(f"{space}/") or one.source == one.target or allows(one)


class Case(NamedTuple):
    """Policies, and what they allow."""

    name: str
    policies: list[dict[str, Any]]
    allows: Allows


def ingress(*rules: dict[str, Any], **spec: Any) -> dict[str, Any]:
    return policy(policyTypes=["Ingress"], ingress=list(rules), **spec)


def egress(*rules: dict[str, Any], **spec: Any) -> dict[str, Any]:
    return policy(policyTypes=["Egress"], egress=list(rules), **spec)


POD_A, POD_B = {"matchLabels": {"pod": "a"}}, {"matchLabels": {"pod": "b"}}
IN_Y = {"matchLabels": {"ns": "y"}}
NOT_X = {"matchExpressions": [{"key": "ns", "operator": "NotIn", "values": ["x"]}]}
A_OR_B = {"matchExpressions": [{"key": "pod", "operator": "In", "values": ["a", "b"]}]}
NODE_1, NODE_2 = "10.244.1.0/24", "10.244.2.0/24"
CASES = [
    Case("nothing comes in", [ingress()], onto("x", lambda _: False)),
    Case("nothing goes out", [egress()], outof("x", lambda _: False)),
    Case(
        "nothing in and nothing out",
        [policy(policyTypes=["Ingress", "Egress"])],
        lambda one: onto("x", lambda _: False)(one) and outof("x", lambda _: False)(one),
    ),
    Case("everything comes in", [ingress({})], lambda _: True),
    Case("everything goes out", [egress({})], lambda _: True),
    Case(
        "only one pod is closed",
        [ingress(podSelector=POD_A)],
        lambda one: one.target != "x/a" or one.source == one.target,
    ),
    Case(
        "pods of the namespace", [ingress({"from": [{"podSelector": {}}]})], onto("x", lambda one: one.source[0] == "x")
    ),
    Case(
        "a pod of the namespace",
        [ingress({"from": [{"podSelector": POD_B}]})],
        onto("x", lambda one: one.source == "x/b"),
    ),
    Case(
        "a namespace", [ingress({"from": [{"namespaceSelector": IN_Y}]})], onto("x", lambda one: one.source[0] == "y")
    ),
    Case("every namespace", [ingress({"from": [{"namespaceSelector": {}}]})], lambda _: True),
    Case(
        "all namespaces but one",
        [ingress({"from": [{"namespaceSelector": NOT_X}]})],
        onto("x", lambda one: one.source[0] != "x"),
    ),
    Case(
        "a pod and its namespace",
        [ingress({"from": [{"namespaceSelector": IN_Y, "podSelector": A_OR_B}]})],
        onto("x", lambda one: one.source in ("y/a", "y/b")),
    ),
    Case(
        "a pod or a namespace",
        [ingress({"from": [{"namespaceSelector": IN_Y}, {"podSelector": POD_B}]})],
        onto("x", lambda one: one.source[0] == "y" or one.source == "x/b"),
    ),
    Case(
        "addresses",
        [ingress({"from": [{"ipBlock": {"cidr": NODE_2}}]})],
        onto("x", lambda one: one.source.endswith("/c")),
    ),
    Case(
        "addresses but for some",
        [ingress({"from": [{"ipBlock": {"cidr": "10.0.0.0/8", "except": [NODE_2, "10.244.1.11/32"]}}]})],
        onto("x", lambda one: not one.source.endswith("/c") and one.source != "x/a"),
    ),
    Case("a port", [ingress({"ports": [{"port": 80}]})], onto("x", lambda one: one.port == 80)),
    Case("a named port", [ingress({"ports": [{"port": "serve-81-tcp"}]})], onto("x", lambda one: one.port == 81)),
    Case("a name that nobody bears", [ingress({"ports": [{"port": "grpc"}]})], onto("x", lambda _: False)),
    Case(
        "a range of ports",
        [ingress({"ports": [{"port": 81, "endPort": 90}]})],
        onto("x", lambda one: one.port == 81),
    ),
    Case(
        "a peer and a port, both",
        [ingress({"from": [{"namespaceSelector": IN_Y}], "ports": [{"port": 81}]})],
        onto("x", lambda one: one.source[0] == "y" and one.port == 81),
    ),
    Case(
        "two rules, either",
        [ingress({"from": [{"namespaceSelector": IN_Y}]}, {"ports": [{"port": 81}]})],
        onto("x", lambda one: one.source[0] == "y" or one.port == 81),
    ),
    Case(
        "stacked policies add up",
        [
            policy("deny", policyTypes=["Ingress"]),
            policy("one", podSelector=POD_A, ingress=[{"ports": [{"port": 80}]}]),
            policy("two", podSelector=POD_A, ingress=[{"from": [{"podSelector": POD_B}]}]),
        ],
        onto("x", lambda one: one.target == "x/a" and (one.port == 80 or one.source == "x/b")),
    ),
    Case(
        "out to a pod and its namespace",
        [egress({"to": [{"namespaceSelector": IN_Y, "podSelector": POD_A}]})],
        outof("x", lambda one: one.target == "y/a"),
    ),
    Case(
        "out to addresses",
        [egress({"to": [{"ipBlock": {"cidr": NODE_2}}]})],
        outof("x", lambda one: one.target[2] == "c"),
    ),
    Case(
        "out to addresses but for some",
        [egress({"to": [{"ipBlock": {"cidr": "0.0.0.0/0", "except": [NODE_1]}}]})],
        outof("x", lambda one: one.target[2] == "c"),
    ),
    Case(
        "out to a named port", [egress({"ports": [{"port": "serve-80-tcp"}]})], outof("x", lambda one: one.port == 80)
    ),
    Case(
        "out to a named port of a pod",
        [egress({"to": [{"namespaceSelector": {}, "podSelector": POD_B}], "ports": [{"port": "serve-80-tcp"}]})],
        outof("x", lambda one: one.port == 80 and one.target[2] == "b"),
    ),
    Case(
        "out is open to whom in is closed",
        [egress({"to": [{"namespaceSelector": IN_Y}]}), policy("closed", "y", policyTypes=["Ingress"])],
        lambda one: outof("x", lambda it: it.target[0] == "y")(one) and onto("y", lambda _: False)(one),
    ),
    Case("another's policy", [policy(namespace="y", policyTypes=["Ingress"])], onto("y", lambda _: False)),
    Case(
        "UDP is closed by its number too", [ingress({"ports": [{"port": 80}]})], onto("x", lambda one: one.port == 80)
    ),
]


@pytest.mark.row("S6", "allow matrix, every pair probed: what a policy forbids is dropped, all else comes through")
@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_a_case_of_upstream(world: World, case: Case, record_property: Any) -> None:
    tried = probes(world)
    stopped = check(world, tried, case.allows, *case.policies)
    # A case that stops nothing is one that says so.
    assert (stopped == 0) == (case.name.startswith("every"))
    record_property("S6", f"{len(CASES)} cases of upstream's form, {len(tried)} probes each: all as the policies say")


@pytest.mark.control("S6")
def test_where_nothing_enforces_every_probe_comes_through(world: World) -> None:
    """The policies are the same; the table is away, as on a network without a plugin that enforces."""
    tried = probes(world, protocols=("TCP", "UDP"))
    world.enforce(policy(policyTypes=["Ingress", "Egress"]))
    own = {one for one in tried if one.source == one.target or not (one.source + one.target).count("x/")}
    assert world.reached(tried, own) == own
    for node in ("node-1", "node-2"):
        world.nft(node, "delete table inet podium-netpol")
    assert world.reached(tried, tried) == set(tried)


@pytest.mark.parametrize(
    ("port", "allowed"),
    [
        pytest.param({"port": 80, "protocol": "UDP"}, {(80, "UDP")}, id="80 over UDP"),
        pytest.param({"port": 80}, {(80, "TCP")}, id="80"),
        pytest.param({"port": "serve-81-udp", "protocol": "UDP"}, {(81, "UDP")}, id="a name over UDP"),
        pytest.param({"port": "serve-81-udp"}, set(), id="a name of UDP over TCP"),
        pytest.param({"protocol": "UDP"}, {(80, "UDP"), (81, "UDP")}, id="all over UDP"),
        pytest.param({"protocol": "SCTP"}, set(), id="all over SCTP"),
    ],
)
def test_protocols_are_told_apart(world: World, port: dict[str, Any], allowed: set[tuple[int, str]]) -> None:
    tried = [one for one in probes(world, protocols=("TCP", "UDP")) if one.source in ("x/b", "y/c")]
    allows = onto("x", lambda one: (one.port, one.protocol) in allowed)
    assert check(world, tried, allows, ingress({"ports": [port]})) > 0


def test_labels_that_change_are_followed(world: World) -> None:
    tried = [one for one in probes(world, ports=(80,)) if one.target == "x/a" and one.source != "x/a"]
    rule = ingress({"from": [{"namespaceSelector": {"matchLabels": {"may": "yes"}}, "podSelector": POD_B}]})
    assert check(world, tried, lambda _: False, rule) == len(tried)
    world.labels["y"]["may"] = "yes"
    check(world, tried, lambda one: one.source == "y/b", rule)
    world.pods["y/b"]["metadata"]["labels"] = {}
    check(world, tried, lambda _: False, rule)
    # The policy selects by labels too, and one that selects the pod no more is as good as gone.
    world.pods["x/a"]["metadata"]["labels"] = {}
    check(world, tried, lambda _: True, {**rule, "spec": {**rule["spec"], "podSelector": POD_A}})


def test_a_policy_that_goes_closes_nothing_more(world: World) -> None:
    tried = [one for one in probes(world, ports=(80,)) if one.target == "x/a"]
    one, other = policy("one", policyTypes=["Ingress"]), policy("other", ingress=[{"from": [{"podSelector": POD_B}]}])
    check(world, tried, onto("x", lambda it: it.source == "x/b"), one, other)
    check(world, tried, onto("x", lambda _: False), one)
    check(world, tried, lambda _: True)


def test_a_pod_that_is_new_is_closed_and_let_in(world: World) -> None:
    tried = [one for one in probes(world, ports=(80,)) if one.target in ("x/a", "x/c")]
    late = world.pods.pop("x/b")
    rule = ingress({"from": [{"podSelector": POD_B}]})
    check(world, [one for one in tried if one.source != "x/b"], onto("x", lambda _: False), rule)
    world.pods["x/b"] = late
    check(world, tried, onto("x", lambda one: one.source == "x/b"), rule)


def test_probes_of_the_own_node_pass_and_another_node_is_a_stranger(world: World) -> None:
    tried = [Probe(node, f"x/{pod}") for node in ("node-1", "node-2") for pod in "abc"]
    own = {"a": "node-1", "b": "node-1", "c": "node-2"}
    stopped = check(
        world, tried, lambda one: one.source == own[one.target[2]], policy(policyTypes=["Ingress", "Egress"])
    )
    assert stopped == 3
    named = ingress({"from": [{"ipBlock": {"cidr": "10.88.0.2/32"}}]})
    check(world, tried, lambda one: one.source == "node-2" or one.source == own[one.target[2]], named)


def test_a_pod_that_may_not_go_out_reaches_no_node_its_own_neither(world: World) -> None:
    tried = [Probe(pod, node, port) for pod in ("x/a", "x/c", "y/a") for node in ("node-1", "node-2") for port in PORTS]
    assert check(world, tried, outof("x", lambda _: False), egress()) == 8
    rule = egress({"to": [{"ipBlock": {"cidr": "10.88.0.1/32"}}], "ports": [{"port": 81}]})
    check(world, tried, outof("x", lambda one: (one.target, one.port) == ("node-1", 81)), rule)


def test_a_service_is_judged_by_the_pod_behind_it(world: World) -> None:
    """The table of kube-proxy's kind turns 10.96.0.10:80 into y/b:81 and 10.96.0.11:80 into y/c:81."""
    targets = {"10.96.0.10": world.address("y/b"), "10.96.0.11": world.address("y/c")}
    turns = "\n".join(f"ip daddr {one} tcp dport 80 dnat ip to {other}:81" for one, other in targets.items())
    head = "type nat hook prerouting priority dstnat; policy accept;"
    world.nft("node-1", f"table ip services {{\nchain turn {{\n{head}\n{turns}\n}}\n}}\n")
    try:
        tried = [Probe(pod, service) for pod in ("x/a", "x/b", "y/a") for service in targets]
        by_port = egress({"to": [{"namespaceSelector": IN_Y}], "ports": [{"port": 81}]})
        assert check(world, tried, lambda _: True, by_port) == 0
        other_port = egress({"to": [{"namespaceSelector": IN_Y}], "ports": [{"port": 80}]})
        assert check(world, tried, outof("x", lambda _: False), other_port) == 4
        # The address of a Service is none of a peer's.
        by_service = egress({"to": [{"ipBlock": {"cidr": "10.96.0.0/16"}}]})
        check(world, tried, outof("x", lambda _: False), by_service)
        one_pod = ingress({"from": [{"podSelector": POD_A, "namespaceSelector": {}}]}) | {
            "metadata": {"name": "p", "namespace": "y"}
        }
        check(world, tried, lambda one: one.source[2] == "a", one_pod)
    finally:
        world.nft("node-1", "delete table ip services")


@pytest.mark.parametrize("protocol", ["TCP", "UDP"])
def test_answers_pass_where_nothing_may_go_out(world: World, protocol: str) -> None:
    """x/a and y/b are on one node, y/c is on the other."""
    world.enforce(policy(policyTypes=["Ingress", "Egress"], ingress=[{}]))
    server = world.listening["x/a", 80, protocol]
    for source in ("y/b", "y/c"):
        (asking,) = world.inside(source, [protocol])
        with asking:
            asking.settimeout(20)
            server.settimeout(20)
            asking.connect((world.address("x/a"), 80))
            asking.send(b"question")
            if protocol == "TCP":
                # Probes of other cases wait there too.
                answering = server.accept()[0]
                while answering.getpeername() != asking.getsockname():
                    answering.close()
                    answering = server.accept()[0]
                answering.settimeout(20)
                assert answering.recv(100) == b"question"
                answering.send(b"answer")
                answering.close()
            else:
                said, whence = server.recvfrom(100)
                while said != b"question":
                    said, whence = server.recvfrom(100)
                server.sendto(b"answer", whence)
            assert asking.recv(100) == b"answer"
    server.setblocking(False)
    # The same pod asks nobody.
    assert world.reached([Probe("x/a", "y/b", 80, protocol)], []) == set()


def test_what_is_dropped_is_counted(world: World) -> None:
    world.enforce(ingress())
    world.reached([Probe("y/a", "x/a"), Probe("y/b", "x/a")], [])
    text = world.nft("node-1", "list table inet podium-netpol")
    (line,) = [line for line in text.splitlines() if "counter" in line and '"x/a"' in line]
    assert int(line.split("packets ")[1].split()[0]) >= 2
    assert json.dumps("x/a") in line


def test_a_table_is_replaced_and_not_added_to(world: World) -> None:
    for _ in range(3):
        world.enforce(ingress())
    text = world.nft("node-1", "list ruleset")
    assert text.count("chain forward") == 1
