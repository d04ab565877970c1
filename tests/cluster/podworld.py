"""Pods that are network namespaces, on nodes that are network namespaces, routed as the static pod network routes them.

Three Kubernetes namespaces x, y and z with the pods a, b and c in each, as upstream's conformance cases have them; all
c are on a second node. No program runs in a pod: a thread that enters a namespace opens its sockets there, where they
stay.
"""

import ctypes
import json
import os
import selectors
import shutil
import socket
import subprocess
import time
import uuid
from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from k8s.airgap import cache, golang, versions
from podium.errors import MachineError
from tests.cluster.conftest import ROOT
from tests.needs import lack

__all__ = ["PORTS", "Probe", "World", "building", "lacks", "obtained", "policy"]

Document = dict[str, Any]
SPACES, NAMES, PORTS = ("x", "y", "z"), ("a", "b", "c"), (80, 81)
NODES = {"node-1": 1, "node-2": 2}
_CLONE_NEWNET = 0x40000000
_DEADLINE_S = 20.0
_GRACE_S = 0.15


class Probe(NamedTuple):
    """An attempt to reach a port: both ends as `x/a`, or as the name of a node."""

    source: str
    target: str
    port: int = 80
    protocol: str = "TCP"


def lacks() -> str:
    """Return what this machine lacks to make such pods, or an empty text."""
    if os.geteuid() != 0:
        return "network namespaces need root"
    missing = [name for name in ("ip", "nft", "sysctl") if shutil.which(name) is None]
    if missing:
        return f"this machine has no {' and no '.join(missing)}"
    tried = f"podium-try-{os.getpid()}"
    made = subprocess.run(["ip", "netns", "add", tried], capture_output=True, text=True, check=False)
    subprocess.run(["ip", "netns", "del", tried], capture_output=True, check=False)
    return "" if made.returncode == 0 else f"no network namespace can be made here: {made.stderr.strip()}"


def obtained() -> Path:
    """Return the program that makes the tables, or skip; fail where `PODIUM_REQUIRE` asks for the cluster."""
    if reason := lacks():
        lack("cluster", reason)
    store = cache.Cache(work=ROOT / ".podium" / "airgap", outside=cache.default_folder())
    try:
        return golang.obtain(golang.PROGRAMS["netpol"], versions.load(), store)
    except MachineError as error:
        lack("cluster", f"the program cannot be built here: {error}")


def policy(name: str = "p", namespace: str = "x", **spec: Any) -> Document:
    """Return a NetworkPolicy; without a `podSelector` it selects all pods."""
    return {"metadata": {"name": name, "namespace": namespace}, "spec": {"podSelector": {}, **spec}}


@dataclass(slots=True)
class World:
    """The pods, what the API server would say of them, and their sockets."""

    program: Path
    prefix: str
    pods: dict[str, Document] = field(default_factory=dict)
    labels: dict[str, dict[str, str]] = field(default_factory=dict)
    listening: dict[tuple[str, int, str], socket.socket] = field(default_factory=dict)

    def address(self, name: str) -> str:
        """Return the address of a pod or node; an address is its own."""
        if name in NODES:
            return f"10.88.0.{NODES[name]}"
        return str(self.pods[name]["status"]["podIP"]) if name in self.pods else name

    def enforce(self, *policies: Document) -> None:
        """Let the program make each node's table of what is there now, and nft replace it."""
        state = {
            "pods": list(self.pods.values()),
            "namespaces": [{"metadata": {"name": name, "labels": labels}} for name, labels in self.labels.items()],
            "policies": list(policies),
            "podNetwork": "10.244.0.0/16",
        }
        for node in NODES:
            made = subprocess.run(
                [self.program, "render", node], input=json.dumps(state), capture_output=True, text=True, check=True
            )
            self.nft(node, made.stdout)

    def nft(self, node: str, text: str) -> str:
        """Run nft on a node."""
        command = ["ip", "netns", "exec", self.prefix + node, "nft", "-f", "-"]
        done = subprocess.run(command, input=text, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{done.stderr}\n{text}"
        return done.stdout

    def reached(self, probes: Collection[Probe], expected: Collection[Probe]) -> set[Probe]:
        """Return which probes come through, sent all at once.

        It waits for those that are expected to, then for a moment more: one that is dropped is never answered.
        """
        with ExitStack() as stack, selectors.DefaultSelector() as ready:
            begun: dict[bytes, Probe] = {}
            for source in {probe.source for probe in probes}:
                own = [probe for probe in probes if probe.source == source]
                for probe, made in zip(own, self.inside(source, [probe.protocol for probe in own]), strict=True):
                    stack.enter_context(made)
                    target = (self.address(probe.target), probe.port)
                    if probe.protocol == "TCP":
                        made.connect_ex(target)
                        ready.register(made, selectors.EVENT_WRITE, probe)
                    else:
                        begun[uuid.uuid4().bytes] = probe
                        made.sendto(list(begun)[-1], target)
            for (_, _, protocol), listener in self.listening.items():
                ready.register(listener, selectors.EVENT_READ, protocol)
            return _gathered(ready, begun, set(expected), len(probes))

    def inside(self, name: str, protocols: Collection[str]) -> list[socket.socket]:
        """Open sockets in the namespace of a pod or node; they stay there."""

        def entered() -> list[socket.socket]:
            with Path(f"/run/netns/{self.prefix}{name.replace('/', '-')}").open() as space:
                libc = ctypes.CDLL(None, use_errno=True)
                assert libc.setns(space.fileno(), _CLONE_NEWNET) == 0, os.strerror(ctypes.get_errno())
            return [_dial(protocol) for protocol in protocols]

        # The thread ends with the pool, and with it its stay in the namespace.
        with ThreadPoolExecutor(1) as pool:
            return pool.submit(entered).result()


def _gathered(
    ready: selectors.BaseSelector, begun: Mapping[bytes, Probe], expected: set[Probe], count: int
) -> set[Probe]:
    found: set[Probe] = set()
    late = until = time.monotonic() + _DEADLINE_S
    while len(found) < count and (now := time.monotonic()) < until:
        for key, _ in ready.select(min(0.05, until - now)):
            one = key.fileobj
            assert isinstance(one, socket.socket)
            if key.data == "TCP":
                # One that is not taken would fill the queue of those that come after it.
                one.accept()[0].close()
                continue
            if key.data == "UDP":
                probe = begun.get(one.recv(100))
                found |= {probe} if probe else set()
                continue
            ready.unregister(one)
            if one.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0:
                found.add(key.data)
        if until == late and expected <= found:
            until = time.monotonic() + _GRACE_S
    return found


def _dial(protocol: str) -> socket.socket:
    made = socket.socket(socket.AF_INET, socket.SOCK_STREAM if protocol == "TCP" else socket.SOCK_DGRAM)
    made.setblocking(False)
    return made


def _pod(space: str, name: str, number: int, node: str) -> Document:
    ports = [
        {"name": f"serve-{port}-{protocol.lower()}", "containerPort": port, "protocol": protocol}
        for port in PORTS
        for protocol in ("TCP", "UDP")
    ]
    return {
        "metadata": {"namespace": space, "name": name, "labels": {"pod": name}},
        "spec": {"nodeName": node, "containers": [{"ports": ports}]},
        "status": {"phase": "Running", "podIP": f"10.244.{NODES[node]}.{number}"},
    }


@contextmanager
def building(
    program: Path, *, ports: Sequence[int] = PORTS, protocols: Sequence[str] = ("TCP", "UDP")
) -> Iterator[World]:
    """Make the pods and nodes, all of which listen on the ports, and take them away."""
    world = World(program, prefix := f"podium-{os.getpid()}-")
    number = 10
    for space in SPACES:
        world.labels[space] = {"ns": space, "kubernetes.io/metadata.name": space}
        for name in NAMES:
            number += 1
            world.pods[f"{space}/{name}"] = _pod(space, name, number, "node-2" if name == "c" else "node-1")
    try:
        _lay_out(world)
        for name in (*world.pods, *NODES):
            wanted = [(port, protocol) for port in ports for protocol in protocols]
            for (port, protocol), made in zip(wanted, world.inside(name, [one for _, one in wanted]), strict=True):
                world.listening[name, port, protocol] = made
                made.bind(("0.0.0.0", port))
                if protocol == "TCP":
                    made.listen(500)
        yield world
    finally:
        for listener in world.listening.values():
            listener.close()
        for name in (*world.pods, *NODES):
            gone = ["ip", "netns", "del", prefix + name.replace("/", "-")]
            subprocess.run(gone, capture_output=True, check=False)


def _lay_out(world: World) -> None:
    """Connect pods to their nodes as the plugin ptp does, by a route to each, and the nodes to each other."""
    prefix = world.prefix
    spaces = [prefix + name.replace("/", "-") for name in (*world.pods, *NODES)]
    subprocess.run(["ip", "-batch", "-"], input="\n".join(f"netns add {one}" for one in spaces), text=True, check=True)
    first, second = (prefix + node for node in NODES)
    lines: dict[str, list[str]] = {one: ["link set lo up"] for one in spaces}
    lines[first] += [f"link add eth0 type veth peer name eth0 netns {second}"]
    for node, place in NODES.items():
        other = 3 - place
        lines[prefix + node] += [f"addr add 10.88.0.{place}/24 dev eth0", "link set eth0 up"]
        lines[prefix + node] += [f"route add 10.244.{other}.0/24 via 10.88.0.{other}"]
    for key, pod in world.pods.items():
        own, node, address = prefix + key.replace("/", "-"), pod["spec"]["nodeName"], pod["status"]["podIP"]
        outer, gateway = "v" + key.replace("/", ""), f"10.244.{NODES[node]}.1"
        lines[prefix + node] += [
            f"link add {outer} type veth peer name eth0 netns {own}",
            f"addr add {gateway}/32 dev {outer}",
            f"link set {outer} up",
            f"route add {address}/32 dev {outer} src {gateway}",
        ]
        lines[own] += [
            f"addr add {address}/32 dev eth0",
            "link set eth0 up",
            f"route add {gateway}/32 dev eth0",
            f"route add default via {gateway}",
        ]
    # What makes both ends of a link comes before what sets up the other end.
    for one in (first, second, *(name for name in spaces if name not in (first, second))):
        subprocess.run(["ip", "-n", one, "-batch", "-"], input="\n".join(lines[one]), text=True, check=True)
    for node in NODES:
        forward = ["ip", "netns", "exec", prefix + node, "sysctl", "-qw", "net.ipv4.ip_forward=1"]
        subprocess.run(forward, check=True)
