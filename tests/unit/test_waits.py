"""Late sends: those that a stalled server caused are its latency, and those of a slow generator are the generator's."""

from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest

from loadtest.payloads import PayloadSet
from loadtest.profile import Thresholds
from loadtest.runrecord import ProofRecord
from loadtest.samples import NO_ANSWER, NOT_SENT, Samples
from loadtest.schedule import constant, poisson
from loadtest.shot import GeneratorFacts, Outcome, Shot
from loadtest.waits import waits_in, waits_of
from podium.evidence import prove
from tests.loads import payloads
from tests.queues import departed, limited
from tests.scenes import scene
from tests.simulated import NS

MS = 1_000_000
RATE = 40.0
SECONDS = 10.0
TIMEOUT_S = 2.0
Floats = npt.NDArray[np.float64]


@pytest.fixture(scope="module")
def sent(tmp_path_factory: pytest.TempPathFactory) -> PayloadSet:
    return payloads(tmp_path_factory.mktemp("payloads"))


def played(
    starts_s: Floats, ends_s: Floats, schedule: npt.NDArray[np.int64], *, users: int, runners: int = 1
) -> Outcome:
    """Return the outcome of a shot whose requests left and were answered at these times."""
    count = len(schedule)
    start, end = (starts_s * NS).astype(np.int64), (ends_s * NS).astype(np.int64)
    over = end - start > TIMEOUT_S * NS
    samples = Samples(
        n=np.arange(count),
        intended_ns=schedule,
        start_ns=start,
        end_ns=np.where(over, start + round(TIMEOUT_S * NS), end),
        status=np.where(over, NO_ANSWER, 200).astype(np.int64),
        ok=~over,
        block=np.zeros(count, dtype=np.int64),
    )
    facts = GeneratorFacts("k6", "v2.2.0", runners, 1.0, 10.3, 0, 90_000_000, count, 0, (0,))
    shot = Shot("open", users=users, timeout_s=TIMEOUT_S, schedule=schedule, seconds=SECONDS, seed=1)
    # As the generator counts them: what it was due to send while nobody was free.
    dropped = int((samples.lateness_ns > MS).sum())
    return Outcome(samples, count, dropped, None, facts, "2026-01-02T03:04:05Z", float(ends_s[-1]), shot)


def stalled(*, users: int, stall_s: float = 3.0, runners: int = 1) -> Outcome:
    """Return a load on a server that stalls once, for longer than its users last."""
    schedule = poisson(RATE, SECONDS, 3)
    services = np.full(len(schedule), 0.002)
    services[100] += stall_s
    return played(*limited(schedule / NS + 100e-6, services, users, TIMEOUT_S), schedule, users=users, runners=runners)


def proofs(outcome: Outcome, sent: PayloadSet) -> tuple[dict[str, ProofRecord], str | None]:
    records, void = prove(outcome, scene(outcome, sent), Thresholds())
    return {record.check: record for record in records}, void


def test_what_a_stalled_server_made_late_is_its_own_and_voids_nothing(sent: PayloadSet) -> None:
    outcome = stalled(users=20)
    found, void = proofs(outcome, sent)
    assert outcome.dropped > 50
    assert (void, found["late"].ok, found["dropped"].ok) == (None, True, True)
    assert f"{waits_of(outcome).held} more waited while the server held all users" in found["late"].evidence
    assert "the server held all of them when" in found["dropped"].evidence
    # A load without a limit would have seen the same, since the server's own queue is first in first out as well.
    free = stalled(users=1000)
    assert free.dropped == 0
    over = TIMEOUT_S * NS
    ours, theirs = (np.minimum(one.samples.latency_intended_ns, over) for one in (outcome, free))
    assert np.abs(ours - theirs).max() <= 0.25 * NS
    assert np.quantile(ours, 0.9) == pytest.approx(np.quantile(theirs, 0.9), rel=0.03)


def test_a_generator_that_is_slow_with_users_at_hand_is_late(sent: PayloadSet) -> None:
    """The control: as many late sends, and the server held nobody."""
    schedule = poisson(RATE, SECONDS, 3)
    due = schedule / NS + 100e-6
    due[100:200] = np.maximum(due[100:200], due[100] + 2.0)
    slow = replace(played(due, departed(due, 0.002), schedule, users=96), dropped=0)
    found, void = proofs(slow, sent)
    assert (void, found["late"].ok) == ("late", False)
    assert waits_of(slow).held == 0


def test_users_that_the_generator_itself_is_busy_with_are_no_excuse(sent: PayloadSet) -> None:
    """Between answer and next request a user is in the generator's hands, and nobody else's."""
    schedule = constant(RATE, SECONDS)
    users = 4
    starts = schedule / NS + 100e-6
    ends = np.empty_like(starts)
    for number in range(starts.size):
        if number >= users:
            # Each takes 150 ms to check its answer, and all of them only 100 between two arrivals of their own.
            starts[number] = max(starts[number], ends[number - users] + 0.15)
        ends[number] = starts[number] + 0.002
    found, void = proofs(played(starts, ends, schedule, users=users), sent)
    assert (void, found["dropped"].ok) == ("late", False)


@pytest.mark.parametrize(("gap_s", "void"), [(0.01, None), (0.022, "late")])
def test_catching_up_after_a_stall_is_no_fault_unless_it_takes_longer(
    gap_s: float, void: str | None, sent: PayloadSet
) -> None:
    """The server answers all users at once; the generator needs a moment for each request that was due meanwhile."""
    users, first, stall_s = 20, 100, 1.9
    schedule = constant(RATE, SECONDS)
    starts = schedule / NS + 100e-6
    ends = starts + 0.002
    over = starts[first] + stall_s
    ends[first : first + users] = over
    starts[first + users :] = departed(np.maximum(starts[first + users :], over), gap_s) - gap_s
    ends[first + users :] = starts[first + users :] + 0.002
    outcome = played(starts, ends, schedule, users=users)
    assert (proofs(outcome, sent)[1], waits_of(outcome).held > 25) == (void, True)


def test_a_rate_that_the_server_cannot_keep_up_with_is_not_the_generators_fault(sent: PayloadSet) -> None:
    schedule = poisson(RATE, SECONDS, 5)
    behind = played(*limited(schedule / NS, np.full(len(schedule), 0.04), 20, TIMEOUT_S), schedule, users=20)
    stopped = replace(behind, stopped="over-saturated")
    for outcome in (behind, stopped):
        found, void = proofs(outcome, sent)
        assert outcome.dropped > 100
        assert found["late"].ok
        assert void in {None, "growing-queue"}


def test_an_over_saturation_stop_excuses_no_slow_generator(sent: PayloadSet) -> None:
    """On the clock of the intended start a late generator makes a queue seem to grow."""
    schedule = poisson(RATE, SECONDS, 3)
    due = departed(schedule / NS, 0.04)
    slow = played(due, due + 0.002, schedule, users=96)
    assert proofs(replace(slow, stopped="over-saturated", dropped=0), sent)[1] == "late"


def test_what_could_not_leave_before_the_end_is_the_servers_where_it_held_all_users(sent: PayloadSet) -> None:
    outcome = stalled(users=20, stall_s=30.0)
    unsent = np.arange(len(outcome.samples)) > 200
    end = int(outcome.samples.start_ns[200]) + NS
    samples = replace(
        outcome.samples,
        start_ns=np.where(unsent, end, outcome.samples.start_ns),
        end_ns=np.where(unsent, end, outcome.samples.end_ns),
        status=np.where(unsent, NOT_SENT, outcome.samples.status),
        ok=outcome.samples.ok & ~unsent,
    )
    cut = replace(outcome, samples=samples, generator=replace(outcome.generator, http_requests=int((~unsent).sum())))
    found, void = proofs(cut, sent)
    assert (void, found["under-offered"].ok) == ("growing-queue", True)
    assert "the server left no user" in found["under-offered"].evidence
    # The control: the same requests are missing, and users were there.
    idle = replace(cut, shot=replace(cut.shot, users=500))
    assert not proofs(idle, sent)[0]["under-offered"].ok


def test_each_runner_has_its_own_users() -> None:
    outcome = stalled(users=20)
    whole = outcome.samples
    # The same requests twice, by two runners: what they hold is counted apart.
    twice = Samples.joined([replace(whole, n=2 * whole.n), replace(whole, n=2 * whole.n + 1)])
    both = waits_in(twice, 40, 2)
    alone = waits_of(outcome)
    assert both.held == 2 * alone.held
    assert np.array_equal(both.own_ns[::2], alone.own_ns)
    assert waits_in(twice, 80, 2).held == 0


def test_nothing_waited_for_nothing() -> None:
    waits = waits_in(Samples.empty(), 4, 2)
    assert (waits.held, waits.own_ns.size) == (0, 0)
    never = replace(stalled(users=20).samples.select(slice(0, 3)), status=np.full(3, NOT_SENT))
    assert waits_in(never, 1, 1).held == 0
