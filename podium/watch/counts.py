"""What a predictor has counted so far, from the text of its `/metrics`, and how much of it came since an earlier look.

Reads the part of Prometheus' text format that predictors write, so that watching needs nothing of what serving needs.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

__all__ = ["Counts", "Limit", "Quantile", "counts_of", "grown", "quantile", "total"]

_SAMPLE = re.compile(r"([A-Za-z_:][A-Za-z0-9_:]*)(?:\{(.*)\})? (\S+)(?: -?[0-9]+)?")
_LABEL = re.compile(r'([A-Za-z_][A-Za-z0-9_]*)="((?:[^"\\]|\\.)*)",?')
_ESCAPED = {"\\n": "\n", '\\"': '"', "\\\\": "\\"}
_ERRORS = range(500, 600)


@dataclass(frozen=True, slots=True)
class Limit:
    """A clause of the objective: the share of answers that may miss it, and the time of those that meet it.

    Attributes:
        clause: as in `p99` or `errors`.
        allowed: share of the answers, 0 to 1.
        seconds: None for a clause on errors.
    """

    clause: str
    allowed: float
    seconds: float | None


@dataclass(frozen=True, slots=True)
class Counts:
    """What one server, or several together, counted.

    Attributes:
        answers: by status.
        buckets: answers that took at most so many seconds, by seconds, cumulative; the last one is of all.
        in_flight: requests accepted and not answered.
        queue: items that wait for the engine.
        variants: ids of what is served.
        limits: clauses of the objective.
    """

    answers: Mapping[int, float] = field(default_factory=dict)
    buckets: Mapping[float, float] = field(default_factory=dict)
    in_flight: int = 0
    queue: int = 0
    variants: frozenset[str] = frozenset()
    limits: tuple[Limit, ...] = ()

    @property
    def answered(self) -> float:
        """Return the number of answers of any status."""
        return sum(self.answers.values())

    @property
    def timed(self) -> float:
        """Return the number of answers whose time was taken; refused requests have none."""
        return self.buckets.get(math.inf, 0.0)

    @property
    def errors(self) -> float | None:
        """Return the share of answers that are errors of the server; None without an answer."""
        answered = self.answered
        return sum(n for code, n in self.answers.items() if code in _ERRORS) / answered if answered else None

    def missed(self, limit: Limit) -> float | None:
        """Return the share of answers that miss a clause; None without an answer that it counts."""
        if limit.seconds is None:
            return self.errors
        met = self.buckets.get(limit.seconds)
        return 1 - met / self.timed if self.timed and met is not None else None


@dataclass(frozen=True, slots=True)
class Quantile:
    """A time that a share of the answers took at most; it `is_beyond` where it is longer than any bucket's."""

    seconds: float
    is_beyond: bool = False


def counts_of(text: str) -> Counts | None:
    """Read the text of a predictor's `/metrics`; None where it has none of a predictor's.

    Raises:
        ValueError: a line is no sample.
    """
    answers: dict[int, float] = {}
    buckets: dict[float, float] = {}
    gauges = {"podium_in_flight": 0.0, "podium_queue_length": 0.0}
    variants: set[str] = set()
    limits: list[Limit] = []
    for name, labels, value in _samples(text):
        if name == "podium_requests_total":
            code = int(labels["code"])
            answers[code] = answers.get(code, 0.0) + value
        elif name == "podium_request_seconds_bucket":
            edge = float(labels["le"])
            buckets[edge] = buckets.get(edge, 0.0) + value
        elif name == "podium_objective_ratio":
            limits.append(Limit(labels["clause"], value, float(labels["le"]) if labels.get("le") else None))
        elif name == "podium_variant_info":
            variants.add(labels["variant"])
        elif name in gauges:
            gauges[name] += value
    if not variants:
        return None
    in_flight, queue = (int(value) for value in gauges.values())
    return Counts(answers, dict(sorted(buckets.items())), in_flight, queue, frozenset(variants), tuple(limits))


def _samples(text: str) -> Iterator[tuple[str, dict[str, str], float]]:
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip() or line.startswith("#"):
            continue
        read = _SAMPLE.fullmatch(line.strip())
        if read is None:
            raise ValueError(f"line {number} is no sample")
        labels = {
            name: re.sub(r'\\[n"\\]', lambda found: _ESCAPED[found[0]], value)
            for name, value in _LABEL.findall(read[2] or "")
        }
        try:
            yield read[1], labels, float(read[3])
        except ValueError as error:
            raise ValueError(f"line {number} has no number") from error


def grown(before: Counts, after: Counts) -> Counts:
    """Return what was counted in between, with the gauges of the end; all of it where the server has started anew."""
    if after.answered < before.answered or after.timed < before.timed:
        before = Counts()
    return Counts(
        {code: count - before.answers.get(code, 0.0) for code, count in after.answers.items()},
        {edge: count - before.buckets.get(edge, 0.0) for edge, count in after.buckets.items()},
        after.in_flight,
        after.queue,
        after.variants,
        after.limits,
    )


def total(parts: list[Counts]) -> Counts:
    """Return what several servers counted together; the objective is that of the first one that has any."""
    answers: dict[int, float] = {}
    buckets: dict[float, float] = {}
    edges = sorted({edge for one in parts for edge in one.buckets})
    for one in parts:
        for code, count in one.answers.items():
            answers[code] = answers.get(code, 0.0) + count
        known = 0.0
        for edge in edges if one.buckets else ():
            # Where a server has no such bucket, at least those of the next smaller one took as little.
            known = one.buckets.get(edge, known)
            buckets[edge] = buckets.get(edge, 0.0) + known
    return Counts(
        dict(sorted(answers.items())),
        buckets,
        sum(one.in_flight for one in parts),
        sum(one.queue for one in parts),
        frozenset().union(*(one.variants for one in parts)),
        next((one.limits for one in parts if one.limits), ()),
    )


def quantile(counts: Counts, share: float) -> Quantile | None:
    """Return a percentile as Prometheus' `histogram_quantile` does: linear within a bucket; None without an answer."""
    rank = share * counts.timed
    if not counts.timed:
        return None
    edge = below = 0.0
    for upper, count in counts.buckets.items():
        if count >= rank and count > below:
            if math.isinf(upper):
                return Quantile(edge, is_beyond=True)
            return Quantile(edge + (upper - edge) * (rank - below) / (count - below))
        edge, below = upper, count
    return Quantile(edge, is_beyond=True)
