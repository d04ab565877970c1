"""Time that no part of a request accounts for: a proxy's voids a run, a server's that stands still does not."""

from dataclasses import replace

import numpy as np
import pytest

from loadtest.payloads import PayloadSet
from loadtest.schedule import poisson
from loadtest.shot import Outcome
from podium.evidence import Scene
from tests.loads import payloads
from tests.scenes import NS, SECONDS, Case, facts, played, proofs, scene, slower_way, stages
from tests.simulated import with_samples


@pytest.fixture(scope="module")
def sent(tmp_path_factory: pytest.TempPathFactory) -> PayloadSet:
    return payloads(tmp_path_factory.mktemp("payloads"))


def test_what_passes_outside_the_server_is_only_held_against_what_is_known_of_it(sent: PayloadSet) -> None:
    outcome = played(poisson(40, SECONDS, 3))
    late, healthy = slower_way(outcome, scene(outcome, sent))
    assert proofs(late, healthy)[0]["unexplained-time"].ok is False
    for unknown in ({"outside_s": None}, {"is_concurrent": True}):
        assert proofs(late, replace(healthy, **unknown))[0]["unexplained-time"].ok is True
    assert proofs(outcome, scene(outcome, sent, outside_s=0.5))[0]["unexplained-time"].ok is True
    # Sums over other answers than those that the generator saw have another mean.
    others = facts(late, after=True, stages=stages(late, after=True, staged=0.9))
    assert proofs(late, replace(healthy, after=others))[0]["unexplained-time"].ok is None
    # A generator that sends late takes notice of answers late.
    tired = with_samples(
        outcome, start_ns=outcome.samples.start_ns + 3_000_000, end_ns=outcome.samples.end_ns + 8_000_000
    )
    slow = replace(healthy, after=facts(tired, after=True, stages=stages(tired, after=True, outside_s=0.0054)))
    assert proofs(tired, slow)[0]["unexplained-time"].ok is True
    noise = with_samples(outcome, end_ns=outcome.samples.end_ns + 1_500_000)
    noisy = replace(healthy, after=facts(noise, after=True, stages=stages(noise, after=True, outside_s=0.0019)))
    assert proofs(noise, noisy)[0]["unexplained-time"].ok is True


def frozen(outcome: Outcome, healthy: Scene, *, first_s: float, seconds: float) -> Case:
    """Return a run whose server's process stood still once, which none of its stages counts."""
    samples = outcome.samples
    first, last = round(first_s * NS), round((first_s + seconds) * NS)
    end = np.where((samples.end_ns > first) & (samples.end_ns < last), last + 1_000_000, samples.end_ns)
    stopped = with_samples(outcome, end_ns=end)
    inside = facts(outcome, after=True)
    return stopped, replace(healthy, before=facts(stopped, after=False), after=inside)


@pytest.mark.parametrize("seconds", [0.25, 0.3, 0.6, 1.5])
def test_a_server_that_stands_still_is_measured_and_not_void(sent: PayloadSet, seconds: float) -> None:
    outcome = played(poisson(60, SECONDS, 3))
    stopped, around = frozen(outcome, scene(outcome, sent), first_s=4.0, seconds=seconds)
    assert np.mean(stopped.samples.latency_intended_ns > 100_000_000) > 0.01
    found, _ = proofs(stopped, around)
    assert found["unexplained-time"].ok is True
    assert "came in bursts" in found["unexplained-time"].evidence
    # A proxy that slows the others as well is found beside it.
    slow = with_samples(stopped, end_ns=stopped.samples.end_ns + 10_000_000)
    assert proofs(slow, around)[0]["unexplained-time"].ok is False


def test_a_host_that_takes_the_servers_core_once_does_not_void_a_long_run(sent: PayloadSet) -> None:
    outcome = played(poisson(100, 60.0, 3))
    outcome = replace(outcome, shot=replace(outcome.shot, seconds=60.0, users=400))
    stopped, around = frozen(outcome, scene(outcome, sent), first_s=30.0, seconds=0.55)
    assert np.mean(stopped.samples.latency_intended_ns > 100_000_000) < 0.01
    found, void = proofs(stopped, around)
    assert void is None
    assert found["unexplained-time"].ok is True


def test_a_proxy_that_slows_six_in_ten_requests_is_found(sent: PayloadSet) -> None:
    outcome = played(poisson(60, SECONDS, 3))
    slow = np.random.default_rng(5).random(len(outcome.samples)) < 0.6
    late = with_samples(outcome, end_ns=outcome.samples.end_ns + 8_000_000 * slow)
    assert proofs(late, scene(outcome, sent))[1] == "unexplained-time"
