"""The cluster as kubectl sees it. Only what bringing it up needs; `podium` has its own adapter."""

import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from k8s.airgap.shell import run, succeeds
from podium.errors import ClusterError, MachineError

_RETRY_S = 60.0


@dataclass(frozen=True, slots=True)
class Kubectl:
    """kubectl with one kubeconfig and one context."""

    program: Path
    kubeconfig: Path
    context: str

    def call(self, *arguments: str | Path, what: str, text: str | None = None) -> str:
        """Run kubectl and return its output.

        Raises:
            MachineError: it ended with an error.
        """
        command: list[str | Path] = [
            self.program,
            "--kubeconfig",
            self.kubeconfig,
            "--context",
            self.context,
            *arguments,
        ]
        return run(command, what=what, text=text)

    def apply(self, text: str, *, what: str) -> None:
        """Apply documents on the server's side; try again while a webhook or a definition is not ready yet.

        Raises:
            ClusterError: it is refused for a minute.
        """
        deadline = time.monotonic() + _RETRY_S
        while True:
            try:
                self.call("apply", "--server-side", "--force-conflicts", "-f", "-", what=what, text=text)
            except MachineError as error:
                if time.monotonic() > deadline:
                    raise ClusterError(str(error), error.hint) from error
                time.sleep(1)
            else:
                return

    def get(self, *arguments: str) -> dict[str, Any]:
        """Return what `kubectl get … -o json` answers."""
        read: dict[str, Any] = json.loads(
            self.call("get", *arguments, "-o", "json", what=f"Reading {' '.join(arguments)}")
        )
        return read

    def has(self, *arguments: str) -> bool:
        """Return whether an object is there."""
        command: list[str | Path] = [
            self.program,
            "--kubeconfig",
            self.kubeconfig,
            "--context",
            self.context,
            "get",
            *arguments,
        ]
        return succeeds(command)

    def rolled_out(self, namespace: str, deployment: str, *, timeout_s: int = 180) -> None:
        """Wait until all pods of a Deployment are those of its present template.

        Raises:
            ClusterError: they are not, within the time; the events are in the hint.
        """
        try:
            self.call(
                *("-n", namespace, "rollout", "status", f"deployment/{deployment}", f"--timeout={timeout_s}s"),
                what=f"Waiting for {deployment}",
            )
        except MachineError as error:
            events = self.call("-n", namespace, "get", "events", "--sort-by=.lastTimestamp", what="Reading events")
            tail = "\n".join(events.splitlines()[-6:])
            raise ClusterError(f"{deployment} in {namespace} did not become ready.", hint=tail) from error
