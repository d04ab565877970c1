"""Faults under load: a variant with two replicas, what is done to it while requests come, and what that loses.

Used by the short forms in test_faults.py and by the long ones in benchmarks/faults.py.
"""

import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.artifacts import vector_artifact
from tests.cluster.conftest import ROOT, Kubectl
from tests.cluster.load import Load, Seen, loading
from tests.cluster.releases import Helm, shelved, values_of
from tests.eventually import eventually

__all__ = ["NAME", "Bench", "Drained", "Mark", "Tried", "bench"]

NAME = "steady"
CHART = ROOT / "charts" / "variant"
# About 4 ms of a core with every request, so that what two pods can bear is known and does not move.
COST = 500
READY_S = 90.0
# A request that fails because of a fault may have been meant to leave a little before or after it.
_AROUND_S = 1.0


@dataclass(frozen=True, slots=True)
class Mark:
    """One fault: what was done, and when it began and was over, in seconds of the load's schedule."""

    what: str
    began_s: float
    ended_s: float


@dataclass(frozen=True, slots=True)
class Tried:
    """What a load saw while faults were made."""

    seen: Seen
    marks: tuple[Mark, ...]

    @property
    def is_within(self) -> bool:
        """Return whether every fault lay within the load: else it proves nothing."""
        planned_s = self.seen.seconds
        return bool(self.marks) and all(mark.began_s > 0 and mark.ended_s < planned_s for mark in self.marks)

    def lost_in(self, what: str) -> int:
        """Return how many requests failed during faults of one kind."""
        windows = [(one.began_s - _AROUND_S, one.ended_s + _AROUND_S) for one in self.marks if one.what == what]
        return sum(1 for _, at_s, _ in self.seen.failures if any(low <= at_s <= high for low, high in windows))


@dataclass(frozen=True, slots=True)
class Drained:
    """What a drain did: exit code, what it said, the fewest pods that served meanwhile, seconds until two did."""

    code: int
    told: str
    fewest: int
    back_s: float


@dataclass(slots=True)
class Bench:
    """A variant that serves with two replicas, the load on it, and the faults."""

    namespace: Kubectl
    load: Load
    artifact: str
    newer: Path
    _marks: list[tuple[str, float, float]] = field(default_factory=list)

    def values(self, **changes: Any) -> dict[str, Any]:
        """Return the values of the variant; nothing scales, and a pod bears the whole load for a while."""
        size = {"cpu": "400m", "memory": "256Mi"}
        return values_of(
            self.artifact,
            replicas={"min": 2, "max": 2},
            autoscaling={"enabled": False},
            resources={"requests": size, "limits": size},
            **{"preStop": "5s", "gracePeriodSeconds": 30, "serving": {"maxBatch": 1}, **changes},
        )

    def settle(self, **changes: Any) -> None:
        """Install or change the variant without a load, and wait until two pods serve and no other is there."""
        values = self.values(**changes)
        self._helm("upgrade", "--install", NAME, str(CHART), values=values)
        eventually(lambda: len(self.pods()) == 2 and self._is_settled() and self._have(values), READY_S, 1)

    def roll(self, *, newer: bool = False, **changes: Any) -> None:
        """Change the variant, and wait until all pods are new ones."""
        before = set(self.pods())
        with self._marked("chart upgrade" if newer else "rolling update"):
            chart = self.newer if newer else CHART
            self._helm("upgrade", NAME, str(chart), values=self.values(**changes))
            self._replaced(before)

    def roll_back(self) -> None:
        """Go back to the revision before, and wait until all pods are new ones."""
        before = set(self.pods())
        with self._marked("chart rollback"):
            self._helm("rollback", NAME)
            self._replaced(before)

    def delete_each(self, *how: str) -> None:
        """Delete the pods one after the other, each when two serve, and wait until each is really gone."""
        for pod in sorted(self.pods()):
            eventually(lambda: len(self.ready()) == 2, READY_S, 0.5)
            with self._marked("pod deleted"):
                self.namespace.run("delete", "pod", pod, *how, "--wait=true", "--timeout=90s")
        eventually(lambda: len(self.ready()) == 2, READY_S, 0.5)

    def drain(self, seconds: float) -> Drained:
        """Empty the node of the pods of this variant for so long, and let pods onto it again, until two serve.

        The node keeps what else it has, so that the budget of this variant alone decides.
        """
        (node,) = {pod["spec"]["nodeName"] for pod in self.pods().values()}
        command = [*self.namespace.command("drain", node), "--ignore-daemonsets", f"--timeout={seconds:.0f}s"]
        command += [f"--pod-selector=serving.kserve.io/inferenceservice={NAME}", "--delete-emptydir-data"]
        fewest = 2
        try:
            with self._marked("drain"), subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as draining:
                while draining.poll() is None:
                    fewest = min(fewest, len(self.ready()))
                told = draining.stderr.read() if draining.stderr else ""
        finally:
            self.namespace.run("uncordon", node)
        began = time.time()
        eventually(self._is_settled, READY_S, 0.5)
        return Drained(draining.returncode, told, fewest, round(time.time() - began, 1))

    def under_load(self, rate: float, seconds: float, faults: Callable[[], None]) -> Tried:
        """Play a load at a constant rate, make faults once it runs, and return what it saw."""
        self._marks.clear()
        running = self.load.start(NAME, [(rate, seconds)])
        begun = time.time()
        # The runners take their orders within a second or two.
        eventually(lambda: time.time() > begun + 4, 10, 0.2)
        faults()
        seen = running.result()
        marks = tuple(Mark(what, round(a - seen.began, 2), round(b - seen.began, 2)) for what, a, b in self._marks)
        return Tried(seen, marks)

    def pods(self) -> dict[str, dict[str, Any]]:
        """Return the pods of the variant by name, those that leave included."""
        found = self.namespace.get("pods", "-l", f"serving.kserve.io/inferenceservice={NAME}")["items"]
        return {pod["metadata"]["name"]: pod for pod in found}

    def ready(self) -> set[str]:
        """Return the names of the pods that serve."""
        return {
            name
            for name, pod in self.pods().items()
            if "deletionTimestamp" not in pod["metadata"]
            and any(one["type"] == "Ready" and one["status"] == "True" for one in pod["status"].get("conditions", []))
        }

    def _have(self, values: dict[str, Any]) -> bool:
        """Return whether all pods were made from these values, as far as they differ here."""
        wanted = {"PREDICTOR_PRE_STOP": values["preStop"], "PREDICTOR_QUEUE": values["serving"].get("queue")}
        for pod in self.pods().values():
            (container,) = pod["spec"]["containers"]
            given = {one["name"]: one.get("value") for one in container["env"]}
            if any(given.get(name) != (None if value is None else str(value)) for name, value in wanted.items()):
                return False
        return True

    def _is_settled(self) -> bool:
        status = self.namespace.get("deployment", f"{NAME}-predictor")
        seen = status["status"].get("observedGeneration") == status["metadata"]["generation"]
        return seen and status["status"].get("updatedReplicas") == 2 and len(self.ready()) == 2

    def _replaced(self, before: set[str]) -> None:
        eventually(lambda: not before & set(self.pods()) and self._is_settled(), READY_S, 0.5)

    @contextmanager
    def _marked(self, what: str) -> Iterator[None]:
        began = time.time()
        yield
        self._marks.append((what, began, time.time()))

    def _helm(self, *words: str, values: dict[str, Any] | None = None) -> None:
        Helm(self.namespace.namespace)(*words, values=values)


def newer_chart(folder: Path) -> Path:
    """Return a copy of the chart as a later version might be: another version, and another pod template."""
    chart = shutil.copytree(CHART, folder / "variant")
    about = (chart / "Chart.yaml").read_text()
    assert "version: 0.1.0" in about
    (chart / "Chart.yaml").write_text(about.replace("version: 0.1.0", "version: 0.2.0"))
    service = chart / "templates" / "inferenceservice.yaml"
    text = service.read_text()
    line = "        - name: PREDICTOR_NODE_CLASS\n"
    assert text.count(line) == 1
    service.write_text(text.replace(line, f'        - name: PREDICTOR_CONNECTIONS\n          value: "300"\n{line}'))
    return chart


@contextmanager
def bench(namespace: Kubectl, folder: Path) -> Iterator[Bench]:
    """Give a variant with two replicas that serves, and fleets that wait for a load."""
    artifact = vector_artifact(folder / "artifact", work=COST)
    with shelved(namespace, artifact) as place, loading(namespace, folder / "load") as load:
        made = Bench(namespace, load, place, newer_chart(folder / "newer"))
        made.settle()
        yield made
        Helm(namespace.namespace)("uninstall", NAME, "--wait")
