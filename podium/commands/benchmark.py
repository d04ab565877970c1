"""`podium benchmark`: the raw engine of a variant on this machine, without a server."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from podium.console import Output, print_document, print_table

if TYPE_CHECKING:
    from predictors.measured import EnginePoint

__all__ = ["register"]

_COLUMNS = ("THREADS", "BATCH", "P50 MS", "95 % INTERVAL", "ITEMS/S")


def register(app: typer.Typer) -> None:
    """Add the command to the application."""

    @app.command(epilog="Example: podium benchmark food11-ort-int8 --cpus 1 --batches 1,2,4,8")
    def benchmark(
        variant: Annotated[str, typer.Argument(help="Variant id, id@address, or artifact folder.")],
        cpus: Annotated[float, typer.Option(min=0.1, max=1024, help="CPU share in cores.")] = 1.0,
        batches: Annotated[str, typer.Option(help="Batch sizes, with commas between.")] = "1,2,4,8",
        seconds: Annotated[float, typer.Option(min=0.0, max=600, help="Time for each batch size.")] = 1.0,
        node_class: Annotated[str, typer.Option(help="Node class of the fingerprint.")] = "local",
        output: Annotated[Output, typer.Option("-o", "--output", help="How to print.")] = Output.TABLE,
        store: Annotated[Path | None, typer.Option(help="Artifact store; the default is PODIUM_STORE.")] = None,
    ) -> None:
        """Measure the engine's time for each batch size, and record it beside the artifact.

        `podium serve` on the same kind of machine then gathers batches up to the size that pays.
        """
        from podium.errors import UsageError
        from predictors.benchmark import benchmark as measure
        from predictors.benchmark import worthwhile_batch
        from predictors.fingerprint import environment, fingerprint
        from predictors.manifest import read_variant, verify_files
        from predictors.measured import Batching, write_measured
        from predictors.store import Store, default_store

        sizes = [int(part) for part in batches.split(",") if part.strip().isdecimal()]
        if not sizes or len(sizes) != batches.count(",") + 1 or not all(1 <= size <= 256 for size in sizes):
            raise UsageError(f"--batches {batches!r} is no list of sizes", "give sizes from 1 to 256, as 1,2,4,8")
        stored = Store(store or default_store()).find(variant)
        manifest = read_variant(stored.folder)
        verify_files(stored.folder, manifest)
        threads = max(1, int(cpus))
        points = measure(stored.folder, manifest, threads=threads, sizes=sorted(set(sizes)), seconds=seconds)
        seconds_of = {point.batch: point.p50_ms / 1e3 for point in points}
        worth = worthwhile_batch(sorted(seconds_of), seconds_of.__getitem__)
        where = fingerprint(environment(node_class, cpus))
        batching = Batching(max_batch=worth, delay_us=0, threads=threads)
        write_measured(stored.folder, where, engine=points, batching=batching)
        if output is Output.TABLE:
            print_table(_COLUMNS, [_row(point) for point in points], right=_COLUMNS)
        else:
            print_document(
                {
                    "variant": stored.id,
                    "address": stored.address,
                    "fingerprint": where,
                    "batching": batching.model_dump(),
                    "engine": [point.model_dump() for point in points],
                },
                output,
            )


def _row(point: "EnginePoint") -> tuple[str, ...]:
    return (
        str(point.threads),
        str(point.batch),
        f"{point.p50_ms:.3f}",
        f"{point.low:.3f} to {point.high:.3f}",
        f"{point.items_per_second:,.0f}",
    )
