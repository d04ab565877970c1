"""The rate search below what a generator can send: the server's bound where it is found, else a lower bound."""

from collections.abc import Sequence

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from loadtest.probe import ProbeResult
from loadtest.search import RateSearch, SearchResult

PRECISION = 0.1
CEILING = 20_000.0


def result(passed: bool) -> ProbeResult:
    return ProbeResult(passed, 80.0, "p99<=100ms", 0.3 if passed else -0.3)


def play(
    search: RateSearch, *, holds: float, sends: float, known: Sequence[float] = ()
) -> tuple[SearchResult, list[float], list[float]]:
    """Search a server by a generator, both with a sharp limit; return what was found, probed, and not sent."""
    for sent in known:
        search.learn(sent, result(sent <= holds))
    probed: list[float] = []
    unsent: list[float] = []
    while (rate := search.next_rate()) is not None:
        if rate > sends:
            search.exceed(rate)
            unsent.append(rate)
        else:
            search.record(rate, result(rate <= holds))
            probed.append(rate)
    return search.result(), probed, unsent


@given(start=st.floats(20, 15_000), sends=st.floats(20, 15_000), holds=st.floats(20, 15_000))
def test_what_is_found_is_the_servers_bound_or_a_lower_one_and_never_confused(
    start: float, sends: float, holds: float
) -> None:
    assume(min(sends, holds) > 15)
    found, probed, unsent = play(RateSearch(start, PRECISION, max_probes=60), holds=holds, sends=sends, known=[15.0])
    assert found.pass_rate is not None
    assert found.pass_rate <= min(sends, holds)
    assert found.low <= found.value <= found.high
    if found.fail_rate is not None:
        # The server's own bound: a rate that was sent and failed.
        assert found.pass_rate <= holds < found.fail_rate <= sends
        assert found.fail_rate / found.pass_rate <= 1 + PRECISION + 1e-6
        assert found.unsent_rate is None
    else:
        assert found.unsent_rate is not None
        assert found.pass_rate <= sends < found.unsent_rate
        assert found.unsent_rate / found.pass_rate <= 1 + PRECISION + 1e-6
        assert found.high == CEILING
    assert probed.count(found.pass_rate) == 2
    # Nothing is asked again that could not be sent.
    assert len(set(unsent)) == len(unsent)


@given(start=st.floats(20, 4_000), holds=st.floats(20, 4_000))
def test_a_generator_that_sends_all_changes_nothing(start: float, holds: float) -> None:
    limited = play(RateSearch(start, PRECISION, max_probes=60), holds=holds, sends=1e9)
    search = RateSearch(start, PRECISION, max_probes=60)
    probed = []
    while (rate := search.next_rate()) is not None:
        search.record(rate, result(rate <= holds))
        probed.append(rate)
    assert limited == (search.result(), probed, [])
    assert limited[0].unsent_rate is None


def test_it_goes_on_in_the_middle_of_what_was_sent_and_what_could_not_be() -> None:
    _, probed, unsent = play(RateSearch(3000, PRECISION, max_probes=10), holds=1e9, sends=1000, known=[200.0])
    assert unsent[0] == 3000
    assert probed[0] == pytest.approx(775, abs=1)
    assert unsent[1] == pytest.approx(1525, abs=1)


def test_without_a_rate_that_was_sent_it_halves() -> None:
    found, probed, unsent = play(RateSearch(3000, PRECISION, max_probes=10), holds=1e9, sends=400)
    assert unsent[:3] == [3000, 1500, 750]
    assert probed[0] == 375
    assert found.fail_rate is None
    assert found.pass_rate == pytest.approx(385, abs=15)


def test_rates_that_could_not_be_sent_count_as_probes() -> None:
    search = RateSearch(3000, PRECISION, max_probes=6)
    _, probed, unsent = play(search, holds=1e9, sends=1000, known=[200.0])
    assert len(probed) + len(unsent) == 6
    search = RateSearch(3000, PRECISION, max_probes=6)
    with pytest.raises(ValueError, match="without a probe"):
        play(search, holds=1e9, sends=1)
    assert search.next_rate() is None


def test_a_rate_that_held_and_cannot_be_sent_again_ends_the_search() -> None:
    search = RateSearch(100, PRECISION)
    for rate in (100.0, 110.0):
        search.record(rate, result(True))
    search.exceed(121.0)
    assert search.next_rate() == 110.0
    search.exceed(110.0)
    assert search.next_rate() is None
    found = search.result()
    assert (found.pass_rate, found.unsent_rate, found.is_confirmed) == (110, 110, False)


def test_a_lower_rate_that_could_not_be_sent_leaves_the_failed_one_as_the_upper_end() -> None:
    search = RateSearch(200, PRECISION)
    search.record(200, result(False))
    search.record(100, result(True))
    search.exceed(141.0)
    assert search.next_rate() == pytest.approx(118.7, abs=0.1)
    found = search.result()
    assert (found.pass_rate, found.fail_rate, found.unsent_rate) == (100, 200, 141)
    assert found.high < 300


def test_a_rate_that_was_sent_before_is_the_lowest_that_is_tried() -> None:
    search = RateSearch(44, PRECISION)
    search.learn(40.0, result(True))
    search.exceed(44.0)
    assert search.next_rate() == 40.0
    search.exceed(40.0)
    assert search.next_rate() is None


def test_nothing_is_tried_below_the_floor() -> None:
    search = RateSearch(1, PRECISION, floor=1.0)
    search.exceed(1.0)
    assert search.next_rate() is None
