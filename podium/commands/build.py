"""`podium build`: build a model's variants into the store, and check their quality, without racing them."""

import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from podium.console import Json, Output, print_document, print_table

if TYPE_CHECKING:
    from podium.entry import Quality
    from predictors.build import Built, RecipePlan

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
        quality: Annotated[
            bool, typer.Option("--quality", help="Measure each variant's quality too; a race then finds it done.")
        ] = False,
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
        target = store or default_store()
        if quality:
            # Everything is compared with the source, whichever variants were asked for.
            _print(_with_quality(model, plan(card, model, ())[0], plans, target), output)
            return
        kept = Store(target)
        built = [build_variant(card, model, item, kept, lambda text: typer.echo(text, err=True)) for item in plans]
        _print([(item, None) for item in built], output)


def _with_quality(
    model: Path, source: "RecipePlan", plans: "Sequence[RecipePlan]", store: Path
) -> "list[tuple[Built, Quality | None]]":
    """Build in a child process, as a race does, and measure each variant against the source."""
    from dataclasses import fields
    from tempfile import mkdtemp

    from podium.builder import Builder
    from podium.entry import Quality
    from podium.gate import quality_mark
    from predictors.build import Built

    found: list[tuple[Built, Quality | None]] = []
    # Of a child that fails the log is named, so that it must stay.
    folder = Path(mkdtemp(prefix="podium-build-"))
    with Builder(log=folder / "build.log", progress=lambda text: typer.echo(text, err=True)) as builder:

        def built(variant_id: str) -> Built:
            done = builder.build(model_folder=model, variant_id=variant_id, store=store)
            known = {field.name: done[field.name] for field in fields(Built)}
            return Built(**{**known, "folder": Path(done["folder"])})

        reference = built(source.variant_id)
        for recipe in plans:
            item = reference if recipe.variant_id == source.variant_id else built(recipe.variant_id)
            answer = builder.evaluate(
                model_folder=model,
                artifact=item.folder,
                source=reference.folder,
                threads=len(os.sched_getaffinity(0)),
                fingerprint=quality_mark(),
            )
            known = {name: value for name, value in answer.items() if name in Quality.model_fields}
            found.append((item, Quality.model_validate(known)))
        builder.payloads(model_folder=model)
    shutil.rmtree(folder)
    return found


def _print(found: "Sequence[tuple[Built, Quality | None]]", output: Output) -> None:
    if output is not Output.TABLE:
        print_document([_document(*item) for item in found], output)
        return
    has_quality = any(quality is not None for _, quality in found)
    columns = (*_COLUMNS[:-1], "QUALITY", _COLUMNS[-1]) if has_quality else _COLUMNS
    print_table(columns, [_row(*item) for item in found], right=("SIZE", "SECONDS", "QUALITY"))


def _row(built: "Built", quality: "Quality | None") -> tuple[str, ...]:
    return (
        built.variant_id,
        built.address[:12],
        f"{_size(built.folder) / 1e6:.2f} MB",
        f"{built.seconds:.1f}",
        "store" if built.cached else "built",
        *(() if quality is None else (f"{quality.value:.4f}",)),
        str(built.folder),
    )


def _document(built: "Built", quality: "Quality | None") -> dict[str, Json]:
    document: dict[str, Json] = {
        "variant": built.variant_id,
        "address": built.address,
        "folder": str(built.folder),
        "size_bytes": _size(built.folder),
        "cached": built.cached,
        "seconds": round(built.seconds, 3),
    }
    return document if quality is None else {**document, "quality": quality.model_dump(mode="json")}


def _size(folder: Path) -> int:
    from predictors.manifest import read_variant

    return sum(entry.bytes for entry in read_variant(folder).files)
