"""A store of models that is down, breaks off or is slow delays a start, and nothing else."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.cluster.conftest import Kubectl
from tests.cluster.remote import BREAKING, fetched_by, fetching, shelf
from tests.eventually import eventually

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(600)]

STARTED_S = 240.0


def address(namespace: Kubectl, way: str) -> str:
    return f"http://models.{namespace.namespace}.svc.cluster.local/{way}/model.onnx"


def pods(namespace: Kubectl, name: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = namespace.get("pods", "-l", f"serving.kserve.io/inferenceservice={name}")["items"]
    return found


def fetches(pod: dict[str, Any]) -> int:
    """Return how often the init container of a pod was started again."""
    statuses = pod["status"].get("initContainerStatuses", [])
    return sum(int(one["restartCount"]) for one in statuses)


def is_ready(pod: dict[str, Any]) -> bool:
    return any(one["type"] == "Ready" and one["status"] == "True" for one in pod["status"].get("conditions", []))


def serves(namespace: Kubectl, name: str) -> bool:
    proxy = f"/api/v1/namespaces/{namespace.namespace}/services/{name}-predictor:80/proxy/v2/models/{name}"
    done = namespace.run("get", "--raw", proxy, check=False)
    return done.returncode == 0 and json.loads(done.stdout)["name"] == name


@pytest.fixture
def stored(namespace: Kubectl) -> Kubectl:
    """Return a namespace with such a store."""
    fetched_by(namespace)
    for document in shelf(namespace, "models", BREAKING):
        namespace.apply(document)
    namespace.run("wait", "pod/models", "--for=condition=Ready", "--timeout=60s")
    return namespace


@pytest.mark.row("R30", "a store that is down, breaks off, is slow: asked again, the whole model served, old pods stay")
def test_a_store_that_fails_delays_a_start_and_nothing_else(
    stored: Kubectl, record_property: Callable[[str, object], None]
) -> None:
    for way in ("cut", "slow"):
        stored.apply(fetching(way, address(stored, way)))
    stored.apply(fetching("down", address(stored, "whole")))
    eventually(lambda: serves(stored, "down"), STARTED_S, 1.0)
    (old,) = pods(stored, "down")
    stored.apply(fetching("down", address(stored, "down")))

    def new() -> dict[str, Any] | None:
        return next((pod for pod in pods(stored, "down") if pod["metadata"]["uid"] != old["metadata"]["uid"]), None)

    eventually(lambda: fetches(new() or {"status": {}}) >= 1, STARTED_S, 0.5)
    assert serves(stored, "down"), "the old pod went before the new one had its model"
    assert any(is_ready(pod) and pod["metadata"]["uid"] == old["metadata"]["uid"] for pod in pods(stored, "down"))
    eventually(lambda: is_ready(new() or {"status": {}}), STARTED_S, 1.0)
    for way in ("cut", "slow", "down"):
        eventually(lambda way=way: serves(stored, way), STARTED_S, 1.0)  # type: ignore[misc]
    again = {way: max(map(fetches, pods(stored, way))) for way in ("cut", "slow", "down")}
    assert again["cut"] == 2
    assert again["down"] >= 2
    assert again["slow"] == 0
    record_property("R30", f"fetched again {again['down']} and {again['cut']} times, then whole; the old pod served on")


@pytest.mark.control("R30")
def test_half_a_model_that_nobody_measured_is_never_served(stored: Kubectl) -> None:
    """The control: without a length the fetch takes half a file for whole, and then it is the server that refuses."""
    stored.apply(fetching("half", address(stored, "half")))

    def refused() -> str:
        for pod in pods(stored, "half"):
            for one in pod["status"].get("containerStatuses", []):
                if one["restartCount"] or one.get("state", {}).get("terminated"):
                    logs = stored.run(
                        "logs", pod["metadata"]["name"], "-c", "kserve-container", "--previous", check=False
                    )
                    return logs.stdout + logs.stderr
        return ""

    assert "error: " in eventually(refused, STARTED_S, 1.0)
    assert not any(map(is_ready, pods(stored, "half")))
    assert [fetches(pod) for pod in pods(stored, "half")] == [0]
