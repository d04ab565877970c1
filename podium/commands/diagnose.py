"""`podium diagnose`: why is a variant not faster?"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from podium.console import Json, Output, print_document, print_styled, print_table

if TYPE_CHECKING:
    from podium.change import Elsewhere
    from podium.slowness import Finding, Symptoms
    from podium.trial import Trial

__all__ = ["register"]

_STYLES = {"cause": "red", "healthy": "green"}


def register(app: typer.Typer) -> None:
    """Add the command to the application."""

    @app.command(epilog="Example: podium diagnose latest/food11-ort-int8 -o json")
    def diagnose(
        name: Annotated[str, typer.Argument(help="RACE/VARIANT, a bench, a run, or a variant of the store.")],
        output: Annotated[Output, typer.Option("-o", "--output", help="How to print.")] = Output.TABLE,
        apply: Annotated[
            bool, typer.Option("--apply", help="Play it here again, as it was and with the change of a cause.")
        ] = False,
        check: Annotated[
            int | None, typer.Option(min=1, max=10, help="Number of the cause to apply; the default is the first.")
        ] = None,
        profile: Annotated[str, typer.Option(help="Load profile of --apply: its warm-up and its hold.")] = "quick",
        rate: Annotated[
            float | None, typer.Option(min=0.01, help="Requests a second of --apply; the default is that of the runs.")
        ] = None,
        port: Annotated[int, typer.Option(min=1024, max=65000, help="First port of the servers of --apply.")] = 18080,
        runs: Annotated[Path, typer.Option(help="Where races and runs are kept.")] = Path("runs"),
        store: Annotated[Path | None, typer.Option(help="Artifact store; the default is PODIUM_STORE.")] = None,
    ) -> None:
        """Look for the usual causes in what was measured: each one sentence with its number, and one change.

        What the runs do not show is "unknown", and never guessed. With --apply the change of a cause is made and
        both are played in turns on one schedule, which tells whether it helps; a change that cannot be made on this
        machine is named.
        """
        from podium.slowness import diagnose as look
        from podium.symptoms import read_symptoms
        from predictors.store import Store, default_store

        place = Store(store or default_store())
        symptoms = read_symptoms(name, runs=runs, store=place)
        findings = look(symptoms)
        document = _document(symptoms, findings)
        if output is Output.TABLE:
            _show(symptoms, findings)
        if apply and (check is not None or any(one.outcome == "cause" for one in findings)):
            from podium.progress import RaceProgress
            from podium.verification import apply_change

            found = apply_change(
                name,
                symptoms,
                findings,
                number=check,
                profile=profile,
                rate=rate,
                first_port=port,
                runs=runs,
                store=place,
                say=RaceProgress().note,
            )
            document["apply"] = _applied(found.result, found.again)
            if output is Output.TABLE:
                _show_applied(found.result, found.again)
        if output is not Output.TABLE:
            print_document(document, output)


def _document(symptoms: "Symptoms", findings: "Sequence[Finding]") -> dict[str, Json]:
    return {
        "variant": symptoms.variant,
        "void": list(symptoms.void),
        "findings": [_finding(one) for one in findings],
    }


def _finding(one: "Finding") -> dict[str, Json]:
    return {
        "number": one.number,
        "check": one.name,
        "outcome": one.outcome,
        "sentence": one.sentence,
        "change": one.change or None,
    }


def _show(symptoms: "Symptoms", findings: "Sequence[Finding]") -> None:
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


def _applied(result: "Trial | Elsewhere", again: "Finding | None") -> dict[str, Json]:
    from podium.comparisonscreen import comparison_document
    from podium.trial import Trial

    if not isinstance(result, Trial):
        return {"number": result.number, "outcome": "not here", "sentence": result.sentence}
    return {
        "number": result.change.number,
        "change": result.change.words,
        "outcome": result.outcome,
        "sentence": result.sentence,
        "figure": result.change.figure,
        "rate": result.rate,
        "sent": result.sent,
        "folder": str(result.folder),
        "comparison": comparison_document(result.comparison),
        "afterwards": None if again is None else _finding(again),
    }


def _show_applied(result: "Trial | Elsewhere", again: "Finding | None") -> None:
    from podium.comparisonscreen import show_comparison
    from podium.trial import Trial

    if not isinstance(result, Trial):
        print_styled(f"check {result.number} cannot be applied here: {result.sentence}")
        return
    print_styled(f"played at {result.rate:g}/s: {result.sent}; the runs are in {result.folder}")
    show_comparison(result.comparison)
    print_styled(result.sentence)
    if again is not None:
        print_styled(f"with the change, check {again.number} says {again.outcome}: {again.sentence}")
