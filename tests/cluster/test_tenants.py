"""Two teams on one cluster: what the policies refuse and admit, and what one may do to the other.

The policies are those of the chart `platform`, under names of this run and bound to its own namespaces, so that
beside them a namespace stands in which nothing is looked at: the control.
"""

import json
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.cluster.attempts import AT_HOME, ATTEMPTS
from tests.cluster.conftest import ROOT, Kubectl
from tests.cluster.hostile import honest, hostile, signed, unsigned
from tests.cluster.releases import Helm
from tests.cluster.submitted import SIGNED_VALUES, VALUES, canary, changed, container, pod, runtime, service
from tests.cluster.teams import Document, Teams, answers, person, policies, submit
from tests.eventually import eventually
from tests.rendered.engine import ci_files, objects, render

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(600)]

RESTRICTED = "pod-security.kubernetes.io/enforce=restricted"


@pytest.fixture(scope="module")
def teams(cluster: Kubectl, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Teams]:
    """Make two teams by the chart `tenant`, policies for them, and a namespace beside them."""
    run = f"podium-test-{uuid.uuid4().hex[:8]}"
    names = {part: f"{run}-{part}" for part in ("a", "b", "signed", "nobody", "records")}
    helm = Helm(names["records"])
    made = policies(run, [names["a"], names["b"]], VALUES)
    made += [
        one
        for one in policies(f"{run}-signed", [names["signed"]], SIGNED_VALUES)
        if one["metadata"]["name"].endswith(("-inferenceservices", "-servingruntimes"))
    ]
    folder = tmp_path_factory.mktemp("people")
    try:
        for part in ("signed", "nobody", "records"):
            cluster.run("create", "namespace", names[part])
            cluster.run("label", "namespace", names[part], RESTRICTED, "podium.dev/test=true")
        cluster.run("label", "namespace", names["signed"], f"podium.dev/tenant={names['signed']}")
        for part in ("a", "b"):
            quota = {"count/servingruntimes.serving.kserve.io": "5"} if part == "b" else {}
            helm("install", names[part], str(ROOT / "charts" / "tenant"), values={"quota": quota})
        cluster.run("apply", "-f", "-", text=yaml.safe_dump_all(made))
        inside = {part: Kubectl(cluster.program, names[part]) for part in ("a", "b", "signed", "nobody")}
        people = {part: person(cluster, names[part], "podium-deployer", folder) for part in ("a", "b")}
        people["viewer"] = person(cluster, names["a"], "podium-viewer", folder)
        # A policy is in force a moment after it was taken.
        last = changed(service(), "spec predictor hostNetwork", True)
        for part in ("a", "b", "signed"):
            eventually(lambda part=part: "host-namespace" in submit(inside[part], last), 60, 0.5)  # type: ignore[misc]
        yield Teams(inside["a"], inside["b"], inside["signed"], inside["nobody"], people)
    finally:
        for one in made:
            cluster.run("delete", one["kind"], one["metadata"]["name"], "--ignore-not-found", check=False)
        for name in names.values():
            cluster.run("delete", "namespace", name, "--ignore-not-found", "--wait=false", check=False)


def test_no_policy_has_a_doubt_of_its_own(teams: Teams, cluster: Kubectl) -> None:
    """The API server checks expressions against the real kinds as far as they are typed; what is dyn it leaves."""
    prefix = teams.a.namespace.removesuffix("-a")
    found = [
        one for one in cluster.get("validatingadmissionpolicies")["items"] if one["metadata"]["name"].startswith(prefix)
    ]
    assert len(found) == 4 + 2

    def checked() -> list[Document]:
        names = [one["metadata"]["name"] for one in found]
        now = [cluster.get("validatingadmissionpolicy", name) for name in names]
        return now if all("typeChecking" in one.get("status", {}) for one in now) else []

    doubts = [one["status"]["typeChecking"].get("expressionWarnings", []) for one in eventually(checked, 240, 2)]
    assert [doubt for some in doubts for doubt in some] == []


@pytest.mark.row("S7", "hostile InferenceServices, runtimes and workloads: each refused by the rule it breaks, by name")
def test_every_hostile_document_is_refused_by_its_rule(teams: Teams, record_property: Any) -> None:
    rows = hostile(teams.a.namespace)
    assert len({row.name for row in rows}) == len(rows) >= 60
    said = answers(teams.a, {row.name: row.document for row in rows})
    wrong = {row.name: said[row.name] for row in rows if f"denied request: {row.rule}: " not in said[row.name]}
    assert wrong == {}
    # What is wrong, and after the semicolon what to do.
    assert [text for text in said.values() if "; " not in text] == []
    record_property("S7", f"{len(rows)} documents refused, by {len({row.rule for row in rows})} rules")


@pytest.mark.row("S17", "where the platform asks for signatures, no InferenceService gets around its runtimes and keys")
def test_every_way_around_signatures_is_refused_by_its_rule(teams: Teams, record_property: Any) -> None:
    rows = unsigned()
    said = answers(teams.signed, {row.name: row.document for row in rows})
    assert {row.name: said[row.name] for row in rows if f"denied request: {row.rule}: " not in said[row.name]} == {}
    taken = answers(teams.signed, signed())
    assert {name: text for name, text in taken.items() if text} == {}
    # Where it asks for none, nobody is asked.
    assert {row.name: text for row in rows if (text := submit(teams.a, row.document))} == {}
    record_property("S17", f"{len(rows)} documents refused, {len(taken)} admitted")


@pytest.mark.control("S7")
@pytest.mark.control("S17")
@pytest.mark.control("S24")
def test_without_the_binding_the_same_documents_are_admitted(teams: Teams) -> None:
    rows = [*hostile(teams.nobody.namespace), *unsigned()]
    said = answers(teams.nobody, {row.name: row.document for row in rows})
    # Those that are refused all the same would prove nothing of the policies.
    assert {name: text for name, text in said.items() if text} == {}


@pytest.mark.row("S7", "20 and more honest documents: all admitted")
def test_every_honest_document_is_admitted(teams: Teams, record_property: Any) -> None:
    documents = honest(teams.a.namespace)
    assert len(documents) >= 20
    said = answers(teams.a, documents)
    assert {name: text for name, text in said.items() if text} == {}
    record_property("S7", f"{len(documents)} documents admitted")


def rendered(chart: str, shape: str, namespace: str, **values: Any) -> list[Document]:
    (file,) = (path for path in ci_files(chart) if path.stem == f"{shape}-values")
    made = objects(render(chart, file, values=values))
    for one in made:
        one["metadata"]["namespace"] = namespace
    # The chart writes its release's namespace, which here is that of the goldens.
    read: list[Document] = json.loads(json.dumps(made).replace('"value": "podium"', f'"value": "{namespace}"'))
    return read


def test_what_our_charts_make_for_a_tenant_is_admitted(teams: Teams) -> None:
    closed = {"networkPolicy": {"enabled": False}, "auth": {"open": True}}
    made = rendered("variant", "race", teams.a.namespace, **closed)
    made += rendered("loadtest", "tenant", teams.a.namespace)
    assert len(made) > 6
    said = answers(teams.a, {f"{one['kind']} {one['metadata']['name']}": one for one in made})
    assert {name: text for name, text in said.items() if text} == {}


@pytest.mark.row(
    "S24", "load at 10 x the rate, next door, by another program, for 2 h, by 100 pods: refused at admission"
)
def test_load_is_bound_by_its_rules(teams: Teams, record_property: Any) -> None:
    rows = [row for row in hostile(teams.a.namespace) if row.rule.startswith(("load-", "job-"))]
    said = answers(teams.a, {row.name: row.document for row in rows})
    assert {row.name: said[row.name] for row in rows if f": {row.rule}: " not in said[row.name]} == {}
    assert submit(teams.a, honest(teams.a.namespace)["load"]) == ""
    record_property("S24", f"{len(rows)} Jobs refused, within the bounds admitted")


def test_no_way_of_writing_gets_around_the_rules(teams: Teams) -> None:
    """Update, patch, apply, another way to be named, and the subresource that adds a container to a pod."""
    good = runtime()
    bad = changed(good, "spec containers 0 image", "registry.example/team/x:1")
    teams.a.run("create", "-f", "-", text=json.dumps(good))
    teams.a.run("create", "-f", "-", text=json.dumps(pod()))
    look = changed(container("look", "registry.example/team/x:1"), "resources", None)
    added = {"spec": {"ephemeralContainers": [look]}}
    ways: dict[str, tuple[list[str], Document | None]] = {
        "replace": (["replace", "-f", "-"], bad),
        "apply": (["apply", "-f", "-"], bad),
        "server-side apply": (["apply", "--server-side", "--force-conflicts", "-f", "-"], bad),
        "merge patch": (["patch", "servingruntime/own", "--type=merge", "-p", json.dumps({"spec": bad["spec"]})], None),
        "generateName": (
            ["create", "-f", "-"],
            {**bad, "metadata": {"generateName": "own-"}},
        ),
        "ephemeral container": (["patch", "pod/x", "--subresource=ephemeralcontainers", "-p", json.dumps(added)], None),
    }
    for name, (words, document) in ways.items():
        text = None if document is None else json.dumps(document)
        done = teams.a.run(*words, text=text, check=False)
        assert "denied request: image-digest: " in done.stderr, (name, done.stderr)
    # What changes nothing that the rules look at goes on.
    teams.a.run("label", "servingruntime/own", "team=vision")
    teams.a.run("delete", "servingruntime/own", "pod/x", "--grace-period=0", "--force")


def test_a_pod_on_a_node_can_be_debugged_by_a_good_image(teams: Teams) -> None:
    """The scheduler's nodeName is no field of the team's, and a name of a node in a new pod is one."""
    there = changed(changed(pod(), "metadata name", "placed"), "spec nodeSelector", None)
    assert "denied request: pod-field: spec " in submit(teams.a, changed(there, "spec nodeName", "podium-worker"))
    teams.a.run("create", "-f", "-", text=json.dumps(there))
    try:
        eventually(lambda: teams.a.get("pod", "placed")["spec"].get("nodeName"), 60, 0.5)
        added = {"spec": {"ephemeralContainers": [changed(container("look"), "resources", None)]}}
        teams.a.run("patch", "pod/placed", "--subresource=ephemeralcontainers", "-p", json.dumps(added))
        # What lets out is no label that a team gives a pod later.
        for label in ("component=transformer", "serving.kserve.io/inferenceservice=x"):
            done = teams.a.run("label", "pod/placed", label, check=False)
            assert "denied request: pod-label: metadata.labels " in done.stderr, done.stderr
    finally:
        teams.a.run("delete", "pod/placed", "--grace-period=0", "--force")


def test_a_canarys_worker_is_looked_at(teams: Teams) -> None:
    """KServe of today takes no worker of a canary; the rules do not count on that, and no control can show it."""
    worker = {"containers": [container("w", "registry.example/x:1")], "automountServiceAccountToken": False}
    model = service()["spec"]["predictor"]["model"]
    said = submit(teams.a, changed(service(), "spec canary", canary(model=model, workerSpec=worker)))
    assert "denied request: image-digest: spec.canary.predictor.workerSpec.containers[w] " in said


def test_a_refusal_names_a_field_that_is_there_once(teams: Teams) -> None:
    other = {"other.example/x": "y"}
    made = changed(honest(teams.a.namespace)["a Job by the clock"], "spec jobTemplate spec template metadata", {})
    made = changed(made, "spec jobTemplate spec template metadata annotations", other)
    said = submit(teams.a, made)
    assert "annotation: spec.jobTemplate.spec.template.metadata.annotations[other.example/x] is not" in said
    assert submit(teams.a, changed(pod(), "metadata annotations", other)).count("other.example/x") == 1


@pytest.mark.row("S10", "a team's predictors say who is served, and where it must be keys, nothing else is admitted")
def test_a_team_says_who_is_served(teams: Teams, record_property: Any) -> None:
    asking = honest(teams.b.namespace)["keys from a mounted Secret"]
    silent = changed(service(), "spec predictor model env", None)
    assert [submit(teams.b, one) for one in (service(), asking)] == ["", ""]
    assert "denied request: keys: spec.predictor " in submit(teams.b, silent)
    teams.b.run("annotate", "namespace", teams.b.namespace, "podium.dev/keys=required", "--overwrite")
    try:
        refused = eventually(lambda: submit(teams.b, service()), 30, 0.5)
        assert "denied request: keys: spec.predictor " in refused
        assert submit(teams.b, asking) == ""
        teams.b.run("annotate", "namespace", teams.b.namespace, "podium.dev/keys-")
        # The control: where the namespace wants nothing said, the same is admitted.
        eventually(lambda: submit(teams.b, silent) == "", 30, 0.5)
    finally:
        teams.b.run("annotate", "namespace", teams.b.namespace, "podium.dev/keys=explicit", "--overwrite")
    record_property("S10", "explicit: none or a file; required: a file; 3 documents without it refused")


def test_a_team_can_be_held_to_prefixes_of_its_own(teams: Teams) -> None:
    other = changed(service(), "spec predictor model storageUri", "s3://models/text/x")
    assert submit(teams.b, other) == ""
    teams.b.run("annotate", "namespace", teams.b.namespace, "podium.dev/storage=s3://models/vision/")
    try:
        refused = eventually(lambda: submit(teams.b, other), 30, 0.5)
        assert "denied request: storage: spec.predictor" in refused
        assert submit(teams.b, changed(other, "spec predictor model storageUri", "s3://models/vision/x")) == ""
    finally:
        teams.b.run("annotate", "namespace", teams.b.namespace, "podium.dev/storage-")


@pytest.mark.row("S8", "with the rights of team A, every attempt on team B and on the walls: refused by the API server")
def test_a_team_can_do_nothing_to_another(teams: Teams, tmp_path: Path, record_property: Any) -> None:
    target = changed(pod(), "metadata name", "target")
    for space in (teams.a, teams.b):
        space.run("create", "-f", "-", text=json.dumps(target))
    names = {"a": teams.a.namespace, "b": teams.b.namespace, "folder": str(tmp_path)}
    person_a = teams.people["a"]
    documents = {
        "create InferenceService": ["create", "-f", "-"],
        "apply InferenceService": ["apply", "-f", "-"],
    }
    done = {f"B: {words}": person_a.run(*words.format(**names).split(), at=names["b"]) for words in ATTEMPTS}
    done |= {f"A: {words}": person_a.run(*words.format(**names).split()) for words in AT_HOME}
    done |= {
        f"B: {name}": person_a.run(*words, text=json.dumps(service()), at=names["b"])
        for name, words in documents.items()
    }
    let_in = {name: one.stdout[:300] for name, one in done.items() if one.returncode == 0}
    assert let_in == {}
    assert {name: one.stderr for name, one in done.items() if "orbidden" not in one.stderr} == {}
    # The same account works at home, so it was no broken token.
    assert person_a.run("create", "--dry-run=server", "-f", "-", text=json.dumps(service())).returncode == 0
    assert "target" in person_a.run("get", "pods").stdout
    assert teams.people["viewer"].run("get", "pods").returncode == 0
    refused = teams.people["viewer"].run("create", "-f", "-", text=json.dumps(service()))
    assert "orbidden" in refused.stderr
    record_property("S8", f"{len(done)} attempts refused, each as Forbidden")


@pytest.mark.control("S8")
def test_a_role_binding_across_namespaces_lets_the_other_team_in(teams: Teams) -> None:
    account = f"--serviceaccount={teams.a.namespace}:podium-deployer"
    person_a = teams.people["a"]
    assert "orbidden" in person_a.run("get", "pods", at=teams.b.namespace).stderr
    teams.b.run("create", "rolebinding", "hole", "--role=podium-viewer", account)
    try:
        eventually(lambda: person_a.run("get", "pods", at=teams.b.namespace).returncode == 0, 30, 0.5)
    finally:
        teams.b.run("delete", "rolebinding", "hole")


def _flood(space: Kubectl, count: int) -> tuple[int, str]:
    many = [changed(runtime(), "metadata name", f"flood-{i}") for i in range(count)]
    done = space.run("create", "-f", "-", text=yaml.safe_dump_all(many), check=False)
    return done.stdout.count(" created"), done.stderr


@pytest.mark.row("S30", "200 objects in a loop: stopped at the quota of 5, the other team unharmed")
def test_a_flood_of_objects_ends_at_the_quota(teams: Teams, record_property: Any) -> None:
    taken, said = _flood(teams.b, 200)
    assert taken == len(teams.b.get("servingruntimes")["items"]) == 5
    # A few may meet KServe's webhook in a moment when it is away.
    assert said.count("exceeded quota: podium") > 150
    assert submit(teams.a, changed(runtime(), "metadata name", "calm")) == ""
    record_property("S30", f"{taken} of 200 taken, {said.count('exceeded quota: podium')} refused by the quota")


@pytest.mark.control("S30")
def test_without_a_quota_they_are_taken(teams: Teams) -> None:
    taken, said = _flood(teams.nobody, 200)
    assert taken > 150
    assert "exceeded quota" not in said


@pytest.mark.row("S1", "a team's namespace enforces Pod Security restricted at a pinned version: bad pods refused")
def test_a_teams_namespace_admits_restricted_pods_only(teams: Teams, record_property: Any) -> None:
    labels = teams.a.get("namespace", teams.a.namespace)["metadata"]["labels"]
    assert labels["pod-security.kubernetes.io/enforce"] == "restricted"
    assert labels["pod-security.kubernetes.io/enforce-version"] == "v1.32"
    refused = {name: submit(teams.a, one) for name, one in unrestricted().items()}
    assert {name: said for name, said in refused.items() if "violates PodSecurity" not in said} == {}
    assert submit(teams.a, changed(pod(), "metadata name", "calm")) == ""
    record_property("S1", f"{len(refused)} pods refused")


@pytest.mark.control("S1")
def test_without_the_label_the_same_pods_are_admitted(teams: Teams) -> None:
    teams.nobody.run("label", "namespace", teams.nobody.namespace, RESTRICTED.partition("=")[0] + "-")
    try:
        # Its admission hears of a changed namespace only after a moment.
        for one in unrestricted().values():
            eventually(lambda one=one: submit(teams.nobody, one) == "", 20, 0.5)  # type: ignore[misc]
    finally:
        teams.nobody.run("label", "namespace", teams.nobody.namespace, RESTRICTED)


def unrestricted() -> dict[str, Document]:
    at = "spec containers 0 securityContext"
    return {
        "root": changed(pod(), "spec securityContext runAsUser", 0),
        "privileged": changed(pod(), at, {"privileged": True}),
        "escalation": changed(pod(), f"{at} allowPrivilegeEscalation", True),
        "capabilities": changed(pod(), f"{at} capabilities", {"drop": ["ALL"], "add": ["NET_RAW"]}),
        "seccomp": changed(pod(), "spec securityContext seccompProfile", {"type": "Unconfined"}),
        "the node's network": changed(pod(), "spec hostNetwork", True),
        "the node's folder": changed(pod(), "spec volumes", [{"name": "x", "hostPath": {"path": "/"}}]),
    }
