"""A test whose name depends on the order of a set is refused while tests are collected."""

from types import SimpleNamespace
from typing import Any, cast

import pytest

from tests.conftest import pytest_collection_modifyitems

pytestmark = pytest.mark.unit


def item(name: str, **params: Any) -> pytest.Item:
    return cast("pytest.Item", SimpleNamespace(nodeid=f"t[{name}]", callspec=SimpleNamespace(id=name, params=params)))


@pytest.mark.parametrize("values", [{1, 2}, frozenset({1, 2})], ids=["set", "frozenset"])
def test_a_name_with_a_set_in_it_is_refused(values: set[int]) -> None:
    with pytest.raises(pytest.UsageError, match="depends on the order of a set"):
        pytest_collection_modifyitems([item("a", value=values), item(f"b-{values}", value=values)])


def test_other_names_are_taken() -> None:
    plain = cast("pytest.Item", SimpleNamespace(nodeid="t"))
    pytest_collection_modifyitems(
        [plain, item("two", value={1, 2}), item("{1}", value={1}), item("set()", value=set())]
    )
