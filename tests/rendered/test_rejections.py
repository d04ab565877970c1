"""What the charts refuse: every class of typo by the schema, every contradiction by one failure that lists them all."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.cluster.submitted import KEYS
from tests.rendered.engine import CHARTS, RefusedError, ci_files, render

GOOD = {"variant": "standard", "platform": "kind", "loadtest": "race", "tenant": "plain"}


def values_file(chart: str) -> Path:
    (found,) = (path for path in ci_files(chart) if path.name == f"{GOOD[chart]}-values.yaml")
    return found


def refusal(chart: str, values: dict[str, Any], release: str = "food11") -> str:
    with pytest.raises(RefusedError) as caught:
        render(chart, values_file(chart), values=values, release=release)
    return str(caught.value)


ONE: dict[str, Any] = {"cpu": "1", "memory": "1Gi"}

TYPOS = [
    ("an unknown key", "variant", {"replica": {"min": 1}}, "'replica' not allowed"),
    ("an unknown key below", "variant", {"replicas": {"minimum": 1}}, "'minimum' not allowed"),
    (
        "an unknown key of the autoscaler's behavior",
        "variant",
        {"autoscaling": {"behavior": {"scaleup": {}}}},
        "scaleup",
    ),
    ("a text for a number", "variant", {"replicas": {"min": "two"}}, "/replicas/min"),
    ("a number for a text", "variant", {"storageUri": 7}, "/storageUri"),
    ("a text for a truth value", "variant", {"pdb": {"enabled": "yes"}}, "/pdb/enabled"),
    ("a value that is none of the choices", "variant", {"mode": "Serverless"}, "/mode"),
    (
        "a number out of bounds",
        "variant",
        {"autoscaling": {"targetUtilization": 120}},
        "/autoscaling/targetUtilization",
    ),
    ("a duration without a unit", "variant", {"preStop": "5"}, "/preStop"),
    ("a list for a mapping", "variant", {"labels": ["team"]}, "/labels"),
    ("a scheme that KServe does not know", "variant", {"storageUri": "ftp://host/x"}, "/storageUri"),
    ("a missing value", "variant", {"nodeClass": None}, "nodeClass"),
    ("a missing resource", "variant", {"resources": {"limits": {"memory": None}}}, "/resources/limits"),
    ("a misspelled resource", "variant", {"resources": {"limits": {"Cpu": "1"}}}, "Cpu"),
    ("a quantity that is none", "variant", {"resources": {"limits": {"cpu": "one"}}}, "/resources/limits/cpu"),
    ("an id that is too long", "variant", {"variant": {"id": "food11-ort-" + "x" * 20}}, "/variant/id"),
    ("a foreign annotation", "variant", {"annotations": {"example.com/x": "y"}}, "example.com/x"),
    (
        "an annotation that the chart sets",
        "variant",
        {"annotations": {"podium.dev/address": "y"}},
        "podium.dev/address",
    ),
    ("a label that the chart sets", "variant", {"labels": {"app.kubernetes.io/name": "y"}}, "app.kubernetes.io/name"),
    ("a label value that is none", "variant", {"labels": {"team": "a b"}}, "/labels/team"),
    ("a key that checks nothing", "variant", {"verification": {"key": "secret"}}, "/verification/key"),
    ("a least version without a key", "variant", {"verification": {"leastVersion": 3}}, "/verification/key"),
    ("an image without a tag", "platform", {"images": {"ort": "registry.example/ort"}}, "/images/ort"),
    (
        "an image that changes under its name",
        "platform",
        {"images": {"ort": "registry.example/ort:latest"}},
        "/images/ort",
    ),
    ("a relative folder", "platform", {"artifacts": {"hostPath": "store"}}, "/artifacts/hostPath"),
    ("an unknown engine", "platform", {"images": {"onnx": "a/b:c"}}, "'onnx' not allowed"),
    ("a namespace that is none", "platform", {"namespaces": ["Podium"]}, "/namespaces/0"),
    ("a registry without an end", "platform", {"admission": {"registries": ["registry.example"]}}, "registries/0"),
    ("a prefix that is everything", "platform", {"admission": {"storage": ["s3://"]}}, "/admission/storage/0"),
    ("a text that would end CEL's", "platform", {"admission": {"nodeLabels": ["a'b"]}}, "/admission/nodeLabels/0"),
    ("a controller that is a person", "platform", {"admission": {"controllers": ["admin"]}}, "controllers/0"),
    ("a Secret that is none", "variant", {"auth": {"keysSecret": "My keys"}}, "/auth/keysSecret"),
    ("a key in the values", "variant", {"auth": {"key": "podium_x"}}, "'key' not allowed"),
    ("no word about keys", "tenant", {"keys": "none"}, "/keys"),
    ("a key that is none", "platform", {"verification": {"keys": ["secret"]}}, "/verification/keys/0"),
    ("no bound of containers", "platform", {"admission": {"limits": {"cpu": None}}}, "/admission/limits"),
    ("no runner", "loadtest", {"runners": 0}, "/runners"),
    ("half a runner", "loadtest", {"runners": 1.5}, "/runners"),
    ("an unknown key of a run", "loadtest", {"run": {"id": "r1"}}, "'id' not allowed"),
    ("half a plan", "loadtest", {"plan": {"url": "http://x"}}, "/plan"),
    ("a key that no plan has", "loadtest", {"plan": {"URL": "http://x"}}, "'URL' not allowed"),
    ("an unknown key of a network", "tenant", {"networkPolicy": {"from": []}}, "'from' not allowed"),
    ("Pod Security that moves by itself", "tenant", {"podSecurityVersion": "latest"}, "/podSecurityVersion"),
    ("a prefix without an end", "tenant", {"storage": ["s3://models"]}, "/storage/0"),
    ("a prefix that climbs", "tenant", {"storage": ["s3://models/%2e%2e/"]}, "/storage/0"),
    ("a misspelled bound", "tenant", {"quota": {"request.cpu": "1"}}, "request.cpu"),
    ("a quota without pods", "tenant", {"quota": {"pods": None}}, "/quota"),
    ("names from nowhere", "tenant", {"networkPolicy": {"dns": []}}, "/networkPolicy/dns"),
    ("a way out to everybody", "tenant", {"networkPolicy": {"egress": [{"ports": [{"port": 443}]}]}}, "egress/0"),
    ("a way out of a variant", "variant", {"networkPolicy": {"egress": [{"to": []}]}}, "/networkPolicy/egress/0"),
    ("a subject of no kind", "tenant", {"deployers": [{"kind": "Team", "name": "x"}]}, "/deployers/0/kind"),
    ("a global value", "loadtest", {"global": {"image": "a/b:c"}}, "/global"),
]


@pytest.mark.parametrize(("chart", "values", "told"), [row[1:] for row in TYPOS], ids=[row[0] for row in TYPOS])
def test_a_typo_is_refused_at_its_place(chart: str, values: dict[str, Any], told: str) -> None:
    said = refusal(chart, values)
    assert "don't meet the specifications" in said
    assert told in said


PLAN: dict[str, Any] = {"url": "http://x", "model": "x", "protocol": "v2-json", "rate": 1, "for": "1s"}
FROZEN = {"autoscaling": {"enabled": False}}
CONTRADICTIONS: list[tuple[str, str, dict[str, Any], str]] = [
    ("more at least than at most", "variant", {"replicas": {"min": 7}}, "replicas.min 7: is above replicas.max 6"),
    ("frozen between two numbers", "variant", FROZEN, "replicas.max 6: nothing scales"),
    ("no pod in Standard", "variant", {"replicas": {"min": 0}, "pdb": {"enabled": False}}, "replicas.min 0:"),
    ("two autoscalers", "variant", {"mode": "Knative"}, "autoscaling.enabled true: Knative scales by itself"),
    (
        "metrics of one port",
        "variant",
        {"mode": "Knative", "podMonitor": {"enabled": True}},
        "podMonitor.enabled true:",
    ),
    ("a rollout that cannot go on", "variant", {"rollout": {"maxSurge": 0}}, "rollout.maxSurge 0:"),
    (
        "a drain that cannot go on",
        "variant",
        {"pdb": {"minAvailable": 3}},
        "pdb.minAvailable 3: is above replicas.min 2",
    ),
    (
        "no time to drain",
        "variant",
        {"preStop": "60s"},
        "gracePeriodSeconds 45: leaves less than 5 s after preStop 60s",
    ),
    ("gathering past a batch", "variant", {"serving": {"gather": 9, "maxBatch": 8}}, "serving.gather 9: is above"),
    ("workers without cores", "variant", {"serving": {"workers": 3}}, "serving.workers 3: is above the CPU limit"),
    (
        "workers with parts of cores",
        "variant",
        {"serving": {"workers": 2}, "resources": {"requests": {"cpu": "1500m"}, "limits": {"cpu": "1500m"}}},
        'serving.workers 2: is above the CPU limit "1500m"',
    ),
    (
        "several Ray replicas",
        "variant",
        {"serving": {"workers": 2}, "variant": {"id": "mnist-ray-fp32", "model": "mnist", "runtime": "ray"}},
        "serving.workers 2: a Ray replica is a process of its own already",
    ),
    (
        "several processes that ask for keys",
        "variant",
        {"serving": {"workers": 2}, "auth": {"keysSecret": "keys"}},
        "serving.workers 2: each process would count a tenant's share by itself",
    ),
    ("a limit above the request", "variant", {"resources": {"limits": {"cpu": "2"}}}, "resources.limits cpu: is"),
    (
        "a GPU limit alone",
        "variant",
        {"resources": {"limits": {"nvidia.com/gpu": 1}}},
        "resources.requests nvidia.com/gpu",
    ),
    (
        "a GPU request alone",
        "variant",
        {"resources": {"requests": {"nvidia.com/gpu": 1}}},
        "resources.limits nvidia.com",
    ),
    (
        "an id of another engine",
        "variant",
        {"variant": {"runtime": "torch"}},
        'variant.id "food11-ort-int8": is not of',
    ),
    (
        "an environment of its own",
        "variant",
        {"env": [{"name": "PREDICTOR_QUEUE", "value": "1"}]},
        "env PREDICTOR_QUEUE:",
    ),
    ("keys and none", "variant", {"auth": {"keysSecret": "k", "open": True}}, "auth.open true:"),
    (
        "keys in the environment",
        "variant",
        {"env": [{"name": "PREDICTOR_KEYS", "value": "none"}]},
        "env PREDICTOR_KEYS:",
    ),
    ("what KServe refuses", "variant", {"env": [{"name": "PYTHONPATH", "value": "/x"}]}, "env PYTHONPATH:"),
    ("everybody's account", "variant", {"serviceAccount": {"name": "default"}}, "serviceAccount.name default:"),
    ("no folder", "platform", {"artifacts": {"hostPath": ""}}, 'artifacts.hostPath "": volume hostPath needs'),
    (
        "a folder that nobody reads",
        "platform",
        {"artifacts": {"volume": "storageClass"}},
        "artifacts.hostPath /var/lib",
    ),
    (
        "a class that nobody reads",
        "platform",
        {"artifacts": {"storageClassName": "x"}},
        "artifacts.storageClassName x:",
    ),
    ("a claim nowhere", "platform", {"namespaces": []}, "namespaces []:"),
    ("a key twice", "platform", {"verification": {"keys": KEYS[:1] * 2}}, "verification.keys"),
    ("a namespace twice", "platform", {"namespaces": ["a", "a"]}, 'namespaces ["a","a"]: one stands twice'),
    ("its own namespace", "platform", {"namespaces": ["podium-system"]}, "has the release's own namespace"),
    (
        "secrets for no pull",
        "platform",
        {"imagePullPolicy": "Never", "imagePullSecrets": [{"name": "x"}]},
        "imagePullPolicy Never:",
    ),
    ("a plain limit above its request", "platform", {"resources": {"limits": {"cpu": 2}}}, "resources.limits cpu:"),
    (
        "a registry twice",
        "platform",
        {"admission": {"registries": ["a.example/", "a.example/"]}},
        "one stands twice",
    ),
    (
        "a race's account for all",
        "platform",
        {"admission": {"accounts": ["podium-racer"]}},
        "admission.accounts podium-racer: may do what a race does",
    ),
    (
        "a pipeline's account for all",
        "platform",
        {"admission": {"accounts": ["podium-deployer"]}},
        "admission.accounts podium-deployer:",
    ),
    (
        "all accounts as controllers",
        "platform",
        {"admission": {"controllers": ["system:serviceaccount:"]}},
        "admission.controllers system:serviceaccount:",
    ),
    (
        "a plan above its bound",
        "loadtest",
        {"plan": {**PLAN, "rate": 9, "data": {"x": "text"}}, "bounds": {"rate": 5}},
        "plan.rate 9: is above bounds.rate 5",
    ),
    (
        "a way to whom nobody may load",
        "loadtest",
        {"bounds": {"ownNamespace": True}, "networkPolicy": {"to": [{"namespaceSelector": {}}]}},
        "networkPolicy.to: opens a way to peers",
    ),
    (
        "bounds that nobody keeps",
        "loadtest",
        {"bounds": {"rate": 50}, "testRun": {"enabled": True, "url": "http://x"}},
        "bounds: are kept by the chart's own runners",
    ),
    ("no image", "loadtest", {"image": ""}, 'image "": there is nothing to run'),
    (
        "a plan for stock k6",
        "loadtest",
        {"plan": PLAN, "testRun": {"enabled": True, "url": "http://x"}},
        "plan: is",
    ),
    ("a plan of nothing", "loadtest", {"plan": PLAN}, "plan: has no payload to send"),
    ("no URL", "loadtest", {"testRun": {"enabled": True}}, 'testRun.url "": there is nothing to ask'),
    ("a URL that nobody asks", "loadtest", {"testRun": {"url": "http://x"}}, "testRun.url http://x: is read with"),
    (
        "more runners than requests",
        "loadtest",
        {"testRun": {"enabled": True, "url": "http://x", "rate": 2}},
        "runners 4: are more than testRun.rate 2",
    ),
    (
        "an opening in no wall",
        "loadtest",
        {"networkPolicy": {"enabled": False, "to": [{"podSelector": {}}]}},
        "networkPolicy.to: opens a policy",
    ),
    (
        "the release's own namespace",
        "tenant",
        {"namespace": "podium-system"},
        "namespace podium-system: is the release's",
    ),
    ("the cluster's namespace", "tenant", {"namespace": "kube-system"}, "namespace kube-system: is the cluster's own"),
    (
        "an account from nowhere",
        "tenant",
        {"deployers": [{"kind": "ServiceAccount", "name": "ci"}]},
        "deployers ServiceAccount ci: an account lives in a namespace",
    ),
    (
        "a user with a namespace",
        "tenant",
        {"viewers": [{"kind": "User", "name": "x", "namespace": "text"}]},
        "viewers User x: has a namespace",
    ),
    (
        "everybody as a team",
        "tenant",
        {"deployers": [{"kind": "Group", "name": "system:authenticated"}]},
        "deployers Group system:authenticated: is everybody",
    ),
    (
        "a subject twice",
        "tenant",
        {"viewers": [{"kind": "User", "name": "x"}, {"kind": "User", "name": "x"}]},
        "viewers: one stands twice",
    ),
    (
        "a quota that no default meets",
        "tenant",
        {"quota": {"limits.ephemeral-storage": "9Gi"}, "limits": {"default": {"ephemeral-storage": None}}},
        "quota limits.ephemeral-storage: refuses every pod",
    ),
    (
        "a default without a most",
        "tenant",
        {"limits": {"max": {"ephemeral-storage": None}}},
        "limits.default ephemeral-storage: has no most",
    ),
    (
        "a key that nobody sends",
        "loadtest",
        {"plan": None, "testRun": {"enabled": True, "url": "http://x"}, "auth": {"keySecret": "k"}},
        "auth.keySecret k: is sent by the chart's own runners",
    ),
    ("the chart's own variable", "loadtest", {"env": [{"name": "RUNNERS", "value": "1"}]}, "env RUNNERS:"),
]


@pytest.mark.parametrize(
    ("chart", "values", "told"), [row[1:] for row in CONTRADICTIONS], ids=[row[0] for row in CONTRADICTIONS]
)
def test_a_contradiction_is_refused_with_its_reason(chart: str, values: dict[str, Any], told: str) -> None:
    said = refusal(chart, values)
    assert f"the values of chart {chart} contradict each other:" in said
    assert told in said


def test_all_contradictions_are_listed_at_once() -> None:
    said = refusal("variant", {"replicas": {"min": 7}, "rollout": {"maxSurge": 0}, "preStop": "60s"}, release="9x")
    lines = [line for line in said.splitlines() if line.startswith("  - ")]
    assert len(lines) == 4
    assert all(": " in line and "; " in line for line in lines), "value: reason; replacement"


KNATIVE: dict[str, Any] = {"mode": "Knative", "autoscaling": {"enabled": False}}


@pytest.mark.parametrize(
    ("chart", "values", "longest"), [("variant", {}, 53), ("variant", KNATIVE, 47), ("loadtest", {}, 45)]
)
def test_a_release_name_leaves_room_for_what_is_appended_to_it(
    chart: str, values: dict[str, Any], longest: int
) -> None:
    render(chart, values_file(chart), values=values, release="x" * longest)
    assert str(longest) in refusal(chart, values, release="x" * (longest + 1))


@pytest.mark.parametrize("chart", sorted(GOOD))
def test_every_default_fits_its_schema_and_has_a_place_in_it(chart: str) -> None:
    """A default that the schema does not know would be refused only for those who set it."""
    schema = yaml.safe_load((CHARTS / chart / "values.schema.json").read_text())
    defaults = yaml.safe_load((CHARTS / chart / "values.yaml").read_text())

    def compare(values: dict[str, Any], part: dict[str, Any], place: str) -> None:
        if part.get("additionalProperties") is not False:
            return
        known = set(part["properties"]) - {"global"}
        # What has no default has a description elsewhere: in the schema alone it would be a secret.
        assert set(values) == known, place
        for key, value in values.items():
            below = part["properties"][key]
            below = schema["definitions"][below["$ref"].rsplit("/", 1)[1]] if "$ref" in below else below
            if isinstance(value, dict) and value and "properties" in below:
                compare(value, below, f"{place}.{key}")

    assert schema["additionalProperties"] is False
    compare(defaults, schema, chart)
