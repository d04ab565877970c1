"""What a server says of itself is read with no trust in it: what has another form is not known."""

from pathlib import Path
from typing import Any

import pytest

from podium import serverstate
from podium.runbook import StoredRun
from podium.signals import FirstRun, Memory, Sidecar
from tests.racefolders import write_finished


@pytest.fixture
def run(tmp_path: Path) -> StoredRun:
    """A run on record; what its server said is planted by the tests."""
    from podium.runseries import find_series

    write_finished(tmp_path / "race")
    (first, *_) = sorted((tmp_path / "race").glob("*/local/*-hold.json"))
    return find_series(str(first), tmp_path).runs[0]


def said(run: StoredRun, before: dict[str, Any], after: dict[str, Any]) -> StoredRun:
    record = run.record.model_copy(update={"server": {"before": before, "after": after}})
    return StoredRun(run.path, record)


def test_the_smallest_of_what_a_server_may_use_counts() -> None:
    assert serverstate.cpus_of({"cpu_limit": 4.0, "cpu_quota": 1.5, "cores": [0, 1]}) == 1.5
    assert serverstate.cpus_of({"cpu_limit": 4.0, "cpu_quota": None, "cores": [7]}) == 1.0
    assert serverstate.cpus_of({"cores": [], "cpu_limit": "many"}) is None


def test_another_cpu_is_named_and_one_that_is_not_told_is_the_same() -> None:
    here = {"cpu_model": "EPYC", "cpu_features": ["avx2", "fma"]}
    assert serverstate.other_cpu(here, here) is None
    assert serverstate.other_cpu({"cpu_model": "Xeon", "cpu_features": ["avx2", "fma"]}, here) == "Xeon"
    assert serverstate.other_cpu({"cpu_model": "EPYC", "cpu_features": ["avx2"]}, here) == "EPYC"
    assert serverstate.other_cpu({}, here) is None


def test_sidecars_are_counted_over_all_runs(run: StoredRun) -> None:
    def listed(periods: int, throttled: int) -> dict[str, Any]:
        return {"sidecars": [{"name": "queue-proxy", "cgroup": {"nr_periods": periods, "nr_throttled": throttled}}]}

    runs = [said(run, listed(0, 0), listed(100, 40)), said(run, listed(100, 40), listed(150, 50))]
    assert serverstate.sidecars_of(runs) == (Sidecar("queue-proxy", 150, 50),)
    assert serverstate.sidecars_of([said(run, {"sidecars": []}, {"sidecars": []})]) == ()
    assert serverstate.sidecars_of([said(run, {}, {"sidecars": []})]) is None
    uncounted = {"sidecars": [{"name": "agent", "cgroup": None}]}
    assert serverstate.sidecars_of([said(run, uncounted, uncounted)]) == (Sidecar("agent"),)
    # One that was made anew in between counts from the start.
    assert serverstate.sidecars_of([said(run, listed(90, 9), listed(10, 1))]) == (Sidecar("queue-proxy"),)


def test_a_share_is_of_the_periods_and_unknown_without_them() -> None:
    assert Sidecar("a", 200, 50).share == 0.25
    assert Sidecar("a", 0, 0).share == 0.0
    assert Sidecar("a").share is None


def test_time_outside_the_server_is_what_no_stage_accounts_for(run: StoredRun) -> None:
    samples = run.samples
    mean_s = float(samples.latency_actual_ns[samples.answered].mean()) / 1e9
    found = serverstate.outside_seconds([run], {"compute": mean_s / 2, "decode": mean_s / 4})
    assert found == pytest.approx(mean_s / 4)
    assert serverstate.outside_seconds([run], {"compute": 2 * mean_s}) == 0.0
    assert serverstate.outside_seconds([run], {}) is None


@pytest.mark.parametrize(
    "state",
    [{}, {"memory": None}, {"memory": {"nodes": 2}}, {"memory": {"nodes": "2", "cpu_nodes": 1, "near_bytes": 1}}],
)
def test_memory_of_another_form_is_unknown(state: dict[str, Any]) -> None:
    assert serverstate.memory_of(state) is None
    whole: dict[str, Any] = {"nodes": 2, "cpu_nodes": 1, "near_bytes": 3, "far_bytes": 4}
    assert serverstate.memory_of({"memory": whole}) == Memory(2, 1, 3, 4)


def test_first_runs_are_read_by_size() -> None:
    state: dict[str, Any] = {
        "first_runs": {
            "1": {"warm": True, "ms": [1.5, 2]},
            "3": {"ms": [50.8], "cpu_ms": [49, None]},
            "two": {"ms": [1.0]},
            "4": {"ms": []},
            "5": "none",
        }
    }
    assert serverstate.first_runs_of(state) == {1: FirstRun(True, (1.5, 2.0)), 3: FirstRun(False, (50.8,), (49.0,))}
    assert serverstate.first_runs_of({"first_runs": []}) == {}


def test_operators_by_provider_are_read() -> None:
    assert serverstate.provider_nodes_of({"provider_nodes": {"A": 3, "B": "many"}}) == {"A": 3}
    assert serverstate.provider_nodes_of({}) == {}


def test_cpu_time_is_what_it_grew_by_and_unknown_where_nobody_says_it(run: StoredRun) -> None:
    runs = [said(run, {"cpu_s": 1.0}, {"cpu_s": 3.5}), said(run, {"cpu_s": 3.5}, {"cpu_s": 4.0})]
    assert serverstate.cpu_seconds(runs) == 3.0
    assert serverstate.cpu_seconds([*runs, said(run, {}, {"cpu_s": 4.0})]) is None
    # One that was made anew in between has spent less than before.
    assert serverstate.cpu_seconds([said(run, {"cpu_s": 9.0}, {"cpu_s": 1.0})]) is None
