"""`podium describe`: one variant, race, run or node class in full."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from podium.console import Json, Output, print_document, print_styled

__all__ = ["register"]


class Kind(StrEnum):
    """What can be described."""

    VARIANT = "variant"
    RACE = "race"
    RUN = "run"
    CLASS = "class"


def register(app: typer.Typer) -> None:
    """Add the command to the application."""

    @app.command(epilog="Example: podium describe race latest -o yaml")
    def describe(
        kind: Annotated[Kind, typer.Argument(help="What to describe.")],
        name: Annotated[str, typer.Argument(help="Its name, as `podium get` prints it.")],
        output: Annotated[Output, typer.Option("-o", "--output", help="How to print.")] = Output.TABLE,
        runs: Annotated[Path, typer.Option(help="Where races are kept.")] = Path("runs"),
        store: Annotated[Path | None, typer.Option(help="Artifact store; the default is PODIUM_STORE.")] = None,
    ) -> None:
        """Show one variant, race, run or node class in full."""
        from podium.description import outline

        document = _document(kind, name, runs, store)
        if output is Output.TABLE:
            for line in outline(document):
                print_styled(line)
        else:
            print_document(document, output)


def _document(kind: Kind, name: str, runs: Path, store: Path | None) -> dict[str, Json]:
    from podium import description
    from predictors.store import Store, default_store

    match kind:
        case Kind.VARIANT:
            return description.describe_variant(Store(store or default_store()), name)
        case Kind.RACE:
            return description.describe_race(runs, name)
        case Kind.RUN:
            return description.describe_run(runs, name)
        case Kind.CLASS:
            return description.describe_class(name)
