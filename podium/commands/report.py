"""`podium report`: make the report of a finished race again from its files."""

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    """Add the command to the application."""

    @app.command(epilog="Example: podium report latest --out food11.html")
    def report(
        race: Annotated[str, typer.Argument(help="A race's id, its folder, or `latest`.")] = "latest",
        out: Annotated[Path | None, typer.Option(help="Where to write it.")] = None,
        runs: Annotated[Path, typer.Option(help="Where races are kept.")] = Path("runs"),
    ) -> int:
        """Write the report of a race: one file that opens without a network."""
        from podium.racefile import find_race
        from podium.report import render_report

        typer.echo(render_report(find_race(race, runs), out))
        return 0
