"""`podium build`: build a model's variants into the store, without racing them."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from podium.console import Output, print_document, print_table

if TYPE_CHECKING:
    from predictors.build import Built

__all__ = ["register"]

_COLUMNS = ("VARIANT", "ADDRESS", "SIZE", "SECONDS", "FROM", "FOLDER")


def register(app: typer.Typer) -> None:
    """Add the command to the application."""

    @app.command(epilog="Example: podium build examples/models/mnist --variants 'ort-*' -o json")
    def build(
        model: Annotated[Path, typer.Argument(metavar="MODEL_FOLDER", help="Folder with model.yaml and the source.")],
        variants: Annotated[
            str, typer.Option(help="Patterns over ids without the model's name, with commas between.")
        ] = "auto",
        output: Annotated[Output, typer.Option("-o", "--output", help="How to print.")] = Output.TABLE,
        store: Annotated[Path | None, typer.Option(help="Artifact store; the default is PODIUM_STORE.")] = None,
    ) -> None:
        """Build the variants of a model; what is in the store already is not built again."""
        from predictors.build import build as build_variant
        from predictors.build import plan
        from predictors.card import check_data, check_source, load_card
        from predictors.store import Store, default_store

        patterns = tuple(part.strip() for part in variants.split(",") if part.strip())
        card = load_card(model)
        check_source(model, card)
        plans = plan(card, model, patterns)
        check_data(model, card)
        target = Store(store or default_store())
        built = [build_variant(card, model, item, target, lambda text: typer.echo(text, err=True)) for item in plans]
        if output is Output.TABLE:
            print_table(_COLUMNS, [_row(item) for item in built], right=("SIZE", "SECONDS"))
        else:
            print_document([_document(item) for item in built], output)


def _row(built: "Built") -> tuple[str, ...]:
    return (
        built.variant_id,
        built.address[:12],
        f"{_size(built.folder) / 1e6:.2f} MB",
        f"{built.seconds:.1f}",
        "store" if built.cached else "built",
        str(built.folder),
    )


def _document(built: "Built") -> dict[str, str | bool | float | int]:
    return {
        "variant": built.variant_id,
        "address": built.address,
        "folder": str(built.folder),
        "size_bytes": _size(built.folder),
        "cached": built.cached,
        "seconds": round(built.seconds, 3),
    }


def _size(folder: Path) -> int:
    from predictors.manifest import read_variant

    return sum(entry.bytes for entry in read_variant(folder).files)
