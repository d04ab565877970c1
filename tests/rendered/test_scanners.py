"""Scanners as gates: checkov finds nothing in any shape, and every rule of three others is owned by something real."""

import ast
from collections.abc import Callable
from pathlib import Path

import pytest
from pydantic import ValidationError

from tests.rendered.breaches import BARE, BREACHES, Breach, planted
from tests.rendered.exemptions import Said, exemptions, unexcused, unneeded
from tests.rendered.rulemaps import FILES, Owned, RuleMap, read_rule_map
from tests.rendered.rules import RULES
from tests.rendered.scanning import Scan, scanned
from tests.rendered.shapes import shapes
from tests.rendered.workloads import name_of, workloads

ROOT = Path(__file__).parents[2]
THEIRS = [entry for entry in exemptions() if entry.check.startswith("CKV")]
PLANTED = {f"breach {number}": breach for number, breach in enumerate(BREACHES) if breach.checks}
# The rules that `tests/rendered` owns whatever a scanner has, in the words of the list of threats.
OWNED = {
    "latest or missing tag": {"image-tag"},
    "digest": {"image-digest"},
    "pull policy": {"pull-policy"},
    "requests and limits": {"resources"},
    "probes present and on a declared port": {"probes"},
    "read-only root": {"read-only-root"},
    "non-root": {"non-root"},
    "escalation": {"escalation"},
    "privileged": {"privileged"},
    "capabilities": {"capabilities"},
    "host namespaces/ports/paths": {"host", "host-volume"},
    "docker socket": {"socket"},
    "default account": {"account"},
    "token automount": {"token", "account-token"},
    "secret in env": {"secret-env"},
    "wildcard RBAC": {"wildcard"},
    "cluster-admin": {"cluster-admin"},
    "exec/attach roles": {"exec"},
    "budget that blocks all eviction": {"budget-blocks"},
    "budget above the autoscaler's minimum": {"budget-autoscaler"},
    "unhealthy-pod eviction policy set": {"budget-unhealthy"},
    "autoscaler/Service/policy that selects nothing": {"dangling"},
    "missing NetworkPolicy": {"network-policy"},
    "anti-affinity or spread": {"spread"},
    "job TTL": {"job-end"},
    "priority class": {"priority"},
    "missing budget": {"budget-missing"},
}


@pytest.fixture(scope="module")
def scan(tmp_path_factory: pytest.TempPathFactory) -> Scan:
    """Run checkov once: over every shape, over those with a breach, and over a bare Deployment."""
    breaches = {name: planted(breach) for name, breach in PLANTED.items()}
    return scanned({**shapes(), **breaches, "bare": [BARE]}, tmp_path_factory.mktemp("shapes"))


def said(scan: Scan) -> set[Said]:
    """Return what failed in the shapes as they are."""
    names = set(shapes())
    return {Said(one.shape, one.check, *one.thing.split(" ", 1)) for one in scan.failed if one.shape in names}


@pytest.mark.row("S32", "checkov over everything that is rendered: 0 failed, exceptions with a reason each")
def test_checkov_finds_nothing_without_a_reason(scan: Scan, record_property: Callable[[str, object], None]) -> None:
    found = said(scan)
    assert unexcused(found, THEIRS) == []
    assert unneeded(found, THEIRS) == []
    made = shapes()
    passed = sum(one.shape in made for one in scan.passed)
    told = f"{len(made)} shapes, {passed} verdicts: 0 failed but {len(found)} by {len(THEIRS)} exceptions"
    record_property("S32", told)


def test_checkov_looked_at_every_workload_role_and_account(scan: Scan) -> None:
    """A scanner that reads nothing finds nothing."""
    for shape, made in shapes().items():
        seen = {one.thing for one in scan.passed | scan.failed if one.shape == shape}
        wanted = {name_of(work.made) for work in workloads(made)}
        # Service accounts and bindings are looked at only where they are risky.
        wanted |= {name_of(one) for one in made if one["kind"] in {"Role", "ClusterRole", "Service"}}
        assert wanted <= seen, shape


@pytest.mark.control("S32")
def test_a_bare_deployment_fails(scan: Scan) -> None:
    failed = scan.failures("bare")
    assert len(failed) >= 19
    assert len(scan.known) >= 119
    # And ours does not fail them.
    assert len(failed - {entry.check for entry in THEIRS}) >= 14


@pytest.mark.control("S32")
@pytest.mark.parametrize("name", PLANTED, ids=lambda name: f"{PLANTED[name].checks[0]} {PLANTED[name].path}"[:60])
def test_checkov_sees_the_breach(scan: Scan, name: str) -> None:
    breach: Breach = PLANTED[name]
    things = {
        check: {one.thing for one in scan.failed if (one.shape, one.check) == (name, check)} for check in breach.checks
    }
    before = {(one.check, one.thing) for one in scan.failed if one.shape == breach.where[0]}
    for check, found in things.items():
        assert found - {thing for other, thing in before if other == check}, check


@pytest.mark.row("S32", "the rules of kube-linter, Polaris and kubescape: each owned by a check or a test that exists")
def test_every_rule_of_other_scanners_is_owned(record_property: Callable[[str, object], None]) -> None:
    maps = [read_rule_map(path) for path in FILES]
    assert {one.project: len(one.rules) for one in maps} == {
        "stackrox/kube-linter": 63,
        "kubescape/regolibrary": 122,
        "FairwindsOps/polaris": 44,
    }
    every = [owned for one in maps for owned in one.rules.values()]
    assert {rule for owned in every for rule in owned.rules} <= set(RULES)
    assert {test for owned in every for test in owned.tests if not exists(test)} == set()
    # A check may look at a part only, as those of checkov for rights do: none stands alone.
    assert all(owned.rules or owned.tests for owned in every if owned.checks)
    loose = [owned for owned in every if not (owned.checks or owned.rules or owned.tests)]
    told = ", ".join(f"{one.project.split('/')[0]} {one.version}: {len(one.rules)}" for one in maps)
    record_property("S32", f"{told}; {len(every) - len(loose)} owned, {len(loose)} do not apply")


def test_every_check_that_a_rule_names_has_looked_at_something_of_ours(scan: Scan) -> None:
    named = {check for path in FILES for owned in read_rule_map(path).rules.values() for check in owned.checks}
    named |= {entry.check for entry in THEIRS}
    assert named <= scan.known
    names = set(shapes())
    assert named <= {one.check for one in scan.passed | scan.failed if one.shape in names}


def exists(test: str) -> bool:
    """Return whether there is a test of that name."""
    path, _, name = test.partition("::")
    file = ROOT / path
    if not file.is_file():
        return False
    return any(isinstance(node, ast.FunctionDef) and node.name == name for node in ast.parse(file.read_text()).body)


def test_every_rule_that_we_own_is_a_rule_with_a_breach() -> None:
    assert set().union(*OWNED.values()) <= set(RULES)
    assert set().union(*OWNED.values()) <= {breach.rule for breach in BREACHES}


@pytest.mark.control("S32")
def test_an_owner_that_does_not_exist_is_seen() -> None:
    assert exists("tests/rendered/test_scanners.py::test_an_owner_that_does_not_exist_is_seen")
    assert not exists("tests/rendered/test_scanners.py::test_of_another_name")
    assert not exists("tests/rendered/test_of_another_name.py::test_it")
    with pytest.raises(ValidationError, match="say why"):
        Owned()
    with pytest.raises(ValidationError):
        RuleMap.model_validate({**read_rule_map(FILES[0]).model_dump(), "ruels": {}})
