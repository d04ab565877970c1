"""`podium prune`: take out of the store what no new race or deployment would take."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from podium.console import Json, Output, print_document, print_table
from podium.exits import printable

if TYPE_CHECKING:
    from podium.catalog import Prunable

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    """Add the command to the application."""

    @app.command(epilog="Example: podium prune --dry-run -o json")
    def prune(
        keep: Annotated[int, typer.Option(min=1, max=1000, help="Newest artifacts of each variant to keep.")] = 1,
        dry_run: Annotated[bool, typer.Option("--dry-run", help="Only list what would go.")] = False,
        yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
        output: Annotated[Output, typer.Option("-o", "--output", help="How to print.")] = Output.TABLE,
        store: Annotated[Path | None, typer.Option(help="Artifact store; the default is PODIUM_STORE.")] = None,
    ) -> None:
        """Delete superseded and damaged artifacts, and what builds left that were killed more than a day ago.

        What cannot be read now, or was written by a newer release, is listed and stays.
        An artifact that a cluster serves by its address is superseded too once a newer one was built: prune after it
        has been replaced there. What was deleted can be built again.
        """
        from podium import catalog
        from podium.quantities import format_bytes
        from predictors.store import Store, default_store

        kept = Store(store or default_store())
        items, stays = catalog.prunable(kept, keep=keep), catalog.not_understood(kept)
        total = format_bytes(sum(item.bytes for item in items))
        if (items or stays) and output is Output.TABLE:
            rows = [(item.name, item.address[:12], format_bytes(item.bytes), item.reason) for item in (*items, *stays)]
            print_table(("NAME", "ADDRESS", "SIZE", "REASON"), rows, right=("SIZE",))
        for item in stays:
            typer.echo(f"not understood, kept: {printable(item.problem)}", err=True)
        if items and not dry_run:
            if not yes:
                typer.confirm(f"Delete {len(items)} folders ({total})?", abort=True, err=True)
            catalog.prune(kept, items)
        if output is not Output.TABLE:
            document: dict[str, Json] = {
                "prunable" if dry_run else "pruned": [_document(item) for item in items],
                "kept": [_document(item) | {"problem": item.problem} for item in stays],
            }
            print_document(document, output)
        verb = "would free" if dry_run else "freed"
        typer.echo(f"{verb} {total}" if items else "nothing to prune", err=True)


def _document(item: "Prunable") -> dict[str, Json]:
    return {"name": item.name, "address": item.address, "bytes": item.bytes, "reason": item.reason}
