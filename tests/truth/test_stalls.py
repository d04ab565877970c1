"""The truth, in virtual time: a server that stalls for longer than its generator has users fails, and is not void.

What is due while the server holds all users cannot leave. A run that counted this against its generator would be void
and played again, and the server's worst moments would be thrown away: coordinated omission by the back door.
"""

import pytest

from loadtest.profile import Profile
from loadtest.schedule import users_for
from loadtest.slo import parse_slo
from loadtest.waits import waits_in
from podium.measured import Measured, verdict_of
from tests.servers import Server
from tests.virtual import Arena

pytestmark = pytest.mark.timeout(1200)

RATE = 800.0
RACES = 6
SLO = parse_slo(f"p99<=100ms, errors<=5%, rate>={RATE:g}/s")
_STALLING = Server("stalling", 0.0005)
_STEADY = Server("constant", 0.0005)


def raced(arena: Arena, server: Server, seed: int, *, sends: float | None = None) -> Measured:
    return arena.race({"a": server}, SLO, seed=seed, sends=sends)[0]["a"]


def test_a_server_that_stalls_fails_and_none_of_its_runs_is_void(arena: Arena, profile: Profile) -> None:
    held = 0
    for seed in range(RACES):
        found = raced(arena, _STALLING, seed)
        assert (found.trouble, verdict_of(found, profile, SLO).status) == ("", "FAIL")
        runs = [run for run in found.book.runs if run.record.planned.rate is not None]
        assert {run.record.void for run in runs} <= {None, "growing-queue"}
        users = users_for(RATE, profile.timeout_s)
        held += sum(waits_in(run.samples, users, 1).held for run in found.holds)
    # Without arrivals that found no user this would show nothing.
    assert held > 1000


def test_the_same_server_without_stalls_passes(arena: Arena, profile: Profile) -> None:
    found = raced(arena, _STEADY, 1)
    assert (found.trouble, verdict_of(found, profile, SLO).status) == ("", "PASS")


def test_a_generator_that_cannot_send_the_rate_is_void_and_fails_nobody(arena: Arena, profile: Profile) -> None:
    found = raced(arena, _STEADY, 1, sends=RATE / 2)
    assert found.void == "late"
    assert verdict_of(found, profile, SLO).status != "FAIL"
