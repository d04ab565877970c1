"""R36, the long form: random faults on the cluster, drawn from seeds, and what a prober that asks once saw of them.

`PODIUM_FAULTS_S` sets the seconds (1800 where it is not set; 120 and less leave out what the whole cluster feels). What
was seen is kept in `.podium/faults`: the same command goes on where a run was interrupted.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cluster.chaosruns import Served, ended, serving
from tests.cluster.conftest import ROOT, Kubectl
from tests.faults.campaign import Campaign, summary

FAULTS_S = float(os.environ.get("PODIUM_FAULTS_S", "1800"))
UNSETTLED_IN_A_ROW = 3
# What a piece may take beyond its own time: the last fault, its recovery, and all that is waited for around them.
SLACK_S = 420.0
pytestmark = [pytest.mark.cluster, pytest.mark.timeout(3 * FAULTS_S + 1200)]

LIGHT: list[dict[str, Any]] = [
    {"kind": "pod-delete", "weight": 2},
    {"kind": "pod-kill", "weight": 2},
    {"kind": "process-stop", "for": "10s"},
    {"kind": "network", "for": "10s"},
    {"kind": "network", "for": "15s", "loss": 0.05},
    {"kind": "memory"},
    {"kind": "artifact", "for": "20s"},
]
WIDE: list[dict[str, Any]] = [
    {"kind": "drain", "for": "20s"},
    {"kind": "node-stop", "for": "20s"},
    {"kind": "api-server-stop", "for": "20s"},
    {"kind": "dns-down", "for": "20s"},
    {"kind": "metrics-down", "for": "20s"},
]


def commit() -> str:
    return subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, check=True, text=True).stdout


@pytest.fixture
def campaign() -> Campaign:
    return Campaign(ROOT / ".podium" / "faults", total_s=FAULTS_S, commit=commit().strip())


@pytest.fixture
def served(namespace: Kubectl, campaign: Campaign, tmp_path: Path) -> Iterator[Served]:
    with serving(namespace, tmp_path, campaign.runs) as made:
        # A run that was killed may have left a node cordoned or stopped; its namespace is gone, and with it the rest.
        for log in campaign.unfinished():
            made.podium("--undo", str(log)).communicate()
        yield made


@pytest.mark.row(
    "R36", "30 min of seeded random faults: no wrong label, no loss outside a fault + 5 s, whole by itself"
)
def test_random_faults_break_no_promise(
    served: Served, campaign: Campaign, record_property: Callable[[str, object], None]
) -> None:
    faults = LIGHT if FAULTS_S <= 120 else [*LIGHT, *WIDE]
    unsettled = 0
    while not campaign.is_over:
        seed, seconds = campaign.next()
        process = served.start(*faults, seed=seed, pause="8s", recovery="3m", **{"for": f"{seconds:.0f}s"})
        report = ended(process, 0, 5, 6, timeout_s=seconds + SLACK_S)
        campaign.keep(report)
        # A prober that others kept waiting proves nothing, and says so.
        unsettled = unsettled + 1 if report["status"] == "UNSETTLED" else 0
        assert unsettled < UNSETTLED_IN_A_ROW, report["reasons"]
    assert campaign.judge() == []
    kinds = {row["kind"] for report in campaign.reports for row in report["faults"]}
    kinds |= {text.partition(":")[0] for report in campaign.reports for text in report["skipped"]}
    assert kinds == {one["kind"] for one in faults} or FAULTS_S < 600
    assert served.left() == ""
    record_property("R36", summary(campaign.reports))
