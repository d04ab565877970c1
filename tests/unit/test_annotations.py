"""KServe's list of annotations that no pod gets takes exact keys: every key of ours is tied to it here.

A key that code or charts name and that nobody has sorted fails: it is an annotation, and belongs on the list, or it is
a label, a taint or a schema, and is named below as such.
"""

import ast
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from k8s.airgap.manifests import ANNOTATIONS_KEPT_FROM_PODS
from podium import ANNOTATION_PREFIX
from podium.cluster.promotion import verdict_of
from podium.submission import KEYS
from tests.races import VARIANTS, hold, measured, race

ROOT = Path(__file__).parents[2]
LIST = "k8s/airgap/manifests.py"
CODE = ("podium", "predictors", "loadtest", "k8s")
TEXTS = ("charts/*/templates/*", "charts/*/values.yaml", "charts/*/ci/*.yaml", "k8s/**/*.yaml", "examples/*.yaml")
LABELS = {"race", "variant", "node-class", "runtime", "component"}
OTHERS = {
    "loadgen": "a taint of nodes",
    "chaos": "a schema",
    "faults": "a schema",
    "run": "a schema",
    "site": "a label of namespaces",
    "keys": "an annotation of namespaces",
    "storage": "an annotation of namespaces",
    "tenant": "a label of namespaces",
    "image": "a label of Docker images",
}
# Where the name behind the prefix is computed, and what it can be is tested below.
COMPUTED = {
    ("podium/cluster/promotion.py", "verdict_of"),
    ("podium/submission.py", "_error"),
    ("podium/submission_schema.py", "_metadata"),
}
_NAME = re.compile(r"podium\.dev/([a-z][a-z0-9-]*)(?!\w*/v\d)(?![\w-])")


def kept() -> set[str]:
    return {key.removeprefix(ANNOTATION_PREFIX) for key in ANNOTATIONS_KEPT_FROM_PODS}


def names_in(text: str) -> set[str]:
    return set(_NAME.findall(text))


def prefixed(node: ast.AST) -> tuple[bool, str]:
    """Return whether an expression begins with our prefix, and the name behind it where that is written out."""
    if isinstance(node, ast.BinOp) and isinstance(node.left, ast.Name) and node.left.id == "ANNOTATION_PREFIX":
        right = node.right
        return True, right.value if isinstance(right, ast.Constant) and isinstance(right.value, str) else ""
    if not isinstance(node, ast.JoinedStr) or len(node.values) < 2:
        return False, ""
    first, second = node.values[:2]
    ours = isinstance(first, ast.FormattedValue) and ast.unparse(first.value) == "ANNOTATION_PREFIX"
    return ours, second.value if isinstance(second, ast.Constant) and isinstance(second.value, str) else ""


def functions(tree: ast.Module) -> Iterator[tuple[str, ast.AST]]:
    """Yield every node with the name of the top-level definition that it stands in."""
    for top in tree.body:
        name = getattr(top, "name", "")
        for node in ast.walk(top):
            yield name, node


def named_in_code(path: Path) -> tuple[set[str], set[tuple[str, str]]]:
    """Return the keys that a module names, and the definitions in which it computes one."""
    named: set[str] = set()
    computed: set[tuple[str, str]] = set()
    for function, node in functions(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            named |= names_in(node.value)
        ours, name = prefixed(node)
        if ours and name:
            named |= names_in(ANNOTATION_PREFIX + name)
        elif ours:
            computed.add((path.relative_to(ROOT).as_posix(), function))
    return named, computed


def everywhere() -> tuple[set[str], set[tuple[str, str]]]:
    named: set[str] = set()
    computed: set[tuple[str, str]] = set()
    modules = [path for folder in CODE for path in sorted((ROOT / folder).rglob("*.py"))]
    for path in modules:
        if path.relative_to(ROOT).as_posix() != LIST:
            more, where = named_in_code(path)
            named, computed = named | more, computed | where
    files = [path for pattern in TEXTS for path in sorted(ROOT.glob(pattern)) if path.is_file()]
    assert len(modules) > 100
    assert len(files) > 40
    return named.union(*(names_in(path.read_text(encoding="utf-8")) for path in files)), computed


def of_the_chart() -> set[str]:
    """Return the annotations that the chart `variant` sets by itself: on the service, and in no other object."""
    text = (ROOT / "charts/variant/templates/inferenceservice.yaml").read_text(encoding="utf-8")
    return names_in(text[text.index("annotations:") : text.index("spec:")])


def of_a_verdict(folder: Path) -> set[str]:
    entries = tuple(
        measured(one, hold(one, 7 + rank), rank=rank, runs=()) for rank, one in enumerate(VARIANTS[:2], start=1)
    )
    return {key.removeprefix(ANNOTATION_PREFIX) for key in verdict_of(race(entries), entries[0], folder)}


def test_every_key_of_ours_is_kept_from_pods_or_is_no_annotation() -> None:
    named, computed = everywhere()
    forgotten = named - kept() - LABELS - set(OTHERS)
    assert forgotten == set(), f"add these to ANNOTATIONS_KEPT_FROM_PODS in {LIST}, or to LABELS or OTHERS here"
    assert computed == COMPUTED, "a key is computed elsewhere now: test here what it can be"


def test_what_is_computed_is_kept_from_pods(tmp_path: Path) -> None:
    assert set(KEYS) <= kept()
    verdict = of_a_verdict(tmp_path)
    assert len(verdict) == 8
    assert verdict <= kept()


def test_nothing_is_on_the_list_that_is_not_used(tmp_path: Path) -> None:
    used = set(KEYS) | of_the_chart() | of_a_verdict(tmp_path) | {"emulated"}
    assert len(of_the_chart()) == 4
    assert kept() == used


def test_the_chart_takes_exactly_the_keys_of_the_list() -> None:
    schema = json.loads((ROOT / "charts/variant/values.schema.json").read_text(encoding="utf-8"))
    names = schema["properties"]["annotations"]["propertyNames"]["enum"]
    assert len(names) == len(set(names))
    assert set(names) == {ANNOTATION_PREFIX + name for name in kept() - of_the_chart()}


@pytest.mark.parametrize(
    ("code", "name"),
    [
        ("key = 'podium.dev/shiny'", "shiny"),
        ("def f():\n    return {f'{ANNOTATION_PREFIX}shiny': 1}", "shiny"),
        ("key = ANNOTATION_PREFIX + 'shiny'", "shiny"),
        ("schema = 'podium.dev/race/v1'", ""),
    ],
)
def test_a_new_key_is_found(code: str, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The control: what a module names is seen, in each of the ways in which it can be written."""
    monkeypatch.setattr("tests.unit.test_annotations.ROOT", tmp_path)
    (tmp_path / "module.py").write_text(code)
    assert named_in_code(tmp_path / "module.py") == ({name} - {""}, set())


def test_a_key_that_is_computed_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.unit.test_annotations.ROOT", tmp_path)
    (tmp_path / "module.py").write_text(
        "def f(name):\n    return f'{ANNOTATION_PREFIX}{name}', ANNOTATION_PREFIX + name"
    )
    assert named_in_code(tmp_path / "module.py") == (set(), {("module.py", "f")})
