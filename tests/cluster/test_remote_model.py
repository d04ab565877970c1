"""A model at a remote address is fetched by KServe's init container, in the image that is built here."""

import json

import pytest

from tests.cluster.conftest import Kubectl
from tests.cluster.remote import fetched_by, fetching, shelf

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(240)]


def test_a_model_behind_a_web_address_is_fetched_and_served(namespace: Kubectl) -> None:
    found = fetched_by(namespace)
    for document in shelf(namespace, "models"):
        namespace.apply(document)
    namespace.run("wait", "pod/models", "--for=condition=Ready", "--timeout=60s")
    address = f"http://models.{namespace.namespace}.svc.cluster.local/model.onnx"
    warned = namespace.apply(fetching("fetched", address))
    assert "would violate PodSecurity" not in warned.stderr
    namespace.run("wait", "isvc/fetched", "--for=condition=Ready", "--timeout=120s")
    proxy = f"/api/v1/namespaces/{namespace.namespace}/services/fetched-predictor:80/proxy/v2/models/fetched"
    assert json.loads(namespace.run("get", "--raw", proxy).stdout)["name"] == "fetched"
    containers = namespace.get("pods", "-l", "serving.kserve.io/inferenceservice=fetched")["items"][0]["spec"]
    assert [item["image"] for item in containers["initContainers"]] == [found]
