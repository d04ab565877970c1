"""Faults by their kind, under a prober: those that may lose nothing lose nothing, and each is seen to be real.

The others, that may lose what is under way, are drawn in test_random.py.
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from podium.chaos.faultlog import Begin, read_log
from tests.cluster.chaosruns import FLIPPED, NAME, PATIENCE_S, Served, ended, serving
from tests.cluster.conftest import Kubectl
from tests.cluster.stock import CLAIM
from tests.eventually import eventually

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(900)]

TRIES = 3
RUN_S = 400.0


@pytest.fixture
def served(namespace: Kubectl, tmp_path: Path) -> Iterator[Served]:
    with serving(namespace, tmp_path) as made:
        yield made


def held(served: Served, *faults: dict[str, Any], meanwhile: Callable[[], None] | None = None) -> dict[str, Any]:
    """Make faults of which none may lose a request, and return the report; what could not tell is made again."""
    report: dict[str, Any] = {}
    for _ in range(TRIES):
        known = set(served.runs.glob("*/faults.jsonl"))
        process = served.start(*({**one, "mayLose": False} for one in faults), pause="5s", recovery="3m")
        if meanwhile is not None:
            eventually(lambda known=known: began(served, known), PATIENCE_S, 0.2)  # type: ignore[misc]
            meanwhile()
        report = ended(process, 0, 5, 6, timeout_s=RUN_S)
        if report["status"] != "UNSETTLED":
            break
    assert (report["status"], report["probe"]["lost_inside"], report["probe"]["wrong"]) == ("HELD", 0, 0), report
    assert all(row["outcome"] == "" for row in report["faults"])
    return report


def began(served: Served, known: set[Path]) -> bool:
    """Return whether a fault of a run that is not known yet has begun."""
    new = set(served.runs.glob("*/faults.jsonl")) - known
    return any(isinstance(one, Begin) for log in new for one in read_log(log).events)


def asked(served: Served) -> subprocess.CompletedProcess[str]:
    return served.namespace.run("get", "--raw", "/readyz", "--request-timeout=3s", check=False)


@pytest.mark.row(
    "R29", "API server away for 20 s, then metrics, then names: no request lost, whole again without a hand"
)
@pytest.mark.control("R29")
def test_serving_asks_nobody(served: Served, record_property: Callable[[str, object], None]) -> None:
    def who_asks_the_api_fails() -> None:
        # The control: a client that asks the API server for each request would lose them all.
        assert eventually(lambda: asked(served).returncode != 0, 15, 0.2)

    report = held(served, {"kind": "api-server-stop", "for": "20s"}, meanwhile=who_asks_the_api_fails)
    assert asked(served).returncode == 0
    planned = report["probe"]["planned"]
    report = held(served, {"kind": "metrics-down", "for": "20s"}, {"kind": "dns-down", "for": "20s"})
    planned += report["probe"]["planned"]
    record_property("R29", f"0 of {planned:,} lost in 3 faults of 20 s")


@pytest.mark.row("R27", "a rollout to an artifact with one flipped bit: no new pod is ever ready, and nobody notices")
def test_a_rollout_to_a_corrupt_artifact_never_serves(
    served: Served, record_property: Callable[[str, object], None]
) -> None:
    before = set(served.pods())
    said: set[str] = set()

    def says_why() -> bool:
        for pod in set(served.pods()) - before:
            for words in ((), ("--previous",)):
                said.add(served.namespace.run("logs", pod, *words, check=False).stdout)
        return any("model.onnx differs" in text for text in said)

    def look() -> None:
        eventually(says_why, 35, 1)

    report = held(served, {"kind": "artifact", "uri": f"pvc://{CLAIM}/{FLIPPED}", "for": "40s"}, meanwhile=look)
    record_property("R27", f"0 of {report['probe']['planned']:,} lost, the log names model.onnx")


@pytest.mark.row("R22", "a server killed for its memory: only what was under way is lost, ready again ≤ 30 s, twice")
def test_a_server_that_ran_out_of_memory_is_back_soon(
    served: Served, record_property: Callable[[str, object], None]
) -> None:
    faults = {"kind": "memory"}, {"kind": "memory"}
    report = ended(served.start(*faults, pause="10s"), 0, 6, timeout_s=RUN_S)
    rows = report["faults"]
    assert [row["outcome"] for row in rows] == ["", ""]
    assert report["probe"]["wrong"] == 0
    assert report["status"] == "UNSETTLED" or report["probe"]["lost_outside"] == 0
    assert all(row["whole_after_s"] is not None and row["whole_after_s"] <= 30 for row in rows), rows
    pods = served.namespace.get("pods", "-l", f"serving.kserve.io/inferenceservice={NAME}")["items"]
    ends = [one.get("lastState", {}) for pod in pods for one in pod["status"].get("containerStatuses", [])]
    assert any("terminated" in one for one in ends), ends
    slowest = max(row["whole_after_s"] for row in rows)
    record_property("R22", f"ready again after {slowest:.0f} s at most, {report['probe']['lost_inside']} lost inside")


@pytest.mark.row(
    "R31", "without a gateway: a pod cut off for 10 s, then 5 % of its packets lost for 15 s; whole 5 s later"
)
@pytest.mark.control("R31")
def test_what_a_network_loses_is_lost_only_as_long_as_it_does(
    served: Served, record_property: Callable[[str, object], None]
) -> None:
    for _ in range(TRIES):
        faults = {"kind": "network", "for": "10s"}, {"kind": "network", "for": "15s", "loss": 0.05}
        report = ended(served.start(*faults, pause="8s"), 0, 6, timeout_s=RUN_S)
        if report["status"] != "UNSETTLED":
            break
    assert (report["status"], report["probe"]["lost_outside"], report["probe"]["wrong"]) == ("HELD", 0, 0), report
    cut, loss = sorted(report["faults"], key=lambda row: row["ended_s"] - row["began_s"])
    # The control: the cut is felt by whoever is led to that pod.
    assert cut["lost"] > 0
    assert all(row["whole_after_s"] is not None and row["whole_after_s"] <= 5 for row in (cut, loss)), report
    lost = f"{cut['lost']} lost in the cut, {loss['lost']} of 5 % of packets"
    record_property("R31", f"{lost}, 0 of {report['probe']['planned_outside']:,} outside")
