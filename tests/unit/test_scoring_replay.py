"""The simulator beside recorded runs: a run that the simulator made itself is near, one that it could not is not."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from podium.autoscaling.fleet import PodModel, StartParts
from podium.autoscaling.policy import policy_of
from podium.autoscaling.simulation import simulate
from podium.scoring.card import Card, card_of
from podium.scoring.record import Reading
from podium.scoring.replay import document, is_near, replays
from tests.elasticruns import HPA, elastic_run, start, subject

pytestmark = pytest.mark.unit

RATES = [5.0] * 30 + [35.0] * 60 + [5.0] * 60 + [25.0] * 40 + [5.0] * 60
BEHAVIOR = {
    "scaleUp": {"policies": [{"type": "Pods", "value": 4, "periodSeconds": 15}]},
    "scaleDown": {
        "stabilizationWindowSeconds": 15,
        "policies": [{"type": "Percent", "value": 100, "periodSeconds": 15}],
    },
}
POLICY: dict[str, Any] = {**HPA, "behavior": BEHAVIOR}
MODEL = PodModel(
    safe_rate=10.0, saturated_rate=12.0, latency_s=0.02, limit_s=0.25, start=StartParts(0.5, 0.0, 1.5, 1.0)
)


def simulated(repeat: int, policy: dict[str, Any] = POLICY, **changes: Any) -> Card:
    """Return a record that says what the simulator made of the load."""
    line = simulate(np.asarray(RATES), policy_of(policy), MODEL)
    missed = [min(round(value), round(rate)) for value, rate in zip(line.missed, RATES, strict=True)]
    begin = int(np.flatnonzero(np.diff(line.wanted) > 0)[0]) + 1
    readings = tuple(
        Reading(
            at_s=float(second),
            used=100 * min(1.0, RATES[second - 5] / (12.0 * line.ready[second - 5])),
            wanted=int(line.wanted[second]),
        )
        for second in (15, 25, 70, 80)
    )
    run = elastic_run(
        [round(rate) for rate in RATES],
        repeat=repeat,
        slow=missed,
        ready=line.ready.tolist(),
        wanted=line.wanted.tolist(),
        paid=line.paid.tolist(),
        policy_file=policy,
        starts=(start("b", begin, begin + 0.5, begin + 0.5, begin + 2, begin + 3, begin + 3),),
        readings=readings,
        **changes,
    )
    return card_of(run)


def test_what_the_simulator_itself_made_is_found_again() -> None:
    found = replays([simulated(1), simulated(2)])
    for one in found:
        assert one.counts
        assert one.is_held_out
        assert one.within >= 0.97
        assert one.difference <= 0.25
        assert is_near(one)
        # A number of pods that never changes comes nowhere near.
        assert one.constant < 0.9
    assert document(found[0])["near"] is True


def test_another_policy_than_the_recorded_one_is_not_near() -> None:
    lazy = {**POLICY, "target": 100.0}
    first, second = simulated(1), simulated(2)
    wrong = card_of(first.run.model_copy(update={"policy_file": lazy}))
    found = replays([wrong, second])[0]
    assert not is_near(found)


def test_flags_of_the_clusters_controller_stand_in_for_the_policys() -> None:
    slow = {**POLICY, "controller": {**POLICY["controller"], "syncPeriod": "15s"}}
    cards = [simulated(number, slow, autoscaler={}) for number in (1, 2)]
    told = [
        card_of(card.run.model_copy(update={"policy_file": POLICY, "autoscaler": {"sync-period": "15s"}}))
        for card in cards
    ]
    assert [one.within for one in replays(told)] == [one.within for one in replays(cards)]
    assert replays(cards)[0].within >= 0.97


def test_a_run_alone_is_compared_with_itself_and_says_so() -> None:
    (only,) = replays([simulated(1)])
    assert not only.is_held_out


def test_what_a_pod_is_like_is_taken_from_runs_under_other_loads_and_not_from_other_pods() -> None:
    mine = simulated(1)
    for changes, is_held_out in (
        ({"profile_name": "burst", "profile_digest": "e" * 64, "rate": 30.0}, True),
        ({"resources": {"cpu": "400m", "memory": "256Mi"}}, False),
        ({"payloads": "q" * 64}, False),
    ):
        found = replays([mine, simulated(2, subject=subject(**changes))])
        assert [one.is_held_out for one in found] == [is_held_out] * 2, changes
    behind = card_of(simulated(2).run.model_copy(update={"mode": "Knative"}))
    assert not replays([mine, behind])[0].is_held_out


def test_a_pod_holds_what_it_was_seen_to_hold_where_less_was_proven() -> None:
    modest = subject(safe_rate=2.0)
    found = replays([simulated(1, subject=modest), simulated(2, subject=modest)])
    assert [is_near(one) for one in found] == [True, True], [(one.recorded_s, one.simulated_s) for one in found]


def test_void_runs_and_quiet_ones_do_not_count() -> None:
    quiet = card_of(elastic_run([5] * 30, policy_file=POLICY))
    assert replays([simulated(1, void="late")]) == []
    (found,) = replays([quiet])
    assert (found.changes, found.counts, found.within, found.difference) == (0, False, 1.0, 0.0)


def test_knatives_settings_of_the_whole_cluster_are_heeded() -> None:
    told: dict[str, Any] = {
        "name": "a",
        "kind": "kpa",
        "metric": "rps",
        "target": 10,
        "replicas": {"min": 0, "max": 4},
        "stableWindow": "10s",
    }
    offered = [8] * 20 + [0] * 60
    seen = {"scale-to-zero-grace-period": "10s", "max-scale-down-rate": "2.0", "pod-autoscaler-class": "kpa"}
    quick, late = (
        replays([card_of(elastic_run(offered, policy_file=told, minimum=0, autoscaler=settings, wanted=[1] * 80))])[0]
        for settings in (seen, {})
    )
    assert quick.line.paid.sum() < late.line.paid.sum()
