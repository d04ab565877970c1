"""The proxy tax of a race, played in memory: asked once an entry, judged by nobody, and a sentence where it fails."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from loadtest.errors import GeneratorError
from loadtest.payloads import PayloadSet
from loadtest.turns import WayTimes
from podium.cluster.errors import ClusterError
from podium.errors import MachineError
from podium.measured import Measured
from podium.proxytax import taxes
from podium.targets.target import Deployment
from tests.simulated import HOLD, SINGLE, WARMUP, SimulatedTarget, candidate, contest, measurement, profile

CHOSEN = profile(WARMUP, SINGLE, HOLD)
MS = 1_000_000
POD = WayTimes(name="pod", url="http://10.1.2.3:8080", times_ns=tuple(5 * MS + 10_000 * i for i in range(40)))
SERVICE = WayTimes(name="service", url="http://pie", times_ns=tuple(time + 2 * MS for time in POD.times_ns))
LOST = WayTimes(name="ingress", url="http://10.9.9.9", error="request 1 was not answered: timed out")


class WaysTarget(SimulatedTarget):
    """Servers with several ways to each: `told` is what asking along them brings, or how it fails."""

    def __init__(self, *told: WayTimes, fails: Exception | None = None) -> None:
        super().__init__({"a": 5, "b": 10})
        self.told = told
        self.fails = fails
        self.turns: list[tuple[str, int]] = []

    def ask_by_turns(
        self, deployment: Deployment, payloads: PayloadSet, *, timeout_s: float, workdir: Path
    ) -> Sequence[WayTimes]:
        assert (timeout_s, len(payloads.files)) == (2.0, 3)
        # Before anything that is measured of this one.
        self.turns.append((deployment.candidate.variant_id, len(self.measured())))
        if self.fails is not None:
            raise self.fails
        return self.told


def raced(target: SimulatedTarget, folder: Path, said: list[str] | None = None) -> list[Measured]:
    shared = measurement(target, folder, CHOSEN, said)
    return list(contest(shared, folder).run([candidate(name, folder) for name in "ab"]).values())


def test_each_path_has_its_percentiles_and_what_it_takes_more_than_the_pods(tmp_path: Path) -> None:
    target = WaysTarget(POD, SERVICE, LOST)
    for one in raced(target, tmp_path):
        assert one.proxy_tax is not None
        assert (one.proxy_tax.confidence, one.proxy_tax.note) == (CHOSEN.confidence, "")
        pod, service, ingress = one.proxy_tax.paths
        assert pod.requests == 40
        assert pod.p50_ms == pytest.approx(5.19)
        assert pod.p90_ms == pytest.approx(5.35)
        assert (pod.above_pod_p50_ms, pod.above_pod_p90_ms) == (None, None)
        assert service.p50_ms == pytest.approx(7.19)
        for above in (service.above_pod_p50_ms, service.above_pod_p90_ms):
            assert above is not None
            assert (above.value, above.low, above.high) == pytest.approx((2.0, 2.0, 2.0))
        assert (ingress.requests, ingress.p50_ms, ingress.error) == (0, None, LOST.error)
        assert ingress.above_pod_p50_ms is None
    # Once each: single-stream of the first is played before the second is warm.
    assert target.turns == [("a", 0), ("b", 1)]


def test_what_is_judged_is_the_same_with_and_without(tmp_path: Path) -> None:
    plain, several = SimulatedTarget({"a": 5, "b": 10}), WaysTarget(POD, SERVICE)
    without, with_paths = raced(plain, tmp_path / "plain"), raced(several, tmp_path / "several")
    assert [one.proxy_tax for one in without] == [None, None]
    for one, other in zip(without, with_paths, strict=True):
        assert [run.record.id for run in one.book.runs] == [run.record.id for run in other.book.runs]
        assert [run.record.latency for run in one.book.runs] == [run.record.latency for run in other.book.runs]
        assert one.trouble == other.trouble == ""
    assert len(plain.measured()) == len(several.measured())


@pytest.mark.parametrize(
    "error",
    [
        GeneratorError("runner 0 on loader: killed"),
        ClusterError("no pod of pie runs"),
        MachineError("The disk is full."),
    ],
)
def test_a_probe_that_fails_is_a_sentence_and_ends_nothing(tmp_path: Path, error: Exception) -> None:
    said: list[str] = []
    target = WaysTarget(fails=error)
    for one in raced(target, tmp_path, said):
        assert one.proxy_tax is not None
        assert one.proxy_tax.note == f"the paths could not be asked: {error}"
        assert one.proxy_tax.paths == ()
        assert (one.trouble, one.void, len(one.holds)) == ("", None, 5)
    assert said == [f"{name}: the paths could not be asked: {error}" for name in "ab"]
    assert target.turns == [("a", 0), ("b", 1)]


def test_a_server_that_is_made_anew_for_each_block_is_asked_once(tmp_path: Path) -> None:
    target = WaysTarget(POD, SERVICE)
    chosen = profile(WARMUP, SINGLE, HOLD.replace("restart: false", "restart: true"))
    shared = measurement(target, tmp_path, chosen)
    contest(shared, tmp_path).run([candidate("a", tmp_path)])
    assert target.starts["a"] == 5
    assert target.turns == [("a", 0)]


def test_over_grpc_and_after_the_budget_nothing_is_asked(tmp_path: Path) -> None:
    target = WaysTarget(POD, SERVICE)
    shared = measurement(target, tmp_path, CHOSEN)
    spoken = replace(shared, profile=CHOSEN.model_copy(update={"protocol": "grpc"}))
    one = contest(spoken, tmp_path / "grpc").run([candidate("a", tmp_path)])["a"]
    assert one.proxy_tax is not None
    assert "the load is gRPC" in one.proxy_tax.note
    late = contest(shared, tmp_path / "late", budget_s=-1.0).run([candidate("b", tmp_path)])["b"]
    assert late.proxy_tax is None
    assert target.turns == []


def test_without_the_pods_path_there_is_nothing_to_be_above() -> None:
    lost = POD.model_copy(update={"times_ns": (), "error": "no way"})
    pod, service = taxes([lost, SERVICE], 0.95, seed=1)
    assert pod.error == "no way"
    assert service.p50_ms == pytest.approx(7.19)
    assert (service.above_pod_p50_ms, service.above_pod_p90_ms) == (None, None)
    silent = WayTimes(name="pod")
    assert taxes([silent], 0.95, seed=1)[0].error == "no request was timed"
