"""The truth, in virtual time: what a search says of a server whose load generator has a limit of its own.

The limit is planted below, near and above the largest rate of the server, which is known. Below it a lower bound is
due, and never more than the server holds; above it the server's own.
"""

import numpy as np
import pytest

from loadtest.search import SearchResult
from loadtest.slo import parse_slo
from tests.servers import Server
from tests.trials import true_rates
from tests.virtual import Arena

pytestmark = pytest.mark.timeout(1200)

_SERVERS = tuple(Server(kind, 0.001) for kind in ("constant", "exponential", "log-normal", "bimodal"))
_RACES = 12


@pytest.fixture(scope="module")
def truths() -> dict[Server, float]:
    return true_rates(_SERVERS, requests=400_000)


def searched(
    arena: Arena, truths: dict[Server, float], times: float | None
) -> list[tuple[SearchResult, float, list[str | None]]]:
    """Race servers by a generator that sends so many times what they hold; return search, truth and voids."""
    found = []
    for number in range(_RACES):
        server = _SERVERS[number % len(_SERVERS)]
        truth = truths[server]
        slo = parse_slo(f"p99<=100ms, errors<=1%, rate>={truth / 6:.6f}/s")
        sends = None if times is None else truth * times
        measured = arena.race({"a": server}, slo, seed=number, sends=sends)[0]["a"]
        assert (measured.trouble, len(measured.holds)) == ("", 5)
        assert measured.search is not None
        probes = [run.record for run in measured.book.runs if run.record.phase == "search"]
        found.append((measured.search, truth, [one.void for one in probes]))
    return found


def test_a_generator_below_the_server_gives_a_lower_bound_that_holds(arena: Arena, truths: dict[Server, float]) -> None:
    found = searched(arena, truths, 0.5)
    for search, truth, voids in found:
        assert search.fail_rate is None
        assert (search.unsent_rate, search.pass_rate) != (None, None)
        assert search.low <= (search.pass_rate or 0) <= truth
        assert search.high == 20_000
        assert len(voids) <= 2 * 6
        assert set(voids) <= {None, "late", "growing-queue"}
    # At two thirds of its limit this generator leaves one send in a hundred 10 ms late: its queue is one of M/D/1.
    assert np.median([search.value / (truth * 0.5) for search, truth, _ in found]) >= 0.5


def test_a_generator_near_the_server_is_never_taken_for_it(arena: Arena, truths: dict[Server, float]) -> None:
    for search, truth, _ in searched(arena, truths, 1.0):
        # Whichever it met first, the interval holds the truth or is open above it.
        assert search.low <= truth * 1.02
        assert search.high >= truth * 0.95
        if search.fail_rate is None:
            assert search.high == 20_000


def test_a_generator_above_the_server_finds_the_servers_own_bound(arena: Arena, truths: dict[Server, float]) -> None:
    for search, truth, _ in searched(arena, truths, 4.0):
        assert search.unsent_rate is None
        assert search.fail_rate is not None
        assert search.low <= truth * 1.02
        assert search.high >= truth * 0.95


def test_without_a_limit_nothing_is_void(arena: Arena, truths: dict[Server, float]) -> None:
    for search, _, voids in searched(arena, truths, None):
        # A queue that grows is a rate that failed.
        assert (search.unsent_rate, set(voids) - {"growing-queue"}) == (None, {None})
