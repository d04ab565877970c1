# ruff: noqa: N999 - a command's module has its name
"""`podium import`: make an ONNX file of anybody's making raceable."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from podium.console import Output, print_document, print_table

__all__ = ["register"]

_COLUMNS = ("MODEL", "OPSET", "OPERATORS", "SIZE", "VARIANTS", "FOLDER")


def register(app: typer.Typer) -> None:
    """Add the command to the application."""

    @app.command("import", epilog="Example: podium import model.onnx --card model.yaml --to models/mine")
    def take(
        model: Annotated[Path, typer.Argument(metavar="MODEL.ONNX", help="The ONNX file, weights included.")],
        card: Annotated[Path, typer.Option(help="Its model card; what it says of onnx is not read.")],
        to: Annotated[Path | None, typer.Option(help="Folder to make; the default is models/NAME.")] = None,
        output: Annotated[Output, typer.Option("-o", "--output", help="How to print.")] = Output.TABLE,
    ) -> None:
        """Check an ONNX model against its card and make a model folder that can be built and raced.

        The file is looked at in a process of its own, with little memory and time: a broken or hostile one is refused
        with the reason.
        """
        from podium.intake import take_in
        from podium.quantities import format_bytes

        found = take_in(model, card, to)
        if output is Output.TABLE:
            row = (found.name, str(found.opset), str(found.operators), format_bytes(found.bytes))
            print_table(_COLUMNS, [(*row, str(len(found.variants)), str(found.folder))], right=_COLUMNS[1:5])
            typer.echo(f"next: podium build {found.folder}", err=True)
        else:
            print_document({**asdict(found), "folder": str(found.folder), "variants": list(found.variants)}, output)
