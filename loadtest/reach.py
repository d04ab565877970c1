"""What a profile can prove of an SLO at best: an objective that no load of it could ever support is refused before.

A race that can only end INCONCLUSIVE costs as much as one that ends well. All of this follows from counts alone, so
nothing has to be played for it. No scipy here: a dry run needs none.
"""

from __future__ import annotations

import math
from typing import Final

from loadtest.errors import ProfileError, SloError
from loadtest.profile import Level, Profile
from loadtest.slo import Clause, Slo

__all__ = ["LEVEL_BLOCKS", "LEVEL_BLOCK_S", "require_provable", "require_reachable", "why_never"]

# A PASS needs so many whole blocks of at least this length.
LEVEL_BLOCKS: Final = 5
LEVEL_BLOCK_S: Final[dict[Level, float]] = {"standard": 60.0, "quick": 10.0}


def require_provable(slo: Slo) -> None:
    """Refuse a clause that no number of requests proves.

    Raises:
        SloError: for a share of misses of zero.
    """
    for number, clause in enumerate(slo.clauses, start=1):
        if clause.allowed_misses == 0:
            raise SloError(
                str(clause),
                f'SLO clause {number}, "{clause}": no number of requests proves that none ever misses',
                "ask for a share above zero, for example errors<=0.1%, which 3,000 requests without an error support",
            )


def require_reachable(slo: Slo, profile: Profile, rate: float) -> None:
    """Refuse a clause for which the hold of a profile plays too few requests, even where none misses.

    Raises:
        ProfileError: the profile has no hold.
        SloError: naming the clause, what it needs and what the hold plays.
    """
    hold = profile.hold
    if hold is None:
        raise ProfileError(
            profile.name,
            "it has no hold, and a verdict comes from nothing else",
            "add {kind: hold, blocks: 5, block: 10s}",
        )
    if why_never(profile, rate):
        # That is said and not refused: a short hold is a way to see a race run.
        return
    planned = hold.most_blocks * hold.block_seconds(rate) * rate
    for number, clause in enumerate(slo.clauses, start=1):
        needed = _needed(clause, 1 - (1 - profile.confidence) / hold.looks)
        if needed > planned:
            raise SloError(
                str(clause),
                f'SLO clause {number}, "{clause}": {needed:,} requests without a miss support it at '
                f"{100 * profile.confidence:g}% confidence, and the hold of {profile.name} plays about {planned:,.0f}",
                f"ask for a lower percentile or a higher rate, or for blocks of "
                f"{math.ceil(needed / hold.most_blocks / rate)}s in a profile of your own",
            )


def why_never(profile: Profile, rate: float) -> str:
    """Return why no variant can get a PASS by this profile, and what to change; empty where one can."""
    hold = profile.hold
    if hold is None:
        return ""
    least_s = LEVEL_BLOCK_S[profile.level]
    if hold.most_blocks >= LEVEL_BLOCKS and hold.block_seconds(rate) >= least_s:
        return ""
    return (
        f"no PASS can come of profile {profile.name}: its hold plays {hold.most_blocks} blocks of "
        f"{hold.block_seconds(rate):.3g} s at {rate:g}/s, and level {profile.level} needs {LEVEL_BLOCKS} of at least "
        f"{least_s:g} s; write blocks: {LEVEL_BLOCKS} and block: {least_s:g}s"
    )


def _needed(clause: Clause, confidence: float) -> int:
    """Return how many requests support a clause if none misses it: section 2 of the method, first column."""
    allowed = clause.allowed_misses
    if allowed is None or not 0 < allowed < 1:
        return 0
    return math.ceil(math.log(1 - confidence) / math.log1p(-allowed) - 1e-9)
