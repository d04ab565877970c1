"""`podium diagnose`: why is a variant not faster?"""

from pathlib import Path
from typing import Annotated

import typer

from podium.console import Output, print_document, print_styled, print_table

__all__ = ["register"]

_STYLES = {"cause": "red", "healthy": "green"}


def register(app: typer.Typer) -> None:
    """Add the command to the application."""

    @app.command(epilog="Example: podium diagnose latest/food11-ort-int8 -o json")
    def diagnose(
        name: Annotated[str, typer.Argument(help="RACE/VARIANT, a bench, a run, or a variant of the store.")],
        output: Annotated[Output, typer.Option("-o", "--output", help="How to print.")] = Output.TABLE,
        runs: Annotated[Path, typer.Option(help="Where races and runs are kept.")] = Path("runs"),
        store: Annotated[Path | None, typer.Option(help="Artifact store; the default is PODIUM_STORE.")] = None,
    ) -> None:
        """Look for the usual causes in what was measured: each one sentence with its number, and one change.

        What the runs do not show is "unknown", and never guessed.
        """
        from podium.slowness import diagnose as look
        from podium.symptoms import read_symptoms
        from predictors.store import Store, default_store

        symptoms = read_symptoms(name, runs=runs, store=Store(store or default_store()))
        findings = look(symptoms)
        if output is not Output.TABLE:
            print_document(
                {
                    "variant": symptoms.variant,
                    "void": list(symptoms.void),
                    "findings": [
                        {
                            "number": one.number,
                            "check": one.name,
                            "outcome": one.outcome,
                            "sentence": one.sentence,
                            "change": one.change or None,
                        }
                        for one in findings
                    ],
                },
                output,
            )
            return
        rows = [(str(one.number), one.name, one.outcome, one.sentence) for one in findings]
        print_table(("#", "CHECK", "OUTCOME", "WHY"), rows, right={"#"}, styles=_STYLES)
        if symptoms.void:
            names = ", ".join(symptoms.void)
            print_styled(f"all runs of it are void ({names}): what they show may say why, and no figure of them counts")
        causes = [one for one in findings if one.outcome == "cause"]
        for one in causes:
            print_styled(f"{one.name}: {one.change}")
        if not causes:
            print_styled(f"{symptoms.variant}: no cause was found in what is known")
