"""The first runs of each batch size: few are kept, and those that ran before it was ready are told apart."""

from predictors.server.firstruns import FirstRuns


def test_the_first_runs_of_a_size_are_kept_and_no_more() -> None:
    runs = FirstRuns({1, 2})
    for spent_ns in range(1_000_000, 21_000_000, 1_000_000):
        runs.add(1, spent_ns, spent_ns // 2)
    runs.add(3, 50_812_345, 49_000_000)
    assert runs.document() == {
        1: {
            "warm": True,
            "ms": [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0],
            "cpu_ms": [0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 3.5, 4.0],
        },
        3: {"warm": False, "ms": [50.812], "cpu_ms": [49.0]},
    }


def test_nothing_ran_at_first() -> None:
    assert FirstRuns().document() == {}
