"""`podium chaos`: faults for one's own InferenceServices, under a prober that never asks twice."""

import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from podium.console import Output

__all__ = ["register"]

_CODES = {"HELD": 0, "LOST": 5, "UNSETTLED": 6}


def register(app: typer.Typer) -> None:
    """Add the command to the application."""

    @app.command(epilog="Example: podium chaos -f examples/faults/mnist.yaml --dry-run")
    def chaos(
        file: Annotated[Path | None, typer.Option("-f", "--file", help="The file of faults.")] = None,
        replay: Annotated[Path | None, typer.Option(help="Log of a run, whose faults are made again.")] = None,
        undo: Annotated[Path | None, typer.Option(help="Log of a run that was killed: undo what it left.")] = None,
        seed: Annotated[int | None, typer.Option(min=0, help="In the place of the file's.")] = None,
        allow_cluster_faults: Annotated[
            bool, typer.Option("--allow-cluster-faults", help="Allow faults that all on the cluster feel.")
        ] = False,
        dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the faults that the seed gives.")] = False,
        namespace: Annotated[
            str | None, typer.Option("-n", "--namespace", help="Namespace; the default is the context's.")
        ] = None,
        context: Annotated[str | None, typer.Option(help="Context of the kubeconfig.")] = None,
        kubeconfig: Annotated[Path | None, typer.Option(help="The kubeconfig file.")] = None,
        output: Annotated[Output, typer.Option("-o", "--output", help="How to print.")] = Output.TABLE,
        runs: Annotated[Path, typer.Option(help="Where runs are kept.")] = Path("runs"),
    ) -> int:
        """Make faults to InferenceServices, and count what is lost inside and outside the marked windows.

        Exit code 0: nothing was lost outside, no answer was wrong, all came back by itself; 5: proven otherwise; 6: it
        cannot be told. Ctrl-C undoes what was done; after a kill, --undo does.
        """
        from podium.chaos.campaign import replay_of, run_chaos, undo_log, wish_of
        from podium.chaos.screen import show_draw, show_report, show_undone
        from podium.cluster.access import Access
        from podium.console import notes
        from podium.errors import UsageError

        access = Access(kubeconfig=kubeconfig, context=context, namespace=namespace)
        if sum(one is not None for one in (file, replay, undo)) != 1:
            raise UsageError("one of -f, --replay and --undo says what is to be done", "podium chaos -f faults.yaml")
        if undo is not None:
            show_undone(undo_log(undo, access))
            return 0
        if replay is not None and seed is not None:
            raise UsageError("--seed has no meaning with --replay, whose faults are drawn already", "leave it out")
        asked = replay_of(replay) if replay is not None else wish_of(file or Path(), seed=seed)
        if dry_run:
            show_draw(asked.spec, output)
            return 0
        console = notes()
        folder, report = run_chaos(
            asked,
            access,
            runs=runs,
            allows_cluster_faults=allow_cluster_faults,
            command=shlex.join(["podium", *sys.argv[1:]]),
            say=lambda text: console.print(text, markup=False, highlight=False),
        )
        show_report(report, folder, output)
        return _CODES[report.status]
