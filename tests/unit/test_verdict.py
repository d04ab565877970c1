"""The verdict: rule 11 on both sides, its degenerate cases, and how often it is wrong on simulated queues."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from loadtest.blocks import BlockOutcome
from loadtest.profile import Level
from loadtest.slo import parse_slo
from loadtest.statistics import t_bound
from loadtest.verdict import ClauseVerdict, Verdict, is_settled, judge
from tests.queues import edge, hold
from tests.verdicts import FULL, LATENCY, block, quick


def only(verdict: Verdict) -> ClauseVerdict:
    assert len(verdict.clauses) == 1
    return verdict.clauses[0]


def test_five_blocks_without_a_miss_pass() -> None:
    verdict = quick([block(400)] * 5)
    assert verdict.status == "PASS"
    assert verdict.needs is None
    clause = only(verdict)
    assert (clause.misses, clause.requests, clause.bound) == (0, 2000, 0.0)
    assert clause.value == pytest.approx(0.05)
    assert verdict.reasons == ("0 of 2,000 requests miss p99<=100ms: at most 0.00% do at 95% confidence, and 1% may",)
    assert (verdict.level, verdict.confidence) == ("quick", 0.95)


def test_no_miss_is_not_enough_where_the_count_is_too_small_for_the_claim() -> None:
    verdict = quick([block(400)] * 5, "p99.9<=100ms")
    assert verdict.status == "INCONCLUSIVE"
    assert only(verdict).bound == 0.0
    assert verdict.needs is not None
    # 2,995 requests are needed at 95 %: three more blocks of 400.
    assert (verdict.needs.requests, verdict.needs.repeats) == (1200, 3)
    assert quick([block(600)] * 5, "p99.9<=100ms").status == "PASS"


def test_both_halves_of_the_rule_must_agree_to_pass() -> None:
    # 12 misses in 2,000 pass the binomial rule at 95 %; 13 do not.
    even = [block(400, 2), block(400, 3), block(400, 2), block(400, 3), block(400, 2)]
    assert quick(even).status == "PASS"
    assert quick([*even[:4], block(400, 4)]).status == "INCONCLUSIVE"
    clumped = [block(400, 10), *[block(400)] * 4]
    assert quick(clumped).status == "INCONCLUSIVE"
    bound = only(quick(clumped)).bound
    assert bound is not None
    assert bound > 0.01


def test_both_halves_of_the_rule_must_agree_to_fail() -> None:
    assert quick([block(400, 8), block(400, 9), block(400, 8), block(400, 9), block(400, 8)]).status == "FAIL"
    clumped = quick([block(400, 100), *[block(400)] * 4])
    assert clumped.status == "INCONCLUSIVE"
    assert only(clumped).misses == 100
    # The t-bound is beyond the limit, and the count of 8 in 4,000 is not (it needs 9).
    few = quick([*[block(400, 1)] * 8, *[block(400)] * 2], "p99.9<=100ms")
    assert few.status == "INCONCLUSIVE"
    assert (only(few).bound or 0.0) > 0.001
    assert quick([*[block(400, 1)] * 9, block(400)], "p99.9<=100ms").status == "FAIL"


def test_batches_that_agree_better_than_by_chance_are_no_surer_for_it() -> None:
    even = only(quick([block(400, 5)] * 5))
    assert even.status == "INCONCLUSIVE"
    assert even.bound == pytest.approx(0.0125 - stats.t.ppf(0.96, 4) * np.sqrt(0.01 * 0.99 / 2000))
    # The control: those that differ by more than chance have the bound that they had.
    shares = np.array([12, 30, 19, 22, 17]) / 400
    assert only(quick([block(400, round(400 * one)) for one in shares])).bound == t_bound(shares, 0.96, "lower")


def test_everything_missed_is_a_fail_although_the_batches_have_no_spread() -> None:
    verdict = quick([block(400, 400)] * 5)
    assert verdict.status == "FAIL"
    assert only(verdict).bound == 1.0
    assert verdict.reasons == (
        "2,000 of 2,000 requests miss p99<=100ms: at least 100.00% do at 95% confidence, and 1% may",
    )


def test_a_fail_needs_two_batches_and_not_all_five_blocks() -> None:
    assert quick([block(400, 400)]).status == "INCONCLUSIVE"
    assert quick([block(400, 400)] * 2).status == "FAIL"
    assert quick([block(399, 399)] * 5).status == "INCONCLUSIVE"


def test_a_pass_needs_two_batches() -> None:
    verdict = quick([block(399)] * 5)
    assert verdict.status == "INCONCLUSIVE"
    assert only(verdict).bound is None
    assert quick([block(399)] * 3 + [block(400)] * 2).status == "PASS"


@pytest.mark.parametrize("count", [0, 1, 4])
def test_a_pass_needs_the_five_blocks_of_its_level(count: int) -> None:
    verdict = quick([block(1000)] * count)
    assert verdict.status == "INCONCLUSIVE"
    assert verdict.needs is not None
    assert verdict.needs.repeats == 5 - count
    assert f"in {count} of the 5 whole blocks of 10 s" in verdict.reasons[0]


def test_a_pass_needs_blocks_of_the_levels_length() -> None:
    assert quick([block(1000, seconds=9.9)] * 5).status == "INCONCLUSIVE"
    assert judge([block(1000, seconds=10.0)] * 5, LATENCY, level="standard").status == "INCONCLUSIVE"
    assert judge([block(1000, seconds=60.0)] * 5, LATENCY, level="standard").status == "PASS"


def test_standard_is_surer_than_quick() -> None:
    blocks = [block(400, 2, seconds=60.0), block(400, 3, seconds=60.0)] * 2 + [block(400, 2, seconds=60.0)]
    assert judge(blocks, LATENCY, level="quick").status == "PASS"
    assert judge(blocks, LATENCY, level="standard").status == "INCONCLUSIVE"
    assert judge(blocks, LATENCY, level="standard").confidence == 0.99
    assert judge(blocks, LATENCY, level="quick", confidence=0.99).status == "INCONCLUSIVE"


def test_a_fail_of_one_clause_fails_and_only_its_reasons_are_given() -> None:
    verdict = quick([block(400, 20)] * 5, "p99<=100ms, errors<=1%, rate>=40/s")
    assert verdict.status == "FAIL"
    assert [clause.status for clause in verdict.clauses] == ["FAIL", "PASS", "PASS"]
    assert len(verdict.reasons) == 1
    assert verdict.needs is None


def test_one_open_clause_leaves_the_verdict_open() -> None:
    verdict = quick([block(400)] * 5, "p99<=100ms, p99.9<=100ms, errors<=1%")
    assert [clause.status for clause in verdict.clauses] == ["PASS", "INCONCLUSIVE", "PASS"]
    assert verdict.status == "INCONCLUSIVE"
    assert verdict.needs == verdict.clauses[1].needs
    assert verdict.reasons == (verdict.clauses[1].reason,)


def test_the_clause_that_needs_most_says_what_is_needed() -> None:
    verdict = quick([block(400)] * 5, "errors<=0, p99.9<=100ms")
    assert verdict.needs is not None
    assert verdict.needs.repeats is None
    assert "no number of requests" in verdict.needs.text


def test_errors_count_as_misses_of_every_counted_clause() -> None:
    verdict = quick([block(400, errors=20)] * 5, "p99<=100ms, errors<=1%")
    assert [clause.misses for clause in verdict.clauses] == [100, 100]
    assert verdict.status == "FAIL"
    assert verdict.clauses[1].value == pytest.approx(0.05)


def test_a_limit_of_all_errors_always_holds_and_one_of_none_is_broken_by_errors() -> None:
    mixed = [block(400, errors=400), *[block(400)] * 4]
    assert quick(mixed, "errors<=100%").status == "PASS"
    assert quick([block(400, errors=400)] * 5, "errors<=100%").status == "PASS"
    assert quick([block(400, errors=1)] * 5, "errors<=0").status == "FAIL"
    assert quick([block(400)] * 5, "errors<=0").status == "INCONCLUSIVE"


def test_two_cut_blocks_fail_the_rate_and_end_the_hold() -> None:
    cut = block(120, planned=400, cut=True)
    verdict = judge([cut, cut], FULL, level="quick")
    assert is_settled([cut, cut], FULL, level="quick")
    assert verdict.status == "FAIL"
    assert verdict.reasons == ("the server fell behind at 40/s in 2 of 2 blocks",)


def test_one_cut_block_may_be_a_hiccup_and_never_passes() -> None:
    cut = block(120, planned=400, cut=True)
    assert not is_settled([cut], FULL, level="quick")
    verdict = judge([*[block(400)] * 4, cut], FULL, level="quick")
    assert verdict.status == "INCONCLUSIVE"
    assert [clause.status for clause in verdict.clauses] == ["INCONCLUSIVE"] * 3
    assert verdict.needs is not None
    # Five whole blocks for the verdict, and five more than those to excuse the one.
    assert (verdict.needs.repeats, verdict.needs.requests) == (6, 2400)
    assert "another must confirm" in verdict.clauses[2].reason
    confirmed = judge([*[block(400)] * 5, cut], FULL, level="quick")
    assert [clause.status for clause in confirmed.clauses] == ["PASS", "PASS", "INCONCLUSIVE"]
    excused = judge([*[block(400)] * 10, cut], FULL, level="quick")
    assert excused.status == "PASS"
    assert excused.clauses[2].reason == "the server kept up with 40/s in 10 of 11 blocks"


def test_two_cut_blocks_in_many_are_open_until_whole_ones_excuse_them() -> None:
    cut = block(120, planned=400, cut=True)
    assert judge([cut, cut, *[block(400)] * 7], FULL, level="quick").status == "FAIL"
    open_ = judge([cut, cut, *[block(400)] * 8], FULL, level="quick")
    assert open_.status == "INCONCLUSIVE"
    assert "in 2 of 10 blocks, which others must confirm" in open_.clauses[2].reason
    assert judge([cut, cut, *[block(400)] * 15], FULL, level="quick").status == "PASS"


def test_a_hold_that_can_be_judged_more_than_once_is_judged_more_strictly() -> None:
    near = [block(400, 2), block(400, 3), block(400, 2), block(400, 3), block(400, 2)]
    assert judge(near, LATENCY, level="quick").status == "PASS"
    shared = judge(near, LATENCY, level="quick", looks=3)
    assert shared.status == "INCONCLUSIVE"
    assert shared.confidence == 0.95
    assert "at 95% confidence" in shared.reasons[0]


def test_blocks_that_disagree_pass_and_are_not_ranked_and_want_more_of_them() -> None:
    slow = [
        BlockOutcome(np.full(400, one), np.zeros(400, dtype=np.bool_), 10.0, 400, 400) for one in [0.01] * 4 + [0.05]
    ]
    verdict = quick(slow)
    assert verdict.status == "PASS"
    assert len(verdict.disagreements) == 1
    assert verdict.disagreements[0].startswith("not ranked: p99 differs from block to block by 99% (CV), 20% may be")
    assert verdict.wants_blocks(at_most=1)
    alike = quick([block(400)] * 5)
    assert alike.disagreements == ()
    assert not alike.wants_blocks(at_most=5)
    assert not quick([block(400, 400)] * 5).wants_blocks(at_most=5)
    few = quick([block(400)] * 3)
    assert few.wants_blocks(at_most=1)
    assert not quick([block(400, 4)] * 5).wants_blocks(at_most=5)


def test_the_rate_holds_when_it_was_played_and_kept_up_with() -> None:
    verdict = judge([block(400)] * 5, FULL, level="quick")
    assert verdict.status == "PASS"
    rate = verdict.clauses[2]
    assert (rate.value, rate.misses, rate.requests) == (40.0, None, None)
    assert (rate.low, rate.high, rate.cv) == (40.0, 40.0, 0.0)
    assert rate.reason == "the server kept up with 40/s in all 5 blocks"


def test_a_rate_that_was_not_sent_is_open() -> None:
    verdict = judge([block(400)] * 4 + [block(390, planned=400)], FULL, level="quick")
    assert verdict.clauses[2].status == "INCONCLUSIVE"
    assert "less than 99% of the planned requests left in 1 of 5 blocks" in verdict.clauses[2].reason


def test_a_rate_that_was_not_planned_is_open() -> None:
    few = [block(400, seconds=12.0)] * 5
    verdict = judge(few, FULL, level="quick")
    assert verdict.clauses[2].status == "INCONCLUSIVE"
    assert "only 33.33/s were planned, and 40/s were asked for" in verdict.clauses[2].reason
    # A Poisson schedule plans a little less than asked often enough.
    assert judge([block(400, seconds=10.3)] * 5, FULL, level="quick").status == "PASS"


def test_no_blocks_at_all_are_open_and_not_a_crash() -> None:
    verdict = judge([], FULL, level="quick")
    assert verdict.status == "INCONCLUSIVE"
    assert verdict.needs is not None
    assert (verdict.needs.repeats, verdict.needs.requests) == (5, 2000)
    assert [clause.value for clause in verdict.clauses] == [None, None, None]


@pytest.mark.parametrize(
    ("starts", "status"),
    [((0.5, 0.9), "PASS"), ((1.0,), "PASS"), ((1.1, 2.0), "FAIL"), ((0.5, 1.1), "INCONCLUSIVE"), ((), "INCONCLUSIVE")],
)
def test_ready_is_judged_by_the_measured_starts(starts: tuple[float, ...], status: str) -> None:
    verdict = judge([], parse_slo("ready<=1s"), level="quick", ready_s=starts)
    assert verdict.status == status
    if starts:
        assert only(verdict).value == max(starts)
        assert "starts were ready within 1s" in only(verdict).reason
    assert (verdict.needs is None) == (status != "INCONCLUSIVE")


def test_the_figure_is_merged_and_its_interval_is_over_blocks() -> None:
    latencies = [0.01, 0.02, 0.03, 0.04, 0.05]
    blocks = [BlockOutcome(np.full(400, one), np.zeros(400, dtype=np.bool_), 10.0, 400, 400) for one in latencies]
    clause = only(quick(blocks))
    assert clause.value == 0.05
    assert clause.low is not None
    assert clause.high is not None
    # The mean of the blocks is 30 ms; the interval is widened to hold the merged value.
    assert clause.low < 0.03 < 0.05 <= clause.high
    assert clause.cv == pytest.approx(np.std(latencies, ddof=1) / 0.03)
    assert not clause.is_rankable
    assert only(quick([block(400)] * 5)).is_rankable
    assert only(quick([])).is_rankable


@given(
    sizes=st.lists(st.tuples(st.integers(0, 1300), st.floats(0, 1), st.booleans()), max_size=7),
    level=st.sampled_from(["quick", "standard"]),
)
@settings(max_examples=60)
def test_any_blocks_are_judged_and_only_open_verdicts_need_something(
    sizes: list[tuple[int, float, bool]], level: Level
) -> None:
    blocks = [block(size, round(part * size), cut=cut, seconds=60.0) for size, part, cut in sizes]
    verdict = judge(blocks, FULL, level=level)
    assert (verdict.needs is not None) == (verdict.status == "INCONCLUSIVE")
    assert verdict.reasons
    for clause in verdict.clauses:
        assert (clause.needs is not None) == (clause.status == "INCONCLUSIVE")
        if clause.status == "PASS" and clause.misses is not None:
            assert clause.requests is not None
            assert clause.misses < 0.01 * clause.requests
            assert not any(one.cut for one in blocks) or len(blocks) > 5
        if clause.value is not None and clause.low is not None and clause.high is not None:
            assert clause.low <= clause.value <= clause.high


@given(st.integers(0, 30))
def test_more_misses_never_make_a_better_verdict(late: int) -> None:
    order = {"PASS": 0, "INCONCLUSIVE": 1, "FAIL": 2}
    fewer = quick([block(800, late)] * 5).status
    more = quick([block(800, late + 1)] * 5).status
    assert order[fewer] <= order[more]


def races(load: float, level: Level, count: int, seconds: float, service_s: float = 0.02) -> Counter[str]:
    """Judge races on a simulated queue at a multiple of the rate at which exactly 1 % miss 100 ms."""
    rate = load * edge(service_s, 0.1, 0.01)
    slo = parse_slo(f"p99<=100ms, errors<=1%, rate>={rate:.6f}/s")
    random = np.random.default_rng(7)
    return Counter(judge(hold(rate, service_s, seconds, random), slo, level=level).status for _ in range(count))


def test_a_load_two_percent_beyond_the_edge_passes_in_a_few_of_three_hundred_races() -> None:
    seen = races(1.02, "standard", 300, 2400 / (1.02 * edge(0.02, 0.1, 0.01)))
    assert seen["PASS"] <= 9
    assert seen["FAIL"] + seen["INCONCLUSIVE"] >= 291


@pytest.mark.parametrize(("level", "seconds"), [("standard", 60.0), ("quick", 10.0)])
def test_a_load_clearly_inside_passes(level: Level, seconds: float) -> None:
    seen = races(0.8, level, 100, seconds, service_s=0.005)
    assert seen["PASS"] > 95
    assert seen["FAIL"] == 0


@pytest.mark.parametrize(("level", "seconds"), [("standard", 86.0), ("quick", 13.0)])
def test_a_load_clearly_beyond_never_passes_and_mostly_fails(level: Level, seconds: float) -> None:
    seen = races(1.4, level, 100, seconds)
    assert seen["PASS"] == 0
    assert seen["FAIL"] > 90
