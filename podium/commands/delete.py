"""`podium delete`: take away what `podium deploy` made."""

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    """Add the command to the application."""

    @app.command(epilog="Example: podium delete food11-ort-int8 -n podium")
    def delete(
        name: Annotated[str, typer.Argument(help="Name of the InferenceService.")],
        namespace: Annotated[
            str | None, typer.Option("-n", "--namespace", help="Namespace; the default is the context's.")
        ] = None,
        context: Annotated[str | None, typer.Option(help="Context of the kubeconfig.")] = None,
        kubeconfig: Annotated[Path | None, typer.Option(help="The kubeconfig file.")] = None,
    ) -> int:
        """Delete a deployed variant and wait until its pods are gone.

        What a race or somebody else made is refused.
        """
        from podium.cluster.access import Access
        from podium.cluster.deployment import delete_service

        was_there = delete_service(name, Access(kubeconfig=kubeconfig, context=context, namespace=namespace))
        typer.echo(f"{name} deleted" if was_there else f"there is no {name}", err=not was_there)
        return 0
