"""`podium compare`: two runs, or the same phase of two races, with the interval on the ratio of their figures."""

from pathlib import Path
from typing import Annotated

import typer

from podium.console import Output, print_document

__all__ = ["register"]

_NAME = "A run's file or id, RACE/VARIANT, or a bench."


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
        from podium.comparisonscreen import comparison_document, show_comparison
        from podium.runseries import find_series

        result = compared(
            find_series(first, runs, phase=phase), find_series(second, runs, phase=phase), needs_pairs=not unpaired
        )
        if output is Output.TABLE:
            show_comparison(result)
        else:
            print_document(comparison_document(result), output)
