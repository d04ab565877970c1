"""`podium chaos` from its command line to an API server and back: what it prints, what it leaves, how it ends."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from podium import cli
from podium.chaos.faultlog import Begin, End, FaultLog, Over, read_log
from podium.cluster.adapter import Cluster
from podium.cluster.kinds import CONFIG_MAP, DEPLOYMENT, POD, Document
from tests.api.conftest import Api
from tests.chaosworld import AT

pytestmark = pytest.mark.api

LOG = "get /api/v1/namespaces/podium/pods/podium-chaos/log"
RATE = 20
SPEC: dict[str, Any] = {
    "name": "pie",
    "services": [{"name": "pie", "golden": [{"json": "one.json", "label": "cheese"}]}],
    "rounds": 1,
    "pause": "1s",
    "grace": "1s",
    "faults": [{"kind": "metrics-down", "for": "1s"}],
}


def has(api: Api, resource: str, name: str, namespace: str | None = "podium", **content: object) -> None:
    kind = {"pods": "Pod", "deployments": "Deployment", "services": "Service", "configmaps": "ConfigMap"}
    plural, version = resource.rpartition("/")[2], resource.rpartition("/")[0]
    named = kind.get(plural, "InferenceService")
    metadata: Document = {"name": name, "namespace": namespace, "generation": 1, "uid": f"uid-{name}"}
    metadata["labels"] = {"serving.kserve.io/inferenceservice": "pie"} if plural == "pods" else {}
    api.keeps(resource, {"apiVersion": version, "kind": named, "metadata": metadata, **content}, namespace)


@pytest.fixture
def served(api: Api) -> None:
    """A service with one pod, the metrics source, and the platform chart's words."""
    status = {"observedGeneration": 1, "updatedReplicas": 1, "availableReplicas": 1}
    has(api, "apps/v1/deployments", "pie-predictor", spec={"replicas": 1}, status=status)
    has(api, "apps/v1/deployments", "metrics-server", "kube-system", spec={"replicas": 1}, status=status)
    has(api, "serving.kserve.io/v1beta1/inferenceservices", "pie", spec={"predictor": {"model": {}}})
    has(api, "v1/services", "pie-predictor", spec={"clusterIP": "10.0.0.7", "ports": [{"port": 80}]})
    ready = {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}
    has(api, "v1/pods", "pie-1", spec={"nodeName": "worker"}, status=ready)
    words = yaml.safe_dump({"images": {"loadtest": "loadtest:1"}, "artifacts": {"claim": "c"}})
    has(api, "v1/configmaps", "podium-platform", "podium-system", data={"platform.yaml": words})


def told(api: Api, *bad: list[object]) -> None:
    """Let the prober's log say that all went well for ten minutes, but for some requests of its first second."""
    began = time.time()
    lines = [json.dumps({"ready": began})]
    for second in range(600):
        lost = list(bad) if second == 0 else []
        figures = {"planned": RATE, "right": RATE - len(lost), "late_ms": 1.0, "worst_ms": 9.0}
        lines.append(json.dumps({"second": second, "at": began + second, **figures, "bad": lost}))
    api.does(lambda: api.server[LOG] << "\n".join(lines).encode())


def written(folder: Path, **changes: object) -> Path:
    (folder / "one.json").write_text('{"instances": [[1]]}')
    path = folder / "faults.yaml"
    path.write_text(yaml.safe_dump({**SPEC, **changes}))
    return path


@pytest.fixture
def chaos(kubeconfig: Path, tmp_path: Path) -> Callable[..., int]:
    def call(*words: str) -> int:
        return cli.run(["chaos", "--kubeconfig", str(kubeconfig), "--runs", str(tmp_path / "runs"), *words])

    return call


def only_run(folder: Path) -> Path:
    (found,) = (folder / "runs").iterdir()
    return found


@pytest.mark.usefixtures("served")
def test_a_run_that_holds_ends_with_0_and_leaves_nothing(
    chaos: Callable[..., int], api: Api, cluster: Cluster, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    told(api)
    assert chaos("-f", str(written(tmp_path)), "--allow-cluster-faults") == 0
    out, err = capsys.readouterr()
    assert "HELD" in out
    assert "1 metrics-down: Deployment kube-system/metrics-server" in err
    run = only_run(tmp_path)
    report = json.loads((run / "chaos.json").read_text())
    assert (report["status"], report["faults"][0]["kind"], report["probe"]["wrong"]) == ("HELD", "metrics-down", 0)
    past = read_log(run / "faults.jsonl")
    assert past.is_over
    assert past.unfinished() == ()
    assert (cluster.get(POD, "podium-chaos"), cluster.get(CONFIG_MAP, "podium-chaos")) == (None, None)
    scaled = cluster.get(DEPLOYMENT, "metrics-server", "kube-system")
    assert scaled is not None
    assert scaled["spec"]["replicas"] == 1
    # The same again, from its log; and a log whose golden request is another one now is refused.
    assert chaos("--replay", str(past.path), "--allow-cluster-faults", "-o", "json") == 0
    assert json.loads(capsys.readouterr().out)["status"] == "HELD"
    (tmp_path / "one.json").write_text('{"instances": [[2]]}')
    assert chaos("--replay", str(past.path), "--allow-cluster-faults") == 3
    assert "one.json is not what it was" in capsys.readouterr().err


@pytest.mark.usefixtures("served")
@pytest.mark.parametrize(
    ("verdict", "said"),
    [("503", "1 request lost outside the marked windows"), ("wrong: 'apple'", "1 answer had a wrong label")],
)
def test_what_is_planted_ends_with_5(
    chaos: Callable[..., int],
    api: Api,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    verdict: str,
    said: str,
) -> None:
    now = time.time()
    told(api, [0, now, now + 0.1, verdict])
    assert chaos("-f", str(written(tmp_path)), "--allow-cluster-faults") == 5
    out = capsys.readouterr().out
    assert "LOST" in out
    assert said in out


@pytest.mark.usefixtures("served")
def test_what_a_killed_run_left_is_undone_from_its_log(
    chaos: Callable[..., int], api: Api, cluster: Cluster, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    told(api)
    assert chaos("-f", str(written(tmp_path)), "--allow-cluster-faults") == 0
    path = only_run(tmp_path) / "faults.jsonl"
    past = read_log(path)
    path.unlink()
    log = FaultLog(path)
    log.write(past.header)
    (begin,) = (one for one in past.events if isinstance(one, Begin))
    log.write(begin)
    cluster.patch(DEPLOYMENT, "metrics-server", {"spec": {"replicas": 0}}, "kube-system")
    has(api, "v1/configmaps", "podium-chaos")
    capsys.readouterr()
    # Nobody begins another run meanwhile.
    assert chaos("-f", str(written(tmp_path)), "--allow-cluster-faults") == 4
    assert "podium chaos --undo" in capsys.readouterr().err
    assert chaos("--undo", str(path)) == 0
    assert "undone: metrics-down, Deployment kube-system/metrics-server" in capsys.readouterr().out
    scaled = cluster.get(DEPLOYMENT, "metrics-server", "kube-system")
    assert scaled is not None
    assert scaled["spec"]["replicas"] == 1
    assert cluster.get(CONFIG_MAP, "podium-chaos") is None
    assert [type(one) for one in read_log(path).events] == [Begin, End, Over]
    assert chaos("--undo", str(path)) == 0
    assert "nothing was left" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "changes", "code", "said"),
    [
        ((), {}, 3, "metrics-down are felt by all"),
        (
            ("--allow-cluster-faults",),
            {"services": [{**SPEC["services"][0], "name": "tart"}]},
            4,
            "no InferenceService",
        ),
        (("--allow-cluster-faults",), {"faults": [{"kind": "node-stop"}]}, 4, "needs the nodes of a kind cluster"),
        (("--undo", "x"), {}, 2, "one of -f, --replay and --undo"),
    ],
)
@pytest.mark.usefixtures("served")
def test_what_cannot_be_done_is_refused_before_anything_is_touched(
    chaos: Callable[..., int],
    api: Api,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    words: tuple[str, ...],
    changes: dict[str, object],
    code: int,
    said: str,
) -> None:
    assert chaos("-f", str(written(tmp_path, **changes)), *words) == code
    assert said in capsys.readouterr().err
    assert not (tmp_path / "runs").exists()


@pytest.mark.usefixtures("served")
def test_a_service_in_another_mode_has_no_deployment(
    chaos: Callable[..., int], api: Api, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    has(api, "serving.kserve.io/v1beta1/inferenceservices", "tart", spec={"predictor": {"model": {}}})
    path = written(tmp_path, services=[{"name": "tart", "golden": [{"json": "one.json", "label": "a"}]}])
    assert chaos("-f", str(path), "--allow-cluster-faults") == 4
    assert "mode Standard only" in capsys.readouterr().err


def test_a_log_without_faults_cannot_be_replayed_and_a_seed_means_nothing_there(
    chaos: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from tests.chaosworld import header

    log = FaultLog(tmp_path / "faults.jsonl")
    log.write(header())
    log.write(Over(at=AT))
    assert chaos("--replay", str(log.path)) == 3
    assert "no fault that could be made again" in capsys.readouterr().err
    assert chaos("--replay", str(log.path), "--seed", "3") == 2
    assert "--seed has no meaning" in capsys.readouterr().err


@pytest.mark.parametrize("words", [(), ("-o", "json"), ("--seed", "9")])
def test_a_dry_run_draws_and_touches_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], words: tuple[str, ...]
) -> None:
    path = written(tmp_path, rounds=None, **{"for": "30m"})
    path.write_text(yaml.safe_dump({name: value for name, value in yaml.safe_load(path.read_text()).items() if value}))
    assert cli.run(["chaos", "-f", str(path), "--dry-run", *words]) == 0
    out = capsys.readouterr().out
    assert "metrics-down" in out
    if "json" in words:
        assert len(json.loads(out)["faults"]) == 20
