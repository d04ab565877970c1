"""Podium's own rules: no shape breaks one without a reason, and each of them sees the breach that is planted."""

import pytest

from tests.rendered.breaches import BARE, BREACHES, Breach, planted
from tests.rendered.exemptions import Exemption, Said, exemptions, unexcused, unneeded
from tests.rendered.rules import RULES, said
from tests.rendered.shapes import RESIDENTS, shape, shapes
from tests.rendered.workloads import name_of, workloads

OURS = [entry for entry in exemptions() if not entry.check.startswith("CKV")]


def test_no_shape_breaks_a_rule_without_a_reason() -> None:
    found = said(shapes())
    assert unexcused(found, OURS) == []
    assert unneeded(found, OURS) == []
    assert {entry.check for entry in OURS} <= set(RULES)


def test_the_shapes_hold_what_kserve_and_the_operator_make() -> None:
    made = shapes()
    kinds = {name: {name_of(work.made) for work in workloads(objects)} for name, objects in made.items()}
    assert kinds["variant/gpu"] == {"Deployment food11-predictor"}
    assert kinds["loadtest/testrun"] == {"Job food11-initializer", "Job food11-runner"}
    assert len(kinds["platform/site"]) == 6 + 1
    assert all(kinds[name] for name in made if name.startswith(("variant/", "loadtest/", "tenant/")))
    assert set(RESIDENTS) < set(made)
    assert len(made) > 25


@pytest.mark.control("S32")
@pytest.mark.parametrize("breach", BREACHES, ids=lambda one: f"{one.rule} {one.where[0]} {one.path}"[:70])
def test_a_planted_breach_is_seen_by_its_rule(breach: Breach) -> None:
    before, after = (
        {found for found in said({breach.where[0]: made}) if found.check == breach.rule}
        for made in (shape(breach.where[0]), planted(breach))
    )
    assert after - before


def test_every_rule_has_a_breach() -> None:
    assert {breach.rule for breach in BREACHES} == set(RULES)


def test_a_bare_deployment_breaks_most_rules_for_pods() -> None:
    broken = {found.check for found in said({"bare": [BARE]})}
    assert broken >= {
        *(
            "image-tag",
            "image-digest",
            "pull-policy",
            "resources",
            "probes",
            "read-only-root",
            "non-root",
            "escalation",
        ),
        *("capabilities", "seccomp", "account", "token", "budget-missing", "spread", "network-policy", "namespace"),
    }


def test_an_exemption_that_nothing_needs_is_seen() -> None:
    here = Said("variant/a", "spread", "Deployment", "x")
    entry = Exemption(
        check="spread", kinds=("Deployment",), shapes=("variant/*",), reason="a reason that is long enough"
    )
    assert unexcused({here}, [entry]) == []
    assert unneeded({here}, [entry]) == []
    assert unneeded(set(), [entry]) != []
    wider = entry.model_copy(update={"shapes": ("variant/*", "loadtest/*")})
    assert unneeded({here}, [wider]) == ["spread shapes loadtest/*"]
    for other in (here._replace(kind="Job"), here._replace(check="probes"), here._replace(shape="loadtest/a")):
        assert unexcused({other}, [entry]) == [other]
