"""`podium deploy`: a variant behind an InferenceService, on the node class that it was made for."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from podium.console import Output
from podium.mode import Mode

if TYPE_CHECKING:
    from podium.cluster.deployment import Deployed

__all__ = ["register"]


class DryRun(StrEnum):
    """How far a dry run goes."""

    CLIENT = "client"
    SERVER = "server"


def register(app: typer.Typer) -> None:
    """Add the command to the application."""

    @app.command(epilog="Example: podium deploy food11-ort-int8 --node-class epyc --dry-run=client")
    def deploy(
        variant: Annotated[str, typer.Argument(help="Variant id, id@address, or artifact folder.")],
        node_class: Annotated[str, typer.Option("--node-class", help="Where it runs: podium get classes.")],
        mode: Annotated[Mode, typer.Option(help="KServe's deployment mode.")] = "Standard",
        name: Annotated[
            str | None, typer.Option(help="Name of the InferenceService; the default is the variant's id.")
        ] = None,
        min_replicas: Annotated[int, typer.Option(min=0, max=100, help="Fewest pods; 0 only with Knative.")] = 1,
        max_replicas: Annotated[int, typer.Option(min=1, max=100, help="Most pods.")] = 3,
        namespace: Annotated[
            str | None, typer.Option("-n", "--namespace", help="Namespace; the default is the context's.")
        ] = None,
        context: Annotated[str | None, typer.Option(help="Context of the kubeconfig.")] = None,
        kubeconfig: Annotated[Path | None, typer.Option(help="The kubeconfig file.")] = None,
        timeout: Annotated[str, typer.Option(help="How long to wait until it serves, as in 5m.")] = "5m",
        dry_run: Annotated[
            DryRun | None, typer.Option("--dry-run", help="Print what would be made; server asks the cluster too.")
        ] = None,
        output: Annotated[Output, typer.Option("-o", "--output", help="How to print.")] = Output.TABLE,
        store: Annotated[Path | None, typer.Option(help="Artifact store; the default is PODIUM_STORE.")] = None,
    ) -> int:
        """Deploy a variant as an InferenceService and wait until it serves.

        A variant that serves under this name already is replaced without losing a request. What cannot become
        ready is taken back, and the reason is told.
        """
        from podium.cluster.access import Access
        from podium.cluster.deployment import Wish, deploy_variant, preview
        from podium.quantities import parse_duration
        from predictors.store import Store, default_store

        if max_replicas < max(1, min_replicas):
            raise typer.BadParameter(f"it is below --min-replicas {min_replicas}", param_hint="--max-replicas")
        if min_replicas == 0 and mode == "Standard":
            raise typer.BadParameter("only --mode Knative scales to 0", param_hint="--min-replicas")
        wish = Wish(
            stored=Store(store or default_store()).find(variant),
            node_class=node_class,
            name=name,
            mode=mode,
            replicas=(min_replicas, max_replicas),
            timeout_s=parse_duration(timeout),
        )
        access = Access(kubeconfig=kubeconfig, context=context, namespace=namespace)
        if dry_run is not None:
            typer.echo(preview(wish, access, ask_cluster=dry_run is DryRun.SERVER), nl=False)
            return 0
        _show(deploy_variant(wish, access), output)
        return 0


def _show(deployed: "Deployed", output: Output) -> None:
    from podium.console import print_document, print_table

    if output is not Output.TABLE:
        print_document(deployed.document(), output)
        return
    print_table(
        ("NAME", "VARIANT", "ADDRESS", "NODE CLASS", "NODES", "READY AFTER", "URL"),
        [deployed.row()],
        right={"READY AFTER"},
    )
