"""How the risk of a wrong FAIL is spent: over the looks after each block, and over the clauses of an objective."""

import numpy as np
import pytest

from loadtest.blocks import BlockOutcome
from loadtest.profile import Level
from loadtest.slo import Slo, parse_slo
from loadtest.verdict import is_settled, judge
from tests.verdicts import LATENCY, block, quick


def test_a_hold_ends_early_once_its_fail_is_proven() -> None:
    assert not is_settled([], LATENCY, level="quick")
    assert not is_settled([block(400, 400)], LATENCY, level="quick")
    assert is_settled([block(400, 400)] * 2, LATENCY, level="quick")
    assert is_settled([block(400, 200), block(400, 220), block(400, 190)], LATENCY, level="quick")
    assert not is_settled([block(400)] * 5, LATENCY, level="quick")


def test_a_look_after_each_block_needs_more_proof_than_one_at_the_end() -> None:
    near = [block(400, 7), block(400, 12), block(400, 9)]
    assert quick(near).status == "FAIL"
    assert not is_settled(near, LATENCY, level="quick")
    assert quick([block(400, 30), block(400, 60)]).status == "INCONCLUSIVE"
    assert not is_settled([block(400, 30), block(400, 60)], LATENCY, level="quick")


def test_looking_after_each_block_seldom_fails_a_server_at_its_limit() -> None:
    random = np.random.default_rng(11)
    early = 0
    for _ in range(400):
        blocks: list[BlockOutcome] = []
        for misses in random.binomial(400, 0.01, size=5):
            blocks.append(block(400, int(misses)))
            if is_settled(blocks, LATENCY, level="quick"):
                early += 1
                break
    assert early <= 0.05 * 400  # Five looks at 95 % each would end about one in eight of them.


def clumped(random: np.random.Generator) -> BlockOutcome:
    """Return a block of two batches of 400 on a server just at its limit of 1 %, whose misses come ten at a time."""
    misses = np.zeros((2, 400), dtype=np.bool_)
    for batch, clumps in zip(misses, random.poisson(0.4, size=2), strict=True):
        batch[: 10 * clumps] = True
    late = misses.ravel()
    return BlockOutcome(np.where(late, 0.5, 0.05), np.zeros(800, dtype=np.bool_), 10.0, 800, 800)


def test_two_batches_that_hold_one_clump_each_settle_nothing() -> None:
    random = np.random.default_rng(5)
    looks = [[clumped(random)] for _ in range(500)]
    alike = [one for one in looks if int((one[0].latency_s > 0.1).sum()) == 20]
    assert len(alike) > 20
    # One look may be wrong in one of 500; of two batches that agree to the last request 31 were.
    assert sum(is_settled(one, LATENCY, level="quick") for one in looks) <= 1
    # The control: a server that never answers in time.
    assert is_settled([block(800, 800)], LATENCY, level="quick")


def wrong_fails(level: Level, races: int) -> tuple[int, int]:
    """Return how many races fail a server just at its limit, and how many of them before their last block."""
    random = np.random.default_rng(3)
    slo = parse_slo("errors<=10%")
    early = failed = 0
    for _ in range(races):
        blocks: list[BlockOutcome] = []
        while len(blocks) < 5 and not is_settled(blocks, slo, level=level):
            errors = random.random(2000) < 0.1
            blocks.append(BlockOutcome(np.where(errors, 2.0, 0.01), errors, 60.0, 2000, 2000))
        failed += judge(blocks, slo, level=level).status == "FAIL"
        early += len(blocks) < 5
    return failed, early


def test_all_looks_together_fail_a_server_at_its_limit_no_more_often_than_the_level_says() -> None:
    failed, early = wrong_fails("quick", 1000)
    # With the whole risk for the looks after each block, and all of it again for the judgement, 63 failed.
    assert failed <= 0.05 * 1000
    assert early < failed


def fails_of(slo: Slo, races: int) -> int:
    """Return how many races fail a server of which half the answers take 50 ms, and one in ten 500 ms."""
    random, failed = np.random.default_rng(3), 0
    for _ in range(races):
        blocks: list[BlockOutcome] = []
        while len(blocks) < 5 and not is_settled(blocks, slo, level="quick"):
            drawn = random.random(2000)
            latency = np.where(drawn < 0.1, 0.5, np.where(drawn < 0.5, 0.05, 0.01))
            blocks.append(BlockOutcome(latency, np.zeros(2000, dtype=np.bool_), 10.0, 2000, 2000))
        failed += judge(blocks, slo, level="quick").status == "FAIL"
    return failed


def test_two_clauses_at_their_limits_do_not_spend_the_risk_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    # How blocks vary is drawn by chance many times, and decides nothing here.
    monkeypatch.setattr("loadtest.verdict.spread", lambda latencies, quantile: None)
    assert fails_of(parse_slo("p50<=20ms, p90<=100ms"), 1000) <= 0.05 * 1000


@pytest.mark.parametrize("more", ["errors<=1%", "errors<=5%", "p95<=100ms", "p90<=200ms", "rate>=40/s", "ready<=1s"])
def test_a_clause_that_another_holds_for_takes_no_part_of_the_risk(more: str) -> None:
    near = [block(400, misses) for misses in (7, 12, 8, 8, 7)]
    bounds = [
        quick(near, slo).clauses[0].bound
        for slo in ("p99<=100ms", f"p99<=100ms, {more}", "p99<=100ms, p95<=50ms", "p99<=100ms, errors<=0.1%")
    ]
    alone, beside, *shared = [one for one in bounds if one is not None]
    assert beside == alone
    assert len(shared) == 2
    assert max(shared) < alone
