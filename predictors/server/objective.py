"""What of a service-level objective the server's own metrics can tell: its latency clauses and its share of errors.

The text is the one that people write into a submission (`p99<=100ms, errors<=1%, rate>=40/s`), so that nobody writes it
twice. Whether it makes sense as an objective is decided there; clauses that no count of answers can tell (`rate`,
`ready`) are passed over.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

__all__ = ["Limit", "parse_objective"]

_CLAUSE: Final = re.compile(r"(p50|p90|p95|p99|p99\.9|errors|rate|ready) *(<=|>=) *([0-9]*\.?[0-9]+) *(us|ms|s|%|/s|)")
_TOLD_ELSEWHERE: Final = frozenset({"rate", "ready"})
_SECONDS: Final = {"us": Decimal("0.000001"), "ms": Decimal("0.001"), "s": Decimal(1)}
_SHARES: Final = {"%": Decimal("0.01"), "": Decimal(1)}


@dataclass(frozen=True, slots=True)
class Limit:
    """One clause: which share of the answers may miss it, and what missing it means.

    Attributes:
        clause: its metric, as in `p99` or `errors`.
        share: of the answers that may miss it, 0 to 1.
        seconds: an answer that takes longer misses it; None: an error does.
    """

    clause: str
    share: float
    seconds: float | None


def parse_objective(text: str) -> tuple[Limit, ...]:
    """Read the clauses that answers can be counted against; none from an empty text.

    Raises:
        ValueError: a clause cannot be read, or limits what another one limits.
    """
    limits = tuple(_limits(text))
    if len({limit.clause for limit in limits}) < len(limits):
        raise ValueError(f"{text!r} limits something twice")
    return limits


def _limits(text: str) -> Iterator[Limit]:
    for clause in text.split(",") if text.strip() else ():
        read = _CLAUSE.fullmatch(clause.strip())
        if read is None:
            raise ValueError(f"{clause.strip()!r} is no clause such as p99<=100ms or errors<=1%")
        metric, number, unit = read[1], Decimal(read[3]), read[4]
        if metric in _TOLD_ELSEWHERE:
            continue
        units = _SHARES if metric == "errors" else _SECONDS
        if read[2] != "<=" or unit not in units:
            raise ValueError(f"{clause.strip()!r} is no upper limit in {' or '.join(repr(one) for one in units)}")
        limit = float(number * units[unit])
        if metric == "errors":
            yield Limit(metric, limit, None)
        elif limit > 0:
            yield Limit(metric, float(1 - Decimal(metric.removeprefix("p")) / 100), limit)
        else:
            raise ValueError(f"{clause.strip()!r} leaves no time")
