"""A session of policies from its question to its records: Helm and our charts against an API server that scales."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from loadtest import fleet
from loadtest.fleet import RunnerFacts
from loadtest.results_server import Board
from loadtest.samples import Samples
from loadtest.shot import GeneratorFacts, Outcome, Shot
from podium.autoscaling.policy import load_policy, policy_of
from podium.cluster import watch as watching
from podium.cluster.adapter import Cluster
from podium.cluster.deployment import helm_on
from podium.cluster.errors import ClusterError, DeadlineError
from podium.cluster.site import Platform
from podium.errors import ConfigError
from podium.scoring import looks, place, session
from podium.scoring.card import card_of
from podium.scoring.comparison import compare
from podium.scoring.question import Asked, Question, ask
from podium.scoring.record import ElasticRun, find_runs, write_run
from podium.targets.cluster import ClusterTarget
from predictors.manifest import address_of, read_variant
from tests.api.conftest import Api
from tests.api.kserve import IMAGES, KServe
from tests.api.served import serving_board
from tests.artifacts import vector_artifact
from tests.elasticruns import elastic_run
from tests.eventually import eventually

pytestmark = pytest.mark.api

HEX = "abc123"
PLATFORM = Platform(site="", claim="podium-artifacts", images=IMAGES)
SERVICE = f"r{HEX}-tiny-ort-fp32-hpa"
LATENCY_NS = 20_000_000


@dataclass(slots=True)
class Stage:
    """The cluster as the policies find it: an autoscaler with a figure, and a load that makes a second pod.

    `plays` are what to do in each shot in the place of the usual.
    """

    api: Api
    kserve: KServe
    plays: list[Callable[[], None]] = field(default_factory=list)
    has_figures: bool = True
    shots: int = 0

    def furnish(self) -> None:
        served = self.api.server.seen

        def seen(kind: str, name: str, document: Any) -> None:
            served(kind, name, document)
            if kind == "horizontalpodautoscalers" and document is not None:
                current = {"containerResource": {"current": {"averageUtilization": 7}}}
                figures = [current] if self.has_figures else []
                told = {"type": "ScalingActive", "status": str(self.has_figures), "message": "no metrics known"}
                status = {"currentMetrics": figures, "conditions": [told], "desiredReplicas": 1}
                self._write("autoscaling/v2/horizontalpodautoscalers", {**document, "status": status})

        self.api.server.seen = seen

    def load(self, _target: ClusterTarget, _deployment: object, shot: Shot, *_more: object) -> Outcome:
        """Stand in for the generators: every request is answered right after 20 ms, and a pod comes meanwhile."""
        self.shots += 1
        began = datetime.now(UTC)
        (self.plays.pop(0) if self.plays else self.grow)()
        assert shot.schedule is not None
        count = len(shot.schedule)
        end = shot.schedule + LATENCY_NS
        samples = Samples(
            np.arange(count),
            shot.schedule,
            shot.schedule + 100_000,
            end,
            np.full(count, 200),
            np.ones(count, dtype=np.bool_),
            np.zeros(count, dtype=np.int64),
        )
        used = GeneratorFacts("k6", "v2", 1, 0.1, 3.0, 0, 1, count, 0, (3,), 1.0, ("loader",), 0.0)
        return Outcome(samples, count, 0, None, used, began.isoformat(), 3.0, shot)

    def grow(self) -> None:
        pods = [name for name in self.kserve.pods() if name.startswith(SERVICE)]
        self.kserve.change("apps/v1/deployments", f"{SERVICE}-predictor", spec={"replicas": 2})
        first = self.api.does(lambda: dict(self.api.server.objects[("v1/pods", "podium", pods[0])].raw))
        second = {**first, "metadata": {**first["metadata"], "name": f"{SERVICE}-second", "uid": "second"}}
        self.kserve.has("v1/pods", second)
        path = f"get /api/v1/namespaces/podium/pods/{SERVICE}-second:8082/proxy/debug/state"
        state = {
            "threads": 1,
            "cpu_limit": 0.2,
            "requests": {"v2-json 200": 4},
            "ready_parts": {"warm_up": 0.2},
            "cgroup": {"nr_periods": 10, "nr_throttled": 9},
        }
        self.api.does(lambda: self.api.server[path] << state)
        line = {"event": "ready", "ready": True}
        stamp = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        log = f"{stamp} {json.dumps({'event': 'started'})}\n{stamp} {json.dumps(line)}\n"
        self.api.does(
            lambda: self.api.server[f"get /api/v1/namespaces/podium/pods/{SERVICE}-second/log"] << log.encode()
        )
        eventually(lambda: self.api.asked(path) > 0, 15)
        # Of the periods since that first look it was held back in half.
        self.api.does(lambda: state.update(cgroup={"nr_periods": 30, "nr_throttled": 19}))

    def _write(self, resource: str, document: Any) -> None:
        self.api.server.objects[(resource, "podium", document["metadata"]["name"])] = document


@pytest.fixture
def stage(kserve: KServe, api: Api, monkeypatch: pytest.MonkeyPatch) -> Stage:
    stage = Stage(api, kserve)
    stage.furnish()
    monkeypatch.setattr(ClusterTarget, "load", lambda *words: stage.load(*words))
    monkeypatch.setattr("podium.scoring.session.secrets.token_hex", lambda _count: HEX)
    monkeypatch.setattr(place, "_STEADY_S", 0.2)
    monkeypatch.setattr(place, "_LOOK_S", 0.05)
    monkeypatch.setattr(looks, "_PAUSE_S", 0.02)
    monkeypatch.setattr(watching, "_ROUND_S", 1)
    return stage


@pytest.fixture
def board(tmp_path: Path, api: Api, monkeypatch: pytest.MonkeyPatch) -> Iterator[Board]:
    monkeypatch.setattr(fleet, "_WAIT_S", 0.5)
    with serving_board(tmp_path / "results", api, f"services/r{HEX}-load-results:8090") as board:
        board.come(RunnerFacts(runner=0, pod="runner-0", node="loader", cores=(3,), cpus=1.0))
        yield board


@pytest.fixture
def question(tmp_path: Path) -> Callable[..., Question]:
    artifact = vector_artifact(tmp_path / "store" / "tiny" / "draft")
    folder = artifact.rename(artifact.with_name(address_of(artifact)))
    assert read_variant(folder).id == "tiny-ort-fp32"
    for name, target in (("calm", 80), ("keen", 25)):
        policy = {"name": name, "kind": "hpa", "metric": "cpu", "target": target, "replicas": {"min": 1, "max": 3}}
        (tmp_path / f"{name}.yaml").write_text(yaml.safe_dump(policy))
    profile = {
        "name": "tiny-step",
        "level": "quick",
        "protocol": "v2-json",
        "timeout": "1s",
        "budget": "1m",
        "phases": [{"kind": "warmup", "until": "settled", "atLeast": 5, "atMost": "1s"}],
        "stages": [{"rate": "4/s", "for": "1s"}, {"rate": "20/s", "for": "2s"}],
        "confidence": 0.95,
    }
    (tmp_path / "profile.yaml").write_text(yaml.safe_dump(profile))

    def asking(repeats: int = 1, *, policies: tuple[str, ...] = ("calm", "keen")) -> Question:
        asked = Asked(
            profile=str(tmp_path / "profile.yaml"),
            policies=[str(tmp_path / f"{name}.yaml") for name in policies],
            race="latest",
            runs=tmp_path / "runs",
            store=tmp_path / "store",
            variant="tiny-ort-fp32",
            node_class="epyc",
            slo="p99<=250ms",
            safe_rate=8.0,
            cpu="200m",
            memory="256Mi",
            repeats=repeats,
        )
        return ask(asked, site="", folder=tmp_path / "payloads")

    return asking


def play(question: Question, cluster: Cluster, tmp_path: Path, **how: Any) -> tuple[Path, list[ElasticRun]]:
    said: list[str] = how.pop("said", [])
    options = {"fresh": False, "command": "podium autoscale score", **how}
    return session.play_session(question, cluster, runs=tmp_path / "runs", say=said.append, **options)


def left(kserve: KServe) -> list[str]:
    kinds = ("inferenceservices", "deployments", "jobs", "pods", "horizontalpodautoscalers", "services", "configmaps")
    return [
        name
        for kind in kinds
        for name in kserve.names(kind)
        if name not in {"podium-platform"} and not name.startswith("kube-")
    ]


def interrupted() -> None:
    raise KeyboardInterrupt


@pytest.mark.usefixtures("board")
def test_policies_are_played_watched_and_recorded_and_ctrl_c_leaves_nothing_but_what_was_finished(
    stage: Stage, cluster: Cluster, question: Callable[..., Question], tmp_path: Path, kserve: KServe
) -> None:
    applied: list[int] = []
    noted = stage.api.server.seen

    def seen(kind: str, name: str, document: Any) -> None:
        noted(kind, name, document)
        if kind == "horizontalpodautoscalers" and document is not None:
            resource = document["spec"]["metrics"][0]["containerResource"]
            applied.append(resource["target"]["averageUtilization"])

    stage.api.server.seen = seen
    stage.plays = [stage.grow, interrupted]
    with pytest.raises(KeyboardInterrupt):
        play(question(), cluster, tmp_path)
    assert left(kserve) == []
    (folder,) = (tmp_path / "runs").iterdir()
    kept = find_runs([folder])
    assert [one.policy for one in kept] == ["calm"]
    assert not (folder / ".work").exists()
    said: list[str] = []
    again, runs = play(question(), cluster, tmp_path, said=said)
    assert again == folder
    assert any("going on with" in text and "1 of 2 runs are kept" in text and "1 runs of" in text for text in said)
    assert (runs[0], stage.shots, applied) == (kept[0], 3, [80, 25, 25])
    assert [(one.policy, one.repeat, one.played) for one in runs] == [("calm", 1, 1), ("keen", 1, 2)]
    assert left(kserve) == []
    first = runs[0]
    assert (first.mode, first.minimum, first.maximum, first.void) == ("Standard", 1, 3, None)
    assert first.seconds == 3
    assert first.generated.rates == (4.0, 20.0, 20.0)
    assert first.generated.offered == runs[1].generated.offered
    assert sum(first.generated.clauses[0].missed) == 0
    # The second pod came while the load was played, and said itself how its start went.
    assert first.scaled.wanted[-1] == 2
    assert first.scaled.ready[-1] == 2
    (start,) = first.starts
    assert start.pod.endswith("-second")
    assert start.answered_s is not None
    assert start.ready_s is not None
    assert start.loaded_s == pytest.approx(start.ready_s - 0.2, abs=0.002)
    assert {pod.pod: pod.throttled for pod in first.pods}[start.pod] == 0.5
    # A pod that is throttled is reported and makes no run void.
    proofs = {one.check: one.ok for one in first.passport}
    assert (proofs["throttled"], proofs["thread-mismatch"], proofs["late"]) == (False, True, True)
    assert first.readings[0].used == 7.0
    assert first.subject.resources["cpu"] == "200m"
    assert compare([card_of(run) for run in runs]).rivalries[0].finding == "open"
    assert datetime.fromisoformat(first.started).timestamp() == pytest.approx(first.began_unix_s, abs=1)
    # All is there, so nothing is played, and that is said.
    said.clear()
    assert play(question(), cluster, tmp_path, said=said)[1] == runs
    assert any(f"all 2 runs of {folder.name} are there, of 20" in text for text in said)
    assert stage.shots == 3
    # On another cluster the runs would not be comparable.
    head = json.loads((folder / "session.json").read_text())
    (folder / "session.json").write_text(json.dumps({**head, "fingerprint": "0" * 12}))
    with pytest.raises(ConfigError, match="was begun on another cluster"):
        play(question(), cluster, tmp_path)
    assert stage.shots == 3


@pytest.fixture
def no_generators(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave the generators out of what ends before any load."""
    monkeypatch.setattr(ClusterTarget, "generators_ahead_s", lambda _target: 0.0)


@pytest.mark.usefixtures("no_generators")
def test_a_metrics_source_that_is_down_ends_the_wait_with_its_reason(
    stage: Stage,
    cluster: Cluster,
    question: Callable[..., Question],
    tmp_path: Path,
    kserve: KServe,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stage.has_figures = False
    monkeypatch.setattr(place, "_SETTLE_S", 0.4)
    began = time.monotonic()
    with pytest.raises(DeadlineError, match=r"calm did not settle at 1 pods within 0 s; .*no metrics known"):
        play(question(policies=("calm",)), cluster, tmp_path)
    assert time.monotonic() - began < 60
    assert (left(kserve), stage.shots) == ([], 0)


@pytest.mark.usefixtures("no_generators")
def test_pods_that_never_get_ready_end_a_session_with_their_reason(
    stage: Stage,
    cluster: Cluster,
    question: Callable[..., Question],
    tmp_path: Path,
    kserve: KServe,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(place, "_READY_S", 0.4)
    waiting = {"state": {"waiting": {"reason": "ErrImageNeverPull"}}}
    kserve.faults = {"pvc://": waiting}
    with pytest.raises(ClusterError, match=r"r\w+-tiny-ort-fp32-hpa is not ready after 0 s|cannot become ready"):
        play(question(policies=("calm",)), cluster, tmp_path)
    assert (left(kserve), stage.shots) == ([], 0)


KNATIVE = {"name": "zero", "kind": "kpa", "metric": "rps", "target": 5, "replicas": {"min": 0, "max": 3}}


def test_what_a_policy_shares_with_all_others_is_kept_with_its_runs(
    api: Api, cluster: Cluster, question: Callable[..., Question]
) -> None:
    asked = question()
    found = place.Place(
        cluster, helm_on(cluster), PLATFORM, asked, session=f"autoscale-x-{HEX}", say=lambda _text: None
    )
    hpa, kpa = asked.policies[0], policy_of(KNATIVE)
    assert (found.autoscaler(hpa), found.autoscaler(kpa)) == ({}, {})
    told = {"stable-window": "20s", "_example": "a long text"}
    config = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "config-autoscaler"}, "data": told}
    api.keeps("v1/configmaps", config, "knative-serving")
    words = ["kube-controller-manager", "--horizontal-pod-autoscaler-sync-period=5s", "--leader-elect=true"]
    metadata = {"name": "manager", "labels": {"component": "kube-controller-manager"}}
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": {"containers": [{"command": words}]}}
    api.keeps("v1/pods", pod, "kube-system")
    assert found.autoscaler(hpa) == {"sync-period": "5s"}
    metadata = {"name": "metrics", "labels": {"k8s-app": "metrics-server"}}
    pod = {"metadata": metadata, "spec": {"containers": [{"args": ["--secure-port=10250", "--metric-resolution=10s"]}]}}
    api.keeps("v1/pods", {"apiVersion": "v1", "kind": "Pod", **pod}, "kube-system")
    assert found.autoscaler(hpa) == {"sync-period": "5s", "metric-resolution": "10s"}
    assert found.autoscaler(kpa) == {"stable-window": "20s"}
    assert "cluster" not in found.environment()
    api.keeps("v1/namespaces", {"kind": "Namespace", "metadata": {"name": "kube-system", "uid": "0a1b"}}, None)
    assert found.environment()["cluster"] == "0a1b"
    api.server.away = "/kube-system/"
    cluster.patience_s = 0.1
    assert found.autoscaler(hpa) == {}


def test_a_policy_has_settled_when_its_fewest_pods_are_there_and_its_autoscaler_sees_them(
    api: Api, cluster: Cluster
) -> None:
    hpa, kpa = load_policy("kserve-default"), policy_of(KNATIVE)
    assert place.unsettled(cluster, "s", kpa) == ""
    assert place.unsettled(cluster, "s", hpa) == "0 pods, 0 of them ready, and 1 wanted"
    metadata = {"name": "p", "labels": {"serving.kserve.io/inferenceservice": "s"}}
    ready = {"conditions": [{"type": "Ready", "status": "True"}]}
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": {}, "status": ready}
    api.keeps("v1/pods", pod)
    assert place.unsettled(cluster, "s", kpa) == "1 pods, 1 of them ready, and 0 wanted"
    assert place.unsettled(cluster, "s", hpa) == "there is no HorizontalPodAutoscaler yet"
    scaler: dict[str, Any] = {"kind": "HorizontalPodAutoscaler", "metadata": {"name": "s"}, "spec": {}}
    api.keeps("autoscaling/v2/horizontalpodautoscalers", {**scaler, "status": {}})
    assert "no figure yet: it does not say why" in place.unsettled(cluster, "s", hpa)
    # So a controller writes it that asked for the metric and got none.
    blind: dict[str, Any] = {"status": {"currentMetrics": [{"type": ""}]}}
    api.keeps("autoscaling/v2/horizontalpodautoscalers", {**scaler, **blind})
    assert "no figure yet" in place.unsettled(cluster, "s", hpa)
    seen = {"currentMetrics": [{"containerResource": {"current": {"averageUtilization": 0}}}]}
    api.keeps("autoscaling/v2/horizontalpodautoscalers", {**scaler, "status": seen})
    assert place.unsettled(cluster, "s", hpa) == ""
    leaving = {**metadata, "deletionTimestamp": "2026-11-22T09:00:00Z"}
    api.keeps("v1/pods", {**pod, "metadata": leaving})
    assert place.unsettled(cluster, "s", hpa) == "1 pods, 0 of them ready, and 1 wanted"


@pytest.mark.usefixtures("no_generators")
def test_a_run_that_is_void_is_put_aside_and_its_place_is_free(
    tmp_path: Path, question: Callable[..., Question]
) -> None:
    turn = next(iter(question().turns()))
    folder = tmp_path / "runs" / "one"
    for number in (1, 2):
        write_run(folder, elastic_run([1], policy="calm", void="late"))
        assert session.kept(folder, turn) is None
        assert len(list((folder / "calm").glob("01.void-*.json"))) == number
    valid = elastic_run([1], policy="calm")
    write_run(folder, valid)
    assert session.kept(folder, turn) == valid
