"""`podium delete`: take away what `podium deploy` made, or what a race left."""

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    """Add the command to the application."""

    @app.command(epilog="Example: podium delete food11-ort-int8 -n podium")
    def delete(
        name: Annotated[str | None, typer.Argument(help="Name of the InferenceService.")] = None,
        race: Annotated[
            str | None, typer.Option(help="Id or label of a race that was killed: sweep all that it left.")
        ] = None,
        runs: Annotated[Path, typer.Option(help="Where races are kept; one that runs there is refused.")] = Path(
            "runs"
        ),
        namespace: Annotated[
            str | None, typer.Option("-n", "--namespace", help="Namespace; the default is the context's.")
        ] = None,
        context: Annotated[str | None, typer.Option(help="Context of the kubeconfig.")] = None,
        kubeconfig: Annotated[Path | None, typer.Option(help="The kubeconfig file.")] = None,
    ) -> int:
        """Delete a deployed variant, or what a race left, and wait until its pods are gone.

        By name, what a race or somebody else made is refused. With --race, only what carries the label of that race
        goes; the race itself stays under runs/ and may be resumed.
        """
        from podium.cluster.access import Access
        from podium.cluster.deployment import delete_race, delete_service

        access = Access(kubeconfig=kubeconfig, context=context, namespace=namespace)
        if race is not None and name is None:
            gone = delete_race(race, access, runs=runs)
            for one in gone:
                typer.echo(f"{one} deleted")
            if not gone:
                typer.echo(f"nothing of the race {race} is there", err=True)
            return 0
        if name is not None and race is None:
            was_there = delete_service(name, access)
            typer.echo(f"{name} deleted" if was_there else f"there is no {name}", err=not was_there)
            return 0
        raise typer.BadParameter("name one InferenceService, or a race with --race", param_hint="NAME")
