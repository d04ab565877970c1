"""What the charts' NetworkPolicies let through; that it holds is shown in tests/cluster."""

from typing import Any

import pytest
import yaml

from tests.rendered.engine import CHARTS, ci_files, objects, render

Object = dict[str, Any]
METADATA = "169.254.0.0/16"


def policies(chart: str, shape: str, **values: Any) -> list[Object]:
    (file,) = (path for path in ci_files(chart) if path.stem == f"{shape}-values")
    return [one for one in objects(render(chart, file, values=values)) if one["kind"] == "NetworkPolicy"]


@pytest.mark.parametrize("shape", ["standard", "gpu", "knative"])
def test_a_variant_whose_artifact_is_mounted_reaches_nobody(shape: str) -> None:
    (one,) = policies("variant", shape, storageUri="pvc://claim/x")
    assert one["spec"]["egress"] == []
    assert one["spec"]["policyTypes"] == ["Ingress", "Egress"]


def test_a_variant_that_fetches_reaches_stores_and_no_address_of_the_node() -> None:
    (one,) = policies("variant", "standard", storageUri="s3://models/x")
    names, stores = one["spec"]["egress"]
    assert {port["port"] for port in names["ports"]} == {53}
    blocks = [peer["ipBlock"] for peer in stores["to"] if "ipBlock" in peer]
    assert METADATA in next(block["except"] for block in blocks if block["cidr"] == "0.0.0.0/0")
    assert {port["port"] for port in stores["ports"]} == {80, 443, 9000}


@pytest.mark.parametrize("uri", ["s3://models/x", "pvc://claim/x"])
def test_a_variant_reaches_what_a_site_names_too(uri: str) -> None:
    rule = {"to": [{"ipBlock": {"cidr": "10.1.2.3/32"}}], "ports": [{"protocol": "TCP", "port": 8333}]}
    (one,) = policies("variant", "standard", storageUri=uri, networkPolicy={"egress": [rule]})
    assert one["spec"]["egress"][-1] == rule
    assert len(one["spec"]["egress"]) == (1 if uri.startswith("pvc") else 3)


def test_whoever_races_can_be_loaded_where_all_else_is_denied() -> None:
    """A race makes variants without policies; what selects them must be there before the first one."""
    site = policies("platform", "site")
    spaces = yaml.safe_load((CHARTS / "platform/ci/site-values.yaml").read_text())["namespaces"]
    for space in spaces:
        here = {one["metadata"]["name"]: one["spec"] for one in site if one["metadata"]["namespace"] == space}
        assert set(here) == {"podium-default-deny", "podium-races"}
        chosen = {term["key"] for term in here["podium-races"]["podSelector"]["matchExpressions"]}
        assert chosen == {"podium.dev/race", "serving.kserve.io/inferenceservice"}
        ports = {port["port"]: rule.get("from") for rule in here["podium-races"]["ingress"] for port in rule["ports"]}
        assert ports == {8080: [{"podSelector": {}}], 8081: [{"podSelector": {}}], 8082: None}
    assert policies("platform", "site", networkPolicy={"defaultDeny": False}) == []


def test_a_team_without_knative_opens_no_port_of_its_sidecar() -> None:
    def open_ports(shape: str) -> set[int]:
        (serving,) = [one for one in policies("tenant", shape) if one["metadata"]["name"] == "podium-serving"]
        return {port["port"] for rule in serving["spec"]["ingress"] for port in rule["ports"]}

    assert open_ports("plain") == {8080, 8081, 8082}
    assert open_ports("site") == {8080, 8081, 8082, 8012, 8112, 8022, 9090, 9091}
