"""The report's charts: pure functions from figures to inline SVG, drawn without any script.

Each chart is small, has a title and a description for who cannot see it, takes its colors from the page,
and tells variants apart by marker and dash as well as by color. A function returns an empty text where
there is nothing to draw, so the page can say so in words.
"""

from podium.charts.elastic import ElasticSeconds, elastic_series
from podium.charts.latency import Curve, Limit, Rates, percentile_curves, rate_curves
from podium.charts.operators import operators
from podium.charts.pareto import Axis, Point, frontier, pareto
from podium.charts.plot import NARROW, WIDE, Size
from podium.charts.quality import ClassFigures, QualityRow, class_figures, quality_intervals
from podium.charts.roofline import Placed, roofline
from podium.charts.sensitivity import sensitivity
from podium.charts.series import BlockLoad, Seconds, hold_series
from podium.charts.split import Split, part_swatch, time_split
from podium.charts.standalone import standalone
from podium.charts.style import COLORS, Style, swatch

__all__ = [
    "COLORS",
    "NARROW",
    "WIDE",
    "Axis",
    "BlockLoad",
    "ClassFigures",
    "Curve",
    "ElasticSeconds",
    "Limit",
    "Placed",
    "Point",
    "QualityRow",
    "Rates",
    "Seconds",
    "Size",
    "Split",
    "Style",
    "class_figures",
    "elastic_series",
    "frontier",
    "hold_series",
    "operators",
    "pareto",
    "part_swatch",
    "percentile_curves",
    "quality_intervals",
    "rate_curves",
    "roofline",
    "sensitivity",
    "standalone",
    "swatch",
    "time_split",
]
