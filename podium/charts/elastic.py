"""The chart of an elastic run: pods over the offered rate above, latency below, on one time axis.

Pods are drawn as the rate that they hold, so that load above them is load that nobody was there for.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from podium import figures
from podium.charts.latency import Limit
from podium.charts.markup import coordinate, tag, text
from podium.charts.plot import Plot, Size, document
from podium.charts.scale import linear, suitable
from podium.charts.style import Style

__all__ = ["ElasticSeconds", "elastic_series"]

_MOST_LABELS = 12
_HEIGHT = 1.25


@dataclass(frozen=True, slots=True)
class ElasticSeconds:
    """The seconds of an elastic run.

    Attributes:
        name: of the policy.
        style: its look.
        rates: expected requests of each second.
        ready: pods that served.
        wanted: pods that the autoscaler asked for.
        p99_ms: latency; None in a second without an answer.
        violated: seconds in which the SLO did not hold.
        safe_rate: requests a second that a pod holds.
    """

    name: str
    style: Style
    rates: tuple[float, ...]
    ready: tuple[int, ...]
    wanted: tuple[int, ...]
    p99_ms: tuple[float | None, ...]
    violated: tuple[bool, ...]
    safe_rate: float


def elastic_series(
    run: ElasticSeconds, *, peers: Sequence[ElasticSeconds], limit: Limit | None, size: Size, key: str
) -> str:
    """Return the two panels, or nothing for a run without seconds.

    Args:
        run: what is drawn.
        peers: runs whose charts stand beside it, this one among them; all have the same axes.
        limit: the latency clause.
        size: of the drawing.
        key: makes its ids unique in the page.
    """
    count = len(run.rates)
    if count == 0:
        return ""
    height = size.height * _HEIGHT
    time = linear([0, max(2, *(len(peer.rates) for peer in peers))], lambda value: f"{value:g} s", count=size.ticks)
    split = height * 0.5
    most = max(max((*peer.ready, *peer.wanted, 1)) for peer in peers)
    top = max(most * run.safe_rate, *(max(peer.rates) for peer in peers))
    upper = Plot(
        x=time,
        y=linear([0, top], figures.number_tick, count=3),
        left=58,
        top=28,
        right=size.width - 52,
        bottom=split,
    )
    known = [value for peer in peers for value in peer.p99_ms if value is not None]
    lower = Plot(
        x=time,
        y=suitable((known or [1.0]) + ([limit.milliseconds] if limit else []), figures.milliseconds_tick, count=3),
        left=58,
        top=split + 34,
        right=size.width - 52,
        bottom=height - 44,
    )
    held = [pods * run.safe_rate for pods in run.ready]
    wanted = [pods * run.safe_rate for pods in run.wanted]
    points = [(second + 0.5, value) for second, value in enumerate(run.p99_ms) if value is not None]
    parts = [
        upper.axes(x_label="", y_label="offered per second (dashed), pods: ready, asked for (thin)", x_ticks=False),
        *_pod_labels(upper, most, run.safe_rate),
        upper.line(_steps(run.rates), None, "offered"),
        tag(
            "g",
            upper.line(_steps(wanted), None, "span"),
            upper.line(_steps(held), None),
            class_=f"series {run.style.name}",
        ),
        lower.axes(x_label="seconds of the run", y_label="p99 latency of the second; red: the SLO does not hold"),
        *_walls(lower, run.violated),
        tag("g", lower.line(points, None), class_=f"series {run.style.name}"),
    ]
    if limit is not None:
        parts += [lower.limit(limit.milliseconds), lower.limit_label(limit.milliseconds, limit.text)]
    told = (
        f"{count} seconds, {sum(run.rates):.0f} requests expected, at most {max(run.ready)} pods ready, "
        f"{sum(run.violated)} seconds in which the SLO does not hold"
    )
    return document(size, *parts, name=key, title=f"{run.name}, second by second", description=told, height=height)


def _pod_labels(plot: Plot, most: int, safe_rate: float) -> list[str]:
    """Return the numbers of pods at the right edge, each at the rate that they hold."""
    step = -(-most // _MOST_LABELS)
    return [
        tag(
            "text",
            text(figures.plural(pods, "pod")),
            class_="tick",
            x=plot.right + 6,
            y=plot.at_y(pods * safe_rate) + 4,
        )
        for pods in range(step, most + 1, step)
    ]


def _walls(plot: Plot, violated: Sequence[bool]) -> list[str]:
    """Return a mark at the foot of every stretch in which the SLO does not hold."""
    walls, begin = [], None
    for second, is_over in enumerate((*violated, False)):
        if is_over and begin is None:
            begin = second
        elif not is_over and begin is not None:
            left = plot.at_x(begin)
            width = max(1.0, plot.at_x(second) - left)
            walls.append(
                tag("rect", class_="wall", x=coordinate(left), y=plot.bottom - 5, width=coordinate(width), height=5)
            )
            begin = None
    return walls


def _steps(values: Sequence[float]) -> list[tuple[float, float]]:
    return [(at, value) for second, value in enumerate(values) for at in (float(second), second + 1.0)]
