"""`podium gate`: does a race prove a regression against its baseline?"""

from pathlib import Path
from typing import Annotated

import typer

from podium.console import Output, print_document, print_styled, print_table

__all__ = ["register"]

_STYLES = {"ok": "green", "regression": "red"}


def register(app: typer.Typer) -> None:
    """Add the command to the application."""

    @app.command(epilog="Example: podium gate nightly --baseline release --junit gate.xml")
    def gate(
        race: Annotated[str, typer.Argument(help="A race or bench of level standard, or RACE/VARIANT.")],
        baseline: Annotated[str, typer.Option(help="What it must not be worse than, named likewise.")],
        tolerance: Annotated[str, typer.Option(help="Share by which a figure may be worse.")] = "10%",
        junit: Annotated[Path | None, typer.Option(help="Write JUnit XML to this file.")] = None,
        output: Annotated[Output, typer.Option("-o", "--output", help="How to print.")] = Output.TABLE,
        runs: Annotated[Path, typer.Option(help="Where races and benches are kept.")] = Path("runs"),
    ) -> int:
        """Compare a race with its baseline, for CI.

        Exit code 0: no regression is proven; 5: one is; 6: something cannot be told, for example of void runs or of
        blocks that disagree; 3: the two cannot be compared, for example for another SLO, or are below level standard.
        """
        from loadtest.amounts import parse_share
        from podium.errors import UsageError
        from podium.gateside import read_side
        from podium.junit import junit_text
        from podium.regression import gate as judged
        from podium.wholefile import write_whole

        if junit is not None:
            # Of two sides that cannot be compared nothing is written, and a former result must not stand for them.
            _remove(junit)
        try:
            share = parse_share(tolerance)
        except ValueError as error:
            raise UsageError(f"--tolerance: {error}", "write for example 10%") from error
        if not 0 <= share < 1:
            raise UsageError(f"--tolerance {tolerance} is not a share below 100%", "write for example 10%")
        found = judged(read_side(race, runs), read_side(baseline, runs), tolerance=share)
        if junit is not None:
            write_whole(junit, junit_text(found))
        if output is Output.TABLE:
            rows = [(case.subject, case.figure, case.outcome, case.sentence) for case in found.cases]
            print_table(("SUBJECT", "FIGURE", "OUTCOME", ""), rows, styles=_STYLES)
            for note in found.notes:
                print_styled(note)
            print_styled(f"{found.name} against {found.baseline}: {_WORDS[found.exit_code]}")
        else:
            print_document(
                {
                    "race": found.name,
                    "baseline": found.baseline,
                    "tolerance": found.tolerance,
                    "exit_code": found.exit_code,
                    "cases": [
                        {
                            "subject": case.subject,
                            "figure": case.figure,
                            "outcome": case.outcome,
                            "sentence": case.sentence,
                        }
                        for case in found.cases
                    ],
                    "notes": list(found.notes),
                },
                output,
            )
        return found.exit_code


def _remove(path: Path) -> None:
    from podium.errors import MachineError

    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise MachineError(f"{path} cannot be replaced: {error.strerror or error}", "name another file") from error


_WORDS = {0: "no regression is proven", 5: "a regression is proven", 6: "it cannot be told"}
