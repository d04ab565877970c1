"""The containers that are the cluster's nodes: which cores they may use, the device plugin, images.

On one machine the control plane and the load generators share the first half of the cores, and the tested nodes the
second half: a load that steals from the server that it measures gives figures that mean nothing.
"""

import contextlib
import hashlib
import json
import os
import subprocess
import tempfile
import threading
import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from k8s.airgap.shell import run, succeeds
from podium.errors import MachineError

_TESTED = ("epyc", "a100")
_UNIT = "podium-fakegpu.service"
_NODE_FILES = Path(__file__).parent / "node"
_KUBELET_FILES = {
    "podium-kubelet-cgroups": "/usr/local/bin",
    "12-podium.conf": "/etc/systemd/system/kubelet.service.d",
}
_CONTAINERD_S = 120.0
_TRIES = 20
_BLOCK = 2**20
_INTO = ("ctr", "-n", "k8s.io", "images", "import", "-")


def cpusets(cores: int, classes: Mapping[str, str]) -> dict[str, str]:
    """Return the cores of each node class, in cpuset form: `0-1` and `2-3` of four, `0` and `0` of one."""
    half = max(1, cores // 2)
    quiet = _span(0, half - 1)
    tested = _span(half, cores - 1) if cores > 1 else quiet
    return {name: tested if name in _TESTED else quiet for name in classes}


def _span(first: int, last: int) -> str:
    return str(first) if first == last else f"{first}-{last}"


def pin_all(cores: int, classes: Mapping[str, str]) -> None:
    """Give every node's container its cores, all at once.

    Raises:
        MachineError: Docker refuses.
    """
    wanted = cpusets(cores, classes)
    with ThreadPoolExecutor(max_workers=len(wanted)) as pool:
        for done in [pool.submit(pin, classes[node_class], span) for node_class, span in wanted.items()]:
            done.result()


def pin(container: str, cores: str) -> None:
    """Let a node's container run on these cores only.

    Raises:
        MachineError: Docker refuses.
    """
    _survive_restarts(container)
    now = run(["docker", "inspect", "-f", "{{.HostConfig.CpusetCpus}}", container], what=f"Looking at {container}")
    if now.strip() == cores:
        return
    update = ["docker", "update", "--cpuset-cpus", cores, container]
    for _ in range(_TRIES):
        _narrow_children(container, cores)
        if succeeds(update):
            return
        time.sleep(0.1)
    run(update, what=f"Giving {container} the cores {cores}")


def _survive_restarts(container: str) -> None:
    """Let the kubelet of a pinned node start again; on cgroup v1 it would refuse to. See the script for the reason."""
    for name, folder in _KUBELET_FILES.items():
        there = ["docker", "exec", container, "test", "-e", f"{folder}/{name}"]
        if not succeeds(there):
            run(["docker", "cp", _NODE_FILES / name, f"{container}:{folder}/{name}"], what=f"Copying {name}")
            run(["docker", "exec", container, "systemctl", "daemon-reload"], what="Reading the kubelet's unit")


def _narrow_children(container: str, cores: str) -> None:
    """Narrow the cgroups below a container's, deepest first: cgroup v1 refuses a parent smaller than its children."""
    pid = run(["docker", "inspect", "-f", "{{.State.Pid}}", container], what=f"Looking at {container}").strip()
    try:
        groups = Path(f"/proc/{pid}/cgroup").read_text().splitlines()
    except OSError:
        return
    for line in groups:
        _, controllers, path = line.split(":", 2)
        if "cpuset" not in controllers.split(","):
            continue
        identity = run(["docker", "inspect", "-f", "{{.Id}}", container], what=f"Looking at {container}").strip()
        top = Path("/sys/fs/cgroup/cpuset" + path.split(identity)[0] + identity)
        for folder, _, _ in os.walk(top, topdown=False):
            if Path(folder) == top:
                continue
            try:
                (Path(folder) / "cpuset.cpus").write_text(cores)
            except OSError:  # gone meanwhile, or it has a new child: the next try sees it
                continue


def offer_gpus(container: str, program: Path) -> None:
    """Run the device plugin on a node as a unit of its own, which comes back with the node and with the kubelet.

    Raises:
        MachineError: the unit does not start.
    """
    target = "/usr/local/bin/fakegpu"
    unit = _NODE_FILES / _UNIT
    wanted = hashlib.sha256(program.read_bytes()).hexdigest()
    there = succeeds(["docker", "exec", container, "sh", "-c", f"echo {wanted} {target} | sha256sum -c --status"])
    if there and succeeds(["docker", "exec", container, "systemctl", "is-active", "--quiet", _UNIT]):
        return
    run(["docker", "cp", program, f"{container}:{target}"], what="Copying the device plugin")
    run(["docker", "cp", unit, f"{container}:/etc/systemd/system/{_UNIT}"], what="Copying the device plugin's unit")
    run(["docker", "exec", container, "systemctl", "daemon-reload"], what="Reading the device plugin's unit")
    run(["docker", "exec", container, "systemctl", "enable", "--now", _UNIT], what="Starting the device plugin")


def image_plan(
    images: Mapping[str, str], classes: Mapping[str, str], runtimes: Mapping[str, Collection[str]]
) -> dict[str, list[str]]:
    """Return which of our images each node's container needs: predictors where they serve, generators where they load.

    Args:
        images: references by name.
        classes: the nodes' containers by node class.
        runtimes: what each class runs; an engine that it does not run is never placed there. PyTorch's image is
            gigabytes: it goes to one node.
    """
    plan: dict[str, list[str]] = {}
    for name, reference in sorted(images.items()):
        engine = name.removeprefix("predictor-")
        if name == "loadtest":
            where = ["loadgen"]
        elif engine == "torch":
            where = ["epyc"]
        elif engine == name:
            where = list(_TESTED)
        else:
            where = [node_class for node_class in _TESTED if engine in runtimes[node_class]]
        for node_class in where:
            if node_class in classes:
                plan.setdefault(classes[node_class], []).append(reference)
    return plan


def wait_for_containerd(containers: Iterable[str], given_up: threading.Event) -> None:
    """Return when the nodes take images, which they do long before Kubernetes runs on them.

    Raises:
        MachineError: one does not within two minutes, or the cluster was given up.
    """
    deadline = time.monotonic() + _CONTAINERD_S
    for container in containers:
        while not succeeds(["docker", "exec", container, "ctr", "version"]):
            if given_up.is_set() or time.monotonic() > deadline:
                raise MachineError(f"The containerd of {container} does not answer.", hint=f"docker logs {container}")
            time.sleep(0.5)


def load_images(plan: Mapping[str, list[str]]) -> dict[str, list[str]]:
    """Import the images that nodes lack from Docker, and return their names by node.

    Nodes that lack the same images get them from one reading, all at once.

    Raises:
        MachineError: Docker has no such image, or a node refuses it.
    """
    absent = {container: missing(container, wanted) for container, wanted in plan.items()}
    groups: dict[tuple[str, ...], list[str]] = {}
    for container, names in absent.items():
        if names:
            groups.setdefault(tuple(names), []).append(container)
    with ThreadPoolExecutor(max_workers=max(1, len(groups))) as pool:
        for done in [pool.submit(_import, names, targets) for names, targets in groups.items()]:
            done.result()
    return {container: names for container, names in absent.items() if names}


def missing(container: str, wanted: Sequence[str]) -> list[str]:
    """Return those of the images that a node lacks."""
    listing = ["docker", "exec", container, "ctr", "-n", "k8s.io", "images", "ls", "-q"]
    there = set(run(listing, what=f"Images on {container}").splitlines())
    return [name for name in wanted if name not in there]


def import_archive(container: str, file: Path) -> None:
    """Import the images of an archive on a node.

    Raises:
        MachineError: the node refuses them.
    """
    with file.open("rb") as content:
        done = subprocess.run(
            ["docker", "exec", "-i", container, *_INTO], stdin=content, capture_output=True, text=True, check=False
        )
    if done.returncode != 0:
        raise MachineError(f"{container} did not take the images of {file.name}.", hint=done.stderr.strip()[-2000:])


def _import(names: tuple[str, ...], targets: list[str]) -> None:
    with tempfile.TemporaryFile() as said:
        saving = subprocess.Popen(["docker", "save", *names], stdout=subprocess.PIPE, stderr=said)
        imports = [
            subprocess.Popen(
                ["docker", "exec", "-i", target, *_INTO], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=said
            )
            for target in targets
        ]
        while saving.stdout is not None and (block := saving.stdout.read(_BLOCK)):
            for process in imports:
                with contextlib.suppress(BrokenPipeError):  # its status tells
                    process.stdin.write(block)  # type: ignore[union-attr]
        for process in imports:
            with contextlib.suppress(BrokenPipeError):
                process.stdin.close()  # type: ignore[union-attr]
        statuses = [process.wait() for process in (saving, *imports)]
        if any(statuses):
            said.seek(0)
            told = said.read().decode(errors="replace").strip()
            raise MachineError(f"{' or '.join(targets)} did not take {', '.join(names)}.", hint=told[-2000:])


def containers(cluster: str) -> dict[str, bool]:
    """Return the cluster's containers and whether each runs."""
    label = f"label=io.x-k8s.kind.cluster={cluster}"
    listed = run(["docker", "ps", "-a", "--filter", label, "--format", "{{json .}}"], what="The cluster's containers")
    return {item["Names"]: item["State"] == "running" for item in map(json.loads, listed.splitlines())}
