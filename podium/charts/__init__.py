"""The report's charts: pure functions from figures to inline SVG, drawn without any script.

Each chart is small, has a title and a description for who cannot see it, takes its colors from the page,
and tells variants apart by marker and dash as well as by color. A function returns an empty text where
there is nothing to draw, so the page can say so in words.
"""

from podium.charts.latency import Curve, Limit, Rates, percentile_curves, rate_curves
from podium.charts.pareto import Axis, Point, frontier, pareto
from podium.charts.plot import NARROW, WIDE, Size
from podium.charts.quality import ClassFigures, QualityRow, class_figures, quality_intervals
from podium.charts.series import Seconds, hold_series
from podium.charts.style import COLORS, Style, swatch

__all__ = [
    "COLORS",
    "NARROW",
    "WIDE",
    "Axis",
    "ClassFigures",
    "Curve",
    "Limit",
    "Point",
    "QualityRow",
    "Rates",
    "Seconds",
    "Size",
    "Style",
    "class_figures",
    "frontier",
    "hold_series",
    "pareto",
    "percentile_curves",
    "quality_intervals",
    "rate_curves",
    "swatch",
]
