"""What `podium chaos` prints: what it would do, and what it saw."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from pathlib import Path

from podium import console
from podium.chaos.plan import draw
from podium.chaos.report import ChaosReport, FaultRow
from podium.chaos.spec import CLUSTER_WIDE, Faults
from podium.console import Json, Output

__all__ = ["show_draw", "show_report", "show_undone"]

_SHOWN = 20
_STYLES = {"HELD": "green", "LOST": "red", "UNSETTLED": "yellow"}


def show_draw(spec: Faults, output: Output) -> None:
    """Print which faults the seed gives."""
    drawn = list(islice(draw(spec), spec.rounds or _SHOWN))
    if output is not Output.TABLE:
        faults: list[Json] = [
            {"n": one.number, "kind": one.fault.kind, "service": one.service, "pause_s": one.pause_s, "pick": one.pick}
            for one in drawn
        ]
        console.print_document({"name": spec.name, "seed": spec.seed, "faults": faults}, output)
        return
    rows = [
        (
            str(one.number),
            one.fault.kind,
            one.service,
            f"{one.pause_s:.1f}s",
            "the cluster" if one.fault.kind in CLUSTER_WIDE else "",
        )
        for one in drawn
    ]
    console.print_table(("#", "FAULT", "SERVICE", "AFTER", "FELT BY"), rows, right={"#", "AFTER"})
    more = "" if spec.rounds else f", of which these are the first {_SHOWN}"
    end = f"{spec.rounds} faults" if spec.rounds else f"faults for {spec.for_s:g} s{more}"
    services = ", ".join(one.name for one in spec.services)
    console.print_styled(f"seed {spec.seed}: {end}; {services} asked {spec.probe.rate:g} times a second, never twice")


def show_report(report: ChaosReport, folder: Path, output: Output) -> None:
    """Print the faults and the verdict, or `chaos.json` as it was written."""
    if output is not Output.TABLE:
        console.print_document(report.model_dump(mode="json"), output)
        return
    columns = ("#", "FAULT", "SERVICE", "WHERE", "LASTED", "LOST", "WHOLE AFTER", "")
    console.print_table(columns, [_cells(row) for row in report.faults], right={"#", "LASTED", "LOST", "WHOLE AFTER"})
    for text in report.skipped:
        console.print_styled(f"skipped: {text}")
    probe = report.probe
    bound = "" if probe.bound is None else f" (at most {100 * probe.bound:.2g} % at 95 % confidence)"
    console.print_styled("")
    console.print_styled(
        f"asked {probe.planned:,} times in {probe.seconds:.0f} s, none twice: {probe.answered_right:,} right, "
        f"{probe.lost_inside:,} lost inside the windows, {probe.lost_outside:,} of {probe.planned_outside:,} outside"
        f"{bound}, {probe.wrong:,} wrong"
    )
    console.print_styled(report.status, _STYLES[report.status], end="")
    console.print_styled("".join(f"\n  {reason}" for reason in report.reasons))
    console.print_styled(f"log and report: {folder}")


def show_undone(done: Sequence[str]) -> None:
    """Print what another run had left."""
    for text in done or ("nothing was left",):
        console.print_styled(text)


def _cells(row: FaultRow) -> tuple[str, ...]:
    after = "never" if row.whole_after_s is None else f"{row.whole_after_s:.1f}s"
    lasted = f"{row.ended_s - row.began_s:.1f}s"
    return (str(row.n), row.kind, row.service, row.where, lasted, str(row.lost), after, row.outcome or row.missing)
