"""What makes NetworkPolicies hold in the air-gapped cluster: a unit on every node, or none where it is switched off.

For the test cluster alone: the static pod network has no plugin that would enforce them, and none can be had there.
Nodes of upstream's images need it not: kind's own network plugin enforces.
"""

import hashlib
import json
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from k8s.airgap.kube import Kubectl
from k8s.airgap.shell import run, say, step, succeeds
from podium.errors import MachineError, UsageError

UNIT = "podium-netpol.service"
TABLE = "podium-netpol"
_PROGRAM = "/usr/local/bin/podium-netpol"
_UNIT_FILE = Path(__file__).parent / "node" / UNIT
_UNIT_PLACE = f"/etc/systemd/system/{UNIT}"
_READY_S = 60.0


def is_wanted(setting: str) -> bool:
    """Return whether NetworkPolicies are to be enforced.

    Raises:
        UsageError: the setting is neither `on` nor `off`.
    """
    if setting not in ("on", "off"):
        raise UsageError(f"PODIUM_NETPOL is {setting!r}; it may be on or off.")
    return setting == "on"


def rights() -> list[dict[str, Any]]:
    """Return what lets nodes read policies, and the labels and addresses of all pods; a node sees but its own."""
    name = {"name": "podium-netpol"}
    group = "rbac.authorization.k8s.io"
    seen = {"": ["pods", "namespaces"], "networking.k8s.io": ["networkpolicies"]}
    rules = [{"apiGroups": [key], "resources": kinds, "verbs": ["list", "watch"]} for key, kinds in seen.items()]
    return [
        {"apiVersion": f"{group}/v1", "kind": "ClusterRole", "metadata": name, "rules": rules},
        {
            "apiVersion": f"{group}/v1",
            "kind": "ClusterRoleBinding",
            "metadata": name,
            "roleRef": {"apiGroup": group, "kind": "ClusterRole", **name},
            "subjects": [{"apiGroup": group, "kind": "Group", "name": "system:nodes"}],
        },
    ]


def enforce(kubectl: Kubectl, containers: Iterable[str], program: Path) -> None:
    """Run the enforcer on nodes as a unit of its own, which comes back with the node, and wait for its table.

    Raises:
        MachineError: it does not come up on a node; the end of its log is in the hint.
    """
    with step("NetworkPolicies"):
        rules = {"apiVersion": "v1", "kind": "List", "items": rights()}
        kubectl.apply(json.dumps(rules), what="The rights of the policies' enforcer")
        with ThreadPoolExecutor() as pool:
            for done in [pool.submit(_enforce_on, container, program) for container in containers]:
                done.result()


def release(containers: Iterable[str]) -> None:
    """Take the enforcer and its table off nodes: policies are kept and do nothing."""
    for container in containers:
        if _says(container, "test", "-e", _UNIT_PLACE):
            _on(container, "systemctl", "disable", "--now", UNIT, what="Ending the policies' enforcer")
        _remove_table(container)
    say("note: NetworkPolicies are not enforced on this cluster (PODIUM_NETPOL=off)")


def is_enforced(container: str) -> bool:
    """Return whether a node enforces."""
    return _says(container, "systemctl", "is-active", "--quiet", UNIT) and _has_table(container)


def _enforce_on(container: str, program: Path) -> None:
    sums = {_PROGRAM: program, _UNIT_PLACE: _UNIT_FILE}
    wanted = "\n".join(f"{hashlib.sha256(file.read_bytes()).hexdigest()}  {place}" for place, file in sums.items())
    if not _says(container, "sh", "-c", f"echo '{wanted}' | sha256sum -c --status"):
        # What runs cannot be written over.
        _says(container, "systemctl", "stop", UNIT)
        # The table that the wait below finds must be the new program's.
        _remove_table(container)
        for place, file in sums.items():
            run(["docker", "cp", file, f"{container}:{place}"], what="Copying the policies' enforcer")
        _on(container, "systemctl", "daemon-reload", what="Reading the enforcer's unit")
    _on(container, "systemctl", "enable", "--now", UNIT, what="Starting the policies' enforcer")
    deadline = time.monotonic() + _READY_S
    while not is_enforced(container):
        if time.monotonic() > deadline:
            log = _on(container, "journalctl", "-u", UNIT, "-n", "8", "--no-pager", what="The enforcer's log")
            raise MachineError(f"NetworkPolicies are not enforced on {container}.", hint=log.strip())
        time.sleep(0.2)


def _remove_table(container: str) -> None:
    if _has_table(container):
        _on(container, "nft", "delete", "table", "inet", TABLE, what="Removing the policies' table")


def _has_table(container: str) -> bool:
    return _says(container, "nft", "list", "table", "inet", TABLE)


def _on(container: str, *words: str, what: str) -> str:
    return run(["docker", "exec", container, *words], what=f"{what} on {container}")


def _says(container: str, *words: str) -> bool:
    return succeeds(["docker", "exec", container, *words])
