"""Names that users choose from are written down once, so that a new one is known everywhere."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import pytest

from podium.autoscaling.metric import KnativeMetric, Metric
from podium.mode import Mode

PACKAGE = Path(__file__).parents[2] / "podium"


def named(tree: ast.AST) -> Iterator[set[object]]:
    """Yield the values of every Literal and every enumeration."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Subscript) and ast.unparse(node.value).endswith("Literal"):
            yield {part.value for part in ast.walk(node.slice) if isinstance(part, ast.Constant)}
        elif isinstance(node, ast.ClassDef) and any("Enum" in ast.unparse(base) for base in node.bases):
            values = [part.value for part in node.body if isinstance(part, ast.Assign)]
            yield {value.value for value in values if isinstance(value, ast.Constant)}


@pytest.mark.parametrize("names", [Mode, Metric, KnativeMetric], ids=["mode", "metric", "knative"])
def test_the_names_are_written_down_once(names: object) -> None:
    wanted = set(get_args(names))
    places = [
        file.relative_to(PACKAGE)
        for file in PACKAGE.rglob("*.py")
        for found in named(ast.parse(file.read_text(encoding="utf-8")))
        if found == wanted
    ]
    assert len(places) == 1, places
