"""`podium calibrate`: limits of the passport from runs of this machine, kept for its node class."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from podium.console import Output, print_document, print_styled, print_table

if TYPE_CHECKING:
    from loadtest.calibration import Derived

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    """Add the command to the application."""

    @app.command(epilog="Example: podium calibrate --node-class local --dry-run -o json")
    def calibrate(
        names: Annotated[
            list[str] | None, typer.Argument(help="Races and benches of healthy servers; the default is all.")
        ] = None,
        node_class: Annotated[str, typer.Option(help="Node class of the runs; that of a bench is url.")] = "local",
        output: Annotated[Output, typer.Option("-o", "--output", help="How to print.")] = Output.TABLE,
        dry_run: Annotated[bool, typer.Option("--dry-run", help="Derive and print, keep nothing.")] = False,
        runs: Annotated[Path, typer.Option(help="Where races and runs are kept.")] = Path("runs"),
        store: Annotated[
            Path | None, typer.Option(help="Artifact store; limits are kept beside it, in calibration/.")
        ] = None,
    ) -> None:
        """Derive limits of the passport from runs of one environment, of one variant against itself or of several.

        A limit is what 95 % of such runs stay within, with 95 % confidence, and takes 59 of them. Races and benches in
        the same environment then use it in the place of a default; a profile that sets another value keeps its own.
        """
        from podium.calibration import calibration_folder, write_calibration
        from podium.recalibration import calibrate_from

        found = calibrate_from(runs, names=names or (), node_class=node_class)
        if found.calibration is not None and not dry_run:
            write_calibration(calibration_folder(store), found.calibration)
        if output is not Output.TABLE:
            print_document(
                {
                    "node_class": node_class,
                    "fingerprint": found.fingerprint,
                    "runs": found.runs,
                    "kept": found.calibration is not None and not dry_run,
                    "limits": [
                        {
                            "name": one.limit.name,
                            "value": one.value,
                            "worst": one.worst,
                            "runs": one.runs,
                            "needed": one.needed,
                        }
                        for one in found.derived
                    ],
                },
                output,
            )
            return
        print_table(("LIMIT", "VALUE", "WORST SEEN", "RUNS", ""), [_row(one) for one in found.derived], right={"RUNS"})
        print_styled(f"{found.runs} runs of node class {node_class}, fingerprint {found.fingerprint}")


def _row(one: "Derived") -> tuple[str, ...]:
    note = ""
    if one.needed:
        note = f"the default stays: {one.needed} more runs that measure it"
    elif one.is_cut:
        note = f"this machine is beyond it: {one.worst:.3g} is not fit to measure"
    value = "default" if one.value is None else f"{one.value:g}"
    return (one.limit.name, value, "none" if one.worst is None else f"{one.worst:.3g}", str(one.runs), note)
