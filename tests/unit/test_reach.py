"""An objective that no load of a profile could support is refused, and a profile without a PASS in it says so."""

import pytest

from loadtest.errors import ProfileError, SloError
from loadtest.profile import Profile, load_profile
from loadtest.reach import require_provable, require_reachable, why_never
from loadtest.slo import parse_slo
from loadtest.statistics import requests_needed
from tests.simulated import HOLD, SEARCH, profile

HIGH = parse_slo("p99.9<=100ms, rate>=40/s")


def held(blocks: int, block_s: int, *, level: str = "quick", more: str = "") -> Profile:
    return profile(f"{{kind: hold, blocks: {blocks}{more}, block: {block_s}s}}", level=level)


def test_packaged_profiles_reach_what_they_are_for() -> None:
    slo = parse_slo("p95<=50ms, p99<=100ms, errors<=1%, rate>=40/s")
    for name in ("quick", "quick-grpc", "standard"):
        for rate in (1.0, 40.0, 2000.0):
            require_reachable(slo, load_profile(name), rate)
            assert why_never(load_profile(name), rate) == ""


def test_an_error_share_of_zero_is_refused_and_the_smallest_above_it_is_not() -> None:
    for text in ("p99<=1s, errors<=0%", "p99<=1s, errors<=0"):
        with pytest.raises(SloError, match=r'SLO clause 2, "errors<=0%?": no number of requests') as refused:
            require_provable(parse_slo(text))
        assert "errors<=0.1%" in refused.value.hint
    require_provable(parse_slo("p99<=1s, errors<=0.0001%"))


def test_a_hold_that_plays_too_few_requests_is_refused_with_both_counts() -> None:
    with pytest.raises(
        SloError, match=r"2,995 requests without a miss support it at 95% .* plays about 2,240"
    ) as refused:
        require_reachable(HIGH, held(5, 10), 40.0)
    assert "blocks of 15s" in refused.value.hint
    require_reachable(HIGH, held(5, 15), 40.0)
    require_reachable(HIGH, held(5, 10), 80.0)


@pytest.mark.parametrize(("share", "confidence"), [(0.05, 0.95), (0.01, 0.99), (0.001, 0.95), (0.001, 0.99)])
def test_the_count_is_that_of_the_method(share: float, confidence: float) -> None:
    needed = requests_needed(0, share, confidence)
    level, block_s = ("quick", 10) if confidence == 0.95 else ("standard", 60)
    slo = parse_slo(f"errors<={share}")
    rate = needed / (5 * block_s)
    if rate * block_s >= 448:
        require_reachable(slo, held(5, block_s, level=level), rate)
        with pytest.raises(SloError, match=f"{needed:,} requests"):
            require_reachable(slo, held(5, block_s, level=level), rate * (1 - 1.5 / needed))


def test_blocks_that_may_be_added_count_and_so_does_every_look() -> None:
    require_reachable(HIGH, held(5, 10, more=", maxBlocks: 10"), 40.0)
    # Two looks share the risk: 3,688 requests instead of 2,995.
    with pytest.raises(SloError, match=r"3,688 requests"):
        require_reachable(HIGH, held(5, 10, more=", maxBlocks: 6"), 50.0)


def test_a_profile_without_a_hold_is_refused() -> None:
    with pytest.raises(ProfileError, match="test: it has no hold") as refused:
        require_reachable(HIGH, profile(SEARCH), 40.0)
    assert "kind: hold" in refused.value.hint


def test_too_few_or_too_short_blocks_are_said() -> None:
    assert "plays 4 blocks of 11.2 s at 40/s, and level quick needs 5 of at least 10 s" in why_never(held(4, 10), 40.0)
    assert "write blocks: 5 and block: 60s" in why_never(held(5, 30, level="standard"), 40.0)
    assert why_never(held(3, 10, more=", maxBlocks: 6"), 40.0) == ""
    # At a low rate a block lasts longer than the profile says.
    assert why_never(held(5, 1), 40.0) == ""
    assert why_never(held(5, 1), 400.0) != ""
    require_reachable(HIGH, held(2, 1), 40.0)
    assert why_never(profile(HOLD), 40.0) == ""
