"""Policies against each other: pairs of repeats, ratios with intervals, and what may be said of them."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest

from podium.errors import ConfigError
from podium.figures import NONE
from podium.scoring.card import Card, card_of
from podium.scoring.comparison import compare, ratio_of
from podium.scoring.texts import document, ratio_text, row, verdict
from tests.elasticruns import elastic_run, subject

pytestmark = pytest.mark.unit


def card(policy: str, repeat: int, violated: int, pods: int = 1, **changes: object) -> Card:
    """Return a run of 20 s in which so many seconds from the sixth on are violated, each by itself."""
    # A window of one miss reaches over five seconds, so the misses of the last one end with the run.
    slow = [0] * 20
    if violated:
        slow[20 - violated] = 10
        for second in range(20 - violated, 20):
            slow[second] = 10
    return card_of(
        elastic_run([10] * 20, policy=policy, repeat=repeat, slow=slow, ready=[pods] * 20, **changes)  # type: ignore[arg-type]
    )


def cards(policy: str, violated: Sequence[int], pods: Sequence[int]) -> list[Card]:
    return [card(policy, number, *pair) for number, pair in enumerate(zip(violated, pods, strict=True), start=1)]


def test_a_ratio_is_that_of_the_sums_and_its_interval_is_cochrans() -> None:
    over, under = [4.0, 6.0, 5.0], [8.0, 12.0, 10.0]
    exact = ratio_of(over, under)
    assert exact is not None
    assert (exact.value, exact.low, exact.high, exact.detectable) == (0.5, 0.5, 0.5, 0.0)
    found = ratio_of([4.0, 8.0], [10.0, 10.0])
    assert found is not None
    # Residuals -2 and 2, so a deviation of √8, over √2 and the mean of 10; t at 97.5 % with one degree is 12.706.
    error = math.sqrt(8) / math.sqrt(2) / 10
    assert found.value == pytest.approx(0.6)
    assert found.high == pytest.approx(0.6 + 12.706 * error, rel=1e-4)
    assert found.low == 0.0
    assert found.detectable == pytest.approx((12.706 + 1.376) * error, rel=1e-3)


def test_the_interval_of_a_ratio_covers_it_as_often_as_it_says() -> None:
    random = np.random.default_rng(3)
    covered = 0
    for _ in range(400):
        base = random.normal(100, 10, 6)
        found = ratio_of(list(0.7 * base + random.normal(0, 5, 6)), list(base))
        assert found is not None
        assert found.low is not None
        assert found.high is not None
        covered += found.low <= 0.7 <= found.high
    assert 0.91 <= covered / 400 <= 0.985


def test_a_ratio_to_nothing_is_none_and_one_repeat_has_no_interval() -> None:
    assert ratio_of([1.0], [0.0]) is None
    assert ratio_of([], []) is None
    single = ratio_of([3.0], [4.0])
    assert single is not None
    assert (single.value, single.low, single.high) == (0.75, None, None)
    assert (ratio_text(single), ratio_text(None)) == ("0.75", "–")


@pytest.mark.parametrize(
    ("violated", "pods", "finding"),
    [
        ([4, 5, 4], [1, 1, 1], "better"),
        ([4, 5, 4], [2, 2, 2], "mixed"),
        ([14, 15, 14], [1, 1, 1], "worse"),
        ([10, 8, 12], [1, 1, 1], "open"),
        ([0, 0, 0], [1, 1, 1], "better"),
    ],
)
def test_a_policy_is_called_better_only_where_the_intervals_say_so(
    violated: list[int], pods: list[int], finding: str
) -> None:
    found = compare([*cards("base", [9, 10, 11], [1, 1, 1]), *cards("other", violated, pods)])
    (rivalry,) = found.rivalries
    assert (rivalry.finding, rivalry.baseline, rivalry.repeats) == (finding, "base", 3)
    assert verdict(found)[0].startswith("other is ")
    if finding == "open":
        assert "would show one of" in verdict(found)[0]


def test_more_violation_for_fewer_pods_is_a_trade() -> None:
    found = compare([*cards("base", [3, 3, 3], [2, 2, 2]), *cards("thin", [9, 9, 9], [1, 1, 1])])
    assert found.rivalries[0].finding == "mixed"
    assert "is a trade against base" in verdict(found)[0]


@pytest.mark.parametrize(("pods", "finding"), [([1, 1, 1], "better"), ([3, 3, 3], "worse"), ([2, 2, 2], "open")])
def test_where_nobody_violates_the_pods_decide(pods: list[int], finding: str) -> None:
    found = compare([*cards("base", [0, 0, 0], [2, 2, 2]), *cards("other", [0, 0, 0], pods)])
    assert found.rivalries[0].finding == finding


def test_violating_where_the_baseline_does_not_is_worse() -> None:
    found = compare([*cards("base", [0, 0], [2, 2]), *cards("other", [3, 0], [2, 2])])
    assert (found.rivalries[0].finding, found.rivalries[0].violation) == ("worse", None)


def test_void_runs_count_for_nothing_and_are_named() -> None:
    spoiled = card("other", 2, 0, void="late")
    found = compare([*cards("base", [9, 9], [1, 1]), card("other", 1, 4), spoiled])
    assert (found.policies[1].repeats, len(found.policies[1].void), found.rivalries[0].repeats) == (1, 1, 1)
    assert found.rivalries[0].finding == "open"
    assert "other 2 is void:late and counts for nothing" in found.labels
    assert row(found.policies[1])[1] == "1 (+1 void)"
    only = compare([card("a", 1, 0, void="late")])
    assert (only.policies[0].repeats, only.policies[0].violation_s) == (0, None)
    assert document(only)["verdict"]
    # What was not measured is never zero: no share, no count, no pod-second.
    assert row(only.policies[0])[2:] == (NONE,) * 12
    alone = only.policies[0]
    assert {alone.missed, alone.refused, alone.wasted, alone.flaps, alone.undetected, alone.most_ready} == {None}


def test_one_policy_alone_is_told_without_a_rival() -> None:
    found = compare(cards("base", [2, 4], [1, 1]))
    assert found.rivalries == ()
    assert "the SLO does not hold in 3 s" in verdict(found)[0]
    assert found.policies[0].cost_per_million is not None
    told = document(found)
    assert told["against_baseline"] == []


def test_runs_of_different_questions_or_clusters_are_not_compared() -> None:
    first = card("a", 1, 0)
    with pytest.raises(ConfigError, match=r"differ in safe_rate, and are not comparable"):
        compare([first, card_of(elastic_run([10], policy="b", subject=subject(safe_rate=9.0)))])
    with pytest.raises(ConfigError, match="another cluster"):
        compare([first, card("b", 1, 0, fingerprint="0" * 12)])
    with pytest.raises(ConfigError, match="repeat 1 of a is there twice"):
        compare([first, first])
    with pytest.raises(ConfigError, match="two policies are called a"):
        compare([first, card("a", 2, 0, policy_file={"name": "a", "kind": "kpa"})])
    with pytest.raises(ConfigError, match="no run to score"):
        compare([])


def test_repeats_of_other_arrivals_are_no_pairs() -> None:
    first = card("a", 1, 0, seed=8)
    assert len(compare([first, card("b", 1, 0, seed=8), card("a", 2, 0, seed=9)]).policies) == 2
    with pytest.raises(ConfigError, match="repeat 1 was played with the seeds 8, 9"):
        compare([first, card("b", 1, 0, seed=9)])


def test_an_autoscaler_that_was_set_anew_in_between_is_another_one() -> None:
    flags = {"sync-period": "5s", "tolerance": "0.1"}
    first = card("a", 1, 0, autoscaler=flags)
    with pytest.raises(ConfigError, match=r"between a 1 and b 1 the cluster's autoscaler was set anew: sync-period"):
        compare([first, card("b", 1, 0, autoscaler={**flags, "sync-period": "15s"})])
    # Knative's settings are its own, and what nobody could see is no difference.
    other = card("k", 1, 0, mode="Knative", policy_file={"name": "k", "kind": "kpa"}, autoscaler={"tick": "2s"})
    assert len(compare([first, other, card("b", 1, 0, autoscaler={})]).policies) == 3


def test_settings_that_the_cluster_did_not_apply_stand_beside_every_figure() -> None:
    told = compare([card("a", 1, 0, autoscaler={"sync-period": "15s"})]).labels
    (label,) = [text for text in told if text.startswith("of a the cluster did not apply")]
    assert "syncPeriod 5s (it has 15s)" in label
    assert "resolution 10s (it has 15s)" in label


def test_figures_of_an_emulated_class_are_not_ranked() -> None:
    slow, fast = (cards(name, violated, [1, 1, 1]) for name, violated in (("base", [9, 10, 11]), ("other", [4, 5, 4])))
    assert compare([*slow, *fast]).rivalries[0].finding == "better"
    emulated = [card_of(one.run.model_copy(update={"subject": subject(emulated=True)})) for one in (*slow, *fast)]
    (rivalry,) = compare(emulated).rivalries
    assert rivalry.finding == "open"
    assert "epyc is emulated, whose figures are not ranked" in verdict(compare(emulated))[0]


def test_an_emulated_class_is_said_beside_every_figure() -> None:
    found = compare([card_of(elastic_run([10], subject=subject(emulated=True)))])
    assert any("emulated" in label for label in found.labels)
    assert "kind: one machine, functional and relative" in found.labels
