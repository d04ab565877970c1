"""Which cluster is meant: the flags of a command, the environment, the clone's own test cluster, the user's default."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from podium.cluster.errors import UnreachableError

__all__ = ["KIND_KUBECONFIG", "Access", "kubeconfig_path"]

KIND_KUBECONFIG = Path(".podium/kubeconfig")


@dataclass(frozen=True, slots=True)
class Access:
    """How a person names a cluster on the command line; what is None is looked for.

    Attributes:
        kubeconfig: file, from `--kubeconfig`.
        context: name in it, from `--context`; its current one without.
        namespace: from `--namespace`; the context's without.
    """

    kubeconfig: Path | None = None
    context: str | None = None
    namespace: str | None = None


def kubeconfig_path(access: Access, *, home: Path | None = None) -> str | None:
    """Return the kubeconfig to be read, or None where there is none at all.

    The order is: the flag, `KUBECONFIG` (a list of files, as kubectl takes it), the test cluster of this clone, and
    `~/.kube/config`.

    Raises:
        UnreachableError: a file that was named does not exist.
    """
    if access.kubeconfig is not None:
        if not access.kubeconfig.is_file():
            raise UnreachableError(
                f"There is no kubeconfig at {access.kubeconfig}", "name an existing file with --kubeconfig"
            )
        return str(access.kubeconfig)
    listed = [part for part in os.environ.get("KUBECONFIG", "").split(os.pathsep) if part]
    if listed:
        found = [part for part in listed if Path(part).is_file()]
        if not found:
            raise UnreachableError(
                f"KUBECONFIG names {os.pathsep.join(listed)}, and there is no such file",
                "unset KUBECONFIG, or let it name your cluster's kubeconfig",
            )
        return os.pathsep.join(found)
    for path in (KIND_KUBECONFIG, (home or Path.home()) / ".kube" / "config"):
        if path.is_file():
            return str(path)
    return None
