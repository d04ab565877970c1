"""`podium chaos` on the real cluster: a service survives, what is planted is caught, and a killed run is undone.

The short form; faults that all on the cluster feel are tried in memory (tests/unit), and by hand: docs/faults.md.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from podium.chaos.faultlog import Begin, read_log
from podium.chaos.plan import draw
from podium.chaos.spec import Faults
from tests.cluster.chaosruns import NAME, PATIENCE_S, Served, ended, serving
from tests.cluster.conftest import Kubectl
from tests.eventually import eventually

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(300)]

TRIES = 2


@pytest.fixture
def served(namespace: Kubectl, tmp_path: Path) -> Iterator[Served]:
    with serving(namespace, tmp_path) as made:
        yield made


def patient_seed() -> int:
    """Return a seed whose first fault leaves time for what nobody has logged."""
    golden = [{"json": "one.json", "label": "apple"}]
    content = {"name": NAME, "services": [{"name": NAME, "golden": golden}], "rounds": 1, "pause": "20s"}
    specs = (Faults.model_validate({**content, "seed": n, "faults": [{"kind": "pod-delete"}]}) for n in range(100))
    return next(spec.seed for spec in specs if 10 < next(draw(spec)).pause_s < 15)


@pytest.mark.row("R4", "pods killed without grace, deleted, stopped: requests are lost inside the marked windows only")
@pytest.mark.row("R36", "short form: no wrong label, nothing lost outside a fault + 5 s, whole again without a hand")
@pytest.mark.control("R4")
@pytest.mark.control("R36")
def test_a_service_survives_and_what_is_planted_is_caught(
    served: Served, record_property: Callable[[str, object], None]
) -> None:
    faults = ({"kind": "pod-delete"}, {"kind": "pod-kill"}, {"kind": "process-stop", "for": "4s"})
    for _ in range(TRIES):
        report = ended(served.start(*faults), 0, 6)
        # A prober that others kept waiting proves nothing, and says so.
        if report["status"] != "UNSETTLED":
            break
    probe = report["probe"]
    assert {row["kind"] for row in report["faults"]} == {"pod-delete", "pod-kill", "process-stop"}
    assert all(row["outcome"] == "" for row in report["faults"])
    assert (report["status"], probe["lost_outside"], probe["wrong"]) == ("HELD", 0, 0), report["reasons"]
    assert probe["planned"] > 200
    for row in ("R4", "R36"):
        record_property(row, f"0 of {probe['planned_outside']} lost outside, {probe['lost_inside']} inside, 0 wrong")
    assert served.left() == ""

    # The controls, both in one run: an answer that is expected otherwise, and pods killed by nobody that is in the log.
    process = served.start({"kind": "pod-delete"}, label="apple", pause="20s", seed=patient_seed())
    eventually(lambda: served.namespace.run("logs", "podium-chaos", check=False).stdout.count("second") > 1, PATIENCE_S)
    served.namespace.run("delete", "pods", *served.pods(), "--grace-period=0", "--force")
    report = ended(process, 5)
    assert report["status"] == "LOST"
    assert report["probe"]["wrong"] > 0
    assert report["probe"]["lost_outside"] > 0
    assert served.left() == ""


def test_what_a_killed_run_left_is_undone(served: Served) -> None:
    process = served.start({"kind": "artifact", "for": "5m"})

    def has_begun() -> bool:
        path = served.log()
        return (
            path is not None and any(isinstance(one, Begin) for one in read_log(path).events) and len(served.pods()) > 2
        )

    try:
        eventually(has_begun, PATIENCE_S, 0.5)
    finally:
        process.send_signal(signal.SIGKILL)
        process.communicate()
    service = served.namespace.get("inferenceservice", NAME)
    assert service["spec"]["predictor"]["model"]["storageUri"].endswith("-no-such-artifact")
    assert served.left() != ""
    undo = served.podium("--undo", str(served.log()))
    out, err = undo.communicate(timeout=120)
    assert undo.returncode == 0, err
    assert "undone: artifact" in out
    service = served.namespace.get("inferenceservice", NAME)
    assert not service["spec"]["predictor"]["model"]["storageUri"].endswith("-no-such-artifact")
    assert served.left() == ""
    eventually(lambda: len(served.pods()) == 2, PATIENCE_S, 1)
