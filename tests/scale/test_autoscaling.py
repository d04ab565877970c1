"""A step of load from inside the cluster makes one pod three and one again, and no request is lost on the way.

The form with timelines, five runs of it, is benchmarks/autoscaling.py.
"""

import itertools
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from tests.cluster.conftest import ROOT, Kubectl
from tests.cluster.load import loading
from tests.cluster.releases import Helm, shelved
from tests.cluster.scaling import NAME, Look, artifact_of, scaling_values, step

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(1800)]

STEPS = [(4.0, 5.0), (20.0, 40.0), (4.0, 20.0)]
CYCLES = 10
# Enough that somebody is on his way to each pod that goes.
HASTY_STEPS = [(4.0, 5.0), (24.0, 45.0), (12.0, 40.0)]
# Of scaling down in tests/cluster/scaling.py: the longer one.
WINDOW_S = 15.0


def turns(looks: Sequence[Look]) -> list[float]:
    """Return the seconds at which the wanted pods change their direction."""
    steps = [
        (later.at_s, later.wanted - look.wanted)
        for look, later in itertools.pairwise(looks)
        if later.wanted != look.wanted
    ]
    return [later[0] for one, later in itertools.pairwise(steps) if (one[1] > 0) != (later[1] > 0)]


def most_turns(looks: Sequence[Look]) -> int:
    """Return the most turns within one stabilization window."""
    found = turns(looks)
    return max((sum(1 for one in found if at_s <= one < at_s + WINDOW_S) for at_s in found), default=0)


def test_a_step_of_load_makes_three_pods_and_one_again_without_a_loss(namespace: Kubectl, tmp_path: Path) -> None:
    with shelved(namespace, artifact_of(tmp_path / "artifact")) as artifact, loading(namespace, tmp_path) as load:
        Helm(namespace.namespace)("install", NAME, str(ROOT / "charts" / "variant"), values=scaling_values(artifact))
        namespace.run("wait", f"isvc/{NAME}", "--for=condition=Ready", "--timeout=90s")
        scaled = step(namespace, load, STEPS, back_s=60)
    assert scaled.seen.is_whole
    assert scaled.most >= 3, scaled.looks
    assert scaled.seen.lost == 0, scaled.seen


@pytest.mark.row("R26", "ten times one pod to three and back under load: 0 failed, ≤ 1 turn in a stabilization window")
@pytest.mark.control("R26")
def test_ten_cycles_lose_nothing(
    namespace: Kubectl, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    chart, helm = str(ROOT / "charts" / "variant"), Helm(namespace.namespace)
    with shelved(namespace, artifact_of(tmp_path / "artifact")) as artifact, loading(namespace, tmp_path) as load:
        helm("install", NAME, chart, values=scaling_values(artifact))
        namespace.run("wait", f"isvc/{NAME}", "--for=condition=Ready", "--timeout=90s")
        cycles = [step(namespace, load, STEPS, back_s=90) for _ in range(CYCLES)]
        sent, lost = sum(one.seen.sent for one in cycles), sum(one.seen.lost for one in cycles)
        record_property(
            "R26", f"{lost} of {sent} failed in {CYCLES} cycles, most pods {max(one.most for one in cycles)}"
        )
        assert all(one.seen.is_whole and one.most >= 3 for one in cycles), [one.looks for one in cycles]
        assert lost == 0, [one.seen for one in cycles]
        assert max(most_turns(one.looks) for one in cycles) <= 1, [one.looks for one in cycles]

        # The control: servers that are gone at once when they are told to go.
        hasty = scaling_values(artifact) | {"preStop": "0s", "gracePeriodSeconds": 1}
        helm("upgrade", NAME, chart, values=hasty)
        namespace.run("rollout", "status", f"deployment/{NAME}-predictor", "--timeout=120s")
        again = [step(namespace, load, HASTY_STEPS, back_s=120) for _ in range(2)]
        assert sum(one.seen.lost for one in again) > 0, again


def test_turns_are_counted_within_a_window() -> None:
    at = [(0, 1), (10, 3), (40, 1), (44, 3), (50, 1), (90, 2)]
    looks = [Look(float(second), wanted, wanted, None) for second, wanted in at]
    assert turns(looks) == [40.0, 44.0, 50.0, 90.0]
    assert most_turns(looks) == 3
