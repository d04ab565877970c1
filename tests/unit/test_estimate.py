"""What a profile costs before anything is started."""

import pytest

from loadtest.estimate import estimate, with_turns
from loadtest.profile import load_profile


def test_a_quick_race_of_four_at_forty_a_second_fits_its_budget() -> None:
    profile = load_profile("quick")
    cost = estimate(profile, rate=40, variants=4)
    by_kind = {phase.kind: phase for phase in cost.phases}
    assert by_kind["hold"].plays == 20
    assert by_kind["hold"].seconds == pytest.approx(20 * 11.2)
    assert by_kind["hold"].requests == 20 * 448
    assert by_kind["single-stream"].requests == 400
    assert by_kind["search"].seconds == pytest.approx(4 * 6 * 5)
    assert by_kind["warmup"].plays == 4
    assert cost.start_seconds == 20.0
    assert cost.seconds == pytest.approx(20 + sum(phase.seconds for phase in cost.phases))
    assert cost.requests == sum(phase.requests for phase in cost.phases)
    assert cost.seconds < profile.budget_s


def test_servers_made_anew_are_started_and_warmed_for_every_block() -> None:
    cost = estimate(load_profile("standard"), rate=40, variants=2, start_s=3)
    by_kind = {phase.kind: phase for phase in cost.phases}
    assert cost.start_seconds == 2 * 5 * 3
    assert by_kind["warmup"].plays == 10


def test_low_rates_take_longer_and_high_rates_send_more() -> None:
    profile = load_profile("quick")
    slow, asked, fast = (estimate(profile, rate=rate, variants=1) for rate in (2, 40, 2000))
    assert slow.seconds > asked.seconds > fast.seconds
    assert fast.requests > asked.requests


def test_the_cost_grows_with_the_variants() -> None:
    profile = load_profile("quick")
    one, three = (estimate(profile, rate=40, variants=count) for count in (1, 3))
    assert three.seconds == pytest.approx(3 * one.seconds)
    assert three.requests == 3 * one.requests


def test_a_profile_without_a_hold_starts_each_variant_once() -> None:
    profile = load_profile("quick")
    phases = tuple(phase for phase in profile.phases if phase.kind != "hold")
    cost = estimate(profile.model_copy(update={"phases": phases}), rate=40, variants=2, start_s=1)
    assert cost.start_seconds == 2
    assert [phase.kind for phase in cost.phases] == ["warmup", "single-stream", "offline", "search"]


def test_asking_along_the_ways_by_turns_is_a_phase_more() -> None:
    cost = estimate(load_profile("quick"), rate=40, variants=3)
    more = with_turns(cost, variants=3)
    assert more.phases[:-1] == cost.phases
    asked = more.phases[-1]
    assert (asked.kind, asked.plays, asked.requests) == ("proxy-tax", 3, 600)
    assert 5 <= asked.seconds / 3 <= 10
    assert more.seconds == pytest.approx(cost.seconds + asked.seconds)
