"""`podium doctor`: can this machine race, and what would help?"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from podium.console import Output, print_document, print_styled

if TYPE_CHECKING:
    from podium.cluster.access import Access
    from podium.doctor import Check

__all__ = ["register"]

_STYLES = {"ok": "green", "note": "yellow", "missing": "bold red"}


def register(app: typer.Typer) -> None:
    """Add the command to the application."""

    @app.command(epilog="Example: podium doctor -o json")
    def doctor(
        output: Annotated[Output, typer.Option("-o", "--output", help="How to print.")] = Output.TABLE,
        store: Annotated[
            Path | None, typer.Option(help="Artifact store to check; the default is PODIUM_STORE.")
        ] = None,
        port: Annotated[int, typer.Option(min=1024, max=65000, help="First port of the servers.")] = 18080,
        namespace: Annotated[
            str | None, typer.Option("-n", "--namespace", help="Namespace; the default is the context's.")
        ] = None,
        context: Annotated[str | None, typer.Option(help="Context of the kubeconfig.")] = None,
        kubeconfig: Annotated[Path | None, typer.Option(help="The kubeconfig file.")] = None,
    ) -> int:
        """Check this machine and the cluster, and say how to mend what is missing.

        Exits with 4 when a race cannot run here, or when a cluster that was named cannot do its part. Without a
        kubeconfig the cluster is left out.
        """
        from podium.cluster.access import Access
        from podium.doctor import examine, is_usable
        from predictors.store import default_store

        checks = examine(store or default_store(), first_port=port)
        asked = Access(kubeconfig, context, namespace)
        remote = _cluster_checks(asked)
        usable = is_usable(checks) and (is_usable(remote) or asked == Access())
        checks += remote
        if output is Output.TABLE:
            _show(checks)
        else:
            print_document(
                {
                    "usable": usable,
                    "checks": [
                        {"name": c.name, "status": c.status, "found": c.found, "remedy": c.remedy} for c in checks
                    ],
                },
                output,
            )
        return 0 if usable else 4


def _cluster_checks(asked: "Access") -> "tuple[Check, ...]":
    """Look at the cluster that is meant, where there is one; a machine without is no worse for it."""
    from podium.cluster.access import kubeconfig_path
    from podium.cluster.errors import ClusterError
    from podium.doctor import Check
    from podium.extras import missing_modules

    try:
        if kubeconfig_path(asked) is None:
            return ()
        if missing_modules("cluster"):
            return ()
        from podium.cluster.adapter import Cluster
        from podium.cluster.checks import examine_cluster

        return examine_cluster(Cluster.connect(asked))
    except ClusterError as error:
        return (Check("cluster", "missing", str(error), error.hint),)


def _show(checks: "Sequence[Check]") -> None:
    width = max(len(check.name) for check in checks)
    for check in checks:
        print_styled(f"{check.status:7}", _STYLES[check.status], end="")
        print_styled(f"  {check.name:{width}}  {check.found}")
        if check.remedy:
            print_styled(f"{'':{width + 9}}  → {check.remedy}")
