"""A second tool's view of one hold of a race, as `race.json` has it: both tools' percentiles from their own points."""

from collections.abc import Mapping

from loadtest.histogram import Histogram
from podium.contest import Contest, Measured
from podium.entry import Entry
from podium.racefile import CrossCheck

__all__ = ["cross_check"]


def cross_check(contest: Contest, measured: Mapping[str, Measured], best: Entry | None) -> CrossCheck | None:
    """Let a second tool repeat a hold of the winner, or else of the candidate that took the largest rate."""
    sound = [one for one in measured.values() if not one.trouble]
    if best is not None:
        sound = [one for one in sound if one.candidate.variant_id == best.id]
    chosen = max(sound, key=lambda one: one.search.value if one.search else 0.0, default=None)
    if chosen is None or not chosen.holds:
        return None
    found = contest.cross_check(chosen)
    if found is None:
        return None
    reference, second = found
    seen = Histogram.of_ns(second.samples.recorded_intended_ns(second.timeout_ns))
    known = reference.record.latency
    p99_ms = seen.percentile_ms(99)
    return CrossCheck(
        tool=second.generator.tool,
        variant=chosen.candidate.variant_id,
        node_class=chosen.candidate.node_class,
        rate=reference.record.planned.rate or 0.0,
        p50_ms=seen.percentile_ms(50),
        p99_ms=p99_ms,
        reference_tool=reference.record.generator.tool,
        reference_p50_ms=known.p50_ms,
        reference_p99_ms=known.p99_ms,
        difference=None if not known.p99_ms else p99_ms / known.p99_ms - 1,
        note="both at a constant rate; percentiles from the points of each tool, not from its summary",
    )
