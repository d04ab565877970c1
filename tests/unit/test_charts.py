"""The charts: what is drawn, what is left out, and that nothing from outside becomes markup."""

from __future__ import annotations

import math
import re
import xml.etree.ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from podium import charts, figures
from podium.charts import NARROW, WIDE, Axis, BlockLoad, Curve, Limit, Point, QualityRow, Rates, Seconds, Size, Style
from podium.charts.markup import coordinate, row_names, shorten, tag, text
from podium.charts.scale import linear, logarithmic, percentiles, suitable

LIMIT = Limit(99, 100, "p99 ≤ 100 ms")
HOSTILE = "</title><script>alert(1)</script>\"'&\x00\x1b[31m"
SIZES = pytest.mark.parametrize("size", [WIDE, NARROW], ids=["wide", "narrow"])


def curve(name: str, index: int, base: float = 5.0) -> Curve:
    return Curve(name, Style(index), tuple((100 * (1 - 10 ** (-k / 10)), base * (1 + k / 10)) for k in range(36)))


def parsed(svg: str) -> ET.Element:
    return ET.fromstring(svg)  # noqa: S314  # our own drawing


def elements(svg: str, kind: str) -> list[ET.Element]:
    return [element for element in parsed(svg).iter() if kind in (element.get("class") or "").split()]


def numbers(svg: str) -> list[float]:
    places = re.findall(r' (?:x|y|d|width|height)="([^"]+)"', svg)
    return [float(number) for place in places for number in re.findall(r"-?\d+(?:\.\d+)?", place)]


@SIZES
@pytest.mark.parametrize("count", [1, 2, 7, 20])
def test_every_variant_has_a_curve_of_its_own_look(size: Size, count: int) -> None:
    svg = charts.percentile_curves([curve(f"v{n}", n, n + 1) for n in range(count)], [LIMIT], size)
    assert len(elements(svg, "series")) == count
    assert len(elements(svg, "line")) == count
    assert len(elements(svg, "wall")) == 1
    assert "p99 ≤ 100 ms" in svg


def test_no_two_of_twenty_variants_look_alike_without_color() -> None:
    looks = {(Style(n).dash, Style(n).marker(0, 0)) for n in range(20)}
    assert len(looks) == 20
    assert len({Style(n).name for n in range(charts.COLORS)}) == charts.COLORS


def test_swatch_shows_the_look_of_its_variant() -> None:
    assert Style(5).name in charts.swatch(Style(5))
    assert charts.swatch(Style(1)) != charts.swatch(Style(9))


@SIZES
def test_percentile_curve_marks_only_percentiles_that_it_reaches(size: Size) -> None:
    short = Curve("short", Style(0), ((0.0, 1.0), (50.0, 2.0), (90.0, 3.0), (95.0, 4.0)))
    assert len(elements(charts.percentile_curves([short], [], size), "mark")) == 2
    full = charts.percentile_curves([curve("v", 0)], [], size)
    assert len(elements(full, "mark")) == 4
    assert "p99.9" in full


def test_curves_without_points_are_not_drawn() -> None:
    empty = Curve("empty", Style(0), ())
    assert charts.percentile_curves([empty], [LIMIT], WIDE) == ""
    svg = charts.percentile_curves([empty, curve("v", 1)], [LIMIT], WIDE)
    assert [element.get("data-name") for element in elements(svg, "series")] == ["v"]


def test_curve_of_one_request_is_drawn_without_a_line() -> None:
    svg = charts.percentile_curves([Curve("one", Style(0), ((0.0, 4.0),))], [LIMIT], WIDE)
    assert elements(svg, "line") == []
    assert len(elements(svg, "series")) == 1


@SIZES
def test_search_marks_each_rate_as_held_or_failed(size: Size) -> None:
    search = Rates("v", Style(0), ((40, 20.0, True), (80, 60.0, True), (160, 300.0, False), (120, None, False)))
    svg = charts.rate_curves([search], limit=LIMIT, asked=40, size=size)
    marks = elements(svg, "mark")
    assert len(marks) == 4
    assert len(elements(svg, "hollow")) == 2
    assert "stopped early" in svg
    assert "asked 40/s" in svg
    assert "held up to 80/s" in svg


def test_search_in_which_no_rate_held_says_so() -> None:
    search = Rates("v", Style(0), ((0, None, False), (5, None, False)))
    svg = charts.rate_curves([search], limit=None, asked=None, size=WIDE)
    assert "no rate held" in svg
    assert charts.rate_curves([Rates("v", Style(0), ())], limit=LIMIT, asked=40, size=WIDE) == ""


COST = Axis("cost", higher_is_better=False, write=figures.number)
ACCURACY = Axis("accuracy", higher_is_better=True, write=figures.percent_tick)


def point(name: str, x: float, y: float, *, holds: bool = True) -> Point:
    return Point(name, Style(0), (x, x * 0.9, x * 1.1), (y, y - 0.01, y + 0.01), holds)


def test_frontier_holds_what_nothing_beats_on_both_axes() -> None:
    points = [
        point("cheap", 1, 0.8),
        point("good", 3, 0.9),
        point("beaten", 3.5, 0.85),
        point("twin", 1, 0.8),
    ]
    assert {p.name for p in charts.frontier(points, COST, ACCURACY)} == {"cheap", "good", "twin"}


@given(st.lists(st.tuples(st.floats(0.1, 100), st.floats(0, 1)), min_size=1, max_size=12))
def test_every_point_off_the_frontier_is_beaten_by_one_on_it(places: list[tuple[float, float]]) -> None:
    points = [point(str(n), x, y) for n, (x, y) in enumerate(places)]
    best = charts.frontier(points, COST, ACCURACY)
    assert best
    for other in points:
        beaten = any(b.x[0] <= other.x[0] and b.y[0] >= other.y[0] for b in best)
        assert beaten
        assert (other in best) or any(
            b.x[0] <= other.x[0] and b.y[0] >= other.y[0] and (b.x[0], b.y[0]) != (other.x[0], other.y[0]) for b in best
        )


@SIZES
@pytest.mark.parametrize("higher_is_better", [True, False])
def test_pareto_chart_draws_intervals_and_the_frontier_of_those_that_hold(size: Size, higher_is_better: bool) -> None:
    x = Axis("rate", higher_is_better=higher_is_better, write=figures.number)
    points = [point("a", 1, 0.8), point("b", 3, 0.9), point("c", 2, 0.99, holds=False), point("d", 3.5, 0.7)]
    svg = charts.pareto(points, x=x, y=ACCURACY, size=size)
    assert len(elements(svg, "span")) == 2 * len(points)
    assert len(elements(svg, "hollow")) == 1
    assert len(elements(svg, "frontier")) == 1
    names = svg.split("Frontier: ")[1].split("<")[0].split(", ")
    assert set(names) == ({"b", "d"} if higher_is_better else {"a", "b"})


def test_pareto_chart_of_variants_that_all_fail_still_has_a_frontier() -> None:
    svg = charts.pareto([point("a", 1, 0.8, holds=False)], x=COST, y=ACCURACY, size=WIDE)
    assert "Frontier: a" in svg
    assert elements(svg, "frontier") == []
    assert charts.pareto([], x=COST, y=ACCURACY, size=WIDE) == ""


@SIZES
def test_quality_chart_has_a_row_for_each_variant_and_lines_for_source_and_clause(size: Size) -> None:
    rows = [
        QualityRow("a", Style(0), 0.93, 0.91, 0.95, passed=True),
        QualityRow("b" * 40, Style(1), 0.8, 0.78, 0.82, passed=False),
    ]
    svg = charts.quality_intervals(rows, metric="accuracy", source=0.93, floor=0.85, size=size)
    assert len(elements(svg, "series")) == 2
    assert len(elements(svg, "source")) == 1
    assert len(elements(svg, "limit")) == 1
    assert len(elements(svg, "hollow")) == 1
    labels = [label.text or "" for label in elements(svg, "row-label")]
    assert "…" in labels[1]
    assert charts.quality_intervals([], metric="accuracy", source=None, floor=None, size=size) == ""


@SIZES
def test_class_chart_leaves_out_what_was_not_measured(size: Size) -> None:
    variants = [
        charts.ClassFigures("a", Style(0), (0.9, None)),
        charts.ClassFigures("b", Style(1), (0.8, 0.7)),
        charts.ClassFigures("c", Style(2), (None, None)),
    ]
    svg = charts.class_figures(["bread", "soup"], variants, metric="accuracy", size=size)
    assert len(elements(svg, "mark")) == 3
    assert len(elements(svg, "row-label")) == 2
    assert "b: lowest soup" in svg
    assert "c: lowest not measured" in svg
    assert charts.class_figures(["bread"], [], metric="accuracy", size=size) == ""


@SIZES
@pytest.mark.parametrize("count", [1, 5, 300])
def test_hold_chart_shows_seconds_without_answers(size: Size, count: int) -> None:
    p99 = tuple(None if second == 0 else 20.0 + second for second in range(count))
    data = Seconds("v", Style(0), (40.0,) * count, (0.0,) + (40.0,) * (count - 1), p99)
    svg = charts.hold_series(data, limit=LIMIT, size=size)
    assert len(elements(svg, "offered")) == 1
    # A p99 that stands alone has a marker, others a line.
    assert len(elements(svg, "mark")) == (count == 2)
    assert len(elements(svg, "line")) == 1 + (count > 2)
    assert f"{count} seconds" in svg


def test_hold_chart_of_a_run_without_a_series_is_nothing() -> None:
    assert charts.hold_series(Seconds("v", Style(0), (), (), ()), limit=None, size=WIDE) == ""


@SIZES
def test_hold_chart_without_limit_and_without_any_answer_is_drawn(size: Size) -> None:
    svg = charts.hold_series(Seconds("v", Style(0), (0.0,), (0.0,), (None,)), limit=None, size=size)
    assert elements(svg, "mark") == []


def all_charts(name: str, size: Size) -> list[str]:
    return [
        charts.percentile_curves([Curve(name, Style(0), curve("v", 0).points)], [Limit(99, 100, name)], size),
        charts.rate_curves([Rates(name, Style(0), ((10, 5.0, True),))], limit=LIMIT, asked=10, size=size),
        charts.pareto([point(name, 1, 0.9)], x=Axis(name, higher_is_better=True, write=str), y=ACCURACY, size=size),
        charts.quality_intervals(
            [QualityRow(name, Style(0), 0.9, 0.8, 0.95, passed=True)],
            metric=name,
            source=0.9,
            floor=0.8,
            size=size,
        ),
        charts.class_figures([name], [charts.ClassFigures(name, Style(0), (0.5,))], metric=name, size=size),
        charts.hold_series(Seconds(name, Style(0), (1.0,), (1.0,), (2.0,)), limit=LIMIT, size=size),
    ]


@SIZES
@pytest.mark.parametrize("number", range(6))
def test_hostile_names_stay_text(size: Size, number: int) -> None:
    svg = all_charts(HOSTILE, size)[number]
    assert "<script" not in svg
    assert "\x00" not in svg
    assert "\x1b" not in svg
    root = parsed(svg)
    assert not any(element.tag.endswith("script") for element in root.iter())


@SIZES
@pytest.mark.parametrize("number", range(6))
def test_charts_have_title_description_and_stay_inside_their_area(size: Size, number: int) -> None:
    svg = all_charts("food11-ort-int8", size)[number]
    root = parsed(svg)
    ids = {element.get("id") for element in root.iter() if element.get("id")}
    assert root.get("role") == "img"
    assert set((root.get("aria-labelledby") or "").split()) <= ids
    width, height = (float(part) for part in (root.get("viewBox") or "").split()[2:])
    assert width == size.width
    assert all(-15 <= number <= max(width, height) for number in numbers(svg))
    assert "style=" not in svg
    assert not re.search(r"\son\w+=", svg)


def test_same_figures_give_the_same_bytes() -> None:
    assert all_charts("v", WIDE) == all_charts("v", WIDE)


def test_fine_series_is_thinned_to_the_pixel() -> None:
    dense = Curve("v", Style(0), tuple((n / 100, 5.0) for n in range(9990)))
    assert len(charts.percentile_curves([dense], [], WIDE)) < 20_000


@given(st.lists(st.floats(0, 1e7, allow_nan=False), min_size=1, max_size=20))
def test_scales_span_their_figures_with_ticks_inside(values: list[float]) -> None:
    for scale in (suitable(values, str), linear(values, str), logarithmic(values, str)):
        assert scale.low < scale.high
        assert 2 <= len(scale.ticks) <= 14
        places = [scale.place(value) for value in values]
        assert all(-1e-9 <= place <= 1 + 1e-9 for place in places)
        assert sorted(places) == [scale.place(value) for value in sorted(values)]
        assert all(-1e-9 <= scale.place(tick) <= 1 + 1e-9 for tick, _ in scale.ticks)


def test_scale_is_logarithmic_only_where_figures_span_much() -> None:
    assert math.isclose(suitable([10, 1000], str).place(100), 0.5)
    assert math.isclose(suitable([0, 100], str).place(50), 0.5)


@pytest.mark.parametrize(("top", "last"), [(50, "99"), (99, "99"), (99.5, "99.9"), (99.95, "99.99"), (100, "99.9999")])
def test_percentile_scale_reaches_the_next_nine(top: float, last: str) -> None:
    scale = percentiles(top)
    assert scale.ticks[-1][1] == last
    widths = [scale.place(100 * (1 - 10.0**-n)) for n in range(1, 3)]
    assert math.isclose(widths[1], 2 * widths[0])


@pytest.mark.parametrize(
    ("value", "written"),
    [(1.0, "1"), (1.25, "1.2"), (-0.04, "0"), (0.0, "0"), (-3.06, "-3.1"), (10.96, "11")],
)
def test_coordinates_have_one_decimal_at_most(value: float, written: str) -> None:
    assert coordinate(value) == written


def test_tag_escapes_attributes_and_leaves_out_none() -> None:
    assert tag("a", class_="<&>", data_x=None, stroke_width=2.0) == '<a class="&lt;&amp;&gt;" stroke-width="2"/>'
    assert text("a\ud800b") == "a\ufffdb"


@pytest.mark.parametrize(
    ("value", "length", "written"),
    [("short", 10, "short"), ("food11-openvino-int8", 14, "food11-…o-int8"), ("abcdef", 3, "a…f"), ("abcdef", 2, "a…")],
)
def test_long_names_lose_their_middle(value: str, length: int, written: str) -> None:
    assert shorten(value, length) == written
    assert len(written) <= length


def test_many_seconds_become_steps_that_keep_the_worst() -> None:
    p99 = tuple(500.0 if second == 137 else 20.0 for second in range(300))
    in_flight = tuple(9.0 if second == 211 else 1.0 for second in range(300))
    data = Seconds("v", Style(0), (40.0,) * 300, (40.0,) * 300, p99, (0, 60, 120, 180, 240), in_flight)
    for size in (WIDE, NARROW):
        svg = charts.hold_series(data, limit=None, size=size)
        assert len(svg) < 12_000
        assert "at most 9 in flight" in svg
    # The one second that was worse than all others is still seen.
    known = charts.hold_series(data, limit=None, size=WIDE)
    longer = Seconds("v", Style(0), data.offered, data.answered, (20.0,) * 300, data.starts, (1.0,) * 300)
    assert known != charts.hold_series(longer, limit=None, size=WIDE)


@SIZES
def test_blocks_have_their_cpu_and_throttling(size: Size) -> None:
    loads = (BlockLoad(server=0.8, throttled=0.1, generator=0.3), BlockLoad(server=0.9))
    data = Seconds("v", Style(0), (40.0,) * 20, (40.0,) * 20, (20.0,) * 20, (0, 10), (), loads)
    svg = charts.hold_series(data, limit=LIMIT, size=size)
    assert len(elements(svg, "throttled")) == 1
    assert len(elements(svg, "generator")) == 1
    assert "block 1: server CPU 80 %, generator CPU 30 %, throttled 10 %; block 2: server CPU 90 %" in svg
    bare = Seconds("v", Style(0), (40.0,) * 20, (40.0,) * 20, (20.0,) * 20, (0, 10), (), (BlockLoad(), BlockLoad()))
    assert "CPU" not in charts.hold_series(bare, limit=LIMIT, size=size)


@SIZES
def test_sensitive_layers_stand_first_and_those_in_float32_are_hollow(size: Size) -> None:
    losses = {"b": 0.01, "a": 0.1, "none": 0.0, HOSTILE: 0.001}
    svg = charts.sensitivity(losses, kept={"a"}, name="v", size=size)
    assert [element.get("data-name") for element in elements(svg, "series")][:2] == ["a", "b"]
    assert (len(elements(svg, "mark")), len(elements(svg, "hollow"))) == (3, 1)
    widths = [float(path) for path in re.findall(r'class="mark[^"]*" d="M[\d.]+ [\d.]+h([\d.]+)', svg)]
    assert widths == sorted(widths, reverse=True)
    assert "a: 0.1 (float32)" in svg
    assert "<script" not in svg
    assert charts.sensitivity({"none": 0.0}, kept=(), name="v", size=size) == ""


@SIZES
def test_a_split_has_a_bar_a_part_and_its_whole(size: Size) -> None:
    parts = (("input", 1.0), ("compute", 6.0), ("nothing", 0.0), (HOSTILE, 3.0))
    svg = charts.time_split([charts.Split("v", parts), charts.Split("idle", (("input", 0.0),))], size)
    bars = [float(width) for width in re.findall(r'class="part p\d" d="M[\d.]+ [\d.]+h([\d.]+)', svg)]
    assert len(bars) == 3
    assert (bars[1] + 1.5) / (bars[0] + 1.5) == pytest.approx(6.0, rel=0.02)
    assert "10.0 ms" in svg
    assert "<script" not in svg
    assert charts.time_split([charts.Split("idle", (("input", 0.0),))], size) == ""
    assert "p3" in charts.part_swatch(3)


@pytest.mark.parametrize(
    ("names", "shown"),
    [
        (("food11-ort-int8", "food11-ort-fp32"), ("int8", "fp32")),
        (("food11-ort-int8", "food11-openvino-int8"), ("ort-int8", "openvino-int8")),
        (("food11-ort", "food11-ort-int8"), ("ort", "ort-int8")),
        (("v", "v"), ("v", "v")),
        (("food11-ort-int8",), ("food11-ort-int8",)),
        ((), ()),
    ],
)
def test_rows_leave_out_the_words_that_all_names_begin_with(names: tuple[str, ...], shown: tuple[str, ...]) -> None:
    assert row_names(names, 20) == shown


def test_markers_of_one_size_cover_the_same_area_whatever_their_shape() -> None:
    for index in range(1, 7):
        path = re.findall(r'd="M([^"]+)z"', Style(index).marker(0, 0, radius=Style(index).radius_like(100)))[0]
        corners = [tuple(map(float, corner.split())) for corner in path.split("L")]
        around = zip(corners, [*corners[1:], corners[0]], strict=True)
        area = abs(sum(a[0] * b[1] - b[0] * a[1] for a, b in around)) / 2
        assert area == pytest.approx(math.pi * 100**2, rel=0.01)
    assert Style(0).radius_like(100) == 100
