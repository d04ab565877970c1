"""Which charts a report shows, from which figures, and what a chart leaves out and why.

Between the race and the drawing functions of `podium.charts`: it picks the figures, gives every variant its
look by its place in the race, and names in words each variant that a chart cannot show.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from loadtest.errors import SloError
from loadtest.slo import Clause, parse_quality, parse_slo
from podium import charts, figures
from podium.charts import NARROW, WIDE, Limit, Size, Style
from podium.entry import Capacity, Entry, Interval
from podium.quantities import format_bytes
from podium.racefile import Race
from podium.report.evidence import Run, block_load, curve, valid_holds

__all__ = ["Figure", "Legend", "drawings", "entry_name", "hold_drawing", "left_out", "limits", "styles"]

_Span = tuple[float, float, float]
_LARGEST_RADIUS, _LEAST_RADIUS = 13.0, 3.5


@dataclass(frozen=True, slots=True)
class Legend:
    """One variant of a chart: its swatch (markup) and its name."""

    swatch: str
    name: str


@dataclass(frozen=True, slots=True)
class Figure:
    """A chart in both sizes (markup), with its words; both are empty where there is nothing to draw.

    `left_out` names the variants that it cannot show, and why.
    """

    key: str
    title: str
    caption: str
    wide: str
    narrow: str
    legend: tuple[Legend, ...]
    left_out: str


def styles(race: Race) -> dict[tuple[str, str], Style]:
    """Return the look of each entry, by id and node class."""
    return {(entry.id, entry.node_class): Style(index) for index, entry in enumerate(race.variants)}


def limits(race: Race) -> tuple[Limit, ...]:
    """Return the latency clauses of the race's SLO; none where it cannot be read."""
    try:
        clauses = parse_slo(race.slo).latency_clauses
    except SloError:
        return ()
    return tuple(
        Limit(
            100 * clause.quantile,
            clause.value * 1000,
            figures.objective(str(clause)),
        )
        for clause in clauses
        if clause.quantile is not None
    )


def drawings(race: Race, runs: dict[tuple[str, str], tuple[Run, ...]]) -> tuple[Figure, ...]:
    """Return the charts that compare the variants, in the order in which they are shown."""
    return (
        _percentiles(race, runs),
        _rates(race),
        _latency(race),
        _pareto(race),
        _quality(race),
        _classes(race),
    )


def hold_drawing(race: Race, entry: Entry, runs: Sequence[Run]) -> Figure | None:
    """Return the hold at the asked rate second by second, or None for a variant without one."""
    played = [run for run in valid_holds(runs) if run.seconds]
    blocks = [run.seconds for run in played]
    if not blocks:
        return None
    seconds = [second for block in blocks for second in block]
    data = charts.Seconds(
        name=entry_name(race, entry),
        style=styles(race)[entry.id, entry.node_class],
        offered=tuple(second.offered for second in seconds),
        answered=tuple(second.answered for second in seconds),
        p99_ms=tuple(second.p99_ms for second in seconds),
        starts=tuple(sum(map(len, blocks[:number])) for number in range(len(blocks))),
        in_flight=tuple(second.in_flight for second in seconds),
        loads=tuple(block_load(run) for run in played),
    )
    limit = next(iter(limits(race)), None)
    return _figure(
        f"series-{data.style.index}",
        "Second by second",
        "The hold at the asked rate, block after block. A p99 or a number in flight that rises within a block is a "
        "growing queue. CPU is that of the server's limit and of the generator's cores.",
        lambda size: charts.hold_series(data, limit=limit, size=size),
        legend=(),
        left_out="",
    )


def _percentiles(race: Race, runs: dict[tuple[str, str], tuple[Run, ...]]) -> Figure:
    looks = styles(race)
    curves, missing = [], []
    for entry in race.variants:
        key = (entry.id, entry.node_class)
        points = curve(valid_holds(runs[key]))
        if points:
            curves.append(charts.Curve(entry_name(race, entry), looks[key], points))
        else:
            missing.append(entry)
    return _figure(
        "percentiles",
        "Latency by percentile",
        "At the asked rate, all blocks merged, from the intended start of each request. A curve that meets "
        "the wall above a limit misses that clause.",
        lambda size: charts.percentile_curves(curves, limits(race), size),
        legend=tuple(_legend(curve.name, curve.style) for curve in curves),
        left_out=left_out(race, missing, "a valid hold"),
    )


def _rates(race: Race) -> Figure:
    looks = styles(race)
    searches = [
        charts.Rates(
            entry_name(race, entry),
            looks[entry.id, entry.node_class],
            tuple((probe.rate, probe.p99_ms, probe.passed) for probe in entry.probes),
        )
        for entry in race.variants
        if entry.probes
    ]
    limit = next((limit for limit in limits(race) if limit.percentile == 99), None)
    return _figure(
        "rates",
        "p99 against offered rate",
        "The search for the largest rate. Filled markers held every clause, hollow ones failed; at the upper "
        "edge: stopped early, the queue was growing.",
        lambda size: charts.rate_curves(searches, limit=limit, asked=_asked(race), size=size),
        legend=tuple(_legend(search.name, search.style) for search in searches),
        left_out=left_out(race, [entry for entry in race.variants if not entry.probes], "a search"),
    )


def _pareto(race: Race) -> Figure:
    x, x_axis = _efficiency(race)
    y, y_axis = _goodness(race)
    looks = styles(race)
    points, missing = [], []
    for entry in race.variants:
        a, b = x(entry), y(entry)
        if a and b:
            holds = entry.status == "PASS" and not entry.emulated
            name = entry_name(race, entry) + _bound_note(entry, (x_axis, y_axis))
            points.append(charts.Point(name, looks[entry.id, entry.node_class], a, b, holds))
        else:
            missing.append(entry)
    return _figure(
        "pareto",
        f"{y_axis.label} against {x_axis.label}",
        "Filled markers meet the objective. The stepped line is the frontier: none is better in both.",
        lambda size: charts.pareto(points, x=x_axis, y=y_axis, size=size),
        legend=tuple(_legend(point.name, point.style) for point in points),
        left_out=left_out(race, missing, f"{x_axis.label}, or {y_axis.label}"),
    )


def _latency(race: Race) -> Figure:
    looks = styles(race)
    largest = max((entry.size_bytes or 0 for entry in race.variants), default=0)
    metric = next((entry.quality.metric for entry in race.variants if entry.quality), "quality")
    points, missing, sizes = [], [], {}
    for entry in race.variants:
        single, quality = _span(entry.single_stream_p90_ms), entry.quality
        if single is None or quality is None:
            missing.append(entry)
            continue
        name = entry_name(race, entry)
        # Area follows size; where it is not known, the marker has the size of those in other charts.
        share = (entry.size_bytes or 0) / largest if largest else 0.0
        sizes[name] = "" if entry.size_bytes is None else f", {format_bytes(entry.size_bytes)}"
        look = looks[entry.id, entry.node_class]
        points.append(
            charts.Point(
                name,
                look,
                single,
                (quality.value, quality.low, quality.high),
                holds=entry.status == "PASS" and not entry.emulated,
                radius=look.radius_like(max(_LEAST_RADIUS, _LARGEST_RADIUS * share**0.5)) if share else 5.5,
            )
        )
    x = charts.Axis("single-stream p90, milliseconds", False, figures.number_tick)
    y = charts.Axis(metric, True, figures.percent_tick)
    return _figure(
        "latency",
        f"{metric} against latency and size",
        "The area of a marker is the artifact's size; filled ones meet the objective. One request at a time.",
        lambda size: charts.pareto(points, x=x, y=y, size=size, key="latency"),
        legend=tuple(_legend(point.name + sizes[point.name], point.style) for point in points),
        left_out=left_out(race, missing, f"a single stream, or {metric}"),
    )


def _efficiency(race: Race) -> tuple[Callable[[Entry], _Span | None], charts.Axis]:
    priced = [entry.cost_per_million for entry in race.variants if entry.cost_per_million]
    if priced:
        currency = priced[0].currency
        return lambda entry: _cost(entry, currency), charts.Axis(
            f"cost per million, {currency}", False, figures.number_tick
        )
    if any(entry.server_max_rps and entry.server_max_rps.value > 0 for entry in race.variants):
        return lambda entry: _span(entry.server_max_rps), charts.Axis(
            "largest rate per second", True, figures.number_tick
        )
    return lambda entry: _span(entry.offline_rps), charts.Axis("offline rate per second", True, figures.number_tick)


def _goodness(race: Race) -> tuple[Callable[[Entry], _Span | None], charts.Axis]:
    measured = [entry.quality for entry in race.variants if entry.quality]
    if measured:
        return (
            lambda entry: entry.quality and (entry.quality.value, entry.quality.low, entry.quality.high),
            charts.Axis(measured[0].metric, True, figures.percent_tick),
        )
    return lambda entry: _span(entry.server_max_rps), charts.Axis("largest rate per second", True, figures.number_tick)


def _bound_note(entry: Entry, axes: Sequence[charts.Axis]) -> str:
    """Return what has to be said of a marker that stands at a lower bound of its rate, or an upper one of its cost."""
    is_bound = entry.server_max_rps is not None and entry.server_max_rps.is_bound
    return "".join(
        f", {word}"
        for label, word in (("cost", "at most so much"), ("largest rate", "at least so much"))
        if is_bound and any(axis.label.startswith(label) for axis in axes)
    )


def _cost(entry: Entry, currency: str) -> _Span | None:
    cost, rate = entry.cost_per_million, entry.server_max_rps
    if cost is None or cost.currency != currency:
        return None
    if rate is None or rate.value <= 0 or rate.low <= 0:
        return (cost.value, cost.value, cost.value)
    # Cost is price over rate, so the interval of the rate turns around.
    return (cost.value, cost.value * rate.value / _seen(rate), cost.value * rate.value / rate.low)


def _span(figure: Interval | None) -> _Span | None:
    if isinstance(figure, Capacity):
        return (figure.value, figure.low, _seen(figure))
    return (figure.value, figure.low, figure.high) if figure else None


def _seen(rate: Capacity) -> float:
    """Return the upper end that is drawn: of a lower bound what was seen, for its own end is far away."""
    return rate.value if rate.is_bound else rate.high


def _quality(race: Race) -> Figure:
    looks = styles(race)
    measured = [(entry, entry.quality) for entry in race.variants if entry.quality]
    rows = [
        charts.QualityRow(
            entry_name(race, entry),
            looks[entry.id, entry.node_class],
            quality.value,
            quality.low,
            quality.high,
            entry.status != "REJECTED",
        )
        for entry, quality in measured
    ]
    metric = measured[0][1].metric if measured else "quality"
    source = next((quality.source_value for _, quality in measured if quality.source_value is not None), None)
    return _figure(
        "quality",
        f"{metric} by variant",
        "On the model's test data, as served. Filled markers passed the gate, hollow ones are rejected.",
        lambda size: charts.quality_intervals(
            rows, metric=metric, source=source, floor=_floor(race, source), size=size
        ),
        legend=(),
        left_out=left_out(race, [entry for entry in race.variants if not entry.quality], metric),
    )


def _classes(race: Race) -> Figure:
    looks = styles(race)
    measured = [(entry, entry.quality) for entry in race.variants if entry.quality and entry.quality.per_class]
    labels = list(dict.fromkeys(label for _, quality in measured for label in quality.per_class))
    variants = [
        charts.ClassFigures(
            entry_name(race, entry),
            looks[entry.id, entry.node_class],
            tuple(quality.per_class.get(label) for label in labels),
        )
        for entry, quality in measured
    ]
    metric = measured[0][1].metric if measured else "quality"
    return _figure(
        "classes",
        f"{metric} by class",
        "Where a variant loses: a class far to the left of its neighbors.",
        lambda size: charts.class_figures(labels, variants, metric=metric, size=size),
        legend=tuple(_legend(variant.name, variant.style) for variant in variants),
        left_out="",
    )


def _floor(race: Race, source: float | None) -> float | None:
    floors = []
    for clause in _quality_clauses(race):
        if clause.metric == "drop":
            floors += [] if source is None else [source - clause.value]
        elif clause.op == ">=":
            floors.append(clause.value)
    return max(floors, default=None)


def _quality_clauses(race: Race) -> Sequence[Clause]:
    try:
        return parse_quality(race.quality).clauses if race.quality else ()
    except SloError:
        return ()


def _asked(race: Race) -> float | None:
    try:
        return parse_slo(race.slo).rate
    except SloError:
        return None


def entry_name(race: Race, entry: Entry) -> str:
    """Return the id of an entry, with its node class where the race has several."""
    classes = {other.node_class for other in race.variants}
    return entry.id if len(classes) == 1 else f"{entry.id} on {entry.node_class}"


def left_out(race: Race, entries: Sequence[Entry], lacking: str) -> str:
    """Name the entries that a chart cannot show, and what they lack; nothing without one."""
    names = [f"{entry_name(race, entry)} ({entry.status})" for entry in entries]
    return f"Not drawn, for want of {lacking}: {figures.enumerate_words(names)}." if names else ""


def _legend(name: str, style: Style) -> Legend:
    return Legend(charts.swatch(style), name)


def _figure(
    key: str,
    title: str,
    caption: str,
    draw: Callable[[Size], str],
    *,
    legend: tuple[Legend, ...],
    left_out: str,
) -> Figure:
    return Figure(
        key=key,
        title=title if title.startswith("p") and title[1:2].isdigit() else title[:1].upper() + title[1:],
        caption=caption,
        wide=draw(WIDE),
        narrow=draw(NARROW),
        legend=legend,
        left_out=left_out,
    )
