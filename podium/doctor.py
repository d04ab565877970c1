"""Whether this machine can do what Podium does: one check a line, each with a remedy.

Looks only; what it starts are programs asked for their version. It runs from the base installation alone,
so every import of a part that an extra brings is a check of its own. The file of the node class `local` is
compared with the machine here, because nothing else may read hardware off the machine in silence.
"""

import re
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from podium.errors import NodeClassError
from podium.extras import EXTRAS, missing_modules
from podium.machine import Machine, read_machine
from podium.nodeclass import NodeClass, load_node_class
from podium.quantities import format_bytes, parse_quantity
from predictors.fingerprint import environment, fingerprint

__all__ = ["Check", "Status", "examine", "is_usable"]

Status = Literal["ok", "note", "missing"]

FIRST_PORT = 18080
PORTS = 8
NEEDED_MEMORY = 4 << 30
NEEDED_DISK = 2 << 30
_GO = (1, 25)
_HOST = "127.0.0.1"
_SERVING = ("serve-ort", "serve-openvino", "serve-torch", "serve-ray")


@dataclass(frozen=True, slots=True)
class Check:
    """One line: `missing` means that a race cannot run, `note` that something is less than it could be."""

    name: str
    status: Status
    found: str
    remedy: str = ""


def examine(store: Path, *, first_port: int = FIRST_PORT, machine: Machine | None = None) -> tuple[Check, ...]:
    """Return all checks, in the order in which a person would fix them."""
    machine = machine or read_machine()
    return (
        _python(),
        *_extras(),
        _k6(),
        _vegeta(),
        _go(),
        _cores(machine),
        _cgroup(machine),
        _memory(machine),
        _store(store),
        _disk(store),
        _ports(first_port),
        *_local_class(machine),
    )


def is_usable(checks: tuple[Check, ...]) -> bool:
    """Return whether a race can run here."""
    return all(check.status != "missing" for check in checks)


def _python() -> Check:
    found = ".".join(map(str, sys.version_info[:3]))
    fits = (3, 11) <= sys.version_info[:2] < (3, 14)
    return Check("python", "ok" if fits else "missing", found, "" if fits else "use Python 3.11, 3.12 or 3.13")


def _extras() -> Iterator[Check]:
    lacking = {name: missing_modules(name) for name in EXTRAS}
    serves = any(not lacking[name] for name in _SERVING)
    for name, extra in EXTRAS.items():
        if name == "serve":
            continue
        if not lacking[name]:
            yield Check(f"extra {name}", "ok", f"can {extra.purpose}")
            continue
        needed = name == "bench" or (name in _SERVING and not serves)
        yield Check(
            f"extra {name}",
            "missing" if needed else "note",
            f"cannot {extra.purpose}: no {', '.join(lacking[name])}",
            f"pip install 'podium[{name}]'",
        )


def _k6() -> Check:
    from loadtest.errors import GeneratorError
    from loadtest.k6 import find_k6

    try:
        path = find_k6()
    except GeneratorError as error:
        return Check("k6", "missing", str(error), error.hint)
    version = _output([str(path), "version"])
    if "xk6-hdr" not in version:
        return Check("k6", "missing", f"{path} was built without xk6-hdr", "./scripts/build-k6")
    return Check("k6", "ok", f"{version.split()[1]} with xk6-hdr")


def _vegeta() -> Check:
    from loadtest.errors import GeneratorError
    from loadtest.vegeta import find_vegeta

    try:
        path = find_vegeta()
    except GeneratorError as error:
        return Check("vegeta", "missing", f"a race plays one hold again with it: {error}", error.hint)
    return Check("vegeta", "ok", str(path))


def _go() -> Check:
    remedy = "only ./scripts/build-k6 needs it, and fetches one where none is installed"
    match = re.search(r"go(\d+)\.(\d+)[.\d]*", _output(["go", "version"]))
    if match is None:
        return Check("go", "note", "no Go toolchain on the path", remedy)
    fits = (int(match[1]), int(match[2])) >= _GO
    found = match[0].removeprefix("go")
    return Check("go", "ok" if fits else "note", found if fits else f"{found} is too old", "" if fits else remedy)


def _cores(machine: Machine) -> Check:
    if machine.usable_cores >= 2:
        return Check("cores", "ok", f"{machine.usable_cores:g}: server and load generator stay apart")
    return Check(
        "cores",
        "missing",
        f"{machine.usable_cores:g}, and server and load generator need one each",
        "give this machine or container 2 CPUs, as in: docker run --cpus 2",
    )


def _cgroup(machine: Machine) -> Check:
    limit = f"limit of {machine.cpu_limit:g} CPUs" if machine.cpu_limit else "no CPU limit"
    found = f"Linux {machine.kernel}, cgroup v{machine.cgroup_version}, {limit}"
    if machine.cpu_limit and machine.cpu_limit < machine.cores:
        remedy = f"pin whole cores instead, as in: docker run --cpuset-cpus 0-{int(machine.cpu_limit) - 1}"
        return Check("kernel", "note", f"{found} on {machine.cores} cores: runs may be throttled", remedy)
    return Check("kernel", "ok", found)


def _memory(machine: Machine) -> Check:
    free = machine.usable_memory_bytes
    if free >= NEEDED_MEMORY:
        return Check("memory", "ok", f"{format_bytes(free)} free")
    found = f"{format_bytes(free)} free, and a race takes up to {format_bytes(NEEDED_MEMORY)}"
    return Check("memory", "note", found, "end other programs, or leave torch-fp32 out with podium.dev/variants")


def _store(store: Path) -> Check:
    folder = _nearest(store)
    try:
        with tempfile.TemporaryFile(dir=folder):
            return Check("store", "ok", f"{store} can be written")
    except OSError as error:
        return Check("store", "missing", f"{folder}: {error.strerror}", "export PODIUM_STORE=$HOME/.podium/store")


def _disk(store: Path) -> Check:
    free = shutil.disk_usage(_nearest(store)).free
    if free >= NEEDED_DISK:
        return Check("disk", "ok", f"{format_bytes(free)} free")
    found = f"{format_bytes(free)} free, and a first race writes up to {format_bytes(NEEDED_DISK)}"
    return Check("disk", "missing", found, "free some space, or point PODIUM_STORE to a larger disk")


def _ports(first: int) -> Check:
    taken = []
    for port in range(first, first + PORTS):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((_HOST, port))
            except OSError:
                taken.append(port)
    if not taken:
        return Check("ports", "ok", f"{first} to {first + PORTS - 1} are free")
    found = f"{', '.join(map(str, taken))} in use on {_HOST}"
    return Check("ports", "note", found, f"podium race --port {first + 100}, or end what listens there")


def _local_class(machine: Machine) -> Iterator[Check]:
    name = "class local"
    try:
        local = load_node_class("local")
    except NodeClassError as error:
        yield Check(name, "missing", str(error), error.hint)
        return
    known_as = fingerprint(environment(local.name, local.cpu_share))
    yield Check("fingerprint", "ok", f"{known_as}: only runs with the same one are ranked together")
    differences = tuple(_differences(local, machine))
    if not differences:
        yield Check(name, "ok", f"fits this machine: {machine.cpu_model}")
    yield from differences
    if not {"avx512_vnni", "avx_vnni"} & machine.cpu_flags:
        yield Check("int8", "note", "this CPU has no VNNI: int8 variants gain less and may lose accuracy")


def _differences(local: NodeClass, machine: Machine) -> Iterator[Check]:
    name = "class local"
    if (cores := machine.usable_cores) < local.cpu_share + 1:
        yield Check(
            name,
            "missing",
            f"gives a server {local.cpu_share:g} CPU, which leaves no core of {cores:g} for the load",
            "give this machine one CPU more, or lower resources in k8s/node-classes/local.yaml",
        )
    lacking = sorted(set(local.cpu_features) - machine.cpu_flags)
    if lacking:
        yield Check(
            name,
            "missing",
            f"lets artifacts use {', '.join(lacking)}, which this CPU lacks",
            "remove it from cpuFeatures in k8s/node-classes/local.yaml",
        )
    remedy = "change price.allocatable in k8s/node-classes/local.yaml, else costs are those of another machine"
    offered = parse_quantity(local.price.allocatable["cpu"])
    if offered != machine.usable_cores:
        yield Check(name, "note", f"is priced for {offered:g} CPUs, here are {machine.usable_cores:g}", remedy)
    memory = parse_quantity(local.price.allocatable["memory"])
    if memory > machine.memory_bytes:
        found = f"is priced for {format_bytes(memory)} of memory, here are {format_bytes(machine.memory_bytes)}"
        yield Check(name, "note", found, remedy)


def _nearest(path: Path) -> Path:
    """Return the nearest folder that exists, from `path` upward."""
    return next(folder for folder in (path.absolute(), *path.absolute().parents) if folder.is_dir())


def _output(command: list[str]) -> str:
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=10, check=False).stdout
    except (OSError, subprocess.TimeoutExpired):
        return ""
