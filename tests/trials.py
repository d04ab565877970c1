"""Many races in virtual time, and how often their verdicts are wrong, beside the judge that reads one run's p99.

Each trial is one server whose largest rate is known, asked for a rate at a known ratio to it. What is counted is what
a person would mind: a PASS of what cannot hold the rate, a FAIL of what can, and no answer where one was due.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from loadtest.blocks import BlockOutcome
from loadtest.profile import Profile, load_profile
from loadtest.slo import Slo, parse_slo
from loadtest.statistics import requests_needed
from podium.entry import Entry
from podium.measured import verdict_of
from podium.nodeclass import load_node_class
from podium.ranking import ranked
from podium.results import capacity_figure, cost_figure
from tests.servers import KINDS, Server, true_rate
from tests.virtual import Arena

__all__ = ["ALLOWED", "LIMIT_S", "SERVERS", "Found", "Trial", "play", "summary", "trials", "true_rates", "twins"]

LIMIT_S: Final = 0.1
ALLOWED: Final = 0.01
SERVERS: Final = tuple(Server(kind, mean_s) for mean_s in (0.005, 0.01, 0.02) for kind in KINDS)
# Half of the trials lie anywhere between 0.7 and 1.3, half where a bar stands.
_BARS: Final = (0.7, 0.75, 0.9, 0.95, 1.05, 1.1, 1.3)


@dataclass(frozen=True, slots=True)
class Trial:
    """A race to play: a server, its largest rate by the asked one, and a seed."""

    server: Server
    ratio: float
    seed: int


@dataclass(frozen=True, slots=True)
class Found:
    """What came out of a trial; `plain` is the verdict of the first run's p99 and error share alone.

    `truth` is the server's largest rate, `low` to `high` the interval of the search; `requests` is what was sent in
    all phases, `hold_requests` in the hold, and `needed` what section 2 of the method asks for.
    """

    trial: Trial
    status: str
    plain: str
    truth: float
    low: float | None
    high: float | None
    requests: int
    hold_requests: int
    needed: int
    is_ranked: bool


def trials(count: int, servers: Sequence[Server] = SERVERS, *, seed: int = 1) -> tuple[Trial, ...]:
    """Return seeded trials over all servers and ratios."""
    random = np.random.default_rng(seed)
    made = []
    for number in range(count):
        ratio = _BARS[number // 2 % len(_BARS)] if number % 2 else float(random.uniform(0.7, 1.3))
        made.append(Trial(servers[int(random.integers(len(servers)))], ratio, seed * 1_000_000 + number))
    return tuple(made)


def play(
    chosen: Iterable[Trial], truths: Mapping[Server, float], *, profile: Profile | None = None
) -> tuple[Found, ...]:
    """Play trials of servers whose largest rates are known."""
    profile = profile or load_profile("standard")
    arena = Arena(profile)
    try:
        return tuple(_played(one, truths[one.server], arena, profile) for one in chosen)
    finally:
        arena.close()


def true_rates(servers: Iterable[Server], *, requests: int) -> dict[Server, float]:
    """Return the largest rate of each server; with two million requests it is right to about half a percent."""
    return {server: true_rate(server, LIMIT_S, ALLOWED, requests=requests) for server in servers}


def _played(trial: Trial, truth: float, arena: Arena, profile: Profile) -> Found:
    slo = parse_slo(f"p99<=100ms, errors<=1%, rate>={truth / trial.ratio:.6f}/s")
    measured = arena.race({"a": trial.server}, slo, seed=trial.seed)[0]["a"]
    blocks = measured.blocks()
    verdict = verdict_of(measured, profile, slo)
    search = measured.search
    counts = [requests_needed(0, one.allowed_misses, profile.confidence) for one in slo.clauses if one.allowed_misses]
    return Found(
        trial,
        "VOID" if measured.trouble and verdict.status != "FAIL" else verdict.status,
        _plain(blocks[0], slo) if blocks else "",
        truth,
        None if search is None else search.low,
        None if search is None else search.high,
        sum(run.record.sent for run in measured.book.runs),
        sum(run.record.sent for run in measured.holds),
        max(*counts, round(5 * 60 * (slo.rate or 0.0))),
        not verdict.disagreements,
    )


def _plain(first: BlockOutcome, slo: Slo) -> str:
    values = [(first.metric(clause), clause.value) for clause in slo.clauses if clause.allowed_misses is not None]
    return "PASS" if all(value is not None and value <= limit for value, limit in values) else "FAIL"


def summary(found: Sequence[Found]) -> dict[str, float]:
    """Return the shares that the issue puts a bar on, with the counts behind them.

    Raises:
        ValueError: where a share would be of nothing.
    """
    beyond = [one for one in found if one.trial.ratio <= 0.95]
    inside = [one for one in found if one.trial.ratio >= 1.05]
    clear = [one for one in found if one.trial.ratio <= 0.75 or one.trial.ratio >= 1.3]
    near = [one for one in found if one.trial.ratio in {0.9, 1.1}]
    ranged = [(one.low, one.truth, one.high) for one in found if one.low is not None and one.high is not None]
    if not (beyond and inside and clear and near and ranged):
        raise ValueError("too few trials to say anything of")

    def share(part: Sequence[Found], *statuses: str) -> float:
        return sum(one.status in statuses for one in part) / len(part)

    return {
        "races": len(found),
        "beyond": len(beyond),
        "wrong_pass": share(beyond, "PASS"),
        "wrong_pass_plain": sum(one.plain == "PASS" for one in beyond) / len(beyond),
        "inside": len(inside),
        "wrong_fail": share(inside, "FAIL"),
        "wrong_fail_plain": sum(one.plain == "FAIL" for one in inside) / len(inside),
        "clear": len(clear),
        "decided_clear": share(clear, "PASS", "FAIL"),
        "near": len(near),
        "decided_near": share(near, "PASS", "FAIL"),
        "void": share(found, "VOID"),
        "unranked": sum(one.status == "PASS" and not one.is_ranked for one in found) / len(found),
        "covered": sum(low <= truth <= high for low, truth, high in ranged) / len(ranged),
        "requests_by_needed_median": float(np.median([one.requests / one.needed for one in clear])),
        "hold_by_needed_median": float(np.median([one.hold_requests / one.needed for one in clear])),
    }


def twins(server: Server, asked: float, *, seed: int, profile: Profile, arena: Arena) -> tuple[int, int] | None:
    """Race a server against itself and return both ranks; None where one of them does not hold."""
    slo = parse_slo(f"p99<=100ms, errors<=1%, rate>={asked:.6f}/s")
    node_class = load_node_class("local")
    entries = []
    for name, measured in arena.race({"a": server, "b": server}, slo, seed=seed)[0].items():
        verdict, capacity = verdict_of(measured, profile, slo), capacity_figure(measured.search)
        if measured.trouble or verdict.status != "PASS" or verdict.disagreements:
            return None
        cost = cost_figure(capacity, profile, node_class)
        entries.append(
            Entry(id=name, node_class="local", status="PASS", server_max_rps=capacity, cost_per_million=cost)
        )
    first, second = ranked(entries)
    return (first.rank or 0, second.rank or 0)
