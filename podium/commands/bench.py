"""`podium bench`: load any URL that speaks one of the protocols, without a race."""

import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from podium.console import Output

__all__ = ["register"]

_CODES = {"PASS": 0, "MEASURED": 0, "FAIL": 5, "INCONCLUSIVE": 6, "VOID": 6}


def register(app: typer.Typer) -> None:
    """Add the command to the application."""

    @app.command(
        epilog="Example: podium bench http://127.0.0.1:8080 --model food11 --payloads photos --rate 40 --dry-run",
    )
    def bench(
        url: Annotated[str, typer.Argument(help="http://HOST:PORT, grpc://HOST:PORT, or a model's whole URL.")],
        payloads: Annotated[Path, typer.Option(help="Folder of request bodies; for v1-image that is images.")],
        profile: Annotated[str, typer.Option(help="Load profile by name or file.")] = "quick",
        model: Annotated[str | None, typer.Option(help="The model's name; not needed with its whole URL.")] = None,
        protocol: Annotated[str | None, typer.Option(help="In the place of the profile's protocol.")] = None,
        rate: Annotated[float | None, typer.Option(help="Requests a second to hold.")] = None,
        slo: Annotated[str | None, typer.Option(help="What must hold, as p99<=100ms, errors<=1%.")] = None,
        name: Annotated[str | None, typer.Option(help="What the runs are called; the default is the model.")] = None,
        state: Annotated[str | None, typer.Option(help="Metrics port of a `podium serve`: http://HOST:8082.")] = None,
        key_file: Annotated[
            Path | None, typer.Option("--key-file", help="File with the key that the server asks for.")
        ] = None,
        runners: Annotated[int, typer.Option(min=1, max=16, help="Load generators that share the schedule.")] = 1,
        tool: Annotated[str, typer.Option(help="What sends: k6, or vegeta for constant rates over HTTP.")] = "k6",
        seed: Annotated[
            int | None, typer.Option(min=0, help="Of the schedule; the same question has the same.")
        ] = None,
        output: Annotated[Output, typer.Option("-o", "--output", help="What to print.")] = Output.TABLE,
        dry_run: Annotated[bool, typer.Option("--dry-run", help="Check everything, send nothing.")] = False,
        runs: Annotated[Path, typer.Option(help="Where runs are kept.")] = Path("runs"),
    ) -> int:
        """Load a URL by a profile, with the proofs of a race, and judge it where an SLO is given.

        Exit code 0: measured, or the SLO holds; 5: it does not; 6: it cannot be told.
        """
        from podium.benchplan import plan_bench
        from podium.benchscreen import show_bench, show_bench_plan

        plan = plan_bench(
            url,
            profile=profile,
            payloads=payloads,
            model=model,
            protocol=protocol,
            rate=rate,
            slo=slo,
            name=name,
            state=state,
            key_file=key_file,
            runners=runners,
            seed=seed,
            runs=runs,
            tool=tool,
        )
        if dry_run:
            show_bench_plan(plan, output)
            return 0
        from podium.bench import run_bench
        from podium.progress import RaceProgress

        progress = RaceProgress()
        folder, result = run_bench(plan, command=shlex.join(["podium", *sys.argv[1:]]), say=progress.note)
        show_bench(folder, result, output)
        return _CODES[result.status]
