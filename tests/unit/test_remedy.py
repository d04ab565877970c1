"""What would settle an inconclusive verdict."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadtest.remedy import Needs, more_blocks, settling
from loadtest.statistics import supports, t_bound


def ask(
    shares: list[float], requests: int, misses: int, allowed: float = 0.01, confidence: float = 0.95
) -> tuple[int | None, int | None, str]:
    needs = needed(shares, requests, misses, allowed, confidence)
    return needs.requests, needs.repeats, needs.text


def needed(shares: list[float], requests: int, misses: int, allowed: float = 0.01, confidence: float = 0.95) -> Needs:
    return settling(
        np.array(shares),
        requests,
        misses,
        allowed,
        confidence=confidence,
        requests_a_block=400,
        batches_a_block=1,
    )


def test_missing_blocks_are_asked_for_with_their_requests() -> None:
    needs = more_blocks(2, 400)
    assert (needs.requests, needs.repeats) == (800, 2)
    assert needs.text == "2 more blocks, about 800 more requests"
    assert more_blocks(1, 1200).text == "1 more block, about 1,200 more requests"


def test_the_binomial_count_alone_can_ask_for_more() -> None:
    # 800 requests with 4 misses need 913 at 95 %; equal batches have no spread.
    requests, repeats, text = ask([0.005, 0.005], 800, 4)
    assert (requests, repeats) == (400, 1)
    assert text == "about 400 more requests, that is 1 more block"


def test_clumps_ask_for_more_than_the_count_does() -> None:
    even = ask([0.005] * 5, 2000, 10)[1]
    clumped = ask([0.025, 0.0, 0.0, 0.0, 0.0], 2000, 10)[1]
    assert even is not None
    assert clumped is not None
    assert clumped > even


@given(st.lists(st.integers(0, 3), min_size=5, max_size=8))
def test_the_blocks_asked_for_would_settle_it_if_misses_go_on_as_they_did(misses: list[int]) -> None:
    shares = [one / 400 for one in misses]
    requests, missed = 400 * len(misses), sum(misses)
    more, repeats, _ = ask(shares, requests, missed)
    if repeats is None or more is None:
        return
    assert more == 400 * repeats
    # Repeating the same batches keeps share and spread; a whole multiple is at least what was asked for.
    copies = math.ceil((len(misses) + repeats) / len(misses)) + 1
    grown = np.tile(shares, copies)
    bound = t_bound(grown, 0.95, "upper")
    assert bound is not None
    assert bound <= 0.01
    assert supports(400 * grown.size, missed * copies, 0.01, 0.95)


def test_a_share_beyond_the_limit_is_asked_for_its_failure() -> None:
    more, repeats, _ = ask([0.02, 0.0, 0.03, 0.01, 0.02], 2000, 32)
    assert repeats is not None
    assert more == 400 * repeats
    assert repeats < 20


def test_at_the_limit_itself_no_number_is_named() -> None:
    assert ask([0.01] * 5, 2000, 20)[:2] == (None, None)
    assert "1,000 more blocks would not settle it" in ask([0.01] * 5, 2000, 20)[2]
    assert needed([0.01] * 5, 2000, 20).is_near
    assert not needed([0.0] * 5, 2000, 0, allowed=0.0).is_near
    assert not needed([0.0] * 5, 2000, 0, allowed=1e-6).is_near, "too few requests, and fewer at a lower rate"


def test_a_limit_of_zero_is_never_proven() -> None:
    requests, repeats, text = ask([0.0] * 5, 2000, 0, allowed=0.0)
    assert (requests, repeats) == (None, None)
    assert "no number of requests" in text


@pytest.mark.parametrize("shares", [[], [0.0]])
def test_too_few_batches_are_made_up_for(shares: list[float]) -> None:
    more, repeats, _ = ask(shares, 400 * len(shares), 0)
    assert repeats is not None
    assert repeats + len(shares) >= 2
    assert more == 400 * repeats


def test_no_number_is_more_than_any_number() -> None:
    endless = settling(np.zeros(5), 2000, 0, 0.0, confidence=0.95, requests_a_block=400, batches_a_block=1)
    assert endless.effort > more_blocks(999, 400).effort
