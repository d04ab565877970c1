"""Why something on a cluster is not ready: one cause from each kind of evidence, and none where there is none."""

from typing import Any

import pytest

from podium.cluster.diagnosis import Fault, Patience, diagnose, latest_pods
from podium.cluster.kinds import DEPLOYMENT, EVENT, INFERENCE_SERVICE, POD, Document, Kind, name_of

pytestmark = pytest.mark.unit


class Seen:
    """A cluster as it was seen at one moment."""

    namespace = "podium"

    def __init__(self) -> None:
        self.objects: dict[tuple[Kind, str], Document] = {}
        self.events: list[Document] = []
        self.logs: dict[str, str] = {}

    def get(self, kind: Kind, name: str, namespace: str | None = None) -> Document | None:
        return self.objects.get((kind, name))

    def list(
        self, kind: Kind, *, namespace: str | None = None, labels: str = "", fields: str = "", everywhere: bool = False
    ) -> list[Document]:
        if kind == EVENT:
            wanted = fields.split(",")[0].partition("=")[2]
            return [event for event in self.events if event["involvedObject"]["name"] == wanted]
        return [found for (known, _), found in self.objects.items() if known == kind]

    def log(
        self,
        pod: str,
        *,
        container: str | None = None,
        previous: bool = False,
        lines: int = 20,
        namespace: str | None = None,
    ) -> str:
        return self.logs.get(pod, "")

    def has(self, kind: Kind, name: str, **content: Any) -> Document:
        metadata = {"name": name, **content.pop("metadata", {})}
        self.objects[kind, name] = {"metadata": metadata, "spec": {}, **content}
        return self.objects[kind, name]


@pytest.fixture
def seen() -> Seen:
    cluster = Seen()
    cluster.has(INFERENCE_SERVICE, "pie", status={"conditions": [{"type": "Ready", "status": "False"}]})
    return cluster


def container(**state: Any) -> dict[str, Any]:
    return {"name": "kserve-container", "image": "kind.local/pie:1", "ready": False, **state}


def found(cluster: Seen) -> Fault:
    fault = diagnose(cluster, "pie")
    assert fault is not None
    assert fault.remedy
    return fault


def test_nothing_speaks_against_a_service_that_is_starting(seen: Seen) -> None:
    seen.has(POD, "pie-1", status={"phase": "Pending", "containerStatuses": [container(state={"waiting": {}})]})
    assert diagnose(seen, "pie") is None


def test_a_service_that_is_not_there_or_was_not_looked_at() -> None:
    cluster = Seen()
    assert found(cluster).name == "missing"
    cluster.has(INFERENCE_SERVICE, "pie", status={})
    assert (found(cluster).name, found(cluster).patience_s) == ("unseen", 40)


@pytest.mark.parametrize(
    ("text", "remedy"),
    [
        ("0/4 nodes are available: 2 Insufficient cpu.", "free cpu on a node"),
        ("0/4 nodes are available: 4 node(s) didn't match Pod's node affinity/selector.", "label a node"),
        ("0/4 nodes are available: 1 Insufficient nvidia.com/gpu.", "free nvidia.com/gpu"),
    ],
)
def test_a_pod_that_no_node_takes(seen: Seen, text: str, remedy: str) -> None:
    scheduled = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": text}
    seen.has(POD, "pie-1", metadata={"labels": {"podium.dev/node-class": "a100"}}, status={"conditions": [scheduled]})
    fault = found(seen)
    assert fault.name == "unschedulable"
    assert "No node of class a100 takes the pod pie-1" in fault.sentence
    assert text in fault.sentence
    assert remedy in fault.remedy


@pytest.mark.parametrize(
    ("reason", "patience_s"), [("ErrImageNeverPull", 3), ("InvalidImageName", 3), ("ImagePullBackOff", 12)]
)
def test_an_image_that_cannot_be_had(seen: Seen, reason: str, patience_s: float) -> None:
    waiting = {"waiting": {"reason": reason, "message": "no such image"}}
    seen.has(POD, "pie-1", status={"containerStatuses": [container(state=waiting)]})
    fault = found(seen)
    assert (fault.name, fault.patience_s) == ("image", patience_s)
    assert "kind.local/pie:1" in fault.sentence


def test_of_the_deployments_of_knatives_revisions_the_newest_counts(seen: Seen) -> None:
    text = 'pods "pie-1" is forbidden: exceeded quota: small, requested: cpu=1, used: cpu=2, limited: cpu=2'
    failed = {"conditions": [{"type": "ReplicaFailure", "status": "True", "message": text}]}
    older, newer = ({"creationTimestamp": f"2026-11-22T06:00:0{second}Z"} for second in (1, 2))
    seen.has(DEPLOYMENT, "pie-predictor-00001-deployment", metadata=older, status=failed)
    assert found(seen).name == "quota"
    seen.has(DEPLOYMENT, "pie-predictor-00002-deployment", metadata=newer, status={})
    assert diagnose(seen, "pie") is None


def test_a_quota_that_is_full_is_told_with_its_numbers(seen: Seen) -> None:
    text = 'pods "pie-1" is forbidden: exceeded quota: small, requested: cpu=1, used: cpu=2, limited: cpu=2'
    failure = {"type": "ReplicaFailure", "status": "True", "message": text}
    seen.has(DEPLOYMENT, "pie-predictor", status={"conditions": [failure]})
    fault = found(seen)
    assert fault.name == "quota"
    assert "the quota small is full: asked for cpu=1, used cpu=2, limit cpu=2" in fault.sentence


@pytest.mark.parametrize(
    ("code", "restarts", "log", "name", "patience_s"),
    [
        (3, 0, '{"event": "x", "message": "the digest of model.onnx is not the manifest\'s"}', "wrong-artifact", 0),
        (1, 0, "Traceback", "crash", 20),
        (1, 2, "Traceback", "crash", 0),
    ],
)
def test_a_server_that_ends_is_told_with_its_last_words(
    seen: Seen, code: int, restarts: int, log: str, name: str, patience_s: float
) -> None:
    ended = {"terminated": {"exitCode": code}}
    seen.has(POD, "pie-1", status={"containerStatuses": [container(state=ended, restartCount=restarts)]})
    seen.logs["pie-1"] = f"started\n{log}\n"
    fault = found(seen)
    assert (fault.name, fault.patience_s) == (name, patience_s)
    assert f"exit code {code}; its log ends: started | " in fault.sentence
    assert "digest" in fault.sentence or "Traceback" in fault.sentence


def test_last_words_outlast_the_log(seen: Seen) -> None:
    ended = {"terminated": {"exitCode": 3, "message": 'started\n{"message": "the digest of model.onnx is wrong"}\n'}}
    seen.has(POD, "pie-1", status={"containerStatuses": [container(lastState=ended, state={"waiting": {}})]})
    fault = found(seen)
    assert fault.name == "wrong-artifact"
    assert fault.sentence.endswith("its log ends: started | the digest of model.onnx is wrong")


def test_memory_volume_and_fetching(seen: Seen) -> None:
    killed = container(lastState={"terminated": {"exitCode": 137, "reason": "OOMKilled"}}, state={"running": {}})
    pod = seen.has(POD, "pie-1", status={"containerStatuses": [killed]})
    assert found(seen).name == "memory"
    pod["status"] = {"containerStatuses": [container(state={"waiting": {"reason": "ContainerCreating"}})]}
    event = {"type": "Warning", "reason": "FailedMount", "message": "no such folder", "metadata": {"name": "e"}}
    seen.events.append({**event, "involvedObject": {"name": "pie-1"}})
    assert found(seen).name == "volume"
    fetch = {"name": "storage-initializer", "state": {"terminated": {"exitCode": 1}}}
    pod["status"] = {"initContainerStatuses": [fetch], "containerStatuses": []}
    assert found(seen).name == "fetch"


def test_what_kserve_says_comes_last_and_its_usual_warning_never(seen: Seen) -> None:
    event = {"type": "Warning", "reason": "UpdateFailed", "metadata": {"name": "e"}, "involvedObject": {"name": "pie"}}
    seen.events.append({**event, "message": "Operation cannot be fulfilled: the object has been modified"})
    assert diagnose(seen, "pie") is None
    seen.events.append({**event, "message": "no runtime found to support predictor"})
    assert "no runtime found" in found(seen).sentence


def test_only_pods_of_the_newest_template_that_were_not_told_to_go_count(seen: Seen) -> None:
    broken = [container(state={"waiting": {"reason": "InvalidImageName"}})]
    stamp = "2026-11-21T10:00:0{}Z"
    old = {"labels": {"pod-template-hash": "a"}, "creationTimestamp": stamp.format(1)}
    new = {"labels": {"pod-template-hash": "b"}, "creationTimestamp": stamp.format(2)}
    seen.has(POD, "old", metadata=old, status={"containerStatuses": broken})
    seen.has(POD, "new", metadata=new, status={"containerStatuses": [container(state={"running": {}})]})
    assert diagnose(seen, "pie") is None
    assert [name_of(pod) for pod in latest_pods([seen.objects[POD, "new"], seen.objects[POD, "old"]])] == ["new"]
    seen.objects[POD, "new"]["status"]["containerStatuses"] = broken
    assert found(seen).name == "image"
    seen.objects[POD, "new"]["metadata"]["deletionTimestamp"] = stamp.format(3)
    seen.objects[POD, "old"]["status"]["containerStatuses"] = [container(state={"running": {}})]
    assert diagnose(seen, "pie") is None


def test_patience_starts_anew_with_another_cause(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr("podium.cluster.diagnosis.time.monotonic", lambda: now[0])
    patience, fault, other = Patience(), Fault("a", "", "", 5), Fault("b", "", "", 5)
    assert not patience.is_over(fault)
    now[0] = 4
    assert not patience.is_over(other)
    now[0] = 8
    assert not patience.is_over(other)
    assert not patience.is_over(None)
    assert not patience.is_over(fault)
    now[0] = 13
    assert patience.is_over(fault)
