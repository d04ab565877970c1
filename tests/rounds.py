"""Tiers that were played whole in random order, round by round: the file of it, and which of their tests are flaky.

Flaky is what passed in one round and failed in another of the same commit. A round is a line of JSON, so that those who
were interrupted keep what they have.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import groupby
from pathlib import Path

__all__ = ["ASKED", "Flake", "Round", "add", "flakes", "latest", "read", "summary"]

# How many rounds of each tier are asked for, in the order that they are told.
ASKED: Mapping[str, int] = {
    **dict.fromkeys(("unit", "api", "rendered", "contract", "docs", "browser"), 5),
    **dict.fromkeys(("cluster", "knative"), 2),
}


@dataclass(frozen=True, slots=True)
class Round:
    """One tier, played once.

    Attributes:
        commit: what was played.
        round: which of the commit's rounds of this tier, from 1.
        seed: of the order.
        processes: how many played it at once.
        passed: how many tests passed.
        controls: how many of them are controls of rows, which pass when what they control fails.
        failed: names of the tests that failed, or whose set-up or tear-down did, or at which the run died.
        skipped: names of the tests that this machine lacks something for.
        seconds: how long it took.
        is_whole: it came to its end.
        date: when it was over.
        cores: of the machine.
        load: the machine's load average over a minute before it began.
    """

    commit: str
    tier: str
    round: int
    seed: int
    processes: int
    passed: int
    controls: int
    failed: list[str]
    skipped: list[str]
    seconds: float
    is_whole: bool
    date: str
    cores: int
    load: float


@dataclass(frozen=True, slots=True)
class Flake:
    """A test that passed in some rounds and failed in others; `failed_in` is the first that it failed in."""

    test: str
    failed: int
    passed: int
    failed_in: Round


def read(text: str) -> list[Round]:
    """Read a file of rounds; a last line that was cut off is none."""
    return [Round(**json.loads(line)) for line in text.splitlines(keepends=True) if line.endswith("\n")]


def add(file: Path, played: Round) -> None:
    """Put a round at a file's end, over a line that was cut off there."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("a+b") as kept:
        kept.seek(0)
        whole = kept.read()
        kept.truncate(whole.rfind(b"\n") + 1)
        kept.write(json.dumps(asdict(played)).encode() + b"\n")


def latest(rounds: Sequence[Round]) -> dict[str, list[Round]]:
    """Return the rounds of each tier, of the commit that it was played of last."""
    by_tier: dict[str, list[Round]] = {}
    for one in rounds:
        by_tier.setdefault(one.tier, []).append(one)
    return {tier: [one for one in found if one.commit == found[-1].commit] for tier, found in by_tier.items()}


def flakes(rounds: Sequence[Round]) -> list[Flake]:
    """Return what was flaky, by commit and tier."""

    def tier_of(one: Round) -> tuple[str, str]:
        return one.commit, one.tier

    found = []
    for _, same in groupby(sorted(rounds, key=tier_of), tier_of):
        played = list(same)
        for test in sorted({name for one in played for name in one.failed}):
            failed = [one for one in played if test in one.failed]
            # A run that died says nothing of what it did not come to.
            passed = [one for one in played if one.is_whole and test not in one.failed and test not in one.skipped]
            if passed:
                found.append(Flake(test, len(failed), len(passed), failed[0]))
    return found


def summary(rounds: Sequence[Round], asked: Mapping[str, int] = ASKED) -> str:
    """Return the figure: rounds and tests of each tier at the commit it was last played of, and what was not run."""
    last = latest(rounds)
    told = []
    for tier in asked:
        if played := last.get(tier, []):
            tests = max(one.passed + len(one.failed) for one in played)
            of = f" of {asked[tier]}" if len(played) < asked[tier] else ""
            controls = min(one.controls for one in played)
            controlled = f", {controls} of them controls" if controls else ""
            told.append(f"{tier} {len(played)}{of} x {tests:,} tests{controlled} (on {played[0].commit})")
    counted = [one for tier in asked for one in last.get(tier, [])]
    flaky = len(flakes(counted))
    failed = len({name for one in counted for name in one.failed}) - flaky
    missing = [tier for tier in asked if tier not in last]
    figures = f"{flaky} flaky, {failed} failed always" if told else ""
    absent = f"not run: {', '.join(missing)}" if missing else ""
    return "; ".join(part for part in ("; ".join(told), figures, absent) if part)
