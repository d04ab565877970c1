"""`podium race`: one submission in, a measured verdict out."""

import shlex
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from podium.console import Output

__all__ = ["register"]

_MODELS, _RUNS, _PORT = Path("models"), Path("runs"), 18080


class TargetName(StrEnum):
    """Where the race runs."""

    local = "local"
    cluster = "cluster"


def register(app: typer.Typer) -> None:
    """Add the command to the application."""

    @app.command(
        epilog="Example: podium race -f examples/food11.yaml --profile quick --dry-run",
    )
    def race(
        file: Annotated[Path, typer.Option("-f", "--filename", help="The submission: one InferenceService.")],
        target: Annotated[TargetName, typer.Option(help="Where the variants are served.")] = TargetName.local,
        profile: Annotated[
            str | None, typer.Option(help="Load profile by name or file; the default is the submission's.")
        ] = None,
        budget: Annotated[str | None, typer.Option(help="Wall time for measuring, as 5m or 1h30m.")] = None,
        output: Annotated[Output, typer.Option("-o", "--output", help="What to print.")] = Output.TABLE,
        dry_run: Annotated[bool, typer.Option("--dry-run", help="Check everything, start nothing.")] = False,
        models: Annotated[Path, typer.Option(help="Where pvc:// claims are on this machine.")] = _MODELS,
        runs: Annotated[Path, typer.Option(help="Where races are kept.")] = _RUNS,
        port: Annotated[int, typer.Option(min=1024, max=65000, help="First port of the servers.")] = _PORT,
        new: Annotated[bool, typer.Option("--new", help="Do not resume an unfinished race.")] = False,
        apply: Annotated[
            bool, typer.Option("--apply", help="Let the winner serve under the submission's name (cluster).")
        ] = False,
        keep: Annotated[
            bool,
            typer.Option("--keep", help="Leave what is up when the race ends, and say how it is removed (cluster)."),
        ] = False,
        runners: Annotated[
            int, typer.Option(min=1, max=16, help="Load generators that share a schedule (cluster).")
        ] = 1,
        namespace: Annotated[
            str | None, typer.Option("-n", "--namespace", help="Namespace; the default is the context's.")
        ] = None,
        context: Annotated[str | None, typer.Option(help="Context of the kubeconfig.")] = None,
        kubeconfig: Annotated[Path | None, typer.Option(help="The kubeconfig file.")] = None,
    ) -> int:
        """Build, check, serve, load-test and judge every variant of a model."""
        from podium.plan import plan_race
        from podium.screen import show_plan, show_race

        if apply and target is TargetName.local:
            raise typer.BadParameter(
                "a process of this machine serves nobody; add --target cluster", param_hint="--apply"
            )
        if keep and target is TargetName.local:
            raise typer.BadParameter(
                "the servers of a local race end with it; podium serve VARIANT starts one again", param_hint="--keep"
            )
        cluster = {
            "--runners": None if runners == 1 else str(runners),
            "--namespace": namespace,
            "--context": context,
            "--kubeconfig": None if kubeconfig is None else str(kubeconfig),
        }
        unused = next((flag for flag, value in cluster.items() if value is not None), None)
        if unused is not None and target is TargetName.local:
            raise typer.BadParameter("it is about a cluster; add --target cluster", param_hint=unused)
        place = None
        if target is TargetName.cluster:
            from podium.cluster.access import Access
            from podium.raceplace import ClusterPlace

            told = (lambda text: typer.echo(text, err=True)) if keep else None
            place = ClusterPlace.at(Access(kubeconfig, context, namespace), runners=runners, keep=told)
        plan = plan_race(
            file,
            profile=profile,
            budget=budget,
            models_dir=models,
            runs=runs,
            target=target.value,
            first_port=port,
            site=place.site if place else None,
        )
        if place is not None:
            place.check(plan)
            if apply:
                place.check_apply(plan.submission.name)
        if dry_run:
            show_plan(plan, output)
            return 0
        from podium.race import run_race
        from podium.racefile import exit_code

        places = {
            "--models": None if models == _MODELS else str(models),
            "--runs": None if runs == _RUNS else str(runs),
            "--port": None if port == _PORT else str(port),
        }
        command = _spelled(file, profile, budget, target, apply=apply, keep=keep, more={**places, **cluster})
        folder, result = run_race(plan, fresh=new, command=command, make_target=place.target if place else None)
        show_race(folder, result, output)
        # Whatever becomes of it, what was measured has been shown.
        if place is not None and apply:
            place.apply(plan, folder, result, lambda text: typer.echo(text, err=True))
        return exit_code(result)


def _spelled(
    file: Path,
    profile: str | None,
    budget: str | None,
    target: TargetName,
    *,
    apply: bool,
    keep: bool = False,
    more: Mapping[str, str | None],
) -> str:
    """Return the command line as it would be typed again, without what is at its default."""
    words = ["podium", "race", "-f", str(file)]
    words += ["--target", target.value] if target is not TargetName.local else []
    words += ["--profile", profile] if profile else []
    words += ["--budget", budget] if budget else []
    words += ["--apply"] if apply else []
    words += ["--keep"] if keep else []
    words += [word for flag, value in more.items() if value is not None for word in (flag, value)]
    return shlex.join(words)
