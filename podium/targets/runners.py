"""The load generators of a race on a cluster: one release of the chart `loadtest`, kept for the race's whole length.

A runner that has started takes one shot after the other, so that a shot costs no pod. The tool talks to their results
server through the API server's proxy, and to nothing else.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Literal, cast

from loadtest.errors import GeneratorError
from loadtest.fleet import Fleet
from podium.cluster.adapter import Cluster
from podium.cluster.diagnosis import Patience, pod_fault
from podium.cluster.errors import ClusterError, DeadlineError
from podium.cluster.helm import Helm
from podium.cluster.kinds import DEPLOYMENT, JOB, POD, Document, condition, name_of
from podium.cluster.release import load_values_of
from podium.cluster.site import Platform

__all__ = ["RunnerPods"]

_CHART = "loadtest"
_PORT = 8090
_UP_S = 90.0
_GONE_S = 60.0
_CLOCK_LOOKS = 5
_CLOCK_S = 5.0


class RunnerPods:
    """The runners of one race: made when first asked for, found again after a crash."""

    def __init__(
        self,
        cluster: Cluster,
        helm: Helm,
        platform: Platform,
        *,
        label: str,
        race_label: str,
        runners: int,
        say: Callable[[str], None],
        through_gateway: bool = False,
    ) -> None:
        self._cluster = cluster
        self._helm = helm
        self._platform = platform
        self._label = label
        self._race_label = race_label
        self._count = runners
        self._through_gateway = through_gateway
        self._say = say
        self._fleet: Fleet | None = None
        self._looked = 0.0
        self._patience = Patience()
        self.release = f"{label}-load"

    def fleet(self) -> Fleet:
        """Return the runners, started where they are not.

        Raises:
            ClusterError: they do not come up.
        """
        if self._fleet is None:
            self._start()
            self._fleet = Fleet(self._send, runners=self._count, guard=self._guard)
        return self._fleet

    def ahead_s(self) -> float:
        """Return by how much the clock that the runners start by is ahead of this machine's; starts them before.

        Raises:
            ClusterError: they do not come up, or their results server does not answer.
        """
        self.fleet()
        looks = []
        for _ in range(_CLOCK_LOOKS):
            began = time.time_ns()
            told = int(self._send("GET", "/time", timeout_s=_CLOCK_S))
            ended = time.time_ns()
            looks.append((ended - began, told - (began + ended) // 2))
        # The quickest look knows best.
        return min(looks)[1] / 1e9

    def remove(self) -> None:
        """Take the runners away; does nothing where there are none."""
        self._fleet = None
        self._helm.uninstall(self.release)
        deadline = time.monotonic() + _GONE_S
        while pods := self._pods():
            if time.monotonic() > deadline:
                names = ", ".join(name_of(pod) for pod in pods)
                raise DeadlineError(f"Load generators are still there after {_GONE_S:.0f} s: {names}", names)
            time.sleep(0.2)

    def _start(self) -> None:
        self._say("starting the load generators")
        former = self._cluster.get(JOB, f"{self.release}-runners")
        if former is not None and not _is_active(former):
            # A Job that has ended cannot be started again.
            self.remove()
        values = load_values_of(self._label, self._platform, runners=self._count, through_gateway=self._through_gateway)
        self._helm.upgrade(self.release, _CHART, values)
        try:
            self._cluster.wait(
                DEPLOYMENT,
                f"{self.release}-results",
                _unavailable,
                timeout_s=_UP_S,
                meanwhile=lambda _found: self._look(),
            )
            fleet = Fleet(self._send, runners=self._count)
            deadline = time.monotonic() + _UP_S
            while len(fleet.facts()) < self._count:
                self._guard()
                if time.monotonic() > deadline:
                    raise DeadlineError(
                        f"Not all of {self._count} load generators came within {_UP_S:.0f} s", "too few"
                    )
                time.sleep(0.2)
        except (ClusterError, GeneratorError, KeyboardInterrupt):
            self.remove()
            raise

    def _pods(self) -> list[Document]:
        return [
            pod
            for pod in self._cluster.list(POD, labels=f"{self._race_label}={self._label}")
            if name_of(pod).startswith(f"{self.release}-")
        ]

    def _look(self) -> None:
        """Raise why a pod of the runners cannot start; seen for a while, because some causes pass."""
        faults = [fault for pod in self._pods() if (fault := pod_fault(self._cluster, pod)) is not None]
        first = faults[0] if faults else None
        if self._patience.is_over(first) and first is not None:
            raise ClusterError(f"The load generators cannot run: {first.sentence}", first.remedy)

    def _guard(self) -> None:
        """Raise when no answer can come any more: the Job of the runners has ended or is gone."""
        if time.monotonic() - self._looked < 2.0:
            return
        self._looked = time.monotonic()
        self._look()
        job = self._cluster.get(JOB, f"{self.release}-runners")
        if job is None:
            raise GeneratorError("the load generators were removed while they played", "run the same command again")
        failed = condition(job, "Failed")
        if failed is not None and failed.get("status") == "True":
            raise GeneratorError(
                f"the load generators ended: {failed.get('message') or failed.get('reason')}",
                "run the same command again; what was measured is kept",
            )

    def _send(
        self,
        method: str,
        path: str,
        *,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        timeout_s: float,
    ) -> bytes:
        verb = cast("Literal['GET', 'PUT', 'POST', 'DELETE']", method)
        service = f"{self.release}-results"
        return self._cluster.through(
            verb, "services", service, _PORT, path, body=body, headers=headers, timeout_s=timeout_s
        )


def _is_active(job: Document) -> bool:
    return all((condition(job, name) or {}).get("status") != "True" for name in ("Complete", "Failed"))


def _unavailable(deployment: Document | None) -> str:
    status = (deployment or {}).get("status") or {}
    return "" if status.get("availableReplicas") else "the results server of the load generators is not available"
