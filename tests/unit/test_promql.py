"""The names in an expression are found, and what is no name is not taken for one."""

import pytest

from tests.promql import Matcher, Selector, read


def test_selectors_matchers_and_groupings_are_found() -> None:
    found = read(
        'sum by (variant, le) (rate(a_total{code=~"5..", stage!="x"}[5m]))'
        " / on (pod) group_left (node) b:c:1h offset 1h"
    )
    matchers = (Matcher("code", "=~", "5.."), Matcher("stage", "!=", "x"))
    assert found.selectors == [Selector("a_total", matchers), Selector("b:c:1h", ())]
    assert found.labels == {"variant", "le", "pod", "node"}


@pytest.mark.parametrize("expression", ["1 + 2", "time()", "inf > bool nan"])
def test_what_reads_nothing_has_no_selector(expression: str) -> None:
    assert read(expression).selectors == []


def test_braces_within_a_string_end_nothing() -> None:
    (selector,) = read('up{job="a}b,c", pod="x"}').selectors
    assert [matcher.value for matcher in selector.matchers] == ["a}b,c", "x"]


def test_what_is_no_promql_is_said() -> None:
    with pytest.raises(ValueError, match="is no PromQL"):
        read("sum(§)")
