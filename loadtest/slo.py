"""The grammar of objectives: SLO clauses and quality clauses, read strictly and written back the same.

    slo     := clause {"," clause}    clause := metric op number unit
    metric  := p50 | p90 | p95 | p99 | p99.9 | errors | rate | ready
    quality := clause {"," clause}    clause := ("accuracy" | "drop" | a metric of the model card) op number

A clause that reads well but asks for nonsense (a latency to be exceeded, two limits for one metric, an
infinite number) is refused here, because further in it would look like a measurement. Whether a clause
*holds* is decided in `verdict`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Final, Literal, NoReturn

from loadtest.errors import SloError

__all__ = ["MAX_RATE", "Clause", "QualityGate", "Slo", "parse_quality", "parse_slo", "require_rate"]

Op = Literal["<=", ">="]

MAX_RATE: Final = 20_000.0
_MAX_LATENCY_S: Final = Decimal(60)
_QUANTILES: Final = {"p50": 0.5, "p90": 0.9, "p95": 0.95, "p99": 0.99, "p99.9": 0.999}
_TIME: Final = {"us": Decimal("0.000001"), "ms": Decimal("0.001"), "s": Decimal(1)}
_SHARE: Final = {"%": Decimal("0.01"), "": Decimal(1)}
_RATE: Final = {"/s": Decimal(1)}
_UNITS: Final = {**dict.fromkeys(_QUANTILES, _TIME), "errors": _SHARE, "rate": _RATE, "ready": _TIME}
_OPS: Final[dict[str, Op]] = {**dict.fromkeys(_QUANTILES, "<="), "errors": "<=", "rate": ">=", "ready": "<="}
_EXAMPLES: Final = {"errors": "errors<=1%", "rate": "rate>=40/s", "ready": "ready<=30s"}
_FORM: Final = "metric op number unit"
_QUALITY_FORM: Final = "metric op number"
_METRICS: Final = ", ".join(_UNITS)
_SPLIT: Final = re.compile(r"([A-Za-z][A-Za-z0-9_.-]*)\s*([<>=!~]+)\s*(.*)", re.DOTALL)
_NUMBER: Final = re.compile(
    r"([+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?|[+-]?(?:infinity|inf|nan))\s*(.*)",
    re.IGNORECASE | re.DOTALL,
)
# Beyond these a number is nonsense for every metric, and decimal arithmetic would trap.
_TINY: Final = 1e-30
_HUGE: Final = 1e30
_SHOWN: Final = 60


@dataclass(frozen=True, slots=True)
class Clause:
    """One clause of an SLO or of a quality gate.

    Attributes:
        metric: a name of the grammar, or a metric of the model card.
        op: `<=` or `>=`.
        value: the limit in seconds, as a share, or per second.
        unit: the unit it was written in; only for writing it back.
    """

    metric: str
    op: Op
    value: float
    unit: str

    @property
    def quantile(self) -> float | None:
        """Return 0.99 for `p99`, and None for a clause that limits no latency."""
        return _QUANTILES.get(self.metric)

    @property
    def allowed_misses(self) -> float | None:
        """Return the share of requests that may miss; None where requests are not counted."""
        if self.metric == "errors":
            return self.value
        quantile = self.quantile
        return None if quantile is None else float(1 - Decimal(repr(quantile)))

    def __str__(self) -> str:
        scale = _TIME.get(self.unit) or _SHARE.get(self.unit) or Decimal(1)
        number = format((Decimal(repr(self.value)) / scale).normalize(), "f")
        return f"{self.metric}{self.op}{number}{self.unit}"


@dataclass(frozen=True, slots=True)
class Slo:
    """The clauses that must all hold, in the order they were written."""

    clauses: tuple[Clause, ...]

    def clause(self, metric: str) -> Clause | None:
        """Return the clause of a metric, or None."""
        return next((clause for clause in self.clauses if clause.metric == metric), None)

    @property
    def rate(self) -> float | None:
        """Return the asked rate per second, or None without a rate clause."""
        clause = self.clause("rate")
        return None if clause is None else clause.value

    @property
    def latency_clauses(self) -> tuple[Clause, ...]:
        """Return the clauses that limit a latency percentile."""
        return tuple(clause for clause in self.clauses if clause.quantile is not None)

    def __str__(self) -> str:
        return ", ".join(str(clause) for clause in self.clauses)


@dataclass(frozen=True, slots=True)
class QualityGate:
    """The quality clauses that must all hold before a variant is load-tested."""

    clauses: tuple[Clause, ...]

    def __str__(self) -> str:
        return ", ".join(str(clause) for clause in self.clauses)


@dataclass(frozen=True, slots=True)
class _Place:
    """A clause's text and where it stands, so that every refusal can say so."""

    kind: str
    text: str
    number: int
    position: int

    def refuse(self, problem: str, hint: str) -> NoReturn:
        sentence = f'{self.kind} clause {self.number}, "{_shown(self.text)}" at character {self.position}: {problem}'
        raise SloError(self.text, sentence, hint, position=self.position)


def parse_slo(text: str) -> Slo:
    """Read an SLO such as `p99<=100ms, errors<=1%, rate>=40/s`.

    Raises:
        SloError: naming the clause, its position, the accepted form and the remedy.
    """
    return Slo(_clauses("SLO", text, _slo_clause, example="p99<=100ms, errors<=1%, rate>=40/s"))


def parse_quality(text: str) -> QualityGate:
    """Read a quality gate such as `accuracy>=0.85, drop<=0.01`.

    Raises:
        SloError: naming the clause, its position, the accepted form and the remedy.
    """
    return QualityGate(_clauses("quality", text, _quality_clause, example="accuracy>=0.85, drop<=0.01"))


def require_rate(slo: Slo) -> float:
    """Return the asked rate per second of an SLO that a race can use.

    Raises:
        SloError: when it has no rate clause, or nothing that must hold at that rate.
    """
    if slo.rate is None:
        raise SloError("", f'the SLO "{slo}" has no rate clause, and a race needs one', "add for example rate>=40/s")
    if all(clause.allowed_misses is None for clause in slo.clauses):
        raise SloError(
            "",
            f'the SLO "{slo}" says no latency and no error share that must hold at its rate',
            "add for example p99<=100ms or errors<=1%",
        )
    return slo.rate


def _clauses(kind: str, text: str, read: Callable[[_Place], Clause], *, example: str) -> tuple[Clause, ...]:
    """Read all clauses of a text, one for a metric."""
    clauses: dict[str, Clause] = {}
    for place in _places(kind, text, example=example):
        clause = read(place)
        first = clauses.setdefault(clause.metric, clause)
        if first is not clause:
            place.refuse(f'{clause.metric} is already limited by "{first}"', f"keep one clause for {clause.metric}")
    return tuple(clauses.values())


def _places(kind: str, text: str, *, example: str) -> Iterator[_Place]:
    position = 1
    for number, part in enumerate(text.split(","), start=1):
        start = position + len(part) - len(part.lstrip())
        place = _Place(kind, part.strip(), number, start)
        if not place.text:
            form = _FORM if kind == "SLO" else _QUALITY_FORM
            place.refuse(
                f"it is empty; the accepted form is {form}, with commas between",
                f"write for example {example}",
            )
        yield place
        position += len(part) + 1


def _slo_clause(place: _Place) -> Clause:
    match = _SPLIT.fullmatch(place.text)
    if match is None:
        place.refuse(
            f"it cannot be read; the accepted form is {_FORM} with metric one of {_METRICS} and op <= or >=",
            "write for example p99<=100ms, errors<=1% or rate>=40/s",
        )
    metric, op, amount = match.groups()
    if metric not in _UNITS:
        place.refuse(
            f'there is no metric "{_shown(metric)}"; the metrics are {_METRICS}',
            "write for example p99<=100ms",
        )
    example = _EXAMPLES.get(metric, f"{metric}<=100ms")
    hint = f"write for example {example}"
    if op != _OPS[metric]:
        place.refuse(f'"{op}" is refused; {metric} takes "{_OPS[metric]}", as in {example}', hint)
    value, unit = _number(place, amount, hint)
    units = _UNITS[metric]
    if unit not in units:
        accepted = " or ".join(name or "none (a share 0..1)" for name in units)
        problem = f'"{_shown(unit)}" is not a unit of it' if unit else "the unit is missing"
        place.refuse(f"{problem}; {metric} takes {accepted}, as in {example}", hint)
    limit = value * units[unit]
    _check_range(place, metric, limit, hint)
    return Clause(metric, _OPS[metric], float(limit), unit)


def _check_range(place: _Place, metric: str, limit: Decimal, hint: str) -> None:
    if metric == "rate":
        if not (limit.is_finite() and 0 < float(limit) <= MAX_RATE):
            place.refuse(f"a rate must be finite, above 0/s and at most {MAX_RATE:,.0f}/s", hint)
    elif metric == "errors":
        if not (limit.is_finite() and 0 <= limit <= 1):
            place.refuse("an error share must lie between 0% and 100%, that is 0 and 1", hint)
    elif not (limit.is_finite() and float(limit) > 0):
        place.refuse("a time must be finite and above zero", hint)
    elif metric in _QUANTILES and limit > _MAX_LATENCY_S:
        place.refuse("a latency limit must be at most 60s, where the histograms end", hint)


def _quality_clause(place: _Place) -> Clause:
    match = _SPLIT.fullmatch(place.text)
    if match is None:
        place.refuse(
            f"it cannot be read; the accepted form is {_QUALITY_FORM} with metric accuracy, drop or "
            "one of the model card",
            "write for example accuracy>=0.85 or drop<=0.01",
        )
    metric, op, amount = match.groups()
    expected: dict[str, Op] = {"accuracy": ">=", "drop": "<="}
    example = "drop<=0.01" if metric == "drop" else f"{_shown(metric)}>=0.85"
    hint = f"write for example {example}"
    accepted = [expected[metric]] if metric in expected else ["<=", ">="]
    if op not in accepted:
        place.refuse(f'"{op}" is refused; {metric} takes "{" or ".join(accepted)}", as in {example}', hint)
    value, unit = _number(place, amount, hint)
    if unit:
        place.refuse(f'"{_shown(unit)}" is too much; a quality clause takes a bare number, as in {example}', hint)
    if not value.is_finite():
        place.refuse("the number must be finite", hint)
    if metric in expected and not 0 <= value <= 1:
        place.refuse(f"{metric} is a share and must lie between 0 and 1", hint)
    return Clause(metric, "<=" if op == "<=" else ">=", float(value), "")


def _number(place: _Place, text: str, hint: str) -> tuple[Decimal, str]:
    """Split `100ms` into its number and its unit."""
    match = _NUMBER.fullmatch(text)
    if match is None:
        place.refuse(f'"{_shown(text)}" does not begin with a number', hint)
    try:
        number = Decimal(match.group(1))
    except InvalidOperation:
        number = Decimal("Infinity")
    if number.is_finite() and abs(float(number)) > _HUGE:
        number = Decimal("Infinity")
    elif number.is_finite() and abs(float(number)) < _TINY:
        number = Decimal(0)
    return number, match.group(2)


def _shown(text: str) -> str:
    clean = "".join(letter if letter.isprintable() else "?" for letter in text)
    return clean if len(clean) <= _SHOWN else f"{clean[:_SHOWN]}…"
