"""When a warm-up has settled."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from loadtest.settled import Window, disagreement, is_settled_within, settled_after, windows

MS = 1_000_000


@dataclass(frozen=True)
class Seen:
    end_ns: npt.NDArray[np.int64]
    latency_actual_ns: npt.NDArray[np.int64]
    answered: npt.NDArray[np.bool_]


def closed_loop(latencies_ms: list[float]) -> Seen:
    """One user, one request after the other."""
    latency = (np.array(latencies_ms) * MS).astype(np.int64)
    return Seen(np.cumsum(latency), latency, np.ones(latency.size, dtype=np.bool_))


def test_answers_are_cut_into_whole_windows_of_time() -> None:
    end = np.array([100, 900, 1100, 2500, 3100], dtype=np.int64) * MS
    latency = np.array([100, 300, 200, 50, 70], dtype=np.int64) * MS
    found = windows(end, latency, 1.0)
    assert found == (Window(0.1, 2), Window(0.2, 1), Window(0.05, 1))
    assert windows(end[:0], latency[:0], 1.0) == ()
    assert windows(end[:2], latency[:2], 1.0) == ()


def test_a_window_without_an_answer_agrees_with_nothing() -> None:
    end = np.array([100, 2500, 3500], dtype=np.int64) * MS
    found = windows(end, end, 1.0)
    assert [window.answers for window in found] == [1, 0, 1]
    assert disagreement(found[0], found[1]) == 1.0
    assert disagreement(found[1], found[1]) == 1.0


def test_windows_disagree_by_the_larger_of_latency_and_rate() -> None:
    assert abs(disagreement(Window(0.10, 100), Window(0.08, 100)) - 0.2) < 1e-9
    assert abs(disagreement(Window(0.10, 100), Window(0.10, 79)) - 0.2) < 1e-9
    assert abs(disagreement(Window(0.10, 79), Window(0.10, 100)) - 0.2) < 1e-9
    assert disagreement(Window(0.0, 5), Window(0.0, 5)) == 0.0


def test_one_answer_at_the_edge_of_a_window_is_no_difference() -> None:
    assert disagreement(Window(0.5, 2), Window(0.5, 3)) == 0.0
    assert disagreement(Window(0.5, 2), Window(0.5, 4)) == 0.25


def test_a_server_that_gets_faster_is_settled_when_it_stops_doing_so() -> None:
    warming = [100.0] * 10 + [50.0] * 20 + [25.0] * 40
    assert not is_settled_within(closed_loop(warming))
    assert is_settled_within(closed_loop([*warming, *[20.0] * 110]))


def test_settling_counts_the_windows_and_asks_for_enough_answers() -> None:
    seen = [Window(0.1, 10), Window(0.05, 20), Window(0.02, 50), Window(0.021, 50), Window(0.02, 50)]
    assert settled_after(seen, at_least=0) == 4
    assert settled_after(seen, at_least=130) == 4
    assert settled_after(seen, at_least=131) == 5
    assert settled_after(seen, at_least=181) is None
    assert settled_after(seen[:3], at_least=0) is None
    assert settled_after([], at_least=0) is None


def test_the_limit_itself_agrees() -> None:
    seen = [Window(0.100, 100), Window(0.090, 100)]
    assert settled_after(seen, at_least=0, agreement=0.100001) == 2
    assert settled_after(seen, at_least=0, agreement=0.09999) is None


def test_requests_without_an_answer_are_left_out() -> None:
    good = closed_loop([20.0] * 200)
    with_losses = Seen(
        good.end_ns, np.where(np.arange(200) % 3, good.latency_actual_ns, 2_000 * MS), np.arange(200) % 3 > 0
    )
    assert is_settled_within(with_losses)
    assert not is_settled_within(Seen(good.end_ns, good.latency_actual_ns, np.zeros(200, dtype=np.bool_)))
    assert not is_settled_within(good, at_least=201)
