"""The generator's columns of a record: counted by the second in which a request was meant to leave."""

from __future__ import annotations

import numpy as np
import pytest

from loadtest.samples import NO_ANSWER, NOT_SENT, Samples
from loadtest.slo import parse_slo
from podium.scoring.generated import generated_of
from tests.loads import MS, NS, outcome

pytestmark = pytest.mark.unit

SLO = parse_slo("p99<=250ms, errors<=10%, rate>=5/s")


def samples(*rows: tuple[float, float, int, bool]) -> Samples:
    """Return requests: intended second, latency in ms, status, whether the answer is right."""
    intended = np.array([round(at * NS) for at, _, _, _ in rows], dtype=np.int64)
    end = intended + np.array([round(latency * MS) for _, latency, _, _ in rows], dtype=np.int64)
    status = np.array([status for _, _, status, _ in rows], dtype=np.int64)
    ok = np.array([right for _, _, _, right in rows], dtype=np.bool_)
    return Samples(np.arange(len(rows)), intended, intended, end, status, ok, np.zeros(len(rows), dtype=np.int64))


def test_every_way_to_miss_is_counted_where_it_belongs() -> None:
    found = generated_of(
        outcome(
            samples(
                (0.1, 20, 200, True),
                (0.9, 300, 200, True),
                (1.2, 20, 503, False),
                (1.3, 20, 429, False),
                (1.4, 20, 200, False),
                (1.5, 2100, 200, True),
                (2.1, 0, NOT_SENT, False),
                (2.2, 2000, NO_ANSWER, False),
            )
        ),
        np.array([2.0, 4.0, 2.0, 0.0]),
        SLO,
    )
    assert found.offered == (2, 4, 2, 0)
    latency, errors = found.clauses
    assert (latency.clause, latency.allowed) == ("p99<=250ms", 0.01)
    assert latency.missed == (1, 4, 2, 0)
    # An answer after the time-out of two seconds is an error, a slow one is not.
    assert (errors.allowed, errors.missed) == (0.1, (0, 4, 2, 0))
    assert found.refused == (0, 2, 0, 0)
    assert found.answered == (2, 1, 0, 0)
    assert found.codes == {"-1": 1, "0": 1, "200": 4, "429": 1, "503": 1}
    assert found.p99_ms[0] == pytest.approx(300, rel=0.01)
    assert found.p50_ms[3] is None
    assert found.rates == (2.0, 4.0, 2.0, 0.0)
    assert len(found.in_flight) == 4
    assert found.in_flight[2] > 0


def test_what_comes_after_the_last_second_belongs_to_it() -> None:
    found = generated_of(outcome(samples((0.5, 20, 200, True), (2.0, 20, 200, True))), np.array([1.0, 1.0]), SLO)
    assert found.offered == (1, 1)


def test_an_slo_that_counts_no_requests_is_refused() -> None:
    with pytest.raises(ValueError, match="no clause"):
        generated_of(outcome(samples((0.1, 20, 200, True))), np.array([1.0]), parse_slo("rate>=5/s"))
