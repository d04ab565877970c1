"""The figures of a recorded run: every one of them on a record small enough to count by hand."""

from __future__ import annotations

import pytest

from podium.scoring.card import card_of, timeline_of, violated_of
from podium.scoring.record import PodFacts
from tests.elasticruns import elastic_run, start, subject

pytestmark = pytest.mark.unit

# Ten seconds: two at 10/s, four at 25/s, four at 5/s; pods hold 10/s each.
LOAD = [10, 10, 25, 25, 25, 25, 5, 5, 5, 5]


def test_every_figure_of_a_step_is_what_is_counted_by_hand() -> None:
    run = elastic_run(
        LOAD,
        wanted=[1, 1, 1, 3, 3, 3, 3, 1, 1, 1],
        ready=[1, 1, 1, 1, 3, 3, 3, 3, 1, 1],
        paid=[1, 1, 1, 3, 3, 3, 3, 3, 1, 1],
        slow=[0, 0, 15, 10, 0, 0, 0, 0, 0, 0],
        errors=[0, 0, 5, 0, 0, 0, 0, 0, 0, 0],
        refused=[0, 0, 4, 0, 0, 0, 0, 0, 0, 0],
        starts=(start("b", 3.0, 3.1, 3.1, 3.6, 3.9, 4.4), start("c", 3.0, 3.3, 3.3, 3.9, None, None)),
    )
    card = card_of(run)
    found = card.score
    # From second 2 on 25 of 45, and the last window that looks back at second 3 is that of second 7.
    assert found.violation_s == 6
    assert list(card.violated) == [False, False, True, True, True, True, True, True, False, False]
    # The overload begins with second 2, and in second 3 the autoscaler asks for more.
    assert found.detect is not None
    assert (found.detect.mean_s, found.detect.count, found.undetected) == (1.0, 1, 0)
    assert found.pod_seconds == 20
    # Needed are 1 1 3 3 3 3 1 1 1 1, so that two pods too many stand there in the seconds 6 and 7.
    assert found.wasted_pod_seconds == 4
    assert (found.offered, found.missed * 140, found.refused * 140) == (140, 25, 4)
    assert card.served == 115
    assert (found.direction_changes, found.flaps, found.most_ready) == (1, 0, 3)
    assert found.parts["schedule"] is not None
    assert found.parts["schedule"].mean_s == pytest.approx(0.2)
    assert found.parts["schedule"].worst_s == pytest.approx(0.3)
    assert found.parts["warm"] is not None
    # The second pod never got ready, and no number stands in for that.
    assert found.parts["warm"].count == 1
    assert found.parts["warm"].mean_s == pytest.approx(0.3)
    assert found.parts["first_good_answer"] is not None
    assert found.parts["first_good_answer"].mean_s == pytest.approx(0.5)
    assert card.cost is not None
    assert card.cost.value == pytest.approx(20 * 3.6 / 3600)
    assert card.cost_per_million is not None
    assert card.cost_per_million.value == pytest.approx(20 * 0.001 / 115 * 1e6)


def test_a_second_is_violated_where_any_clause_fails() -> None:
    # 12 of 100 are no answers, above 10 %; the latency clause allows 1 % and fails at once.
    run = elastic_run([100] * 6, errors=[12, 0, 0, 0, 0, 0], slow=[12, 0, 0, 0, 0, 0])
    assert list(violated_of(run, 1)) == [True, False, False, False, False, False]
    errors_only = run.generated.model_copy(update={"clauses": run.generated.clauses[1:]})
    again = run.model_copy(update={"generated": errors_only})
    # 12 of 100 and then 12 of 200: a window of five seconds forgives what a single second does not.
    assert int(violated_of(again, 5).sum()) == 1
    assert int(violated_of(run, 5).sum()) == 5


def test_lost_requests_count_as_missed_whatever_became_of_them() -> None:
    run = elastic_run([10, 10], errors=[10, 0], slow=[10, 1])
    line = timeline_of(run)
    assert list(line.missed) == [10, 1]
    assert card_of(run).served == 9


def test_chance_arrivals_are_no_overload_where_the_expected_rate_is_none() -> None:
    busy = elastic_run([13, 7, 14, 6])
    assert card_of(busy).score.detect is not None
    steady = busy.generated.model_copy(update={"rates": (10.0, 10.0, 10.0, 10.0)})
    card = card_of(busy.model_copy(update={"generated": steady}))
    assert card.score.detect is None
    assert card.score.wasted_pod_seconds == 0


def test_replicas_that_swing_are_flaps_within_the_window_only() -> None:
    swinging = [1, 2, 1, 2, 1, 1, 1, 1]
    assert card_of(elastic_run([1] * 8, ready=swinging, stabilization_s=30.0)).score.flaps == 2
    assert card_of(elastic_run([1] * 8, ready=swinging, stabilization_s=1.0)).score.flaps == 0
    assert card_of(elastic_run([1] * 8, ready=swinging)).score.direction_changes == 3


def test_a_start_from_zero_is_an_overload_until_a_pod_serves() -> None:
    cold = elastic_run(
        [5, 5, 5, 5],
        ready=[0, 0, 1, 1],
        wanted=[1, 1, 1, 1],
        paid=[1, 1, 1, 1],
        minimum=0,
        starts=(start("a", 0.2, 0.3, 0.3, 0.9, 1.4, 1.5),),
    )
    card = card_of(cold)
    assert card.score.detect is not None
    assert card.score.detect.mean_s == 0
    assert card.timeline.starts[0].parts == pytest.approx((0.1, 0.0, 0.6, 0.5, 0.1))


def test_without_a_price_nothing_costs_anything_and_nothing_is_zero() -> None:
    free = card_of(elastic_run([1], subject=subject(pod_hour=None)))
    assert (free.cost, free.cost_per_million) == (None, None)
    lost = card_of(elastic_run([1], errors=[1]))
    assert lost.cost is not None
    assert lost.cost_per_million is None


def test_the_worst_pod_says_how_much_was_throttled() -> None:
    def facts(name: str, share: float | None) -> PodFacts:
        return PodFacts(pod=name, node="w", threads=1, cpu_limit=0.2, throttled=share, requests=1, restarts=0)

    run = elastic_run([1], pods=(facts("a", 0.2), facts("b", None), facts("c", 0.4)))
    assert card_of(run).throttled == 0.4
    assert card_of(elastic_run([1])).throttled is None
