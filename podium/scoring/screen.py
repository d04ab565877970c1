"""What `podium autoscale score` and `calibrate` print: the verdict first, then the figures it follows from."""

from __future__ import annotations

from pathlib import Path

from podium import figures
from podium.console import Json, Output, notes, print_document, print_styled, print_table
from podium.scoring.comparison import Comparison
from podium.scoring.replay import MOST_DIFFERENCE, SHARE_WITHIN, Replay, is_near
from podium.scoring.replay import document as replay_document
from podium.scoring.texts import COLUMNS, NUMBERS, document, row, verdict

__all__ = ["show_comparison", "show_replays"]

_REPLAYED = (
    "POLICY",
    "REPEAT",
    "CHANGES",
    "READY ±1",
    "EXACT",
    "CONSTANT ±1",
    "VIOLATED",
    "SIMULATED",
    "OFF BY",
    "NEAR",
)


def show_comparison(comparison: Comparison, page: Path, output: Output) -> None:
    """Print a comparison; a table is followed by what went wrong and by what belongs beside every figure."""
    if output is not Output.TABLE:
        print_document(document(comparison), output)
        notes().print(f"report: {page}", markup=False, highlight=False, soft_wrap=True)
        return
    for line in verdict(comparison):
        print_styled(line)
    print_table(COLUMNS, [row(one) for one in comparison.policies], right=NUMBERS)
    for one in comparison.policies:
        for card in (*one.cards, *one.void):
            for trouble in card.run.troubles:
                print_styled(f"{one.policy} {card.run.repeat}, {trouble.at_s:.0f} s: {trouble.text}")
            for proof in card.run.passport:
                if proof.ok is False and proof.check != card.run.void:
                    print_styled(f"{one.policy} {card.run.repeat}, {proof.check}: {proof.evidence}")
    for label in comparison.labels:
        print_styled(label)
    print_styled(f"report: {page}")


def show_replays(found: list[Replay], output: Output) -> None:
    """Print how near the simulator is to what was recorded."""
    near = sum(is_near(one) for one in found if one.counts)
    counted = [one for one in found if one.counts]
    seconds = sum(one.run.seconds for one in counted)
    within = sum(one.within * one.run.seconds for one in counted) / seconds if seconds else 0.0
    told = (
        f"{near} of {figures.plural(len(counted), 'run')} with enough changes are near: ready pods within one in "
        f"{SHARE_WITHIN:.0%} of the seconds, violated seconds within {MOST_DIFFERENCE:.0%}; pooled, within one in "
        f"{within:.0%} of {seconds:,} s"
    )
    if output is not Output.TABLE:
        pooled: Json = {
            "near": near,
            "counted": len(counted),
            "pooled_within_one_pod": within,
            "runs": [replay_document(one) for one in found],
        }
        print_document(pooled, output)
        return
    print_styled(told)
    print_table(_REPLAYED, [_row(one) for one in found], right=frozenset(_REPLAYED[1:]))
    if any(not one.is_held_out for one in found):
        print_styled("one run alone: what a pod is like was fitted to the run that it is compared with")


def _row(one: Replay) -> tuple[str, ...]:
    return (
        one.run.policy,
        str(one.run.repeat),
        str(one.changes),
        f"{one.within:.0%}",
        f"{one.exact:.0%}",
        f"{one.constant:.0%}",
        f"{one.recorded_s} s",
        f"{one.simulated_s} s",
        f"{one.difference:.0%}",
        ("yes" if is_near(one) else "no") if one.counts else "too few changes",
    )
