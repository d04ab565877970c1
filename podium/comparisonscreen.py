"""How a comparison of two series is shown: a table with its notes, and the same as data."""

from podium import figures
from podium.comparison import Compared, Comparison
from podium.console import Json, print_styled, print_table

__all__ = ["comparison_document", "show_comparison"]

_STYLES = {"slower": "red", "less": "red", "faster": "green", "more": "green"}


def show_comparison(result: Comparison) -> None:
    """Print a comparison as a table."""
    percent = f"{result.confidence * 100:g} %"
    print_styled(f"{result.first.name} (first) and {result.second.name} (second), {result.phase}: {result.what}")
    print_table(
        ("FIGURE", "FIRST", "SECOND", "RATIO", f"{percent} INTERVAL", "THE SECOND IS", ""),
        [_row(one) for one in result.figures],
        right={"FIRST", "SECOND", "RATIO"},
        styles=_STYLES,
    )
    for note in result.notes:
        print_styled(note)


def comparison_document(result: Comparison) -> dict[str, Json]:
    """Return a comparison as data."""
    return {
        "first": _side(result, 0),
        "second": _side(result, 1),
        "phase": result.phase,
        "confidence": result.confidence,
        "compared": result.what,
        "figures": [
            {
                "name": one.name,
                "unit": one.unit,
                "first": one.first,
                "second": one.second,
                "ratio": None
                if one.ratio is None
                else {"value": one.ratio.value, "low": one.ratio.low, "high": one.ratio.high},
                "outcome": one.outcome,
                "minimum_detectable": None if one.ratio is None else one.ratio.detectable,
                "cv": one.cv,
            }
            for one in result.figures
        ],
        "notes": list(result.notes),
    }


def _row(one: Compared) -> tuple[str, ...]:
    write = figures.rate if one.unit == "/s" else figures.milliseconds
    ratio, told = one.ratio, ""
    if one.outcome == "no difference" and ratio is not None:
        told = f"a difference of {ratio.detectable:.1%} or more would show (four times in five)"
    if ratio is None:
        told = "too little was played for an interval"
    interval = figures.NONE if ratio is None else f"{ratio.low:.3f}–{ratio.high:.3f}"
    middle = figures.NONE if ratio is None else f"{ratio.value:.3f}"
    return (one.name, write(one.first), write(one.second), middle, interval, one.outcome, told)


def _side(result: Comparison, index: int) -> Json:
    series = (result.first, result.second)[index]
    return {
        "name": series.name,
        "fingerprint": series.first.fingerprint,
        "payloads": series.payloads,
        "runs": [str(run.path) for run in series.runs],
    }
