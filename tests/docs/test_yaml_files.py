"""Every YAML file of the repository is of a known kind, and says what its schema and its reader allow.

What charts render is looked at in tests/rendered; here their files only have a place.
"""

import json
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import jsonschema
import pytest
import yaml

from k8s.airgap.versions import load as load_versions
from loadtest.profile import load_profile
from podium.autoscaling.policy import load_policy
from podium.chaos.spec import load_faults
from podium.nodeclass import read_node_class
from podium.submission import load_submission
from predictors.card import load_card
from predictors.recipes.registry import read_list
from tests.rendered.exemptions import exemptions
from tests.rendered.rulemaps import read_rule_map

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of file: where it may stand, its schema if it is ours, and the reader that the program uses."""

    name: str
    pattern: str
    schema: str
    read: Callable[[Path], object]


def read_yaml(path: Path) -> object:
    """Read all documents; an empty file is an error."""
    found = list(yaml.safe_load_all(path.read_text(encoding="utf-8")))
    assert found
    assert all(isinstance(one, dict) for one in found)
    return found


def read_objects(path: Path) -> object:
    """Read Kubernetes objects."""
    found = list(yaml.safe_load_all(path.read_text(encoding="utf-8")))
    assert found
    assert all(one["apiVersion"] and one["kind"] for one in found)
    return found


def read_template(path: Path) -> object:
    """Look at a template, which is no YAML before it is rendered."""
    text = path.read_text(encoding="utf-8")
    assert "{{" in text
    return text


KINDS = (
    Kind("submission", "examples/*.yaml", "podium/schemas/submission.json", load_submission),
    Kind(
        "model card",
        "examples/models/*/model.yaml",
        "predictors/schemas/model.json",
        lambda path: load_card(path.parent),
    ),
    Kind("node class", "k8s/node-classes/*.yaml", "podium/schemas/node-class.json", read_node_class),
    Kind(
        "node class of a site",
        "k8s/overlays/*/node-classes/*.yaml",
        "podium/schemas/node-class.json",
        read_node_class,
    ),
    Kind("recipe list", "predictors/recipes/*.yaml", "predictors/schemas/recipes.json", read_list),
    Kind("autoscaling policy", "podium/autoscaling/policies/*.yaml", "podium/schemas/policy.json", load_policy),
    Kind("faults", "examples/faults/*.yaml", "podium/schemas/faults.json", load_faults),
    Kind("profile", "loadtest/profiles/*.yaml", "loadtest/schemas/profile.json", load_profile),
)
OURS_WITHOUT_SCHEMA = (
    Kind("pins", "k8s/versions.yaml", "", load_versions),
    Kind("kind's configuration", "kind-config.yaml", "", read_objects),
    Kind("manifests", "k8s/base/*.yaml", "", read_objects),
    Kind("overlay", "k8s/overlays/*/kustomization.yaml", "", read_objects),
    Kind("values of a site", "k8s/overlays/*/*-values.yaml", "", read_yaml),
    Kind("GitOps example", "k8s/gitops/*/*.yaml", "", read_objects),
    Kind("chart", "charts/*/Chart.yaml", "", read_yaml),
    Kind("values of a chart", "charts/*/values.yaml", "", read_yaml),
    Kind("shape of a chart", "charts/*/ci/*-values.yaml", "", read_yaml),
    Kind("rules of Prometheus", "charts/*/files/*.yaml", "", read_yaml),
    Kind("exemptions from rules", "tests/rendered/scanners/exemptions.yaml", "", lambda _: exemptions()),
    Kind("rules of a scanner", "tests/rendered/scanners/k*.yaml", "", read_rule_map),
    Kind("rules of Polaris", "tests/rendered/scanners/polaris.yaml", "", read_rule_map),
    Kind("tests of alerts", "tests/rendered/alerts/*.yaml", "", read_yaml),
    Kind("template", "charts/*/templates/*.yaml", "", read_template),
    Kind("golden render", "tests/rendered/golden/*/*.yaml", "", read_objects),
)
ALL = (*KINDS, *OURS_WITHOUT_SCHEMA)


def yaml_files() -> list[str]:
    """Return every YAML file that is or would be committed."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z", "*.yaml", "*.yml"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return sorted({name for name in listed.stdout.split("\0") if name and (ROOT / name).exists()})


def kinds_of(name: str) -> list[Kind]:
    path = Path(name)
    return [kind for kind in ALL if path.match(kind.pattern) and len(path.parts) == kind.pattern.count("/") + 1]


def test_there_are_yaml_files_and_each_has_one_kind() -> None:
    names = yaml_files()
    assert len(names) > len(ALL)
    assert {name: len(kinds_of(name)) for name in names if len(kinds_of(name)) != 1} == {}
    assert {kind.name for name in names for kind in kinds_of(name)} == {kind.name for kind in ALL}


@pytest.mark.parametrize("name", yaml_files())
def test_the_file_says_what_its_schema_and_its_reader_allow(name: str) -> None:
    for kind in kinds_of(name):
        kind.read(ROOT / name)
        if not kind.schema:
            continue
        schema = json.loads((ROOT / kind.schema).read_text(encoding="utf-8"))
        content = yaml.safe_load((ROOT / name).read_text(encoding="utf-8"))
        jsonschema.Draft202012Validator(schema).validate(content)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_the_schema_of_a_kind_refuses_an_unknown_key(kind: Kind) -> None:
    schema = json.loads((ROOT / kind.schema).read_text(encoding="utf-8"))
    validator = jsonschema.Draft202012Validator(schema)
    name = next(name for name in yaml_files() if kind in kinds_of(name))
    content = yaml.safe_load((ROOT / name).read_text(encoding="utf-8"))
    assert validator.is_valid(content)
    assert not validator.is_valid(content | {"unknownKey": 1})
