"""`podium benchmark`: the raw engine of a variant on this machine, without a server."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from podium.console import Json, Output, print_document, print_styled, print_table

if TYPE_CHECKING:
    from podium.rooflines import Sighting
    from predictors.benchmark import Split
    from predictors.measured import EnginePoint

__all__ = ["register"]

_COLUMNS = ("THREADS", "BATCH", "P50 MS", "95 % INTERVAL", "ITEMS/S")
_ROOFLINE = ("OPS/BYTE", "GOPS/S", "ATTAINABLE", "SHARE", "BOUND BY")


def register(app: typer.Typer) -> None:
    """Add the command to the application."""

    @app.command(epilog="Example: podium benchmark food11-ort-int8 --cpus 1 --batches 1,2,4,8")
    def benchmark(
        variant: Annotated[str, typer.Argument(help="Variant id, id@address, or artifact folder.")],
        cpus: Annotated[float, typer.Option(min=0.1, max=1024, help="CPU share in cores.")] = 1.0,
        batches: Annotated[str, typer.Option(help="Batch sizes, with commas between.")] = "1,2,4,8",
        seconds: Annotated[float, typer.Option(min=0.0, max=600, help="Time for each batch size.")] = 1.0,
        node_class: Annotated[str, typer.Option(help="Node class of the fingerprint.")] = "local",
        roofline: Annotated[
            bool, typer.Option("--roofline", help="Measure this machine's peak and bandwidth too, and compare.")
        ] = False,
        pictures: Annotated[
            Path | None, typer.Option(metavar="DIR", help="Draw the roofline as an SVG file there; needs --roofline.")
        ] = None,
        png: Annotated[bool, typer.Option("--png", help="Make a PNG file of it too; needs Chromium.")] = False,
        output: Annotated[Output, typer.Option("-o", "--output", help="How to print.")] = Output.TABLE,
        store: Annotated[Path | None, typer.Option(help="Artifact store; the default is PODIUM_STORE.")] = None,
    ) -> None:
        """Measure the engine's time for each batch size, and record it beside the artifact.

        `podium serve` on the same kind of machine then gathers batches up to the size that pays. With two cores
        and more, the engine is measured whole and divided too: where several engines of fewer threads answer more
        together, and a request that comes alone no later, `podium serve` starts as many processes.
        """
        from podium.errors import UsageError
        from podium.outlook import exports, facts_of_artifact, here, known, words
        from predictors.benchmark import benchmark as measure
        from predictors.benchmark import time_splits, worthwhile_batch, worthwhile_split
        from predictors.fingerprint import environment, fingerprint
        from predictors.manifest import read_variant, verify_files
        from predictors.measured import Batching, write_measured
        from predictors.store import Store, default_store

        sizes = [int(part) for part in batches.split(",") if part.strip().isdecimal()]
        if not sizes or len(sizes) != batches.count(",") + 1 or not all(1 <= size <= 256 for size in sizes):
            raise UsageError(f"--batches {batches!r} is no list of sizes", "give sizes from 1 to 256, as 1,2,4,8")
        if pictures is not None and not roofline:
            raise typer.BadParameter("it draws the roofline; add --roofline", param_hint="--pictures")
        if png and pictures is None:
            raise typer.BadParameter("it goes with --pictures", param_hint="--png")
        kept = Store(store or default_store())
        stored = kept.find(variant)
        manifest = read_variant(stored.folder)
        verify_files(stored.folder, manifest)
        threads = max(1, int(cpus))
        plain = exports(known(kept)).get(manifest.model.source_digest)
        promised = here(manifest.recipe, facts_of_artifact(plain) if plain else None)
        points = measure(stored.folder, manifest, threads=threads, sizes=sorted(set(sizes)), seconds=seconds)
        seconds_of = {point.batch: point.p50_ms / 1e3 for point in points}
        worth = worthwhile_batch(sorted(seconds_of), seconds_of.__getitem__)
        where = fingerprint(environment(node_class, cpus))
        divided = (
            time_splits(stored.folder, manifest, cores=threads, size=worth, seconds=seconds) if threads > 1 else []
        )
        chosen = worthwhile_split(divided) if divided else None
        batching = Batching(
            max_batch=worth,
            instances=1 if chosen is None else chosen.instances,
            threads=threads if chosen is None else chosen.threads,
        )
        told = None if promised.verdict == "unknown" else words(promised)
        write_measured(stored.folder, where, engine=points, batching=batching, forecast=told)
        sighting = None
        if roofline:
            from podium.rooflines import draw, keep, sight

            sighting = sight(kept, manifest, points, threads=threads)
            keep(sighting, stored.folder, where)
            drawn = draw(sighting, manifest.id, pictures) if pictures else ()
            if png and drawn:
                from podium.raster import to_png

                drawn += to_png(drawn)
            for path in drawn:
                typer.echo(f"drawn: {path}", err=True)
        if output is Output.TABLE:
            _show(points, sighting)
            _tell(divided, chosen)
        else:
            document: dict[str, Json] = {
                "variant": stored.id,
                "address": stored.address,
                "fingerprint": where,
                "batching": batching.model_dump(),
                "engine": [point.model_dump() for point in points],
                "splits": [asdict(one) for one in divided],
            }
            print_document(document | ({} if sighting is None else {"roofline": sighting.document()}), output)


def _show(points: "Sequence[EnginePoint]", sighting: "Sighting | None") -> None:
    from podium.figures import plural

    if sighting is None:
        print_table(_COLUMNS, [_row(point) for point in points], right=_COLUMNS)
        return
    rows = [
        (
            *_row(point),
            f"{place.intensity:.1f}",
            f"{place.achieved / 1e9:,.1f}",
            f"{place.achieved / place.share / 1e9:,.1f}",
            f"{place.share:.0%}",
            "memory" if place.is_memory_bound else "compute",
        )
        for point, place in zip(points, sighting.places, strict=True)
    ]
    print_table((*_COLUMNS, *_ROOFLINE), rows, right=(*_COLUMNS, *_ROOFLINE[:-1]))
    roof = sighting.roof
    print_styled(
        f"this machine, {plural(roof.threads, 'thread')}: {roof.peak / 1e9:,.0f} billion operations a second, "
        f"{roof.bandwidth / 1e9:,.1f} GB/s; compute is the limit from {roof.ridge:.0f} operations a byte on"
    )


def _tell(divided: "Sequence[Split]", chosen: "Split | None") -> None:
    from podium.figures import plural

    for one in divided:
        engines = f"{plural(one.instances, 'engine')} of {plural(one.threads, 'thread')}"
        mark = ", which podium serve takes" if one is chosen else ""
        print_styled(f"{engines}: {one.items_per_second:,.0f} items/s, {one.alone_ms:.3f} ms alone{mark}")


def _row(point: "EnginePoint") -> tuple[str, ...]:
    return (
        str(point.threads),
        str(point.batch),
        f"{point.p50_ms:.3f}",
        f"{point.low:.3f} to {point.high:.3f}",
        f"{point.items_per_second:,.0f}",
    )
