"""The policies of the chart `platform` and the namespace of the chart `tenant`, as far as a render shows them.

What the API server makes of the expressions is shown in tests/cluster/test_tenants.py.
"""

import re
from collections.abc import Callable
from copy import deepcopy
from typing import Any

import pytest

from tests.cluster.hostile import hostile, unsigned
from tests.cluster.submitted import IMAGE, KEYS, SIGNED_VALUES, VALUES
from tests.rendered.engine import ci_files, objects, render

Object = dict[str, Any]
KINDS = ["inferenceservices", "services", "servingruntimes", "workloads"]
# What opens a way around the walls of a team, wherever it stands in a Role.
FORBIDDEN = {
    *("secrets", "roles", "rolebindings", "networkpolicies", "resourcequotas", "limitranges", "namespaces"),
    *("pods/exec", "pods/attach", "pods/portforward", "pods/proxy", "pods/ephemeralcontainers", "services/proxy"),
    *("serviceaccounts/token", "persistentvolumeclaims", "persistentvolumes", "endpoints", "endpointslices", "pods"),
    *("daemonsets", "statefulsets", "cronjobs", "inferencegraphs", "testruns"),
}
POLICY = "ValidatingAdmissionPolicy"
LOOK = {"get", "list", "watch"}


def made(chart: str, kind: str, shape: str = "site") -> list[Object]:
    (file,) = (path for path in ci_files(chart) if path.stem == f"{shape}-values")
    return [one for one in objects(render(chart, file)) if one["kind"] == kind]


def rules(policy: Object) -> set[str]:
    return {one["message"].partition(":")[0] for one in policy["spec"]["validations"]}


def test_policies_refuse_in_namespaces_of_tenants_and_look_at_nothing_elsewhere() -> None:
    policies = made("platform", "ValidatingAdmissionPolicy")
    bindings = made("platform", "ValidatingAdmissionPolicyBinding")
    assert sorted(one["metadata"]["name"] for one in policies) == [f"podium-{kind}" for kind in KINDS]
    assert {one["spec"]["failurePolicy"] for one in policies} == {"Fail"}
    assert [one["spec"]["policyName"] for one in bindings] == [one["metadata"]["name"] for one in bindings]
    for one in bindings:
        assert one["spec"]["validationActions"] == ["Deny", "Audit"]
        (term,) = one["spec"]["matchResources"]["namespaceSelector"]["matchExpressions"]
        assert term == {"key": "podium.dev/tenant", "operator": "Exists"}
    (namespace,) = made("tenant", "Namespace")
    assert namespace["metadata"]["labels"][term["key"]] == "vision"


def test_no_policy_is_made_where_none_is_asked_for() -> None:
    for kind in ("ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding"):
        assert made("platform", kind, "kind") == []
        assert len(objects(render("platform"))) > len(KINDS)


def test_every_rule_has_a_hostile_document_that_breaks_it() -> None:
    known = set().union(*(rules(one) for one in made("platform", "ValidatingAdmissionPolicy")))
    assert {row.rule for row in (*hostile("x"), *unsigned())} == known


def test_rules_of_signatures_are_made_where_the_platform_has_keys_and_its_runtimes_are_told_the_first() -> None:
    plain = [one for one in objects(render("platform", values=VALUES)) if one["kind"] == POLICY]
    asking = objects(render("platform", values=SIGNED_VALUES))
    mine = [one for one in asking if one["kind"] == POLICY]
    more = {one["metadata"]["name"]: rules(one) - rules(other) for one, other in zip(mine, plain, strict=True)}
    assert {name: found for name, found in more.items() if found} == {
        "podium-inferenceservices": {"signature", "signature-check"},
        "podium-servingruntimes": {"signature-runtime"},
    }
    (runtime,) = (one for one in asking if one["kind"] == "ClusterServingRuntime")
    told = {one["name"]: one.get("value") for one in runtime["spec"]["containers"][0]["env"]}
    assert told["PREDICTOR_VERIFY_KEY"] == KEYS[0]
    text = str(mine)
    assert all(key in text for key in KEYS)
    assert "['podium-ort']" in text
    assert "PREDICTOR_VERIFY_KEY" not in str(objects(render("platform", values={"images": {"ort": IMAGE}})))


def test_a_refusal_names_its_rule_the_field_and_the_remedy() -> None:
    for policy in made("platform", "ValidatingAdmissionPolicy"):
        names = [one["name"] for one in policy["spec"]["variables"]]
        assert len(set(names)) == len(names)
        for one in policy["spec"]["validations"]:
            assert re.fullmatch(r"[a-z]+(-[a-z]+)*: [^;]+; [^;]+", one["message"]), one["message"]
            if "messageExpression" in one:
                (used,) = set(re.findall(r"variables\.(\w+)", one["messageExpression"]))
                assert used in names
                assert used in one["expression"]
            # A place that the message does not compute stands in its words.
            else:
                assert "metadata." in one["message"] or "spec." in one["message"]


def test_what_the_pod_of_a_team_may_do_is_checked_in_every_kind() -> None:
    by_kind = {one["metadata"]["name"]: rules(one) for one in made("platform", "ValidatingAdmissionPolicy")}
    everywhere = by_kind["podium-servingruntimes"] - {"signature-runtime"}
    assert {"host-path", "image-digest", "service-account", "limits-cap", "annotation"} <= everywhere
    assert everywhere < by_kind["podium-inferenceservices"]
    assert everywhere < by_kind["podium-workloads"]
    assert by_kind["podium-inferenceservices"] - everywhere >= {"token", "storage", "replicas"}
    assert by_kind["podium-workloads"] - everywhere >= {"token", "load-image", "load-rate", "job-time"}


def test_knatives_controllers_are_let_through_where_runtimes_are_knatives() -> None:
    exempt = {
        shape: str(
            [
                one["spec"]["matchConditions"]
                for one in objects(render("platform", values=values))
                if one["metadata"]["name"] == "podium-workloads" and "matchConditions" in one["spec"]
            ]
        )
        for shape, values in {"knative": {"runtimes": {"knative": True}}, "plain": {}}.items()
    }
    assert "'system:serviceaccount:knative-serving:'" in exempt["knative"].replace('"', "'")
    assert "knative-serving" not in exempt["plain"]


def test_load_comes_from_the_platforms_image_or_one_that_is_listed() -> None:
    image = "registry.example/podium/loadtest@sha256:" + "0f1e2d3c4b5a6978" * 4
    for values in ({"images": {"loadtest": image}}, {"admission": {"load": {"images": [image]}}}):
        assert image in str([one for one in objects(render("platform", values=values)) if one["kind"] == POLICY])


def test_the_values_reach_the_expressions() -> None:
    text = str(made("platform", "ValidatingAdmissionPolicy"))
    for value in ("registry.example:5000/podium/", "s3://models/", "nvidia.com/gpu.product", "podium-racer", "32Gi"):
        assert value in text


def excess(role: Object) -> list[str]:
    """Return what a team's Role gives that opens its walls."""
    found = []
    for rule in role["rules"]:
        words, resources, verbs = {*rule["apiGroups"]}, {*rule["resources"]}, {*rule["verbs"]}
        found += sorted((words | resources | verbs) & {"*", "escalate", "bind", "impersonate", "deletecollection"})
        found += sorted(resources & {"secrets", "roles", "rolebindings"})
        if resources & FORBIDDEN or role["metadata"]["name"] == "podium-viewer":
            found += sorted(verbs - LOOK)
    return found


@pytest.mark.row("S5", "Roles of a team: no wildcard, Secret, exec, escalate, bind, impersonate; walls only to look at")
@pytest.mark.parametrize("shape", ["plain", "site", "small"])
def test_a_team_may_not_undo_its_walls(shape: str, record_property: Callable[[str, object], None]) -> None:
    roles = made("tenant", "Role", shape)
    assert {one["metadata"]["name"] for one in roles} == {"podium-deployer", "podium-viewer"}
    assert {one["metadata"]["name"]: excess(one) for one in roles if excess(one)} == {}
    record_property("S5", f"{shape}: {sum(len(one['rules']) for one in roles)} rules, none too wide")


@pytest.mark.control("S5")
@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("verbs", "impersonate"),
        ("verbs", "*"),
        ("resources", "secrets"),
        ("resources", "pods/exec"),
        ("apiGroups", "*"),
    ],
)
def test_one_verb_or_resource_more_is_seen(kind: str, value: str) -> None:
    (role,) = (one for one in made("tenant", "Role", "plain") if one["metadata"]["name"] == "podium-deployer")
    wider = deepcopy(role)
    (next(one for one in wider["rules"] if set(one["verbs"]) - LOOK))[kind].append(value)
    assert excess(wider)


@pytest.mark.parametrize("shape", ["plain", "site", "small"])
def test_a_team_has_no_mounted_token_and_is_bound_in_its_own_namespace(shape: str) -> None:
    (namespace,) = made("tenant", "Namespace", shape)
    name = namespace["metadata"]["name"]
    for one in made("tenant", "ServiceAccount", shape):
        assert one["automountServiceAccountToken"] is False
        assert one["metadata"]["namespace"] == name
    for one in made("tenant", "RoleBinding", shape):
        assert one["metadata"]["namespace"] == name
        assert one["roleRef"] == {
            "apiGroup": "rbac.authorization.k8s.io",
            "kind": "Role",
            "name": one["metadata"]["name"],
        }
    for mode in ("enforce", "warn", "audit"):
        assert namespace["metadata"]["labels"][f"pod-security.kubernetes.io/{mode}"] == "restricted"
        assert re.fullmatch(r"v1\.\d+", namespace["metadata"]["labels"][f"pod-security.kubernetes.io/{mode}-version"])
    # Pods outlive the release, and so does what holds them.
    (quota,) = made("tenant", "ResourceQuota", shape)
    (closed,) = (
        one for one in made("tenant", "NetworkPolicy", shape) if one["metadata"]["name"] == "podium-default-deny"
    )
    for one in (namespace, quota, closed):
        assert one["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep"


def opened(policies: list[Object], side: str) -> list[Object]:
    """Return all peers that the policies let in or out."""
    word = "from" if side == "ingress" else "to"
    return [peer for one in policies for rule in one["spec"].get(side, []) for peer in rule.get(word, [None])]


def test_a_teams_network_is_closed_but_for_names_and_its_own_pods() -> None:
    policies = made("tenant", "NetworkPolicy", "plain")
    (closed,) = (one for one in policies if one["metadata"]["name"] == "podium-default-deny")
    assert closed["spec"] == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    dns = {
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "kube-system"}},
        "podSelector": {"matchLabels": {"k8s-app": "kube-dns"}},
    }
    assert all(set(peer) == {"podSelector"} for peer in opened(policies, "ingress"))
    assert [peer for peer in opened(policies, "egress") if set(peer) != {"podSelector"}] == [dns]
    for one in policies:
        # A side that a policy opens and does not name as its own would be opened for nobody.
        assert {side.lower() for side in one["spec"]["policyTypes"]} >= {"ingress", "egress"} & set(one["spec"])


def test_a_site_opens_what_it_names_and_no_more() -> None:
    policies = made("tenant", "NetworkPolicy")
    outside = [one["spec"]["egress"] for one in policies if one["metadata"]["name"] == "podium-outside"]
    assert outside == [
        [
            {
                "to": [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "object-store"}}}],
                "ports": [{"protocol": "TCP", "port": 9000}],
            }
        ]
    ]
    assert {
        peer["namespaceSelector"]["matchLabels"]["kubernetes.io/metadata.name"]
        for peer in opened(policies, "ingress")
        if "namespaceSelector" in peer
    } == {"gateway", "monitoring", "knative-serving", "kourier-system"}
