"""How often verdicts are wrong, in virtual time: `python -m benchmarks.verdicts [--races N] [--pairs N] [--out FILE]`.

Plays races of level standard with the program's own contest, search, proofs and judge against simulated servers whose
largest rate is known (`tests/trials.py`), and races of a server against itself, which must not be ranked apart. The
judge that reads one run's p99 stands beside it; `--races 0` and `--pairs 0` leave a part out. Prints and writes what
the issue puts a bar on, and says whether each bar is met; nothing is sent anywhere.
"""

import argparse
import json
import multiprocessing
import os
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TypeVar

from loadtest.profile import load_profile
from tests.servers import Server
from tests.trials import SERVERS, Found, Trial, play, summary, trials, true_rates, twins
from tests.virtual import Arena

T = TypeVar("T")

BARS = {
    "wrong_pass": ("<=", 0.01),
    "wrong_fail": ("<=", 0.01),
    "decided_clear": (">=", 0.95),
    "decided_near": (">=", 0.5),
    "covered": (">=", 0.9),
    "requests_by_needed_median": ("<=", 1.5),
    "ranked_apart": ("<=", 0.015),
}
_PART = 50
_TRUTH_REQUESTS = 2_000_000
# What the pairs ask of their server: they must pass to be ranked.
_EASY = 1.3


def _truth(server: Server) -> dict[Server, float]:
    return true_rates([server], requests=_TRUTH_REQUESTS)


def _pairs(numbers: range, truths: dict[Server, float]) -> list[tuple[int, int] | None]:
    profile = load_profile("standard")
    arena = Arena(profile)
    found = []
    try:
        for number in numbers:
            server = SERVERS[number % len(SERVERS)]
            asked = truths[server] / _EASY
            found.append(twins(server, asked, seed=5_000_000 + number, profile=profile, arena=arena))
    finally:
        arena.close()
    return found


def _within(parts: Iterator[Sequence[T]], deadline: float) -> list[T]:
    """Return what comes before a deadline."""
    found: list[T] = []
    for part in parts:
        found += part
        if time.monotonic() > deadline:
            break
    return found


def _by_kind(found: list[Found]) -> dict[str, dict[str, float]]:
    kinds: dict[str, dict[str, float]] = {}
    for kind in sorted({one.trial.server.kind for one in found}):
        mine = [one for one in found if one.trial.server.kind == kind]
        kinds[kind] = summary(mine)
    return kinds


def _by_ratio(found: list[Found]) -> dict[str, dict[str, int]]:
    counts: dict[str, Counter[str]] = {}
    for one in sorted(found, key=lambda one: one.trial.ratio):
        counts.setdefault(f"{round(20 * one.trial.ratio) / 20:.2f}", Counter())[one.status] += 1
    return {ratio: dict(count) for ratio, count in counts.items()}


def main() -> int:
    """Play, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--races", type=int, default=2000)
    parser.add_argument("--pairs", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=2026)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=3600.0, help="end each part then, with what it has")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/verdicts.json"))
    options = parser.parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    context = multiprocessing.get_context("fork")
    began = time.monotonic()
    chosen = trials(options.races, seed=options.seed)
    parts: list[tuple[Trial, ...]] = [chosen[first : first + _PART] for first in range(0, len(chosen), _PART)]
    with context.Pool(options.processes) as pool:
        truths = {server: rate for part in pool.map(_truth, SERVERS, chunksize=1) for server, rate in part.items()}
        found = _within(pool.imap(partial(play, truths=truths), parts), began + options.seconds)
        races_s = time.monotonic() - began
        began = time.monotonic()
        spans = [range(first, min(first + _PART, options.pairs)) for first in range(0, options.pairs, _PART)]
        played = _within(pool.imap(partial(_pairs, truths=truths), spans), began + options.seconds)
        ranks = [one for one in played if one is not None]
    figures: dict[str, float] = summary(found) if found else {}
    if ranks:
        apart = sum(first != second for first, second in ranks) / len(ranks)
        figures |= {"pairs": len(played), "pairs_ranked": len(ranks), "ranked_apart": apart}
    bars = {name: bar for name, bar in BARS.items() if name in figures}
    held = {
        name: figures[name] <= limit if sign == "<=" else figures[name] >= limit for name, (sign, limit) in bars.items()
    }
    result = {
        "command": f"python -m benchmarks.verdicts --races {options.races} --pairs {options.pairs}",
        "provenance": _provenance(),
        "options": {"races": options.races, "pairs": options.pairs, "seed": options.seed},
        "seconds": {"races": round(races_s, 1), "pairs": round(time.monotonic() - began, 1)},
        "figures": figures,
        "bars": {name: {"bar": f"{sign} {limit:g}", "holds": held[name]} for name, (sign, limit) in bars.items()},
        "by_kind": _by_kind(found),
        "by_ratio": _by_ratio(found),
        "true_rates": {f"{one.kind} {1000 * one.mean_s:g} ms": rate for one, rate in truths.items()},
    }
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    for name, value in figures.items():
        bar = f"   {BARS[name][0]} {BARS[name][1]:g}: {'holds' if held[name] else 'MISSED'}" if name in bars else ""
        print(f"{name:28} {value:10.4g}{bar}")
    print(f"{races_s:.0f} s for the races, {time.monotonic() - began:.0f} s for the pairs; {options.out}")
    return 0 if held and all(held.values()) else 1


def _provenance() -> dict[str, str]:
    from benchmarks.provenance import provenance

    return {name: value for name, value in provenance().items() if name != "cluster"}


if __name__ == "__main__":
    sys.exit(main())
