"""What a gate makes of results alone: largest rates, subjects that are gone, exit codes, JUnit."""

from dataclasses import replace
from xml.etree import ElementTree as ET

import pytest

from podium.comparability import Conditions
from podium.entry import Capacity
from podium.errors import ConfigError
from podium.junit import junit_text
from podium.regression import Case, Gate, GateSide, Subject, gate


def outcomes(found: Gate) -> dict[str, str]:
    return {case.figure: case.outcome for case in found.cases}


def subject(name: str, status: str = "PASS", capacity: tuple[float, float] | None = None) -> Subject:
    found = None if capacity is None else Capacity(value=sum(capacity) / 2, low=capacity[0], high=capacity[1])
    return Subject(name, status, (), None, found)  # type: ignore[arg-type]


def side(*subjects: Subject) -> GateSide:
    return GateSide("race", "standard", {one.name: one for one in subjects})


@pytest.mark.parametrize(
    ("now", "outcome"), [((95, 110), "ok"), ((85, 89), "regression"), ((85, 91), "ok"), ((200, 220), "ok")]
)
def test_a_smaller_largest_rate_is_a_regression_where_the_intervals_are_apart(
    now: tuple[float, float], outcome: str
) -> None:
    found = gate(side(subject("a", capacity=now)), side(subject("a", capacity=(100, 120))), tolerance=0.1)
    assert outcomes(found)["server_max_rps"] == outcome


@pytest.mark.parametrize(
    ("now", "then", "outcome"),
    [
        (None, (100, 120), "not judged"),
        ((100, 120), None, "not judged"),
        ((100, 120), (0, 0), "ok"),
        (None, None, None),
    ],
)
def test_a_largest_rate_of_one_side_alone_cannot_be_told(
    now: tuple[float, float] | None, then: tuple[float, float] | None, outcome: str | None
) -> None:
    found = gate(side(subject("a", capacity=now)), side(subject("a", capacity=then)), tolerance=0.1)
    assert outcomes(found).get("server_max_rps") == outcome


def bound(low: float) -> Capacity:
    return Capacity(value=low, low=low, high=20_000, unsent_rate=1.1 * low)


@pytest.mark.parametrize(
    ("now", "then", "outcome"),
    [
        # What was held is held again, or it is not, or not so much could be sent.
        (bound(100), bound(100), "ok"),
        (bound(95), bound(100), "ok"),
        (bound(50), bound(100), "not judged"),
        (bound(100), (95, 105), "ok"),
        (bound(50), (95, 105), "not judged"),
        # A baseline whose end nobody knows can be fallen short of, and not be reached.
        ((80, 89), bound(100), "regression"),
        ((95, 120), bound(100), "not judged"),
        ((200, 220), bound(100), "not judged"),
    ],
)
def test_a_lower_bound_is_never_compared_as_if_it_were_the_largest_rate(
    now: Capacity | tuple[float, float], then: Capacity | tuple[float, float], outcome: str
) -> None:
    new, old = (
        replace(subject("a"), capacity=one) if isinstance(one, Capacity) else subject("a", capacity=one)
        for one in (now, then)
    )
    found = gate(side(new), side(old), tolerance=0.1)
    assert outcomes(found)["server_max_rps"] == outcome
    case = next(one for one in found.cases if one.figure == "server_max_rps")
    assert "≥" in case.sentence
    assert ("--runners" in case.sentence) == (outcome == "not judged")
    assert ("is not compared" in case.sentence) == (outcome == "ok")
    assert case.sentence in junit_text(found)


def test_one_thing_that_cannot_be_told_is_enough_for_6_and_a_regression_goes_before() -> None:
    fine = [Case("a", figure, "ok", "") for figure in ("verdict", "p50", "p90", "p99")]
    unknown, worse = Case("a", "p95", "not judged", ""), Case("c", "p50", "regression", "")
    codes = [
        Gate("n", "o", 0.1, tuple(cases), ()).exit_code for cases in (fine, [*fine, unknown], [*fine, unknown, worse])
    ]
    assert codes == [0, 6, 5]
    assert Gate("n", "o", 0.1, (), ()).exit_code == 6


def test_conditions_that_are_not_known_differ_from_none() -> None:
    known = Conditions("a" * 12, 40.0, "b" * 12)
    assert list(Conditions().differences(known)) == list(known.differences(Conditions())) == []
    assert list(known.differences(Conditions("a" * 12, 41.0, "c" * 12))) == [
        "rate: 40/s and 41/s",
        f"payloads: {'b' * 12} and {'c' * 12}",
    ]


def test_a_subject_that_is_gone_cannot_be_told_and_a_new_one_is_noted() -> None:
    found = gate(side(subject("a"), subject("c")), side(subject("a"), subject("b")), tolerance=0.1)
    assert found.notes == ("c is not in the baseline",)
    gone = next(case for case in found.cases if case.subject == "b")
    assert (gone.outcome, found.exit_code) == ("not judged", 6)
    with pytest.raises(ConfigError, match="no variant in common"):
        gate(side(subject("a"), subject("b")), side(subject("c")), tolerance=0.1)


def test_junit_tells_failures_from_what_cannot_be_told() -> None:
    cases = (
        Case("a on b", "p50", "regression", "1.3 times <&> \x1b[31m"),
        Case("a on b", "p99", "not judged", "the blocks disagree"),
        Case("a on b", "verdict", "ok", "PASS before, PASS now"),
    )
    suite = ET.fromstring(junit_text(Gate("new", "old", 0.1, cases, ("a note",))))  # noqa: S314
    assert suite.attrib["failures"] == "1"
    assert suite.attrib["skipped"] == "1"
    failure = suite.find("testcase/failure")
    assert failure is not None
    assert failure.attrib["message"] == "1.3 times <&> \\x1b[31m"
    assert suite.findtext("system-out") == "a note"
