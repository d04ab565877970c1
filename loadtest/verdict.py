"""The verdict on a hold: PASS, FAIL or INCONCLUSIVE for each clause of an SLO, and what would settle it.

A clause that counts requests follows rule 11 of the method, on both sides: the binomial rule over all
requests and the t-bound of the miss share over batches of at least 400 successive requests must agree,
because misses come in clumps and pooled counts alone are too sure of themselves. A PASS also needs the
five blocks of its level. A block cut by the over-saturation stop hides what would have followed, so it
can never be one of the five. Two of them, and more than one in five, are a FAIL of the rate; one may have
been a hiccup of the machine, or chance where there are many blocks, and five more whole ones excuse it.
Whether the blocks agree well enough for a figure is a question beside the verdict (rule 9, `stability`).

The risk of a wrong verdict is spent once, over all looks that there can be; their number is fixed before the
hold begins. A PASS is looked for when a hold is judged, and its risk is shared among those judgements. A
FAIL is looked for after each block as well: a fifth of its risk is shared among these early looks, and the
judgements share the rest. So clear losers are out early, at little cost to the power where it is needed. A PASS needs
all clauses, but a FAIL only one: the clauses that count requests share the risk of a wrong FAIL.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal

import numpy as np
import numpy.typing as npt
from scipy import stats

from loadtest.blocks import BlockOutcome
from loadtest.phases import BATCH
from loadtest.profile import Level
from loadtest.reach import LEVEL_BLOCK_S, LEVEL_BLOCKS
from loadtest.remedy import Needs, more_blocks, settling
from loadtest.slo import Clause, Slo
from loadtest.stability import FIGURE_CV, MORE_CV, Spread, spread
from loadtest.statistics import (
    batch_shares,
    chance_error,
    coefficient_of_variation,
    percentile,
    refutes,
    supports,
    t_bound,
    t_interval,
)

__all__ = ["ClauseVerdict", "Needs", "Status", "Verdict", "is_settled", "judge"]

Floats = npt.NDArray[np.float64]
Status = Literal["PASS", "FAIL", "INCONCLUSIVE"]

_BLOCKS: Final = LEVEL_BLOCKS
_BLOCK_S: Final = LEVEL_BLOCK_S
_CONFIDENCE: Final[dict[Level, float]] = {"standard": 0.99, "quick": 0.95}
# The part of the risk of a wrong FAIL that looks after single blocks may spend.
_EARLY: Final = 0.2
_CUTS_THAT_FAIL: Final = 2
_ACHIEVED: Final = 0.99
# A Poisson schedule at the asked rate plans so few arrivals once in a thousand.
_TOO_FEW: Final = 0.001


@dataclass(frozen=True, slots=True)
class ClauseVerdict:
    """How one clause came out.

    Attributes:
        clause: the clause.
        status: the verdict on it.
        reason: one sentence with the numbers.
        needs: what would settle it; None unless INCONCLUSIVE.
        value: the metric over all requests, merged: seconds, a share, or per second.
        low: lower end of the t-interval over blocks; None where there is none.
        high: upper end.
        misses: requests that missed it; None where requests are not counted.
        requests: requests counted.
        bound: the one-sided t-bound of the miss share on the side that was asked; None below two batches.
        cv: coefficient of variation of the blocks' values; None where there is none.
        cv_by_chance: what it stays below in 99 % of cases where blocks are alike; None where nobody asked.
    """

    clause: Clause
    status: Status
    reason: str
    needs: Needs | None = None
    value: float | None = None
    low: float | None = None
    high: float | None = None
    misses: int | None = None
    requests: int | None = None
    bound: float | None = None
    cv: float | None = None
    cv_by_chance: float | None = None

    @property
    def is_rankable(self) -> bool:
        """Return whether the blocks agree well enough for a figure and a rank (rule 9)."""
        return self.cv is None or not Spread(self.cv, self.cv_by_chance).exceeds(FIGURE_CV)

    @property
    def wants_blocks(self) -> bool:
        """Return whether the blocks differ so much that more of them should be played (rule 9)."""
        return self.cv is not None and Spread(self.cv, self.cv_by_chance).exceeds(MORE_CV)

    @property
    def disagreement(self) -> str:
        """Return why there is no rank, as a sentence; empty where there may be one."""
        if self.is_rankable or self.cv is None or self.cv_by_chance is None:
            return ""
        return (
            f"not ranked: {self.clause.metric} differs from block to block by {self.cv:.0%} (CV), {FIGURE_CV:.0%} may "
            f"be and {self.cv_by_chance:.0%} could be chance"
        )


@dataclass(frozen=True, slots=True)
class Verdict:
    """The verdict on a hold: FAIL when a clause fails, PASS when all pass, else INCONCLUSIVE."""

    status: Status
    level: Level
    confidence: float
    clauses: tuple[ClauseVerdict, ...]
    needs: Needs | None

    @property
    def reasons(self) -> tuple[str, ...]:
        """Return the sentences that explain the status: those of the clauses that caused it."""
        return tuple(clause.reason for clause in self.clauses if clause.status == self.status)

    @property
    def disagreements(self) -> tuple[str, ...]:
        """Return why there is no figure and no rank (rule 9); empty where there may be."""
        return tuple(clause.disagreement for clause in self.clauses if clause.disagreement)

    def wants_blocks(self, *, at_most: int) -> bool:
        """Say whether so many more blocks are well spent: they may settle it, or its blocks differ (rules 9 and 11)."""
        if self.status == "INCONCLUSIVE":
            # The estimate is a rough one, and half of it is often enough.
            return self.needs is not None and self.needs.repeats is not None and self.needs.repeats <= 2 * at_most
        return self.status == "PASS" and any(clause.wants_blocks for clause in self.clauses)


def is_settled(
    blocks: Sequence[BlockOutcome],
    slo: Slo,
    *,
    level: Level,
    confidence: float | None = None,
    most_blocks: int = _BLOCKS,
) -> bool:
    """Say whether a hold may end early: its FAIL is proven and no further block could excuse it.

    Looking after each block gives chance as many tries as there are blocks, so that each look may use only its part of
    what risk the judgements leave (Bonferroni). Whatever is settled is then judged a FAIL, which needs less proof. Two
    blocks cut by the over-saturation stop are a FAIL without any statistics.

    Args:
        blocks: the blocks played so far.
        slo: the clauses.
        level: what the verdict is worth.
        confidence: of each side; the level's when left out.
        most_blocks: how many blocks there can be at most, and so how many looks.
    """
    sure = _CONFIDENCE[level] if confidence is None else confidence
    of_a_look = 1 - (1 - sure) * _EARLY / (max(_BLOCKS, most_blocks) * _counted_clauses(slo))
    early = _Sure(sure, of_a_look, of_a_look)
    return any(_clause(blocks, one, level, early, ()).status == "FAIL" for one in slo.clauses)


def judge(
    blocks: Sequence[BlockOutcome],
    slo: Slo,
    *,
    level: Level,
    confidence: float | None = None,
    ready_s: Sequence[float] = (),
    looks: int = 1,
) -> Verdict:
    """Judge a hold at the asked rate.

    Args:
        blocks: all blocks that were played, in order; blocks of void runs are not for judging.
        slo: the clauses.
        level: what the verdict is worth; it says how long the five blocks must be.
        confidence: of each side; the level's when left out.
        ready_s: measured times from start to ready, for a `ready` clause.
        looks: how often a hold can be judged, fixed before it began; each look uses its part of the risk.
    """
    sure = _CONFIDENCE[level] if confidence is None else confidence
    risk = (1 - sure) / looks
    known = _Sure(sure, 1 - risk, 1 - (1 - _EARLY) * risk / _counted_clauses(slo))
    clauses = tuple(_clause(blocks, clause, level, known, ready_s) for clause in slo.clauses)
    clauses = tuple(_with_spread(blocks, clause) for clause in clauses)
    statuses = {clause.status for clause in clauses}
    status: Status = "FAIL" if "FAIL" in statuses else "INCONCLUSIVE"
    if statuses == {"PASS"}:
        status = "PASS"
    needs = [clause.needs for clause in clauses if clause.needs is not None]
    largest = max(needs, key=lambda one: one.effort) if needs and status == "INCONCLUSIVE" else None
    return Verdict(status, level, sure, clauses, largest)


@dataclass(frozen=True, slots=True)
class _Sure:
    """The confidence of a verdict, and what one of the looks that share its risk must reach on either side."""

    confidence: float
    passing: float
    failing: float


def _counted_clauses(slo: Slo) -> int:
    """Return how many clauses share the risk of a wrong FAIL; one where none counts requests.

    Errors, and answers later than another clause allows, miss that one as well: a clause that lets no fewer requests
    miss than the other fails no server that keeps to it, and needs no part of its own.
    """
    counted: dict[float, float] = {}
    for clause in slo.clauses:
        if clause.allowed_misses is not None:
            limit = math.inf if clause.quantile is None else clause.value
            counted[clause.allowed_misses] = min(limit, counted.get(clause.allowed_misses, math.inf))
    parts, least = 0, math.inf
    for _, limit in sorted(counted.items()):
        parts += limit < least or not parts
        least = min(least, limit)
    return max(1, parts)


def _with_spread(blocks: Sequence[BlockOutcome], judged: ClauseVerdict) -> ClauseVerdict:
    """Return a clause with how its blocks vary, where it limits a percentile; a FAIL is not ranked anyway."""
    quantile = judged.clause.quantile
    found = None
    if quantile is not None and judged.status != "FAIL":
        found = spread([block.latency_s for block in blocks], quantile)
    return judged if found is None else replace(judged, cv=found.cv, cv_by_chance=found.by_chance)


def _clause(
    blocks: Sequence[BlockOutcome], clause: Clause, level: Level, confidence: _Sure, ready_s: Sequence[float]
) -> ClauseVerdict:
    if clause.metric == "ready":
        return _ready(clause, ready_s)
    if clause.allowed_misses is None:
        return _rate(blocks, clause, level, confidence)
    return _counted(blocks, clause, clause.allowed_misses, level, confidence)


def _counted(
    blocks: Sequence[BlockOutcome], clause: Clause, allowed: float, level: Level, sure: _Sure
) -> ClauseVerdict:
    """Judge a clause that counts requests: rule 11."""
    at = f"at {100 * sure.confidence:g}% confidence"
    misses = [block.misses(clause) for block in blocks]
    requests = sum(one.size for one in misses)
    missed = sum(int(np.count_nonzero(one)) for one in misses)
    shares = batch_shares(misses, BATCH)
    is_over = missed > allowed * requests
    confidence = sure.failing if is_over else sure.passing
    if is_over:
        least_error = chance_error(missed / requests, allowed, requests)
        bound = _share_bound(t_bound(shares, confidence, "lower", least_error=least_error))
    else:
        bound = _share_bound(t_bound(shares, confidence, "upper"))
    missing = _missing(blocks, level)
    said = f"{missed:,} of {requests:,} requests miss {clause}"
    needs: Needs | None = None
    status: Status = "INCONCLUSIVE"
    if is_over and bound is not None and bound > allowed and refutes(requests, missed, allowed, confidence):
        status = "FAIL"
        reason = f"{said}: at least {bound:.2%} do {at}, and {100 * allowed:.4g}% may"
    elif missing:
        needs = more_blocks(missing, _requests_a_block(blocks))
        reason = f"{said}, in {_BLOCKS - missing} of the {_BLOCKS} whole blocks of {_BLOCK_S[level]:g} s"
    elif bound is not None and bound <= allowed and supports(requests, missed, allowed, confidence):
        status = "PASS"
        reason = f"{said}: at most {bound:.2%} do {at}, and {100 * allowed:.4g}% may"
    else:
        a_block = _requests_a_block(blocks)
        needs = settling(
            shares,
            requests,
            missed,
            allowed,
            confidence=confidence,
            requests_a_block=a_block,
            batches_a_block=max(1, a_block // BATCH),
        )
        reason = f"{said}, too near the {100 * allowed:.4g}% that may to tell {at}"
    value, low, high, cv = _figure(blocks, clause, sure.confidence)
    return ClauseVerdict(clause, status, reason, needs, value, low, high, missed, requests, bound, cv)


def _rate(blocks: Sequence[BlockOutcome], clause: Clause, level: Level, sure: _Sure) -> ClauseVerdict:
    """Judge whether the asked rate was played and kept up with."""
    planned = sum(block.planned for block in blocks)
    seconds = sum(block.seconds for block in blocks)
    cuts = sum(block.cut for block in blocks)
    short = sum(block.sent < _ACHIEVED * block.planned for block in blocks if not block.cut)
    missing = _missing(blocks, level)
    needs = more_blocks(max(1, missing), _requests_a_block(blocks))
    status: Status = "INCONCLUSIVE"
    whole = len(blocks) - cuts
    unexcused = max(0, _BLOCKS * (1 + cuts) - whole)
    if cuts >= _CUTS_THAT_FAIL and _BLOCKS * cuts > len(blocks):
        status = "FAIL"
        reason = f"the server fell behind at {clause.value:g}/s in {cuts} of {len(blocks)} blocks"
    elif cuts and unexcused:
        needs = more_blocks(unexcused, _requests_a_block(blocks))
        how_many = "one block, which another" if cuts == 1 else f"{cuts} of {len(blocks)} blocks, which others"
        reason = f"the server fell behind at {clause.value:g}/s in {how_many} must confirm"
    elif missing:
        reason = f"{_BLOCKS - missing} of the {_BLOCKS} whole blocks of {_BLOCK_S[level]:g} s were played"
    elif short:
        reason = f"less than {_ACHIEVED:.0%} of the planned requests left in {short} of {len(blocks)} blocks"
    elif stats.poisson.cdf(planned, clause.value * seconds) < _TOO_FEW:
        reason = f"only {planned / seconds:.4g}/s were planned, and {clause.value:g}/s were asked for"
    else:
        status = "PASS"
        kept = f"all {len(blocks)}" if not cuts else f"{whole} of {len(blocks)}"
        reason = f"the server kept up with {clause.value:g}/s in {kept} blocks"
    value, low, high, cv = _figure(blocks, clause, sure.confidence)
    return ClauseVerdict(clause, status, reason, needs if status == "INCONCLUSIVE" else None, value, low, high, cv=cv)


def _ready(clause: Clause, ready_s: Sequence[float]) -> ClauseVerdict:
    """Judge the measured starts: all within the limit, all beyond it, or not the same each time."""
    within = sum(start <= clause.value for start in ready_s)
    if not ready_s:
        needs = Needs(None, 1, "one measured start")
        return ClauseVerdict(clause, "INCONCLUSIVE", f"no start was measured for {clause}", needs)
    reason = f"{within} of {len(ready_s)} starts were ready within {str(clause).removeprefix('ready<=')}"
    low, high = min(ready_s), max(ready_s)
    if within in (0, len(ready_s)):
        return ClauseVerdict(clause, "PASS" if within else "FAIL", reason, None, high, low, high)
    needs = Needs(None, None, "starts that agree: some were ready in time and some were not")
    return ClauseVerdict(clause, "INCONCLUSIVE", reason, needs, high, low, high)


def _share_bound(bound: float | None) -> float | None:
    return None if bound is None else min(1.0, max(0.0, bound))


def _missing(blocks: Sequence[BlockOutcome], level: Level) -> int:
    """Return how many whole blocks of the level's length a PASS still lacks."""
    whole = sum(not block.cut and block.seconds >= _BLOCK_S[level] for block in blocks)
    return max(0, _BLOCKS - whole)


def _requests_a_block(blocks: Sequence[BlockOutcome]) -> int:
    planned = [block.planned for block in blocks]
    return round(float(np.median(planned))) if planned else BATCH


def _figure(
    blocks: Sequence[BlockOutcome], clause: Clause, confidence: float
) -> tuple[float | None, float | None, float | None, float | None]:
    """Return the merged value, its t-interval over blocks widened to hold it, and the blocks' CV."""
    value = _merged(blocks, clause)
    values = [one for block in blocks if (one := block.metric(clause)) is not None]
    interval, cv = t_interval(values, confidence), coefficient_of_variation(values)
    if value is None or interval is None:
        return value, None, None, cv
    return value, max(0.0, min(interval.low, value)), max(interval.high, value), cv


def _merged(blocks: Sequence[BlockOutcome], clause: Clause) -> float | None:
    """Return the value of the clause's metric over all blocks; percentiles from merged requests."""
    if clause.metric == "rate":
        seconds = sum(block.seconds for block in blocks)
        return sum(block.sent for block in blocks) / seconds if seconds else None
    if not any(block.requests for block in blocks):
        return None
    if clause.quantile is None:
        return float(np.concatenate([block.errors for block in blocks]).mean())
    return percentile(np.concatenate([block.latency_s for block in blocks]), clause.quantile)
