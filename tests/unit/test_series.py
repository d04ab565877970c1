"""A run second by second."""

import numpy as np

from loadtest.samples import NOT_SENT, Samples
from loadtest.series import per_second
from tests.loads import MS, NS, TIMEOUT_NS, mixed_samples


def test_each_second_says_what_was_offered_answered_and_under_way() -> None:
    intended = np.array([0, 500, 900, 1100, 3200], dtype=np.int64) * MS
    end = np.array([100, 1500, 1700, 1200, 3300], dtype=np.int64) * MS
    status = np.array([200, 200, 503, 200, NOT_SENT], dtype=np.int64)
    samples = Samples(np.arange(5), intended, intended, end, status, status == 200, np.zeros(5, dtype=np.int64))
    rows = per_second(samples, TIMEOUT_NS)
    assert [row.offered for row in rows] == [3, 1, 0, 1]
    assert [row.answered for row in rows] == [1, 3, 0, 0]
    assert [row.in_flight for row in rows] == [2, 0, 0, 0]
    assert [row.second for row in rows] == [0, 1, 2, 3]
    assert rows[2].p50_ms is None
    assert rows[0].p50_ms is not None
    assert 1000 <= rows[0].p50_ms <= 1001
    assert rows[0].p99_ms is not None
    assert 2000 <= rows[0].p99_ms <= 2002


def test_blocks_follow_one_another_and_nothing_is_lost() -> None:
    samples = Samples.joined([mixed_samples(100), mixed_samples(80, seed=3).in_block(1)])
    rows = per_second(samples, TIMEOUT_NS)
    assert [row.second for row in rows] == list(range(len(rows)))
    assert sum(row.offered for row in rows) == 180
    assert sum(row.answered for row in rows) == int(samples.answered.sum())
    assert sum(row.offered for row in rows if row.block == 1) == 80
    answered = samples.end_ns[samples.answered & (samples.block == 0)]
    assert max(row.second for row in rows if row.block == 0) == answered.max() // NS


def test_no_samples_make_no_series() -> None:
    assert per_second(Samples.empty(), TIMEOUT_NS) == ()
