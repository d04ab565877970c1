"""`podium compare`: two runs, or the same phase of two races, with the interval on the ratio of their figures."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from podium.console import Json, Output, print_document, print_styled, print_table

if TYPE_CHECKING:
    from podium.comparison import Compared, Comparison

__all__ = ["register"]

_NAME = "A run's file or id, RACE/VARIANT, or a bench."
_STYLES = {"slower": "red", "less": "red", "faster": "green", "more": "green"}


def register(app: typer.Typer) -> None:
    """Add the command to the application."""

    @app.command(epilog="Example: podium compare latest/food11-ort-fp32 latest/food11-ort-int8 -o json")
    def compare(
        first: Annotated[str, typer.Argument(help=f"What to compare with. {_NAME}")],
        second: Annotated[str, typer.Argument(help=f"What to compare. {_NAME}")],
        phase: Annotated[str | None, typer.Option(help="Phase; the default is the hold where there is one.")] = None,
        unpaired: Annotated[bool, typer.Option("--unpaired", help="Take series of other schedules too.")] = False,
        output: Annotated[Output, typer.Option("-o", "--output", help="How to print.")] = Output.TABLE,
        runs: Annotated[Path, typer.Option(help="Where races and runs are kept.")] = Path("runs"),
    ) -> None:
        """Compare two series of runs: figure by figure, as a ratio with its interval.

        Runs of other environments, payloads or schedules are refused, and what differs is named.
        """
        from podium.comparison import compare as compared
        from podium.runseries import find_series

        result = compared(
            find_series(first, runs, phase=phase), find_series(second, runs, phase=phase), needs_pairs=not unpaired
        )
        if output is not Output.TABLE:
            print_document(_document(result), output)
            return
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


def _row(one: "Compared") -> tuple[str, ...]:
    from podium import figures

    write = figures.rate if one.unit == "/s" else figures.milliseconds
    ratio, told = one.ratio, ""
    if one.outcome == "no difference" and ratio is not None:
        told = f"a difference of {ratio.detectable:.1%} or more would show (four times in five)"
    if ratio is None:
        told = "too little was played for an interval"
    interval = figures.NONE if ratio is None else f"{ratio.low:.3f}–{ratio.high:.3f}"
    middle = figures.NONE if ratio is None else f"{ratio.value:.3f}"
    return (one.name, write(one.first), write(one.second), middle, interval, one.outcome, told)


def _document(result: "Comparison") -> Json:
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


def _side(result: "Comparison", index: int) -> Json:
    series = (result.first, result.second)[index]
    return {
        "name": series.name,
        "fingerprint": series.first.fingerprint,
        "payloads": series.payloads,
        "runs": [str(run.path) for run in series.runs],
    }
