"""`podium build`: build a model's variants into the store, and check their quality, without racing them."""

import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from podium.console import Json, Output, print_document, print_table
from podium.errors import MachineError

if TYPE_CHECKING:
    from podium.entry import Quality
    from predictors.build import Built, RecipePlan
    from predictors.card import ModelCard
    from predictors.store import Store

__all__ = ["register"]

_FORECAST = ("VARIANT", "FORECAST", "WHY")
_COLUMNS = ("VARIANT", "ADDRESS", "SIZE", "SECONDS", "FROM", "FOLDER")


def register(app: typer.Typer) -> None:
    """Add the command to the application."""

    @app.command(epilog="Example: podium build examples/models/mnist --variants 'ort-*' -o json")
    def build(
        model: Annotated[Path, typer.Argument(metavar="MODEL_FOLDER", help="Folder with model.yaml and the source.")],
        variants: Annotated[
            str, typer.Option(help="Patterns over ids without the model's name, with commas between.")
        ] = "auto",
        recipes: Annotated[
            str | None,
            typer.Option(
                help="Recipe list: a file, `default`, `full`, `trained`, `compiled`, `ray`; default: the card's."
            ),
        ] = None,
        quality: Annotated[
            bool, typer.Option("--quality", help="Measure each variant's quality too; a race then finds it done.")
        ] = False,
        dry_run: Annotated[bool, typer.Option("--dry-run", help="Forecast what would help; build nothing.")] = False,
        ray: Annotated[
            str | None,
            typer.Option(
                metavar="ADDRESS", help="Build on a Ray cluster, such as head:6379; `local` makes one on this machine."
            ),
        ] = None,
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
        plans = plan(card, model, patterns, recipes=recipes)
        check_data(model, card)
        if dry_run:
            _show_forecasts(card, model, plans, output)
            return
        target = store or default_store()
        # Everything is compared with the source, whichever variants were asked for.
        source = plan(card, model, recipes=recipes)[0]
        kept = Store(target)
        with _swept(kept):
            if ray is not None:
                made = _on_ray(ray, model, source if quality else None, plans, target, recipes)
            elif quality:
                made = _with_quality(model, source, plans, target, recipes)
            else:
                made = _each(plans, lambda item: (build_variant(card, model, item, kept, _note), None))
        _print(made, output)
        _report_missing(plans, made)


def _show_forecasts(card: "ModelCard", model: Path, plans: "Sequence[RecipePlan]", output: Output) -> None:
    """Print what each variant promises on this machine."""
    from podium.outlook import facts_of_source, here, words

    facts = facts_of_source(card, model)
    found = [(item, here(item.steps, facts)) for item in plans]
    if output is Output.TABLE:
        print_table(_FORECAST, [(item.variant_id, str(one), one.reason) for item, one in found])
    else:
        print_document([{"variant": item.variant_id, "forecast": words(one)} for item, one in found], output)


def _each(
    plans: "Sequence[RecipePlan]", make: "Callable[[RecipePlan], tuple[Built, Quality | None]]"
) -> "list[tuple[Built, Quality | None]]":
    """Make each variant; of several, one that fails is told and stands in nobody's way."""
    from podium.builder import RefusedError
    from predictors.errors import ArtifactError, BuildError

    made = []
    for item in plans:
        try:
            made.append(make(item))
        except (ArtifactError, BuildError, RefusedError) as error:
            if len(plans) == 1:
                raise
            _note(f"{item.variant_id} failed: {error} ({error.hint})")
    return made


def _report_missing(plans: "Sequence[RecipePlan]", made: "Sequence[tuple[Built, Quality | None]]") -> None:
    from predictors.errors import BuildError

    there = {built.variant_id for built, _ in made}
    missing = [item.variant_id for item in plans if item.variant_id not in there]
    if missing:
        raise BuildError(
            f"{len(missing)} of {len(plans)} variants failed: {', '.join(missing)}", "the reasons are above"
        )


def _note(text: str) -> None:
    typer.echo(text, err=True)


def _with_quality(
    model: Path, source: "RecipePlan", plans: "Sequence[RecipePlan]", store: Path, recipes: str | None
) -> "list[tuple[Built, Quality | None]]":
    """Build in a child process, as a race does, and measure each variant against the source."""
    from dataclasses import fields

    from podium.builder import Builder
    from podium.gate import quality_mark
    from predictors.build import Built

    with _logs() as logs, Builder(log=logs / "build.log", progress=_note) as builder:

        def built(variant_id: str) -> Built:
            done = builder.build(model_folder=model, variant_id=variant_id, store=store, recipes=recipes)
            known = {field.name: done[field.name] for field in fields(Built)}
            return Built(**{**known, "folder": Path(done["folder"])})

        reference, mark = built(source.variant_id), quality_mark()

        def judged(recipe: "RecipePlan") -> "tuple[Built, Quality | None]":
            item = reference if recipe.variant_id == source.variant_id else built(recipe.variant_id)
            return item, builder.quality(
                model_folder=model, artifact=item.folder, source=reference.folder, fingerprint=mark
            )

        found = _each(plans, judged)
        builder.payloads(model_folder=model)
    return found


@contextmanager
def _logs(is_wanted: Callable[[], bool] = lambda: False) -> Iterator[Path]:
    """Give a folder for logs, which stays where it `is_wanted`, and where a child failed: that error names its log."""
    from tempfile import mkdtemp

    folder = Path(mkdtemp(prefix="podium-build-"))
    try:
        yield folder
    except MachineError:
        # Where no child was started there is no log either.
        with suppress(OSError):
            folder.rmdir()
        raise
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    if not is_wanted():
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _swept(store: "Store") -> Iterator[None]:
    """Take out of the store what killed builds left there: earlier ones, and those in here."""
    store.sweep()
    try:
        yield
    finally:
        store.sweep()


def _on_ray(
    address: str,
    model: Path,
    source: "RecipePlan | None",
    plans: "Sequence[RecipePlan]",
    store: Path,
    recipes: str | None,
) -> "list[tuple[Built, Quality | None]]":
    """Build, and with a source judge, on a Ray cluster."""
    from dataclasses import fields

    from podium.entry import Quality
    from podium.fanout import Ledger, jobs_of
    from podium.gate import quality_mark
    from podium.raypool import Place, RayPool
    from predictors.build import Built

    ledger = Ledger(jobs_of(plans, source))
    against, mark = (source.variant_id, quality_mark()) if source else ("", "")
    with _logs(lambda: bool(ledger.failed)) as logs:
        place = Place(model, store, recipes, logs=logs, source=against, mark=mark)
        with RayPool("" if address == "local" else address, place, workers=len(ledger.jobs), note=_note) as pool:
            pool.work(ledger)

    def made(recipe: "RecipePlan") -> "tuple[Built, Quality | None]":
        name = recipe.variant_id
        done = {job.name: ledger.result(job) for job in ledger.jobs if job.variant_id == name}
        built = done[f"build:{name}"]
        known = {field.name: built[field.name] for field in fields(Built)}
        # As a serial build tells it: where the person said that the store is.
        known["folder"] = store / Path(built["folder"]).relative_to(place.store)
        judged = done.get(f"judge:{name}")
        return Built(**known), None if judged is None else Quality.model_validate(judged)

    return _each(plans, made)


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
