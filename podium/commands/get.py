"""`podium get`: list variants, races, runs or node classes."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from podium.console import Output, print_document, print_table

if TYPE_CHECKING:
    from podium.inventory import Listing

__all__ = ["register"]


class Kind(StrEnum):
    """What can be listed; kubectl takes both numbers, and so do we."""

    VARIANTS = "variants"
    VARIANT = "variant"
    RACES = "races"
    RACE = "race"
    RUNS = "runs"
    RUN = "run"
    CLASSES = "classes"
    CLASS = "class"


_STYLES = {"unreadable": "red", "valid": "green"}


def register(app: typer.Typer) -> None:
    """Add the command to the application."""

    @app.command(epilog="Example: podium get runs --race latest -o json")
    def get(
        kind: Annotated[
            Kind,
            typer.Argument(metavar="variants|races|runs|classes", help="What to list.", show_choices=False),
        ],
        output: Annotated[Output, typer.Option("-o", "--output", help="How to print.")] = Output.TABLE,
        race: Annotated[str | None, typer.Option(help="Only the runs of this race, or of `latest`.")] = None,
        runs: Annotated[Path, typer.Option(help="Where races are kept.")] = Path("runs"),
        pictures: Annotated[
            Path | None, typer.Option(metavar="DIR", help="Draw the variants there as SVG files too.")
        ] = None,
        png: Annotated[bool, typer.Option("--png", help="Make PNG files of the pictures; needs Chromium.")] = False,
        store: Annotated[Path | None, typer.Option(help="Artifact store; the default is PODIUM_STORE.")] = None,
    ) -> None:
        """List variants, races, their runs, or node classes."""
        if race is not None and not kind.startswith("run"):
            raise typer.BadParameter("it goes with runs only", param_hint="--race")
        if pictures is not None and not kind.startswith("variant"):
            raise typer.BadParameter("it goes with variants only", param_hint="--pictures")
        listing = _listing(kind, race, runs, store)
        if pictures is not None:
            _draw(store, pictures, as_png=png)
        elif png:
            raise typer.BadParameter("it goes with --pictures", param_hint="--png")
        if output is Output.TABLE:
            if listing.rows:
                print_table(listing.columns, listing.rows, right=listing.right, styles=_STYLES)
            else:
                typer.echo(f"no {kind.value} found", err=True)
        else:
            print_document({listing.key: listing.items} if listing.key else listing.items, output)


def _draw(store: Path | None, folder: Path, *, as_png: bool) -> None:
    from podium.pictures import draw_variants
    from predictors.store import Store, default_store

    drawn = draw_variants(Store(store or default_store()), folder)
    files = drawn.files
    if as_png:
        from podium.raster import to_png

        files += to_png(files)
    for line in (*(f"drawn: {path}" for path in files), *drawn.left_out):
        typer.echo(line, err=True)


def _listing(kind: Kind, race: str | None, runs: Path, store: Path | None) -> "Listing":
    from podium import catalog, inventory
    from predictors.store import Store, default_store

    match kind:
        case Kind.VARIANTS | Kind.VARIANT:
            return catalog.list_variants(Store(store or default_store()))
        case Kind.RACES | Kind.RACE:
            return inventory.list_races(runs)
        case Kind.RUNS | Kind.RUN:
            return inventory.list_runs(runs, race)
        case Kind.CLASSES | Kind.CLASS:
            return inventory.list_classes()
