"""`podium train`: weights of a shipped model family from scratch, or a smaller network from a model's weights."""

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    """Add the command to the application."""

    @app.command(epilog="Example: podium train mnist --out examples/models/mnist/weights.safetensors")
    def train(
        model: Annotated[
            str,
            typer.Argument(help="A shipped family: antsbees, food11 or mnist; with --recipe a model's folder."),
        ],
        recipe: Annotated[
            str | None, typer.Option(help="Train what this recipe builds from, prune or distill, from the weights.")
        ] = None,
        network: Annotated[
            list[str] | None,
            typer.Option(metavar="NAME=NUMBER", help="A parameter of the family's network, as width=1 for antsbees."),
        ] = None,
        data: Annotated[Path | None, typer.Option(help="Folder of the public data set, or of your own.")] = None,
        out: Annotated[Path | None, typer.Option(help="Where to write the weights (float16).")] = None,
        subset: Annotated[int | None, typer.Option(min=64, help="Train on the first images only.")] = None,
        threads: Annotated[int, typer.Option(min=1, help="Threads of the training.")] = 2,
        checkpoint: Annotated[
            Path | None, typer.Option(help="Continue from here, and keep each epoch's end here.")
        ] = None,
    ) -> None:
        """Train a model family from scratch, or a recipe's smaller network from a model's weights.

        An interrupted training continues from its last epoch.
        """
        # Spinning threads on shared cores cost thirty times more than sleeping ones; OpenMP reads this once.
        os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
        if recipe is not None:
            if data is not None:
                raise typer.BadParameter("with --recipe the model card names the data", param_hint="--data")
            if network:
                raise typer.BadParameter("with --recipe the model card has the parameters", param_hint="--network")
            _train_recipe(Path(model), recipe, out=out, subset=subset, threads=threads, checkpoint=checkpoint)
            return
        from predictors.models.families import train_family

        result = train_family(
            model,
            data=data,
            out=out or Path(f"{model}.safetensors"),
            subset=subset,
            threads=threads,
            checkpoint=checkpoint or Path(f".podium/train/{model}.pt"),
            progress=_note,
            parameters=_parameters(network or []),
        )
        print(f"{result.path}: accuracy {result.accuracy:.4f} on {result.images} test images")  # noqa: T201


def _parameters(given: list[str]) -> dict[str, float]:
    found: dict[str, float] = {}
    for pair in given:
        name, _, number = pair.partition("=")
        try:
            found[name] = float(number)
        except ValueError as error:
            raise typer.BadParameter(f"{pair!r} is no NAME=NUMBER", param_hint="--network") from error
    return found


def _train_recipe(
    folder: Path, recipe: str, *, out: Path | None, subset: int | None, threads: int, checkpoint: Path | None
) -> None:
    from predictors.recipes.trained import train

    made = train(
        folder,
        recipe,
        subset=subset,
        threads=threads,
        checkpoint=checkpoint or Path(f".podium/train/{folder.resolve().name}-{recipe}.pt"),
        out=out,
        progress=_note,
    )
    print(  # noqa: T201
        f"{made.path}: {made.share:.0%} of the weights, accuracy {made.accuracy:.4f} on {made.images} test images, "
        f"the source {made.source_accuracy:.4f}"
    )


def _note(text: str) -> None:
    print(text, file=sys.stderr, flush=True)  # noqa: T201
