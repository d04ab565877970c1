"""All rules of ours, and what they say of shapes."""

from __future__ import annotations

from collections.abc import Mapping

from tests.rendered.exemptions import Said
from tests.rendered.objectrules import OBJECT_RULES
from tests.rendered.podrules import POD_RULES
from tests.rendered.workloads import Object

__all__ = ["RULES", "said"]

RULES = {**POD_RULES, **OBJECT_RULES}


def said(shapes: Mapping[str, list[Object]]) -> set[Said]:
    """Return every breach of a rule, by shape."""
    return {
        Said(shape, rule, *found.split(" ", 1))
        for shape, made in shapes.items()
        for rule, breaches in RULES.items()
        for found in breaches(made)
    }
