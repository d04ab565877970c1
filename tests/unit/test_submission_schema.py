"""The schema of the submission and its reader must not disagree where a schema can judge."""

from pathlib import Path

import jsonschema
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from loadtest.errors import SloError
from loadtest.slo import parse_quality, parse_slo
from podium.submission import load_submission
from podium.submission_schema import submission_schema
from tests.submissions import GOOD, write_submission

SCHEMA = submission_schema()
VALIDATOR = jsonschema.Draft202012Validator(SCHEMA)
EXAMPLES = sorted((Path(__file__).parents[2] / "examples").glob("*.yaml"))


def test_the_schema_is_a_schema() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_the_examples_are_valid(path: Path) -> None:
    VALIDATOR.validate(yaml.safe_load(path.read_text()))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("podium.dev/slo", "podium.dev/slos"),
        ("podium.dev/variants", "podium.dev/zzz"),
        ('    podium.dev/slo: "p99<=100ms, errors<=1%, rate>=40/s"\n', ""),
        ("40/s", "40"),
        ("p99<=100ms", "p99<=100"),
        ("p99<=100ms", "p98<=100ms"),
        ("drop<=0.01", "drop<=1%"),
        ('"auto"', '"ort fp32"'),
        ('"auto"', "5"),
        ("epyc,a100", "epyc,much-too-long"),
        ("name: food11", "name: Food11"),
        ("name: food11", f"name: {'f' * 48}"),
        ("  name: food11\n", "  namee: food11\n"),
        ("kind: InferenceService", "kind: Deployment"),
        ("v1beta1", "v1alpha1"),
        ("spec:", "spce:"),
        ("spec:", "spec:\n  transformer: {}"),
        ("    model:", "    pytorch: {}\n    model:"),
        ("storageUri", "storageURI"),
        ("      storageUri", "      storage: {}\n      storageUri"),
        ("name: pytorch", "name: torch"),
        ("{name: pytorch}", "pytorch"),
        ("file://models/food11", "models/food11"),
        ("spec:", "    podium.dev/budget: 5 m\nspec:"),
        ("spec:", "    podium.dev/incumbent: Food 11\nspec:"),
        ("spec:", "    podium.dev/profile: Quick\nspec:"),
    ],
)
def test_what_the_reader_refuses_by_form_the_schema_refuses_too(old: str, new: str) -> None:
    assert old in GOOD
    assert not VALIDATOR.is_valid(yaml.safe_load(GOOD.replace(old, new)))


def test_other_annotations_and_kserve_fields_are_open(tmp_path: Path) -> None:
    path = write_submission(
        tmp_path,
        (
            "  annotations:\n",
            "  labels: {a: b}\n  annotations:\n    serving.kserve.io/deploymentMode: Standard\n",
        ),
        (
            "    model:\n",
            "    tolerations: [{operator: Exists}]\n    model:\n      resources: {limits: {cpu: 1}}\n",
        ),
    )
    load_submission(path)
    VALIDATOR.validate(yaml.safe_load(path.read_text()))


def pattern_accepts(key: str, text: str) -> bool:
    annotations = SCHEMA["properties"]["metadata"]["properties"]["annotations"]  # type: ignore[index]
    return jsonschema.Draft202012Validator(annotations["properties"][f"podium.dev/{key}"]).is_valid(text)


_NUMBERS = st.sampled_from(["0", "1", "40", "0.5", ".5", "1e2", "1e-2", "-1", "inf", "nan", "", "1.5.2", "5."])
_UNITS = st.sampled_from(["", "%", "ms", "s", "us", "/s", "h"])
_METRICS = st.sampled_from(["p50", "p99", "p99.9", "p98", "errors", "rate", "ready", "accuracy", "drop", ""])
_OPS = st.sampled_from(["<=", ">=", "<", "=", ""])
_SPACES = st.sampled_from(["", " "])
_CLAUSES = st.tuples(_METRICS, _SPACES, _OPS, _SPACES, _NUMBERS, _UNITS).map("".join)


@given(st.lists(_CLAUSES, min_size=1, max_size=3).map(",".join))
def test_every_slo_that_the_reader_accepts_is_valid(text: str) -> None:
    try:
        parse_slo(text)
    except SloError:
        return
    assert pattern_accepts("slo", text)


@given(st.lists(_CLAUSES, min_size=1, max_size=3).map(",".join))
def test_every_quality_that_the_reader_accepts_is_valid(text: str) -> None:
    try:
        parse_quality(text)
    except SloError:
        return
    assert pattern_accepts("quality", text)
