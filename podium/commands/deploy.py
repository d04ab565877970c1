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

_REPLICAS = (1, 3)


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
        mode: Annotated[
            Mode | None, typer.Option(help="KServe's deployment mode; the default is that of --values, or Standard.")
        ] = None,
        name: Annotated[
            str | None, typer.Option(help="Name of the InferenceService; the default is the variant's id.")
        ] = None,
        min_replicas: Annotated[
            int | None, typer.Option(min=0, max=100, help="Fewest pods, 1 by default; 0 only with Knative.")
        ] = None,
        max_replicas: Annotated[int | None, typer.Option(min=1, max=100, help="Most pods, 3 by default.")] = None,
        values: Annotated[
            Path | None, typer.Option(help="What scales it: a file of podium autoscale targets -o yaml.")
        ] = None,
        slo: Annotated[
            str, typer.Option(help="Objective that its metrics count answers against: p99<=100ms, errors<=1%.")
        ] = "",
        keys_secret: Annotated[
            str | None,
            typer.Option(
                "--keys-secret",
                help="Secret of the keys that requests must have, or none.",
                show_default="as what serves under the name",
            ),
        ] = None,
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
        from loadtest.slo import parse_slo
        from podium.autoscaling.scalingfile import read_scaling
        from podium.cluster.access import Access
        from podium.cluster.deployment import Wish, deploy_variant, preview
        from podium.quantities import parse_duration
        from predictors.store import Store, default_store

        scaling = None if values is None else read_scaling(values)
        if scaling is not None and mode not in (None, scaling.mode):
            raise typer.BadParameter(f"{values} is for mode {scaling.mode}", param_hint="--mode")
        mode = mode or (scaling.mode if scaling is not None else "Standard")
        low, high = (scaling and scaling.replicas and (scaling.replicas.min, scaling.replicas.max)) or _REPLICAS
        low, high = low if min_replicas is None else min_replicas, high if max_replicas is None else max_replicas
        if high < max(1, low):
            raise typer.BadParameter(f"it is below --min-replicas {low}", param_hint="--max-replicas")
        if low == 0 and mode == "Standard":
            raise typer.BadParameter("only --mode Knative scales to 0", param_hint="--min-replicas")
        wish = Wish(
            stored=Store(store or default_store()).find(variant),
            node_class=node_class,
            name=name,
            mode=mode,
            replicas=(low, high),
            timeout_s=parse_duration(timeout),
            scaling=scaling.values() if scaling is not None else {},
            slo=str(parse_slo(slo)) if slo else "",
            keys=keys_secret,
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
