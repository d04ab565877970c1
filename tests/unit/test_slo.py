"""The grammar of objectives: what is accepted, how it reads back, and how every refusal names its place."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from loadtest.errors import LoadtestError, PlanError, SloError
from loadtest.slo import Clause, Slo, parse_quality, parse_slo, require_rate

LATENCIES = ("p50", "p90", "p95", "p99", "p99.9")


def number(high: str) -> st.SearchStrategy[str]:
    plain = st.decimals("0.000001", high, allow_nan=False, allow_infinity=False, places=6).filter(
        lambda value: value > 0
    )
    return plain.map(lambda value: format(value, "f"))


CLAUSES = {
    **{name: st.tuples(number("60"), st.sampled_from(["us", "ms", "s"])) for name in LATENCIES},
    "errors": st.one_of(st.tuples(number("100"), st.just("%")), st.tuples(number("1"), st.just(""))),
    "rate": st.tuples(number("20000"), st.just("/s")),
    "ready": st.tuples(number("1000000"), st.sampled_from(["us", "ms", "s"])),
}


@st.composite
def slo_texts(draw: st.DrawFn) -> str:
    metrics = draw(st.lists(st.sampled_from(sorted(CLAUSES)), min_size=1, unique=True))
    clauses = []
    for metric in metrics:
        amount, unit = draw(CLAUSES[metric])
        space = draw(st.sampled_from(["", " ", "  "]))
        clauses.append(f"{space}{metric}{space}{'>=' if metric == 'rate' else '<='}{space}{amount}{space}{unit}")
    return ",".join(clauses)


def test_the_example_of_the_contract_is_read_in_seconds_shares_and_per_second() -> None:
    slo = parse_slo("p99<=100ms, errors<=1%, rate>=40/s")
    assert slo.clauses == (
        Clause("p99", "<=", 0.1, "ms"),
        Clause("errors", "<=", 0.01, "%"),
        Clause("rate", ">=", 40.0, "/s"),
    )
    assert slo.rate == 40.0
    assert slo.latency_clauses == slo.clauses[:1]
    assert slo.clause("errors") == slo.clauses[1]
    assert slo.clause("ready") is None
    assert str(slo) == "p99<=100ms, errors<=1%, rate>=40/s"


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("p50<=250us", 0.00025),
        ("p99.9 <= 1.5 s", 1.5),
        ("p95<=1e+2ms", 0.1),
        ("ready<=.5s", 0.5),
        ("p90<=60s", 60),
    ],
)
def test_times_are_seconds_whatever_their_unit(text: str, value: float) -> None:
    assert parse_slo(text).clauses[0].value == value


@pytest.mark.parametrize(
    ("text", "share"),
    [("errors<=1%", 0.01), ("errors<=0.01", 0.01), ("errors<=0", 0.0), ("errors<=100%", 1.0)],
)
def test_an_error_share_is_percent_or_bare(text: str, share: float) -> None:
    assert parse_slo(text).clauses[0].value == share


@pytest.mark.parametrize(
    ("metric", "allowed"), [("p50", 0.5), ("p90", 0.1), ("p95", 0.05), ("p99", 0.01), ("p99.9", 0.001)]
)
def test_a_percentile_allows_exactly_its_share_of_misses(metric: str, allowed: float) -> None:
    assert parse_slo(f"{metric}<=1s").clauses[0].allowed_misses == allowed


def test_only_counted_clauses_allow_misses() -> None:
    slo = parse_slo("errors<=2%, rate>=1/s, ready<=1s")
    assert [clause.allowed_misses for clause in slo.clauses] == [0.02, None, None]
    assert [clause.quantile for clause in slo.clauses] == [None, None, None]


@given(slo_texts())
def test_what_was_written_reads_back_the_same(text: str) -> None:
    slo = parse_slo(text)
    assert parse_slo(str(slo)) == slo
    assert str(parse_slo(str(slo))) == str(slo)
    assert len(slo.clauses) == text.count(",") + 1


@given(st.text(alphabet="p59.<>=0123456789emsu%/,-+ rateoinfxy\n", max_size=40))
@example("p99<=1e9999999ms")
@example("rate>=1e-9999999/s")
@example("errors<=1e999999999999999999999%")
@example("errors<=nan%")
def test_any_text_is_read_or_refused_with_a_remedy(text: str) -> None:
    for parse in (parse_slo, parse_quality):
        refusal = None
        try:
            parsed = parse(text)
        except SloError as error:
            refusal = error
        if refusal is None:
            assert parse(str(parsed)) == parsed
        else:
            assert refusal.hint
            assert "\n" not in str(refusal)
            assert text[refusal.position - 1 :].startswith(refusal.clause)


REFUSED = [
    ("p99<=100", "unit is missing", "p99<=100ms"),
    ("p99<=100m", '"m" is not a unit', "p99<=100ms"),
    ("p99>=100ms", '">=" is refused', "p99<=100ms"),
    ("p99<100ms", '"<" is refused', "p99<=100ms"),
    ("p99=100ms", '"=" is refused', "p99<=100ms"),
    ("errors>=1%", '">=" is refused', "errors<=1%"),
    ("rate<=40/s", '"<=" is refused', "rate>=40/s"),
    ("rate>=40", "unit is missing", "rate>=40/s"),
    ("rate>=0/s", "above 0/s and at most 20,000/s", "rate>=40/s"),
    ("rate>=-1/s", "above 0/s and at most 20,000/s", "rate>=40/s"),
    ("rate>=inf/s", "must be finite", "rate>=40/s"),
    ("rate>=nan/s", "must be finite", "rate>=40/s"),
    ("rate>=1e400/s", "must be finite", "rate>=40/s"),
    ("rate>=1e-400/s", "above 0/s", "rate>=40/s"),
    ("rate>=20000.1/s", "at most 20,000/s", "rate>=40/s"),
    ("rate>=fast/s", '"fast/s" does not begin with a number', "rate>=40/s"),
    ("errors<=101%", "between 0% and 100%", "errors<=1%"),
    ("errors<=1.5", "between 0% and 100%", "errors<=1%"),
    ("errors<=-0.1%", "between 0% and 100%", "errors<=1%"),
    ("p99<=0ms", "above zero", "p99<=100ms"),
    ("p99<=61s", "at most 60s", "p99<=100ms"),
    ("p99<=infs", "finite", "p99<=100ms"),
    ("ready<=0s", "above zero", "ready<=30s"),
    ("p98<=1ms", 'no metric "p98"', "p99<=100ms"),
    ("p99<=1 00ms", '"00ms" is not a unit', "p99<=100ms"),
    ("p99<=1_0ms", '"_0ms" is not a unit', "p99<=100ms"),
    ("p99<=١ms", "does not begin with a number", "p99<=100ms"),
    ("quickly", "cannot be read", "p99<=100ms"),
    ("", "it is empty", "p99<=100ms"),
]


@pytest.mark.parametrize(("clause", "problem", "remedy"), REFUSED)
def test_a_refused_clause_is_named_with_its_place_and_the_remedy(clause: str, problem: str, remedy: str) -> None:
    with pytest.raises(SloError) as caught:
        parse_slo(f"p95<=2s,  {clause} , p50<=1s")
    error = caught.value
    assert error.clause == clause
    assert error.position == 11 if clause else 12
    assert f'SLO clause 2, "{clause}" at character {error.position}: ' in str(error)
    assert problem in str(error)
    assert remedy in error.hint


def test_a_second_limit_for_one_metric_is_refused_and_names_the_first() -> None:
    with pytest.raises(SloError, match='already limited by "p99<=100ms"') as caught:
        parse_slo("p99<=100ms, p99<=1s")
    assert caught.value.position == 13
    assert caught.value.hint == "keep one clause for p99"


def test_a_huge_or_unprintable_clause_is_shown_in_short() -> None:
    with pytest.raises(SloError) as caught:
        parse_slo("p99<=\x1b[31m" + "9" * 5000)
    assert len(str(caught.value)) < 300
    assert "\x1b" not in str(caught.value)


def test_a_race_needs_a_rate_and_something_that_holds_at_it() -> None:
    assert require_rate(parse_slo("errors<=1%, rate>=40/s")) == 40.0
    with pytest.raises(SloError, match="has no rate clause") as caught:
        require_rate(parse_slo("p99<=100ms"))
    assert "rate>=40/s" in caught.value.hint
    with pytest.raises(SloError, match="no latency and no error share") as caught:
        require_rate(parse_slo("rate>=40/s, ready<=3s"))
    assert "p99<=100ms" in caught.value.hint


def test_quality_clauses_take_bare_numbers_and_metrics_of_the_card() -> None:
    gate = parse_quality("accuracy>=0.85, drop <= 1e-2, top5>=0.9, loss<=-3")
    assert [(clause.metric, clause.op, clause.value) for clause in gate.clauses] == [
        ("accuracy", ">=", 0.85),
        ("drop", "<=", 0.01),
        ("top5", ">=", 0.9),
        ("loss", "<=", -3.0),
    ]
    assert str(gate) == "accuracy>=0.85, drop<=0.01, top5>=0.9, loss<=-3"


@pytest.mark.parametrize(
    ("text", "problem", "remedy"),
    [
        ("accuracy>=85%", '"%" is too much', "accuracy>=0.85"),
        ("accuracy<=0.85", '"<=" is refused', "accuracy>=0.85"),
        ("drop>=0.01", '">=" is refused', "drop<=0.01"),
        ("drop<=2", "between 0 and 1", "drop<=0.01"),
        ("accuracy>=-0.1", "between 0 and 1", "accuracy>=0.85"),
        ("top5==0.9", '"==" is refused; top5 takes "<= or >="', "top5>=0.85"),
        ("top5>=inf", "finite", "top5>=0.85"),
        ("top5>=much", "does not begin with a number", "top5>=0.85"),
        ("good", "cannot be read", "drop<=0.01"),
        ("", "it is empty", "drop<=0.01"),
        ("drop<=0.1, drop<=0.2", "already limited", "keep one clause for drop"),
    ],
)
def test_a_refused_quality_clause_names_the_remedy(text: str, problem: str, remedy: str) -> None:
    with pytest.raises(SloError) as caught:
        parse_quality(text)
    assert str(caught.value).startswith("quality clause ")
    assert problem in str(caught.value)
    assert remedy in caught.value.hint


def test_an_slo_error_is_an_error_of_the_plan() -> None:
    with pytest.raises(PlanError) as caught:
        parse_slo("rate>=40")
    assert isinstance(caught.value, LoadtestError)
    assert Slo(()).rate is None
